//! Is each register linearizable: is there one order of its operations that respects real time and explains
//! every answer?
//!
//! Keys are independent, so each is searched alone. The search can grow without bound, so it has an
//! [`Effort`]; past it the verdict is undecided, which is no pass.

mod search;
mod step;

use std::collections::BTreeSet;

use serde::Serialize;

use super::history::{Answer, History, Operated, Operation, Outcome};
use search::{Ended, Search};
use step::Held;

/// How many violations are described.
const DESCRIBED_MAX: usize = 10;

/// How many open operations of a violation are named.
const NAMED_MAX: usize = 20;

/// How far the search may go for one key.
pub struct Effort<'a> {
    /// Steps that are tried: one operation after one configuration.
    pub steps_max: u64,
    /// Whether the time is over; asked now and then.
    pub is_over: &'a dyn Fn() -> bool,
}

/// What the search found for all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RegisterVerdict {
    /// Keys that were searched.
    pub keys: u64,
    /// Operations on them.
    pub operations: u64,
    /// Operations of unknown outcome among them.
    pub unknown: u64,
    /// Keys that are linearizable.
    pub linearizable: u64,
    /// Keys whose search went past its limit.
    pub undecided: Vec<String>,
    /// Keys that are not linearizable.
    pub violated: u64,
    /// The first violations.
    pub violations: Vec<RegisterViolation>,
    /// The largest number of configurations between two events.
    pub widest: u64,
    /// Steps that were tried.
    pub steps: u64,
}

/// Why a register is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegisterViolation {
    /// Which.
    pub key: String,
    /// The operation whose answer nothing explains.
    pub operation: String,
    /// What the register could have held before its answer.
    pub states: Vec<String>,
    /// Operations that were open then.
    pub open: Vec<String>,
}

/// Searches all keys of a history; operations on samples are none of its business.
pub fn check_registers(history: &History, effort: &Effort<'_>) -> RegisterVerdict {
    let mut verdict = RegisterVerdict::default();
    for (key, operations) in history.by_key() {
        let mut operations: Vec<_> = operations.into_iter().filter(|one| counts(one)).collect();
        operations.sort_by_key(|one| one.invoked_us);
        if operations.is_empty() {
            continue;
        }
        verdict.keys += 1;
        verdict.operations += count(operations.len());
        let unknown = operations.iter().filter(|one| !is_answered(one));
        verdict.unknown += count(unknown.count());
        let mut search = Search::new(&operations, effort);
        match search.run() {
            Ended::Linearizable => verdict.linearizable += 1,
            Ended::Undecided => verdict.undecided.push(key.to_owned()),
            Ended::Violated(place) => {
                verdict.violated += 1;
                if verdict.violations.len() < DESCRIBED_MAX {
                    verdict
                        .violations
                        .push(violation(&search, &operations, place));
                }
            }
        }
        verdict.widest = verdict.widest.max(search.widest);
        verdict.steps += search.steps;
    }
    verdict
}

/// What can be of no consequence is left out: what failed, and what was only looked at without an answer.
fn counts(one: &Operated) -> bool {
    let is_idle = matches!(
        (&one.operation, &one.outcome),
        (Operation::Samples { .. }, _) | (_, Outcome::Fail) | (Operation::Read, Outcome::Unknown)
    );
    !is_idle
}

fn is_answered(one: &Operated) -> bool {
    matches!(one.outcome, Outcome::Ok { .. })
}

fn violation(search: &Search<'_>, operations: &[&Operated], place: usize) -> RegisterViolation {
    let told = |place: usize| operations.get(place).map(|one| describe(one));
    let states: BTreeSet<Held> = search.states().collect();
    let open = search.open().filter(|open| *open != place);
    let key = operations.get(place).map(|one| one.key.clone());
    RegisterViolation {
        key: key.unwrap_or_default(),
        operation: told(place).unwrap_or_default(),
        states: states
            .iter()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect(),
        open: open.take(NAMED_MAX).filter_map(told).collect(),
    }
}

fn describe(one: &Operated) -> String {
    let value =
        |value: &Option<u64>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
    let asked = match &one.operation {
        Operation::Read => "read".to_owned(),
        Operation::Write { value } => format!("write {value}"),
        Operation::CompareAndSet {
            expected,
            value: new,
        } => format!("set {new} if {}", value(expected)),
        Operation::Samples { .. } => "samples".to_owned(),
    };
    let answered = match &one.outcome {
        Outcome::Ok { at_us, answer } => {
            let answer = match answer {
                Answer::Read { value: found } => value(found),
                Answer::Done => "done".to_owned(),
                Answer::Conflict => "conflict".to_owned(),
                Answer::Found { value: found } => format!("conflict with {}", value(found)),
            };
            format!("{answer} at {at_us} us")
        }
        Outcome::Fail => "failed".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
    };
    format!(
        "line {}: process {}: {asked} at {} us -> {answered}",
        one.line, one.process, one.invoked_us
    )
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl RegisterVerdict {
    /// Whether every key is linearizable, each one decided.
    pub fn passed(&self) -> bool {
        self.violated == 0 && self.undecided.is_empty()
    }
}

impl std::fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effort")
            .field("steps_max", &self.steps_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
