//! Volumes and links: what any contender pays for them beside its VMs.
//!
//! No rival scales storage or bandwidth by itself, so they are given what a careful operator does. A volume
//! grows, and never shrinks, to what the newest complete sample needs and one block more. A link has the
//! size that the largest demand before the window needed. Perfect foresight holds at each step what is
//! needed in it, and nothing more; a volume still never shrinks.

use std::ops::Range;
use twinscale_protocol::stack::{Link, Volume};
use twinscale_protocol::{FixedValue, Gib, MicroDollars, Seconds};

const SECONDS_PER_HOUR: i128 = 3_600;

/// Demand of a volume or link: per step before and within the window, missing ones `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraDemand {
    /// Before the window, oldest first.
    pub history: Vec<Option<FixedValue>>,
    /// Within the window.
    pub window: Vec<Option<FixedValue>>,
}

/// What a volume or link costs over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtraCost {
    /// Any rival.
    pub rival: MicroDollars,
    /// Perfect foresight.
    pub foresight: MicroDollars,
}

impl ExtraDemand {
    fn peak_before(&self) -> Option<FixedValue> {
        self.history.iter().flatten().max().copied()
    }

    /// The last known demand before each step of the window, and the step's own.
    fn steps(&self) -> impl Iterator<Item = (FixedValue, FixedValue)> {
        let before = self.history.iter().rev().find_map(|value| *value);
        let mut last = before.unwrap_or_default();
        self.window.iter().map(move |value| {
            let known = last;
            last = value.unwrap_or(last);
            (known, last)
        })
    }
}

/// Prices a volume over a window.
pub fn volume_cost(volume: &Volume, demand: &ExtraDemand, interval: Seconds) -> ExtraCost {
    let most = volume.blocks_max;
    let blocks =
        |gib: FixedValue, spare: u32| needed(gib, volume.block).saturating_add(spare).min(most);
    let first = demand
        .steps()
        .next()
        .map_or(FixedValue(0), |(known, _)| known);
    let mut rival = blocks(first, 1).max(volume.blocks_initial);
    let mut exact = needed(first, volume.block).min(most);
    let (mut rival_steps, mut exact_steps) = (0_i128, 0_i128);
    for (known, own) in demand.steps() {
        rival = rival.max(blocks(known, 1));
        exact = exact.max(blocks(own, 0));
        rival_steps += i128::from(rival);
        exact_steps += i128::from(exact);
    }
    let price = volume.price_block_hour;
    ExtraCost {
        rival: priced(rival_steps, price, interval),
        foresight: priced(exact_steps, price, interval),
    }
}

/// Prices a link over a window; `mbps` turns its metric into megabits a second.
pub fn link_cost(
    link: &Link,
    demand: &ExtraDemand,
    interval: Seconds,
    mbps: impl Fn(FixedValue) -> FixedValue,
) -> ExtraCost {
    let price = |value: FixedValue| {
        let wanted = mbps(value).ceil_units();
        let fits = link.options.iter().find(|one| one.bandwidth.0 >= wanted);
        fits.or(link.options.last())
            .map_or(MicroDollars(0), |one| one.price_per_hour)
    };
    let window = demand.window.iter().flatten().max();
    let peak = demand.peak_before().or(window.copied());
    let fixed = price(peak.unwrap_or_default());
    let steps: Range<usize> = 0..demand.window.len();
    let exact = demand
        .steps()
        .map(|(_, own)| i128::from(price(own).0))
        .sum::<i128>();
    ExtraCost {
        rival: priced(steps.len() as i128, fixed, interval),
        foresight: priced(exact, MicroDollars(1), interval),
    }
}

fn needed(gib: FixedValue, block: Gib) -> u32 {
    let blocks = gib.ceil_units().div_ceil(block.0.max(1));
    u32::try_from(blocks).unwrap_or(u32::MAX)
}

fn priced(steps: i128, price_per_hour: MicroDollars, interval: Seconds) -> MicroDollars {
    let cost = steps
        .saturating_mul(i128::from(price_per_hour.0))
        .saturating_mul(i128::from(interval.0));
    MicroDollars(
        i64::try_from((cost + SECONDS_PER_HOUR / 2) / SECONDS_PER_HOUR).unwrap_or(i64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::stack::LinkOption;
    use twinscale_protocol::{Mbps, MetricName, SeriesKey, TierName, VmTypeId};

    fn series() -> SeriesKey {
        SeriesKey {
            vm_type: VmTypeId::new("a").expect("a type"),
            metric: MetricName::new("storage_gib").expect("a metric"),
        }
    }

    fn demand(history: i64, window: &[i64]) -> ExtraDemand {
        let value = |units: &i64| Some(FixedValue(units * 1_000_000));
        ExtraDemand {
            history: vec![value(&history)],
            window: window.iter().map(value).collect(),
        }
    }

    #[test]
    fn a_volume_grows_with_the_newest_sample_and_never_shrinks() {
        let volume = Volume {
            name: TierName::new("disk").expect("a name"),
            demand: series(),
            block: Gib(10),
            price_block_hour: MicroDollars(1_000),
            cooldown: Seconds(0),
            blocks_max: 100,
            blocks_initial: 0,
        };
        // Rivals: 2 + 1 blocks, 3 + 1 once 25 GiB were seen, and so on; foresight what is needed.
        let cost = volume_cost(&volume, &demand(15, &[15, 25, 5, 5]), Seconds(3_600));
        assert_eq!(cost.rival, MicroDollars((3 + 3 + 4 + 4) * 1_000));
        assert_eq!(cost.foresight, MicroDollars((2 + 3 + 3 + 3) * 1_000));
    }

    #[test]
    fn a_link_has_the_size_of_the_past_peak() {
        let option = |bandwidth, price| LinkOption {
            bandwidth: Mbps(bandwidth),
            price_per_hour: MicroDollars(price),
        };
        let link = Link {
            demand: series(),
            options: vec![option(100, 10), option(1_000, 50)],
            hold: Seconds(0),
            option_initial: 0,
        };
        let cost = link_cost(
            &link,
            &demand(400, &[50, 101, 50]),
            Seconds(3_600),
            |value| value,
        );
        assert_eq!(cost.rival, MicroDollars(150));
        assert_eq!(cost.foresight, MicroDollars(70));
    }
}
