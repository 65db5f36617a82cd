//! What one operation does to a register, and asks of it.

use std::fmt;

use super::super::history::{Answer, Operated, Operation, Outcome};

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Nothing,
    Value(u64),
    /// A value that nothing is compared with any more.
    Other,
}

pub(super) fn held(value: Option<u64>) -> Held {
    value.map_or(Held::Nothing, Held::Value)
}

fn answer(one: &Operated) -> Option<&Answer> {
    match &one.outcome {
        Outcome::Ok { answer, .. } => Some(answer),
        Outcome::Fail | Outcome::Unknown => None,
    }
}

/// The state after an operation that had the answer it had; nothing where the state does not explain it.
pub(super) fn step(one: &Operated, state: Held) -> Option<Held> {
    match (&one.operation, answer(one)) {
        (Operation::Read, Some(Answer::Read { value })) => (held(*value) == state).then_some(state),
        (Operation::Write { value }, _) => Some(Held::Value(*value)),
        (Operation::CompareAndSet { expected, value }, None | Some(Answer::Done)) => {
            (held(*expected) == state).then_some(Held::Value(*value))
        }
        (Operation::CompareAndSet { expected, .. }, Some(Answer::Conflict)) => {
            (held(*expected) != state).then_some(state)
        }
        (Operation::CompareAndSet { expected, .. }, Some(Answer::Found { value })) => {
            (held(*value) == state && held(*expected) != state).then_some(state)
        }
        _ => None,
    }
}

/// The values that the state is compared with.
pub(super) fn compares(one: &Operated) -> impl Iterator<Item = Held> {
    let expected = match &one.operation {
        Operation::CompareAndSet { expected, .. } => Some(held(*expected)),
        _ => None,
    };
    let found = match answer(one) {
        Some(Answer::Read { value } | Answer::Found { value }) => Some(held(*value)),
        _ => None,
    };
    expected.into_iter().chain(found)
}

/// The value that the register may hold by it.
pub(super) fn writes(one: &Operated) -> Option<Held> {
    match &one.operation {
        _ if looks_only(one) => None,
        Operation::Write { value } | Operation::CompareAndSet { value, .. } => {
            Some(Held::Value(*value))
        }
        Operation::Read | Operation::Samples { .. } => None,
    }
}

/// Whether an operation leaves every state as it is.
pub(super) fn looks_only(one: &Operated) -> bool {
    answer(one).is_some_and(|answer| *answer != Answer::Done)
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Value(value) => value.fmt(f),
            Self::Other => f.write_str("a value that nobody asks for"),
        }
    }
}
