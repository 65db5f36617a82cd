//! Many customers made of few, and the sample that each of their series sends in each round: pure.

use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::Stack;
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, ParseIdError, SeriesKey};
use twinscale_twin::demand::plan_seed;

/// A customer of a trace, to be cloned.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the trace.
    pub customer: CustomerId,
    /// Its values by series, in the order of their times.
    pub series: Vec<(SeriesKey, Vec<FixedValue>)>,
    /// Its policy.
    pub policy: Policy,
    /// Its stack.
    pub stack: Stack,
}

/// A clone.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub customer: CustomerId,
    /// The source that it is a clone of, by number.
    pub source: usize,
    /// By how much its values are larger than the source's, in thousandths.
    scale_permille: i64,
    /// How many values of the source it has skipped.
    shift: usize,
}

/// All customers with their schedule.
#[derive(Clone, Debug)]
pub struct Fleet {
    sources: Vec<Source>,
    members: Vec<Member>,
    /// Member and series of the source, in the order of sending.
    series: Vec<(usize, usize)>,
    schedule: Schedule,
}

/// How fast samples are due, and at which times they were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Samples a second.
    pub rate: u32,
    /// Samples in all.
    pub total: u64,
    /// Time of the first round's samples.
    pub first_at: DomainTime,
    /// Seconds between two samples of one series.
    pub spacing: u32,
}

/// One sample of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadSample<'a> {
    /// Whose.
    pub customer: &'a CustomerId,
    /// The series.
    pub series: &'a SeriesKey,
    /// When it was measured.
    pub at: DomainTime,
    /// Its value.
    pub value: FixedValue,
}

/// What a load asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadShape {
    /// Customers.
    pub customers: u32,
    /// Samples a second.
    pub rate: u32,
    /// Seconds that it lasts.
    pub duration_s: u32,
    /// Root of the clones' differences.
    pub seed: u64,
    /// The moment of the start.
    pub now: DomainTime,
}

impl Fleet {
    /// Clones sources into a fleet. Where a series would send more than one sample a second, the first
    /// times lie in the past, so that no two samples share a time and none lies in the future.
    ///
    /// # Errors
    /// When a clone's name is too long.
    pub fn new(sources: Vec<Source>, shape: LoadShape) -> Result<Self, ParseIdError> {
        let mut members = Vec::new();
        let mut series = Vec::new();
        for number in 0..shape.customers {
            let index = usize::try_from(number).unwrap_or(0) % sources.len().max(1);
            let Some(source) = sources.get(index) else {
                break;
            };
            let customer = CustomerId::new(format!("{}-{number:05}", source.customer))?;
            let random = plan_seed(
                shape.seed,
                &customer,
                twinscale_protocol::PlanNumber(u64::from(number)),
            );
            let length = source.series.iter().map(|(_, values)| values.len()).min();
            let member = members.len();
            members.push(Member {
                customer,
                source: index,
                scale_permille: 500 + i64::try_from(random % 1_501).unwrap_or(0),
                shift: usize::try_from(random >> 32).unwrap_or(0) % length.unwrap_or(1).max(1),
            });
            series.extend((0..source.series.len()).map(|one| (member, one)));
        }
        let schedule = schedule(shape, series.len() as u64);
        Ok(Self {
            sources,
            members,
            series,
            schedule,
        })
    }

