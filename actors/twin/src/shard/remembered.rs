//! The requests that a shard remembers, so that a retry takes effect once.
//!
//! The newest ones are kept, by number and not by time: every replica forgets the same ones at the same
//! entry, whatever its clock says.

use crate::state::ApplyResult;
use crate::stored::shard_v1::{REMEMBERED, Remembered};
use std::collections::BTreeMap;
use twinscale_protocol::envelope::{self, EnvelopeError};
use twinscale_protocol::{RequestId, ShardId};
use twinscale_store::{Batch, KeyBuilder, KeyValue, node_key};

/// Requests that a shard remembers: at a hundred configurations a second and shard, those of the last
/// forty seconds, which is longer than any client may wait before it asks again.
pub const REMEMBERED_MAX: u64 = 4_096;

/// The requests that took effect, by number and by id.
#[derive(Clone, Debug, Default)]
pub(super) struct RememberedRequests {
    by_number: BTreeMap<u64, Remembered>,
    numbers: BTreeMap<RequestId, u64>,
    next: u64,
}

impl RememberedRequests {
    /// Takes what a store or snapshot held.
    pub(super) fn restore(entries: BTreeMap<u64, Remembered>, next: u64) -> Self {
        let numbers = entries
            .iter()
            .map(|(number, one)| (one.request, *number))
            .collect();
        Self {
            by_number: entries,
            numbers,
            next,
        }
    }

    /// What came of a request before.
    pub(super) fn find(&self, request: RequestId) -> Option<&ApplyResult> {
        let number = self.numbers.get(&request)?;
        self.by_number.get(number).map(|one| &one.result)
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Remembers a request, and forgets the oldest one for it where there are too many.
    pub(super) fn remember(
        &mut self,
        shard: ShardId,
        request: RequestId,
        result: &ApplyResult,
        batch: &mut Batch,
    ) -> Result<(), EnvelopeError> {
        if request == RequestId::NONE {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        let one = Remembered {
            request,
            result: result.clone(),
        };
        batch.put(key(shard, number), envelope::seal(REMEMBERED, &one)?);
        self.by_number.insert(number, one);
        self.numbers.insert(request, number);
        while self.by_number.len() as u64 > REMEMBERED_MAX {
            let Some((oldest, one)) = self.by_number.pop_first() else {
                break;
            };
            // The id may have been remembered again since.
            if self.numbers.get(&one.request) == Some(&oldest) {
                self.numbers.remove(&one.request);
            }
            batch.delete(key(shard, oldest));
        }
        Ok(())
    }

    /// All of them under their keys, for a snapshot.
    pub(super) fn parts(&self, shard: ShardId) -> Result<Vec<KeyValue>, EnvelopeError> {
        self.by_number
            .iter()
            .map(|(number, one)| Ok((key(shard, *number), envelope::seal(REMEMBERED, one)?)))
            .collect()
    }
}

fn keys(shard: ShardId) -> KeyBuilder {
    node_key("shard").number(u64::from(shard.0)).text("request")
}

fn key(shard: ShardId, number: u64) -> Vec<u8> {
    keys(shard).number(number).build()
}

/// Reads a key of [`key`] back: the shard and the number.
pub(super) fn number_of(shard: ShardId, found: &[u8]) -> Option<u64> {
    let digits = found.strip_prefix(keys(shard).prefix().as_slice())?;
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}
