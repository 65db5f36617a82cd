//! How much of the time keys were answered, among those whose replicas had a connected majority.
//!
//! For each fault, from its blow to the next one, and each key: the time that lies in gaps between two answers
//! longer than clients need to ask again. A gap counts whole, so a figure errs on the dark side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::faults::FaultRecord;
use super::history::{History, Outcome};

/// How much of the time keys were answered after the faults of one kind; in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Availability {
    /// Time that was looked at, over all pairs of a fault and a key.
    pub watched: u64,
    /// Of it, time in gaps.
    pub dark: u64,
    /// Longest gap.
    pub longest: u64,
}

/// Measures by kind of fault; `counts` says which keys could be answered during a fault, `gap_us` what is no
/// gap yet.
pub fn availability(
    history: &History,
    faults: &[FaultRecord],
    gap_us: u64,
    counts: &dyn Fn(&FaultRecord, &str) -> bool,
) -> BTreeMap<&'static str, Availability> {
    let mut found: BTreeMap<&'static str, Availability> = BTreeMap::new();
    let mut answers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for one in history.operations() {
        let of_key = answers.entry(&one.key).or_default();
        if let Outcome::Ok { at_us, .. } = one.outcome {
            of_key.push(at_us);
        }
    }
    for times in answers.values_mut() {
        times.sort_unstable();
    }
    let last_us = answers.values().filter_map(|times| times.last()).max();
    for (place, fault) in faults.iter().enumerate() {
        let next_us = faults.get(place + 1).map(|next| next.begun_us);
        let until_us = next_us.or(last_us.copied()).unwrap_or(fault.begun_us);
        let total = found.entry(fault.fault.kind()).or_default();
        for (key, times) in &answers {
            if counts(fault, key) {
                total.add(times, (fault.begun_us, until_us), gap_us);
            }
        }
    }
    found
}

impl Availability {
    /// The share of the time outside of gaps; 1 where nothing was looked at.
    pub fn share(&self) -> f64 {
        if self.watched == 0 {
            return 1.0;
        }
        1.0 - self.dark as f64 / self.watched as f64
    }

    fn add(&mut self, times: &[u64], (from_us, until_us): (u64, u64), gap_us: u64) {
        self.watched += until_us.saturating_sub(from_us);
        let from = times.partition_point(|at| *at < from_us);
        let until = times.partition_point(|at| *at < until_us);
        let within = times.get(from..until).unwrap_or_default();
        let mut before = from_us;
        for at in within.iter().chain([&until_us]) {
            let gap = at.saturating_sub(before);
            if gap > gap_us {
                self.dark += gap;
                self.longest = self.longest.max(gap);
            }
            before = *at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::{Fault, FaultRecord};
    use super::super::history::{Answer, Event, EventKind, History, Operation};
    use super::availability;

    fn answered(key: &str, at_us: u64, process: u32) -> [Event; 2] {
        let invoke = EventKind::Invoke {
            key: key.to_owned(),
            node: None,
            op: Operation::Read,
        };
        let answer = Answer::Read { value: None };
        [(at_us - 1, invoke), (at_us, EventKind::Ok { answer })].map(|(at_us, what)| Event {
            at_us,
            process,
            what,
        })
    }

    #[test]
    fn gaps_count_whole_and_only_for_keys_that_could_be_answered() {
        let acme = [105, 110, 150, 155, 195].map(|at| answered("acme", at, 0));
        let lost = [101, 199].map(|at| answered("lost", at, 1));
        let events = acme.into_iter().chain(lost).flatten();
        let history = History::of_events(events).expect("a history");
        let fault = FaultRecord {
            number: 0,
            fault: Fault::Kill { node: 0 },
            begun_us: 100,
            ended_us: None,
        };
        let found = availability(&history, &[fault], 10, &|_, key| key == "acme");
        let kill = found["kill"];
        // 100..199 was looked at; 110..150 and 155..195 were gaps.
        assert_eq!((kill.watched, kill.dark, kill.longest), (99, 80, 40));
        assert!((kill.share() - 19.0 / 99.0).abs() < 1e-9);
    }
}
