//! When a twin is due: pure, from the clock, the length of its steps and its name.
//!
//! A twin's turn follows the end of each interval by a delay that depends on its name alone, so that the
//! turns of many twins spread over a part of the interval and are the same after a restart. Delays are
//! whole multiples of [`SLOT`], so that twins of one slot share a run of the forecaster. Turns that were
//! missed are not made up one by one: only the newest is due.

use twinscale_protocol::{CustomerId, DomainTime, Seconds};
use twinscale_twin::TwinOutline;

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

/// When a twin must be looked at next, by what is committed; at or before `now` = it is due. `None` = it is
/// not configured.
///
/// A new driver has it look once more at a wake-up that lies behind: whether the driver before it did is not
/// committed, and doing it twice changes nothing.
#[must_use]
pub fn due(customer: &CustomerId, outline: &TwinOutline, now: DomainTime) -> Option<DomainTime> {
    let interval = outline.interval?;
    let newest = newest_due(customer, interval, now);
    let was_forecast = outline
        .issued_at
        .is_some_and(|at| at >= newest.floor_to(interval) && at <= now);
    let turn = if was_forecast {
        next_due(customer, interval, now)
    } else {
        newest
    };
    let wake_up = outline.wake_up.filter(|at| is_of_now(*at, interval, now));
    let open = (outline.open_intents > 0).then_some(now);
    [Some(turn), wake_up, open].into_iter().flatten().min()
}

/// At which moment of its domain time a twin begins that was due: there, so that it does what it was due for;
/// but now where that is longer ago than a step, since it concerns a step that is over.
#[must_use]
pub fn begin_at(due: Option<DomainTime>, interval: Option<Seconds>, now: DomainTime) -> DomainTime {
    match (due, interval) {
        (Some(due), Some(interval)) if is_of_now(due, interval, now) => due.min(now),
        _ => now,
    }
}

/// Whether a moment lies ahead, or behind by less than a step.
fn is_of_now(at: DomainTime, interval: Seconds, now: DomainTime) -> bool {
    now.seconds_since(at) < i64::from(interval.0)
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

    fn outline(issued_at: Option<i64>, wake_up: Option<i64>) -> TwinOutline {
        TwinOutline {
            config_version: 1,
            interval: Some(Seconds(300)),
            issued_at: issued_at.map(DomainTime),
            wake_up: wake_up.map(DomainTime),
            ..TwinOutline::default()
        }
    }

    #[test]
    fn who_takes_a_twin_over_knows_by_what_is_committed_when_it_is_due() {
        let acme = customer(1);
        let now = DomainTime(300_000 + 200);
        let next = next_due(&acme, Seconds(300), now);
        let due = |outline: &TwinOutline| due(&acme, outline, now);
        assert_eq!(due(&TwinOutline::default()), None, "not configured");
        let newest = newest_due(&acme, Seconds(300), now);
        assert_eq!(
            due(&outline(None, None)),
            Some(newest),
            "it never had a turn"
        );
        assert_eq!(
            due(&outline(Some(299_700), None)),
            Some(newest),
            "the turn was missed"
        );
        assert_eq!(
            due(&outline(Some(300_000), None)),
            Some(next),
            "the turn was taken"
        );
        let ahead = outline(Some(300_000), Some(300_210));
        assert_eq!(
            due(&ahead),
            Some(DomainTime(300_210)),
            "a wake-up before it"
        );
        let behind = outline(Some(300_000), Some(300_190));
        assert_eq!(
            due(&behind),
            Some(DomainTime(300_190)),
            "one that may be missed"
        );
        let old = outline(Some(300_000), Some(299_900));
        assert_eq!(due(&old), Some(next), "one of a step that is over");
        let open = TwinOutline {
            open_intents: 1,
            ..outline(Some(300_000), None)
        };
        assert_eq!(due(&open), Some(now), "calls whose outcome is open");
    }

    #[test]
    fn a_twin_begins_at_what_it_was_due_for_unless_that_is_over() {
        let now = DomainTime(1_000);
        let begin = |due: Option<i64>| begin_at(due.map(DomainTime), Some(Seconds(300)), now);
        assert_eq!(begin(Some(990)), DomainTime(990));
        assert_eq!(begin(Some(1_100)), now, "it was wanted earlier");
        assert_eq!(begin(Some(600)), now, "a step ago and more");
        assert_eq!(begin(None), now);
        assert_eq!(begin_at(Some(DomainTime(990)), None, now), now);
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
