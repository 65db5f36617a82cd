//! Is a history of operations on one register linearizable?
//!
//! The register counts its versions and tells each operation the version it left, which puts all operations
//! that answered into one order. The history is linearizable if that order agrees with real time and each
//! answer is what a register would give in that order. An operation without an answer may have taken effect
//! at any time after it began, once, or never.

use std::collections::{BTreeMap, BTreeSet};

use crate::register::OperationId;

/// What an operation was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It wrote this version.
    Wrote(u64),
    /// It saw this version, written by this operation, and wrote nothing.
    Saw(u64, Option<OperationId>),
    /// It will never take effect.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One operation; moments come from one counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// The version that a compare-and-set expected.
    pub(crate) expected: Option<u64>,
    pub(crate) outcome: Outcome,
}

/// Checks a history against who wrote each version in the end.
pub(crate) fn check(operations: &[Operation], writers: &[OperationId]) -> Result<(), String> {
    let by_id: BTreeMap<OperationId, &Operation> = operations
        .iter()
        .map(|operation| (operation.id, operation))
        .collect();
    check_writers(&by_id, writers)?;
    for operation in operations {
        check_answer(operation, writers)?;
    }
    check_real_time(operations, &by_id, writers)
}

/// Each version was written by an operation that may have written it, and by no other version's.
fn check_writers(
    by_id: &BTreeMap<OperationId, &Operation>,
    writers: &[OperationId],
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (version, id) in (1_u64..).zip(writers) {
        if !seen.insert(*id) {
            return Err(format!(
                "operation {id} took effect twice, at last as version {version}"
            ));
        }
        let operation = by_id
            .get(id)
            .ok_or_else(|| format!("version {version} was written by {id}, which nobody sent"))?;
        let may_have = match operation.outcome {
            Outcome::Wrote(told) => told == version,
            Outcome::Unknown => true,
            Outcome::Saw(..) | Outcome::Refused => false,
        };
        if !may_have {
            return Err(format!("version {version} was written by {operation:?}"));
        }
        if operation
            .expected
            .is_some_and(|expected| expected + 1 != version)
        {
            return Err(format!("{operation:?} wrote version {version}"));
        }
    }
    Ok(())
}

/// What was answered is what the register had.
fn check_answer(operation: &Operation, writers: &[OperationId]) -> Result<(), String> {
    let writer_of = |version: u64| {
        let before = usize::try_from(version).ok()?.checked_sub(1)?;
        writers.get(before).copied()
    };
    match operation.outcome {
        Outcome::Wrote(version) if writer_of(version) != Some(operation.id) => {
            Err(format!("acknowledged {operation:?} is lost"))
        }
        Outcome::Saw(version, writer) if writer_of(version) != writer => Err(format!(
            "{operation:?}, but version {version} is by {:?}",
            writer_of(version)
        )),
        Outcome::Saw(version, _) if operation.expected == Some(version) => Err(format!(
            "{operation:?} wrote nothing though it saw what it expected"
        )),
        _ => Ok(()),
    }
}

/// No operation stands before one that ended before it began.
fn check_real_time(
    operations: &[Operation],
    by_id: &BTreeMap<OperationId, &Operation>,
    writers: &[OperationId],
) -> Result<(), String> {
    // Moments in order: when an operation begins, all versions that were answered before are fixed.
    let mut ends: Vec<(u64, u64)> = Vec::new();
    let mut begins: Vec<(u64, u64, bool, OperationId)> = Vec::new();
    for operation in operations {
        match operation.outcome {
            Outcome::Wrote(version) => {
                ends.push((operation.ended, version));
                begins.push((operation.began, version, true, operation.id));
            }
            Outcome::Saw(version, _) => {
                ends.push((operation.ended, version));
                begins.push((operation.began, version, false, operation.id));
            }
            Outcome::Refused | Outcome::Unknown => {}
        }
    }
    for (version, id) in (1_u64..).zip(writers) {
        if by_id
            .get(id)
            .is_some_and(|one| one.outcome == Outcome::Unknown)
        {
            begins.push((by_id[id].began, version, true, *id));
        }
    }
    ends.sort_unstable();
    begins.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let mut fixed = 0;
    for (began, version, is_write, id) in begins {
        while let Some((_, ended)) = ends.next_if(|(at, _)| *at < began) {
            fixed = fixed.max(ended);
        }
        let is_stale = if is_write {
            version <= fixed
        } else {
            version < fixed
        };
        if is_stale {
            return Err(format!(
                "operation {id} stands at version {version}, but version {fixed} was answered before it began"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Operation, Outcome, check};

    fn operation(id: u64, began: u64, ended: u64, outcome: Outcome) -> Operation {
        Operation {
            id,
            began,
            ended,
            expected: None,
            outcome,
        }
    }

    #[test]
    fn sound_histories_pass() {
        let history = [
            operation(1, 1, 4, Outcome::Wrote(1)),
            operation(2, 2, 3, Outcome::Saw(0, None)),
            operation(3, 5, 9, Outcome::Unknown),
            operation(4, 6, 8, Outcome::Wrote(3)),
            operation(5, 10, 11, Outcome::Refused),
            operation(6, 10, 12, Outcome::Unknown),
        ];
        check(&history, &[1, 3, 4]).unwrap();
    }

    #[test]
    fn faults_are_found() {
        let wrote = operation(1, 1, 2, Outcome::Wrote(1));
        let cases = [
            (vec![wrote], vec![], "lost"),
            (vec![wrote], vec![9], "nobody sent"),
            (
                vec![wrote, operation(2, 3, 4, Outcome::Unknown)],
                vec![1, 2, 2],
                "twice",
            ),
            (
                vec![wrote, operation(2, 3, 4, Outcome::Refused)],
                vec![1, 2],
                "was written by",
            ),
            (
                vec![wrote, operation(2, 3, 4, Outcome::Saw(0, None))],
                vec![1],
                "answered before",
            ),
            (
                vec![
                    operation(1, 3, 4, Outcome::Wrote(1)),
                    operation(2, 1, 2, Outcome::Wrote(2)),
                ],
                vec![1, 2],
                "answered before",
            ),
            (
                vec![
                    operation(1, 3, 4, Outcome::Unknown),
                    operation(2, 1, 2, Outcome::Wrote(2)),
                ],
                vec![1, 2],
                "answered before",
            ),
            (
                vec![wrote, operation(2, 1, 4, Outcome::Saw(1, Some(7)))],
                vec![1],
                "is by",
            ),
        ];
        for (history, writers, word) in cases {
            let error = check(&history, &writers).unwrap_err();
            assert!(error.contains(word), "{error:?} has no {word:?}");
        }
        let mut set = operation(2, 3, 4, Outcome::Wrote(2));
        set.expected = Some(0);
        assert!(
            check(&[wrote, set], &[1, 2]).is_err(),
            "it expected another version"
        );
    }
}
