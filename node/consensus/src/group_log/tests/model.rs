//! What must be in the log, kept beside it.

use std::collections::BTreeMap;

use super::read_all;
use crate::group_log::{GroupLog, GroupLogError};
use crate::ids::{GroupId, LogPosition};
use crate::types::{Entry, EntryRecord, Vote};

/// A change of one group.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Append(Vec<Entry>),
    Vote(Vote),
    Truncate(u64),
    Purge(LogPosition),
}

/// One group as it must be found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GroupModel {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogPosition>,
    pub(super) entries: BTreeMap<u64, EntryRecord>,
}

impl GroupModel {
    pub(super) fn next_index(&self) -> u64 {
        let last = self.entries.keys().next_back().copied();
        last.or(self.purged.map(|purged| purged.index))
            .map_or(0, |last| last + 1)
    }

    fn last(&self) -> Option<LogPosition> {
        let last = self.entries.values().next_back();
        last.map(|entry| entry.position).or(self.purged)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(entries) => {
                let records = entries
                    .iter()
                    .map(|entry| (entry.log_id.index, entry.into()));
                self.entries.extend(records);
            }
            Change::Vote(vote) => self.vote = Some(*vote),
            Change::Truncate(since) => drop(self.entries.split_off(since)),
            Change::Purge(through) => {
                if self.last() < Some(*through) {
                    self.entries.clear();
                }
                self.entries = self.entries.split_off(&(through.index + 1));
                self.purged = Some(*through);
            }
        }
    }

    /// Everything that may be found when the outcome of a change is unknown.
    fn outcomes(&self, change: &Change) -> Vec<Self> {
        if let Change::Purge(through) = change
            && self.last() < Some(*through)
        {
            // Older entries go first.
            let mut cut = self.clone();
            cut.entries.clear();
            let mut purged = self.clone();
            purged.apply(change);
            return vec![self.clone(), cut, purged];
        }
        let parts = match change {
            Change::Append(entries) => (0..=entries.len())
                .map(|count| Change::Append(entries[..count].to_vec()))
                .collect(),
            other => vec![Change::Append(Vec::new()), other.clone()],
        };
        let outcome = |part| {
            let mut outcome = self.clone();
            outcome.apply(&part);
            outcome
        };
        parts.into_iter().map(outcome).collect()
    }
}

/// All groups, and the changes whose outcome is open.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<GroupId, GroupModel>,
    unknown: BTreeMap<GroupId, Change>,
    pub(super) refusals: usize,
}

impl Model {
    pub(super) fn group(&self, group: GroupId) -> GroupModel {
        self.groups.get(&group).cloned().unwrap_or_default()
    }

    /// Notes what a write returned; returns whether the log still works.
    pub(super) fn note(
        &mut self,
        group: GroupId,
        change: Change,
        outcome: Result<(), GroupLogError>,
    ) -> bool {
        match outcome {
            Ok(()) => self.groups.entry(group).or_default().apply(&change),
            Err(GroupLogError::Log(error)) if error.is_outcome_unknown() => {
                let before = self.unknown.insert(group, change);
                assert!(before.is_none(), "a poisoned log takes no further write");
                return false;
            }
            Err(GroupLogError::Refusing { .. }) => self.refusals += 1,
            Err(GroupLogError::Log(twinscale_log::LogError::WriteRefused { .. })) => {
                self.refusals += 1;
            }
            Err(
                GroupLogError::Poisoned { .. }
                | GroupLogError::Log(twinscale_log::LogError::Poisoned { .. }),
            ) => return false,
            Err(error) => panic!("unexpected refusal: {error}"),
        }
        true
    }

    /// Checks a log and takes over what it found of open changes.
    pub(super) async fn check(&mut self, log: &GroupLog) {
        let unknown = std::mem::take(&mut self.unknown);
        let mut groups: Vec<GroupId> = log.groups();
        groups.extend(self.groups.keys());
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let found = observe(log, group).await;
            let wanted = self.group(group);
            let is_right = match unknown.get(&group) {
                None => found == wanted,
                Some(change) => wanted.outcomes(change).contains(&found),
            };
            assert!(
                is_right,
                "group {group}: found {found:?}, wanted {wanted:?}, unknown {:?}",
                unknown.get(&group)
            );
            // From here on it is durable like anything else.
            self.groups.insert(group, found);
        }
    }
}

async fn observe(log: &GroupLog, group: GroupId) -> GroupModel {
    let entries = read_all(log, group).await;
    let state = log.state(group);
    let last = entries.last().map(|entry| LogPosition::from(entry.log_id));
    assert_eq!(
        state.last,
        last.or(state.purged),
        "the last place is the last entry's"
    );
    GroupModel {
        vote: log.vote(group),
        purged: state.purged,
        entries: entries
            .iter()
            .map(|entry| (entry.log_id.index, entry.into()))
            .collect(),
    }
}
