//! How long starts take, learned per VM type over all customers of a provider.
//!
//! Integers and bounded memory. What an observation at domain time t sees was recorded strictly before t:
//! customers that observe at the same moment do not see each other, so the order in which they come does
//! not matter and a replay gives the same numbers on any number of threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use twinscale_protocol::provisioner::StartUpTime;
use twinscale_protocol::{CustomerId, DomainTime, PartsPerMillion, Seconds, VmId, VmTypeId};

/// Starts per type that count: enough for a steady 95th percentile (25 starts lie above it), few enough
/// that a provider that has become slower shows.
const STARTS_PER_TYPE: usize = 512;

/// Starts of one moment that wait to be counted; past it the last customers' wait in vain.
const PENDING_MAX: usize = 65_536;

/// VM types known at once: bounds the memory whatever callers name.
const TYPES_MAX: usize = 4_096;

/// How a start went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It served after this time.
    Served(Seconds),
    /// It failed.
    Failed,
}

/// Learns start-up times.
#[derive(Clone, Debug, Default)]
pub struct StartUpLearner {
    types: BTreeMap<VmTypeId, TypeStarts>,
    /// Not counted yet, by the moment of the observation.
    pending: BTreeMap<(DomainTime, CustomerId, VmId), (VmTypeId, StartOutcome)>,
}

#[derive(Clone, Debug, Default)]
struct TypeStarts {
    /// The latest, oldest first.
    latest: VecDeque<StartOutcome>,
    /// Starts that served, ever.
    served: u32,
}

impl StartUpLearner {
    /// Takes note of a start; the caller sees to it that each VM's comes once.
    pub fn record(
        &mut self,
        observed_at: DomainTime,
        customer: &CustomerId,
        vm: VmId,
        (vm_type, outcome): (&VmTypeId, StartOutcome),
    ) {
        let key = (observed_at, customer.clone(), vm);
        self.pending.insert(key, (vm_type.clone(), outcome));
        if self.pending.len() > PENDING_MAX {
            self.pending.pop_last();
        }
    }

    /// Reports some types' start-up times, as recorded before `now`; types without a start are left out.
    ///
    /// The percentile is by nearest rank over the latest 512 starts; it is 0 while none has served.
    pub fn report(&mut self, now: DomainTime, vm_types: &BTreeSet<VmTypeId>) -> Vec<StartUpTime> {
        self.count_before(now);
        let known = vm_types
            .iter()
            .filter_map(|vm_type| self.types.get_key_value(vm_type));
        known
            .map(|(vm_type, starts)| StartUpTime {
                vm_type: vm_type.clone(),
                count: starts.served,
                p95: starts.p95(),
                failed: starts.failed(),
            })
            .collect()
    }

    fn count_before(&mut self, now: DomainTime) {
        while let Some(first) = self.pending.first_entry() {
            if first.key().0 >= now {
                break;
            }
            let (vm_type, outcome) = first.remove();
            if self.types.len() >= TYPES_MAX && !self.types.contains_key(&vm_type) {
                continue;
            }
            self.types.entry(vm_type).or_default().count(outcome);
        }
    }
}

impl TypeStarts {
    fn count(&mut self, outcome: StartOutcome) {
        if matches!(outcome, StartOutcome::Served(_)) {
            self.served = self.served.saturating_add(1);
        }
        self.latest.push_back(outcome);
        if self.latest.len() > STARTS_PER_TYPE {
            self.latest.pop_front();
        }
    }

    fn p95(&self) -> Seconds {
        let mut times: Vec<_> = self
            .latest
            .iter()
            .filter_map(|outcome| match outcome {
                StartOutcome::Served(time) => Some(*time),
                StartOutcome::Failed => None,
            })
            .collect();
        times.sort_unstable();
        let rank = (times.len() * 95).div_ceil(100);
        let place = rank.checked_sub(1);
        place
            .and_then(|place| times.get(place))
            .copied()
            .unwrap_or_default()
    }

    fn failed(&self) -> PartsPerMillion {
        let failed = self
            .latest
            .iter()
            .filter(|outcome| **outcome == StartOutcome::Failed)
            .count();
        // At most 512 of 512, so the product stays small.
        let share = (failed * 1_000_000).checked_div(self.latest.len());
        PartsPerMillion(share.and_then(|ppm| u32::try_from(ppm).ok()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vm_type(name: &str) -> VmTypeId {
        VmTypeId::new(name).expect("a type")
    }

    fn customer(name: &str) -> CustomerId {
        CustomerId::new(name).expect("an id")
    }

    fn report(learner: &mut StartUpLearner, now: i64) -> Vec<StartUpTime> {
        learner.report(
            DomainTime(now),
            &BTreeSet::from([vm_type("a"), vm_type("b")]),
        )
    }

    #[test]
    fn percentile_and_failures_are_exact() {
        let mut learner = StartUpLearner::default();
        for time in 1..=100_u32 {
            let start = (&vm_type("a"), StartOutcome::Served(Seconds(time)));
            learner.record(DomainTime(5), &customer("acme"), VmId(time.into()), start);
        }
        let failure = (&vm_type("b"), StartOutcome::Failed);
        learner.record(DomainTime(5), &customer("acme"), VmId(999), failure);
        assert_eq!(report(&mut learner, 5), [], "of this very moment");
        let expect =
            [("a", 100, 95, 0), ("b", 0, 0, 1_000_000)].map(|(name, count, p95, failed)| {
                StartUpTime {
                    vm_type: vm_type(name),
                    count,
                    p95: Seconds(p95),
                    failed: PartsPerMillion(failed),
                }
            });
        assert_eq!(report(&mut learner, 6), expect);
    }

    #[test]
    fn old_starts_are_forgotten() {
        let mut learner = StartUpLearner::default();
        for (vm, time) in (0..2_000_u64).zip((0..1_000).map(|_| 900).chain((0..1_000).map(|_| 60)))
        {
            let start = (&vm_type("a"), StartOutcome::Served(Seconds(time)));
            let at = DomainTime(i64::try_from(vm).expect("small"));
            learner.record(at, &customer("acme"), VmId(vm), start);
        }
        let found = report(&mut learner, 5_000);
        assert_eq!((found[0].p95, found[0].count), (Seconds(60), 2_000));
    }

    proptest! {
        /// Customers of one moment may come in any order, and each report in between is the same too.
        #[test]
        fn order_within_a_moment_does_not_matter(
            starts in prop::collection::vec((0_i64..5, 0_u8..3, 1_u32..600), 1..40),
            swap in any::<u64>(),
        ) {
            let run = |reversed: bool| {
                let mut learner = StartUpLearner::default();
                let mut reports = Vec::new();
                for at in 0..6 {
                    let mut now: Vec<_> = (0_u64..).zip(&starts).filter(|(_, start)| start.0 == at).collect();
                    if reversed {
                        now.reverse();
                        let middle = usize::try_from(swap % 7).expect("small").min(now.len());
                        now.rotate_left(middle);
                    }
                    for (vm, (_, who, time)) in now {
                        let start = (&vm_type("a"), StartOutcome::Served(Seconds(*time)));
                        learner.record(DomainTime(at), &customer(&format!("c{who}")), VmId(vm), start);
                        reports.push(report(&mut learner, at));
                    }
                }
                reports.push(report(&mut learner, 9));
                reports
            };
            prop_assert_eq!(run(false), run(true));
        }
    }
}
