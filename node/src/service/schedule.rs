//! When a twin is due: pure, from the clock, the length of its steps and its name.
//!
//! A twin's turn follows the end of each interval by a delay that depends on its name alone, so that the
//! turns of many twins spread over a part of the interval and are the same after a restart. Delays are
//! whole multiples of [`SLOT`], so that twins of one slot share a run of the forecaster. Turns that were
//! missed are not made up one by one: only the newest is due.

use twinscale_protocol::{CustomerId, DomainTime, Seconds};

/// Time after the end of an interval in which its last samples still arrive.
pub const GRACE: Seconds = Seconds(2);

/// Width of a slot of turns.
pub const SLOT: Seconds = Seconds(2);

/// Part of an interval over which turns spread: 1/4, so that a forecast is known for most of the step.
const SPREAD_PART: u32 = 4;

/// Longest spread: five minutes suffice for 10,000 turns.
const SPREAD_MAX: Seconds = Seconds(300);

/// Says how long after the end of an interval a customer's turn is.
#[must_use]
pub fn delay(customer: &CustomerId, interval: Seconds) -> Seconds {
    let spread = (interval.0 / SPREAD_PART).min(SPREAD_MAX.0);
    let grace = GRACE.0.min(interval.0 / SPREAD_PART);
    let slots = (spread.saturating_sub(grace) / SLOT.0).max(1);
    let slot = hash(customer.as_str()) % u64::from(slots);
    let slot = u32::try_from(slot).unwrap_or_default();
    Seconds(grace + slot * SLOT.0)
}

/// The newest moment at or before `now` at which a turn of this customer was due.
#[must_use]
pub fn newest_due(customer: &CustomerId, interval: Seconds, now: DomainTime) -> DomainTime {
    let delay = delay(customer, interval);
    now.minus(delay).floor_to(interval).plus(delay)
}

/// The first moment after `now` at which a turn of this customer is due.
#[must_use]
pub fn next_due(customer: &CustomerId, interval: Seconds, now: DomainTime) -> DomainTime {
    newest_due(customer, interval, now).plus(Seconds(interval.0.max(1)))
}

/// FNV-1a: stable over versions and machines, which the hash of the standard library is not.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn customer(number: u32) -> CustomerId {
        CustomerId::new(format!("customer-{number}")).expect("an id")
    }

    proptest! {
        #[test]
        fn a_turn_is_due_once_in_every_interval_and_soon_after_its_start(
            number in 0_u32..1_000,
            interval in 1_u32..100_000,
            now in 0_i64..2_000_000_000,
        ) {
            let (customer, interval, now) = (customer(number), Seconds(interval), DomainTime(now));
            let newest = newest_due(&customer, interval, now);
            let next = next_due(&customer, interval, now);
            prop_assert!(newest <= now && now < next);
            prop_assert_eq!(next.seconds_since(newest), i64::from(interval.0));
            let late = newest.seconds_since(newest.floor_to(interval));
            prop_assert!(late <= i64::from((interval.0 / 2).max(1)), "{late} s late");
        }
    }

    #[test]
    fn ten_thousand_turns_spread_evenly_over_their_slots() {
        let interval = Seconds(300);
        let mut slots = std::collections::BTreeMap::new();
        for number in 0..10_000 {
            *slots
                .entry(delay(&customer(number), interval))
                .or_insert(0_u32) += 1;
        }
        assert_eq!(slots.len(), 36, "(300 / 4 - 2) / 2 slots");
        let most = slots.values().max().copied().unwrap_or_default();
        assert!(most < 2 * 10_000 / 36, "{most} turns in one slot");
    }
}
