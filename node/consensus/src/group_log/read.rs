//! Reads of a group's entries: from memory, or from the segments where they are no longer cached.

use std::collections::BTreeMap;
use std::sync::Arc;

use twinscale_log::{CommandLog, LogError, LogIndex, ReadLimits};

use super::error::GroupLogError;
use super::record::Record;
use super::{GroupLog, Inner};
use crate::ids::{GroupId, LogPosition};
use crate::types::Entry;

/// How often a read looks again for entries that the cleaner moved meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// One read of the file log; the entries of other groups stand between.
const READ_LIMITS: ReadLimits = ReadLimits {
    entries_max: 512,
    payload_bytes_max: 1 << 20,
};

/// The wanted entries: those at hand, and the places of those that are not.
#[derive(Default)]
struct Wanted {
    found: BTreeMap<u64, Entry>,
    missing: BTreeMap<LogIndex, LogPosition>,
}

impl GroupLog {
    /// Returns the entries of an index range that are there, up to a number of bytes but at least one.
    pub(crate) async fn entries(
        &self,
        group: GroupId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, GroupLogError> {
        for _ in 0..ATTEMPTS_MAX {
            let wanted = self.inner.wanted(group, from, to, bytes_max);
            if wanted.missing.is_empty() {
                return Ok(wanted.found.into_values().collect());
            }
            let inner = Arc::clone(&self.inner);
            let read = tokio::task::spawn_blocking(move || inner.read(group, wanted)).await;
            match read.map_err(|error| GroupLogError::Task {
                reason: error.to_string(),
            })? {
                // The cleaner copied them forward and deleted the segment.
                Err(GroupLogError::Log(LogError::Purged { .. } | LogError::Io { .. })) => {}
                outcome => return outcome,
            }
        }
        let inner = Arc::clone(&self.inner);
        let wanted = inner.wanted(group, from, to, bytes_max);
        tokio::task::spawn_blocking(move || inner.read(group, wanted))
            .await
            .map_err(|error| GroupLogError::Task {
                reason: error.to_string(),
            })?
    }
}

impl Inner {
    fn wanted(&self, group: GroupId, from: u64, to: u64, bytes_max: usize) -> Wanted {
        let cell = self.cell(group);
        let state = cell.state();
        let mut wanted = Wanted::default();
        let mut bytes = 0;
        if from >= to {
            return wanted;
        }
        for (index, slot) in state.slots.range(from..to) {
            bytes += slot.bytes;
            if bytes > bytes_max && bytes > slot.bytes {
                break;
            }
            if let Some(entry) = &slot.entry {
                wanted.found.insert(*index, entry.clone());
            } else {
                let position = LogPosition {
                    term: slot.term,
                    index: *index,
                };
                wanted.missing.insert(slot.place, position);
            }
        }
        wanted
    }

    /// Fetches what is missing, walking through the file log from one place to the next.
    fn read(&self, group: GroupId, wanted: Wanted) -> Result<Vec<Entry>, GroupLogError> {
        let Wanted {
            mut found,
            mut missing,
        } = wanted;
        while let Some((place, position)) = missing.first_key_value() {
            let misplaced = GroupLogError::Misplaced {
                group,
                index: position.index,
                place: *place,
            };
            let before = missing.len();
            for stored in self.file.read(*place, READ_LIMITS)? {
                let Some(position) = missing.remove(&stored.index) else {
                    continue;
                };
                let place = stored.index;
                let record = Record::decode(stored.kind, &stored.payload)
                    .map_err(|source| GroupLogError::Record { place, source })?;
                match record {
                    Record::Entry(of, entry)
                        if of == group && LogPosition::from(entry.log_id) == position =>
                    {
                        found.insert(position.index, entry);
                    }
                    _ => {
                        return Err(GroupLogError::Misplaced {
                            group,
                            index: position.index,
                            place,
                        });
                    }
                }
            }
            if missing.len() == before {
                return Err(misplaced);
            }
        }
        Ok(found.into_values().collect())
    }
}
