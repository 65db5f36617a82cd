//! Step functions of domain time, and how much demand a supply leaves unserved.
//!
//! Units: counts are VMs; demand and capacity are micro-units of the demand's metric ([`FixedValue`]);
//! integrals are micro-units times seconds, exact in 128 bits.

use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, FixedValue};

/// A count over time: 0 before the first change, then each value until the next change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountSteps(Vec<(DomainTime, u32)>);

/// What a supply made of a demand over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Demand asked for, in micro-units times seconds.
    pub demanded: i128,
    /// Of it, not served, in micro-units times seconds.
    pub unserved: i128,
    /// Supply beyond the demand, in micro-units times seconds.
    pub spare: i128,
    /// Seconds looked at.
    pub seconds: i64,
    /// Of these, seconds with less supply than demand.
    pub short_seconds: i64,
}

/// VMs of one type, as a supply.
#[derive(Clone, Copy, Debug)]
pub struct Supply<'a> {
    /// Serving VMs over time.
    pub serving: &'a CountSteps,
    /// What one of them serves, in the demand's unit.
    pub capacity: FixedValue,
}

impl CountSteps {
    /// Sums spans: each counts one from its first time up to, but not at, its second.
    pub fn from_spans(spans: impl IntoIterator<Item = (DomainTime, DomainTime)>) -> Self {
        let mut changes: BTreeMap<DomainTime, i64> = BTreeMap::new();
        for (from, until) in spans.into_iter().filter(|(from, until)| from < until) {
            *changes.entry(from).or_default() += 1;
            *changes.entry(until).or_default() -= 1;
        }
        let mut count = 0_i64;
        let mut steps: Vec<(DomainTime, u32)> = Vec::with_capacity(changes.len());
        for (at, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
            count += change;
            steps.push((at, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        Self(steps)
    }

    /// Reads the changes: time and count from then on, ascending.
    pub fn changes(&self) -> &[(DomainTime, u32)] {
        &self.0
    }

    /// Reads the count at a time.
    pub fn at(&self, time: DomainTime) -> u32 {
        let after = self.0.partition_point(|(at, _)| *at <= time);
        after
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .map_or(0, |(_, count)| *count)
    }

    /// Integrates the count over a span, in VM-seconds.
    pub fn integral(&self, from: DomainTime, until: DomainTime) -> i128 {
        let mut sum = 0;
        let mut walk = Walk::new(self, from);
        let mut at = from;
        while at < until {
            let next = walk.next_change().map_or(until, |next| next.min(until));
            sum += i128::from(walk.count) * i128::from(next.seconds_since(at));
            at = next;
            walk.move_to(at);
        }
        sum
    }
}

impl Shortfall {
    /// Adds the parts.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            demanded: self.demanded + other.demanded,
            unserved: self.unserved + other.unserved,
            spare: self.spare + other.spare,
            seconds: self.seconds + other.seconds,
            short_seconds: self.short_seconds + other.short_seconds,
        }
    }
}

/// Compares demand with supply, one result per demand step.
///
/// `demand` holds ascending times; each value holds until the next one's time, the last until `until`.
/// Supplies of several VM types add up.
///
/// Cost: linear in demand steps and supply changes, times the number of supplies.
pub fn unserved_per_step(
    demand: &[(DomainTime, FixedValue)],
    until: DomainTime,
    supplies: &[Supply<'_>],
) -> Vec<Shortfall> {
    let Some((first, _)) = demand.first() else {
        return Vec::new();
    };
    let mut walks: Vec<_> = supplies
        .iter()
        .map(|supply| (Walk::new(supply.serving, *first), supply.capacity))
        .collect();
    let ends = demand.iter().skip(1).map(|(at, _)| *at).chain([until]);
    demand
        .iter()
        .zip(ends)
        .map(|((from, wanted), end)| unserved_of_step(*from, end, *wanted, &mut walks))
        .collect()
}

fn unserved_of_step(
    from: DomainTime,
    until: DomainTime,
    wanted: FixedValue,
    walks: &mut [(Walk<'_>, FixedValue)],
) -> Shortfall {
    let mut sum = Shortfall::default();
    let mut at = from;
    while at < until {
        let mut next = until;
        let mut supply = 0_i128;
        for (walk, capacity) in walks.iter_mut() {
            walk.move_to(at);
            supply += i128::from(walk.count) * i128::from(capacity.0);
            next = walk.next_change().map_or(next, |change| change.min(next));
        }
        let seconds = next.seconds_since(at);
        let short = i128::from(wanted.0) - supply;
        sum = sum.plus(Shortfall {
            demanded: i128::from(wanted.0) * i128::from(seconds),
            unserved: short.max(0) * i128::from(seconds),
            spare: (-short).max(0) * i128::from(seconds),
            seconds,
            short_seconds: if short > 0 { seconds } else { 0 },
        });
        at = next;
    }
    sum
}

/// A reader that moves forward through the changes.
#[derive(Debug)]
struct Walk<'a> {
    rest: &'a [(DomainTime, u32)],
    count: u32,
}

impl<'a> Walk<'a> {
    fn new(steps: &'a CountSteps, from: DomainTime) -> Self {
        let mut walk = Self {
            rest: &steps.0,
            count: 0,
        };
        walk.move_to(from);
        walk
    }

    fn move_to(&mut self, time: DomainTime) {
        while let Some(((at, count), rest)) = self.rest.split_first() {
            if *at > time {
                break;
            }
            self.count = *count;
            self.rest = rest;
        }
    }

    fn next_change(&self) -> Option<DomainTime> {
        self.rest.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(seconds: i64) -> DomainTime {
        DomainTime(seconds)
    }

    #[test]
    fn spans_add_up_and_empty_ones_do_not_count() {
        let steps = CountSteps::from_spans([
            (time(0), time(10)),
            (time(5), time(10)),
            (time(7), time(7)),
            (time(9), time(8)),
        ]);
        assert_eq!(steps.changes(), [(time(0), 1), (time(5), 2), (time(10), 0)]);
        assert_eq!(
            [-1, 0, 4, 5, 9, 10].map(|at| steps.at(time(at))),
            [0, 1, 1, 2, 2, 0]
        );
        assert_eq!(steps.integral(time(2), time(20)), 3 + 2 * 5);
    }

    #[test]
    fn unserved_demand_is_counted_to_the_second() {
        let small = CountSteps::from_spans([(time(0), time(100))]);
        let large = CountSteps::from_spans([(time(30), time(80))]);
        let demand = [(time(0), FixedValue(5)), (time(60), FixedValue(2))];
        let supplies = [
            Supply {
                serving: &small,
                capacity: FixedValue(2),
            },
            Supply {
                serving: &large,
                capacity: FixedValue(10),
            },
        ];
        let result = unserved_per_step(&demand, time(120), &supplies);
        let first = Shortfall {
            demanded: 300,
            unserved: 3 * 30,
            spare: 7 * 30,
            seconds: 60,
            short_seconds: 30,
        };
        let second = Shortfall {
            demanded: 120,
            unserved: 2 * 20,
            spare: 10 * 20,
            seconds: 60,
            short_seconds: 20,
        };
        assert_eq!(result, [first, second]);
    }

    proptest! {
        #[test]
        fn walking_agrees_with_looking_up_each_second(
            spans in prop::collection::vec((0_i64..60, 0_i64..60), 0..12),
            demand in prop::collection::vec(0_i64..8, 1..6),
        ) {
            let steps = CountSteps::from_spans(spans.iter().map(|(a, b)| (time(*a), time(*b))));
            let demand: Vec<_> = (0_i64..).zip(&demand)
                .map(|(step, wanted)| (time(step * 7), FixedValue(*wanted)))
                .collect();
            let until = 50;
            let supply = Supply { serving: &steps, capacity: FixedValue(1) };
            let result = unserved_per_step(&demand, time(until), &[supply])
                .into_iter().fold(Shortfall::default(), Shortfall::plus);
            let mut expected = Shortfall::default();
            for second in 0..until {
                let wanted = demand.iter().rev().find(|(at, _)| at.0 <= second).expect("starts at 0").1.0;
                let short = i128::from(wanted) - i128::from(steps.at(time(second)));
                expected = expected.plus(Shortfall {
                    demanded: wanted.into(),
                    unserved: short.max(0),
                    spare: (-short).max(0),
                    seconds: 1,
                    short_seconds: (short > 0).into(),
                });
            }
            prop_assert_eq!(result, expected);
            let counted: u32 = (0..until).map(|second| steps.at(time(second))).sum();
            prop_assert_eq!(steps.integral(time(0), time(until)), i128::from(counted));
        }
    }
}
