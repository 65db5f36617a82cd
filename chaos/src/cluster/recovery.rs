//! How soon after a fault the cluster answers again, and how much it answered meanwhile.
//!
//! For each fault and each key: the time from the blow to the first `ok` of an operation that was asked for
//! after it. Where none comes before the next blow, the key counts as unanswered for that fault. What
//! clients do not ask for is not measured: a key's time is as fine as its clients are busy.

use std::collections::BTreeMap;

use serde::Serialize;

use super::faults::FaultRecord;
use super::history::{History, Outcome};

/// How soon keys were answered after the faults of one kind; microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Faults of the kind.
    pub faults: u64,
    /// Pairs of a fault and a key that was answered after it.
    pub answered: u64,
    /// Pairs of a fault and a key that clients asked for in vain until the next fault.
    pub unanswered: u64,
    /// Half of the answered pairs took at most this long.
    pub p50_us: u64,
    /// 99 of 100 took at most this long.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// Measures, by kind of fault; `counts` says which keys are asked about for a fault.
pub fn recoveries(
    history: &History,
    faults: &[FaultRecord],
    counts: &dyn Fn(&FaultRecord, &str) -> bool,
) -> BTreeMap<&'static str, Recovery> {
    let mut times: BTreeMap<&'static str, (Recovery, Vec<u64>)> = BTreeMap::new();
    let keys = history.by_key();
    for (place, fault) in faults.iter().enumerate() {
        let until_us = faults.get(place + 1).map_or(u64::MAX, |next| next.begun_us);
        let (recovery, took) = times.entry(fault.fault.kind()).or_default();
        recovery.faults += 1;
        for (key, operations) in &keys {
            if !counts(fault, key) {
                continue;
            }
            let within = fault.begun_us..until_us;
            let mut asked = operations
                .iter()
                .filter(|one| within.contains(&one.invoked_us))
                .peekable();
            if asked.peek().is_none() {
                continue;
            }
            let answered = asked.filter_map(|one| match one.outcome {
                Outcome::Ok { at_us, .. } => Some(at_us),
                Outcome::Fail | Outcome::Unknown => None,
            });
            match answered.min() {
                Some(at_us) => took.push(at_us.saturating_sub(fault.begun_us)),
                None => recovery.unanswered += 1,
            }
        }
    }
    let concluded = times.into_iter().map(|(kind, (mut recovery, mut took))| {
        took.sort_unstable();
        recovery.answered = u64::try_from(took.len()).unwrap_or(u64::MAX);
        recovery.p50_us = rank(&took, 50);
        recovery.p99_us = rank(&took, 99);
        recovery.max_us = rank(&took, 100);
        (kind, recovery)
    });
    concluded.collect()
}

/// The smallest value that so many of a hundred do not exceed; 0 for none.
fn rank(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::faults::{Fault, FaultRecord};
    use super::super::history::{Answer, Event, EventKind, History, Operation};
    use super::{Recovery, rank, recoveries};

    fn fault(number: u64, begun_us: u64, fault: Fault) -> FaultRecord {
        FaultRecord {
            number,
            fault,
            begun_us,
            ended_us: None,
        }
    }

    /// A read of a key, answered or refused.
    fn read(
        process: u32,
        key: &str,
        (invoked_us, ended_us): (u64, u64),
        is_ok: bool,
    ) -> [Event; 2] {
        let invoke = EventKind::Invoke {
            key: key.to_owned(),
            node: None,
            op: Operation::Read,
        };
        let ended = if is_ok {
            EventKind::Ok {
                answer: Answer::Read { value: None },
            }
        } else {
            EventKind::Fail {
                reason: "no leader".to_owned(),
            }
        };
        [(invoked_us, invoke), (ended_us, ended)].map(|(at_us, what)| Event {
            at_us,
            process,
            what,
        })
    }

    #[test]
    fn the_first_answer_after_the_blow_counts_and_only_what_was_asked_after_it() {
        let events = [
            // On its way already: it may have been answered before the blow fell.
            read(0, "acme", (90, 110), true),
            read(0, "acme", (120, 130), false),
            read(0, "acme", (140, 150), true),
            read(0, "acme", (160, 170), true),
            read(1, "globex", (105, 106), true),
            // In vain until the next blow.
            read(2, "initech", (120, 190), false),
            read(2, "initech", (210, 215), true),
        ];
        let history = History::of_events(events.into_iter().flatten()).expect("a history");
        let faults = [
            fault(0, 100, Fault::Kill { node: 0 }),
            fault(1, 200, Fault::Pause { node: 0 }),
        ];
        let found = recoveries(&history, &faults, &|_, _| true);
        assert_eq!(
            found["kill"],
            Recovery {
                faults: 1,
                answered: 2,
                unanswered: 1,
                p50_us: 6,
                p99_us: 50,
                max_us: 50,
            }
        );
        assert_eq!((found["pause"].answered, found["pause"].max_us), (1, 15));
        let of_globex = recoveries(&history, &faults, &|_, key| key == "globex");
        assert_eq!(
            (of_globex["kill"].answered, of_globex["kill"].max_us),
            (1, 6)
        );
        assert_eq!(of_globex["pause"].answered, 0);
    }

    #[test]
    fn ranks_are_of_values_that_were_seen() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            [50, 99, 100].map(|percent| rank(&hundred, percent)),
            [50, 99, 100]
        );
        assert_eq!(rank(&[7], 50), 7);
        assert_eq!(rank(&[], 50), 0);
    }
}
