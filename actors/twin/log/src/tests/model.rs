//! What must be in the log, kept beside it.

use std::collections::BTreeMap;

use super::read_all;
use crate::command::{Command, CommandLog, DurablePoint, LogIndex};
use crate::error::LogError;
use crate::file_log::FileLog;

/// The entries that were acknowledged, and the proposals whose outcome is open.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) kept: BTreeMap<u64, Command>,
    unknown: Vec<Vec<Command>>,
    purged_through: u64,
}

impl Model {
    /// Proposes and notes the reply; returns whether the log still works.
    pub(super) fn propose(&mut self, log: &FileLog, commands: Vec<Command>) -> bool {
        let reply = log.propose(commands.clone()).wait();
        self.note(commands, reply)
    }

    pub(super) fn note(
        &mut self,
        commands: Vec<Command>,
        reply: Result<crate::Committed, LogError>,
    ) -> bool {
        match reply {
            Ok(place) => {
                let last = place.first_index.get() + commands.len() as u64 - 1;
                assert_eq!(place.last_index.get(), last, "contiguous");
                for (index, command) in (place.first_index.get()..).zip(commands) {
                    let before = self.kept.insert(index, command);
                    assert_eq!(before, None, "index {index} given twice");
                }
                true
            }
            Err(error) if error.is_outcome_unknown() => {
                self.unknown.push(commands);
                false
            }
            // Refused for want of room: `check` sees to it that nothing of it is ever there.
            Err(LogError::WriteRefused { .. }) => true,
            Err(LogError::Poisoned { .. }) => false,
            Err(error) => panic!("unexpected refusal: {error}"),
        }
    }

    pub(super) fn purge(&mut self, log: &FileLog, through: u64) -> bool {
        let point = DurablePoint::snapshot_fsynced_through(LogIndex::new(through));
        let purged = log.purge(point);
        // A purge that failed may have removed whole segments behind the point all the same.
        self.purged_through = self.purged_through.max(through);
        purged.is_ok()
    }

    /// Checks a freshly opened log and takes over what it found of open proposals.
    pub(super) fn check(&mut self, log: &FileLog) {
        let entries = read_all(log);
        let first = log.first_index().get();
        let last = log.last_index().get();
        let found: BTreeMap<u64, Command> = entries
            .iter()
            .map(|entry| {
                let command = Command {
                    kind: entry.kind,
                    payload: entry.payload.clone(),
                };
                (entry.index.get(), command)
            })
            .collect();
        assert_eq!(found.len(), entries.len(), "no index twice");
        assert!(found.keys().copied().eq(first..=last), "no gap");
        assert!(first <= self.purged_through + 1, "only purged entries go");
        self.kept.retain(|index, _| *index >= first);
        for (index, command) in &self.kept {
            assert_eq!(found.get(index), Some(command), "entry {index}");
        }
        let mut extra = found
            .iter()
            .filter(|(index, _)| !self.kept.contains_key(index))
            .peekable();
        for proposal in &self.unknown {
            for command in proposal {
                if extra.peek().is_some_and(|(_, found)| *found == command) {
                    extra.next();
                }
            }
        }
        assert_eq!(extra.next(), None, "an entry that nobody proposed");
        let generations: Vec<u64> = entries.iter().map(|entry| entry.generation).collect();
        assert!(generations.is_sorted(), "generations never go back");
        assert!(generations.iter().all(|one| *one < log.generation()));
        // From here on they are durable like any other.
        self.kept = found;
        self.unknown.clear();
    }
}