    /// How fast and when.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// The customers.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The source of a member.
    pub fn source(&self, member: &Member) -> Option<&Source> {
        self.sources.get(member.source)
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// The sample with a number of the schedule, from 0; all series send once before one sends again.
    pub fn sample(&self, number: u64) -> Option<LoadSample<'_>> {
        let count = self.series.len() as u64;
        let place = usize::try_from(number.checked_rem(count)?).ok()?;
        let round = number.checked_div(count)?;
        let (member, series) = *self.series.get(place)?;
        let member = self.members.get(member)?;
        let (key, values) = self.sources.get(member.source)?.series.get(series)?;
        let index = member.shift.saturating_add(usize::try_from(round).ok()?);
        let value = values.get(index.checked_rem(values.len())?)?;
        let scaled = i128::from(value.0) * i128::from(member.scale_permille) / 1_000;
        // What a float holds exactly, so that it reads back as the same.
        let most = 1_000_000_000 * i128::from(MICROS);
        let value = FixedValue(i64::try_from(scaled.clamp(0, most)).unwrap_or(0));
        let passed = i64::try_from(round)
            .ok()?
            .saturating_mul(i64::from(self.schedule.spacing));
        Some(LoadSample {
            customer: &member.customer,
            series: key,
            at: DomainTime(self.schedule.first_at.0.saturating_add(passed)),
            value,
        })
    }
}

fn schedule(shape: LoadShape, series: u64) -> Schedule {
    let rate = shape.rate.max(1);
    let total = u64::from(rate).saturating_mul(u64::from(shape.duration_s));
    let spacing = u32::try_from(series.div_ceil(u64::from(rate)))
        .unwrap_or(u32::MAX)
        .max(1);
    let rounds = i64::try_from(total.div_ceil(series.max(1))).unwrap_or(i64::MAX);
    let ahead = rounds
        .saturating_mul(i64::from(spacing))
        .saturating_sub(i64::from(shape.duration_s))
        .max(0);
    Schedule {
        rate,
        total,
        first_at: DomainTime(shape.now.0.saturating_sub(ahead)),
        spacing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use twinscale_cluster_config::PolicyFile;
    use twinscale_protocol::{MetricName, VmTypeId};

    fn source(name: &str, series: usize) -> Source {
        let customer = CustomerId::new(name).expect("an id");
        let key = |number: usize| SeriesKey {
            vm_type: VmTypeId::new(format!("web-{number}")).expect("an id"),
            metric: MetricName::new("requests").expect("an id"),
        };
        Source {
            policy: PolicyFile::default().policy_of(&customer).clone(),
            stack: Stack {
                tiers: Vec::new(),
                volumes: Vec::new(),
                link: None,
            },
            series: (0..series)
                .map(|number| {
                    (
                        key(number),
                        (1..50).map(|value| FixedValue(value * MICROS)).collect(),
                    )
                })
                .collect(),
            customer,
        }
    }

    proptest! {
        #[test]
        fn no_two_samples_share_a_key_and_none_lies_in_the_future_when_it_is_due(
            customers in 1_u32..20,
            rate in 1_u32..500,
            duration_s in 1_u32..30,
            seed in any::<u64>(),
        ) {
            let now = DomainTime(1_800_000_000);
            let shape = LoadShape { customers, rate, duration_s, seed, now };
            let fleet = Fleet::new(vec![source("a", 1), source("b", 3)], shape).expect("names fit");
            let mut keys = BTreeSet::new();
            for number in 0..fleet.schedule().total {
                let sample = fleet.sample(number).expect("it is part of the schedule");
                let due = now.0 + i64::try_from(number / u64::from(rate)).expect("small");
                prop_assert!(sample.at.0 <= due + 1, "{} at {due}", sample.at);
                let key = (sample.customer.clone(), sample.series.clone(), sample.at);
                prop_assert!(keys.insert(key), "sample {number} repeats a key");
            }
        }
    }

    #[test]
    fn clones_differ_and_a_seed_repeats_them() {
        let shape = LoadShape {
            customers: 4,
            rate: 10,
            duration_s: 10,
            seed: 7,
            now: DomainTime(0),
        };
        let make = || Fleet::new(vec![source("a", 1)], shape).expect("names fit");
        let (one, again) = (make(), make());
        let values = |fleet: &Fleet| -> Vec<i64> {
            (0..4)
                .filter_map(|number| Some(fleet.sample(number)?.value.0))
                .collect()
        };
        assert_eq!(values(&one), values(&again));
        let distinct: BTreeSet<i64> = values(&one).into_iter().collect();
        assert_eq!(distinct.len(), 4);
    }
}
