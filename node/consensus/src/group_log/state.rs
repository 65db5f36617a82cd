//! What one group has in the node's log: where each living record stands, and the newest entries themselves.
//!
//! Opening the log and writing to it feed the same function with the same records in the same order, so
//! what a restart finds is what was there before. Records that the cleaner copied forward stand behind
//! later ones; hence an entry takes the place of its own index only, and cutting is a record of its own.

use std::collections::BTreeMap;

use twinscale_log::LogIndex;

use super::record::Record;
use crate::ids::{GroupId, LogPosition};
use crate::types::{Entry, Vote, entry_bytes};

/// An entry's place in the node's log; the entry itself while it is cached.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) term: u64,
    pub(super) place: LogIndex,
    pub(super) bytes: usize,
    pub(super) entry: Option<Entry>,
}

/// A value and where its record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: LogIndex,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub(super) vote: Option<Placed<Vote>>,
    /// What was recorded of `committed`, a lower bound.
    pub(super) committed_recorded: Option<Placed<LogPosition>>,
    /// What the group committed; rides along with the next record.
    pub(super) committed: Option<LogPosition>,
    pub(super) purged: Option<Placed<LogPosition>>,
    pub(super) slots: BTreeMap<u64, Slot>,
    cached_bytes: usize,
    /// Indexes below this one are not cached.
    cached_from: u64,
}

impl GroupState {
    /// Takes over one durable record.
    pub(super) fn note(&mut self, record: Record, place: LogIndex, cache_bytes_max: usize) {
        match record {
            Record::Entry(_, entry) => self.note_entry(entry, place, cache_bytes_max),
            Record::Vote(_, value) => self.vote = Some(Placed { value, place }),
            Record::Committed(_, value) => {
                self.committed_recorded = Some(Placed { value, place });
                self.committed = self.committed.max(Some(value));
            }
            Record::Truncated(_, since) => {
                let cut = self.slots.split_off(&since);
                self.uncount(cut.values());
            }
            Record::Purged(_, value) => {
                let kept = self.slots.split_off(&value.index.saturating_add(1));
                let gone = std::mem::replace(&mut self.slots, kept);
                self.uncount(gone.values());
                self.purged = Some(Placed { value, place });
            }
            Record::Erased(_) => *self = Self::default(),
            Record::Probe => {}
        }
    }

    fn note_entry(&mut self, entry: Entry, place: LogIndex, cache_bytes_max: usize) {
        let position = LogPosition::from(entry.log_id);
        let bytes = entry_bytes(&entry);
        let slot = Slot {
            term: position.term,
            place,
            bytes,
            entry: Some(entry),
        };
        if let Some(old) = self.slots.insert(position.index, slot) {
            self.uncount([&old]);
        }
        self.cached_bytes += bytes;
        self.cached_from = self.cached_from.min(position.index);
        self.shrink_cache(cache_bytes_max);
    }

    fn uncount<'a>(&mut self, gone: impl IntoIterator<Item = &'a Slot>) {
        let bytes: usize = gone
            .into_iter()
            .filter(|slot| slot.entry.is_some())
            .map(|slot| slot.bytes)
            .sum();
        self.cached_bytes = self.cached_bytes.saturating_sub(bytes);
    }

    /// Forgets the oldest entries until the rest is small enough; the newest one always stays.
    fn shrink_cache(&mut self, cache_bytes_max: usize) {
        let Some(last) = self.slots.keys().next_back().copied() else {
            return;
        };
        let mut from = self.cached_from;
        for (index, slot) in self.slots.range_mut(from..) {
            if self.cached_bytes <= cache_bytes_max || *index == last {
                break;
            }
            from = index + 1;
            if slot.entry.take().is_some() {
                self.cached_bytes = self.cached_bytes.saturating_sub(slot.bytes);
            }
        }
        self.cached_from = from;
    }

    /// Moves an entry that was copied forward; the cache stays as it is.
    pub(super) fn move_entry(&mut self, index: u64, place: LogIndex) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.place = place;
        }
    }

    /// Says whether the log holds anything of the group.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
            && self.vote.is_none()
            && self.purged.is_none()
            && self.committed_recorded.is_none()
    }

    /// Returns the place of the last entry, or what was purged when there is none.
    pub(super) fn last(&self) -> Option<LogPosition> {
        self.slots
            .last_key_value()
            .map(|(index, slot)| LogPosition {
                term: slot.term,
                index: *index,
            })
            .or(self.purged.map(|purged| purged.value))
    }

    /// Returns the index that the next entry must have.
    pub(super) fn next_index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    /// Returns the record that makes the newest committed place known, if the log does not tell it yet.
    pub(super) fn committed_to_record(&self, group: GroupId) -> Option<Record> {
        let recorded = self.committed_recorded.map(|recorded| recorded.value);
        self.committed
            .filter(|committed| recorded != Some(*committed))
            .map(|committed| Record::Committed(group, committed))
    }

    /// Returns what a restart cannot do without.
    pub(super) fn marks(&self, group: GroupId) -> Vec<(LogIndex, Record)> {
        let vote = self
            .vote
            .map(|vote| (vote.place, Record::Vote(group, vote.value)));
        let committed = self
            .committed_recorded
            .map(|committed| (committed.place, Record::Committed(group, committed.value)));
        let purged = self
            .purged
            .map(|purged| (purged.place, Record::Purged(group, purged.value)));
        vote.into_iter().chain(committed).chain(purged).collect()
    }

    /// Returns the entries that stand before a place of the node's log, with their places.
    pub(super) fn entries_before(&self, end: LogIndex) -> Vec<(u64, LogIndex)> {
        let before = self.slots.iter().filter(|(_, slot)| slot.place < end);
        before.map(|(index, slot)| (*index, slot.place)).collect()
    }

    /// Says whether an entry stands before a place of the node's log.
    pub(super) fn has_entry_before(&self, end: LogIndex) -> bool {
        self.slots.values().any(|slot| slot.place < end)
    }

    /// Returns about how many bytes the entries take.
    pub(super) fn living_bytes(&self) -> u64 {
        self.slots.values().map(|slot| slot.bytes as u64).sum()
    }

    /// Returns the first index that should be there and is not.
    pub(super) fn missing_index(&self) -> Option<u64> {
        let first = self.purged.map_or(0, |purged| purged.value.index + 1);
        (first..)
            .zip(self.slots.keys())
            .find(|(expected, found)| expected != *found)
            .map(|(expected, _)| expected)
    }
}
