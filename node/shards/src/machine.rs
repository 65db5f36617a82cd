//! The state machine of a shard's group: what it commits changes the shard's twins.

use bytes::Bytes;
use std::io::{Cursor, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use twinscale_consensus::{AppliedMark, CommittedBatch, MachineError, StateImage, StateMachine};
use twinscale_log::LogIndex;
use twinscale_protocol::ShardId;
use twinscale_protocol::envelope::{self, EnvelopeError};
use twinscale_twin::ApplyResult;
use twinscale_twin::shard::{ShardCopy, ShardEntry, ShardReader, ShardTwins};
use twinscale_twin::stored::shard_v1::SHARD_RESULTS;

/// The state machine of a shard's group.
#[derive(Debug)]
pub struct ShardMachine {
    shard: ShardId,
    reader: ShardReader,
    twins: Mutex<ShardTwins>,
}

impl ShardMachine {
    /// Takes the twins of a shard.
    pub fn new(twins: ShardTwins) -> Self {
        Self {
            shard: twins.shard(),
            reader: twins.reader(),
            twins: Mutex::new(twins),
        }
    }

    /// Which shard it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How far it has applied.
    pub fn applied_index(&self) -> LogIndex {
        self.twins().applied()
    }

    /// Commands that had taken effect before, and did nothing again, since this replica was started.
    pub fn repeated(&self) -> u64 {
        self.twins().repeated()
    }

    /// Reads the shard's twins.
    pub fn reader(&self) -> &ShardReader {
        &self.reader
    }

    /// Gives the twins back, of a replica that runs no more.
    pub fn into_twins(self) -> ShardTwins {
        self.twins
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic inside leaves the state as it was after some entry; the group stops all the same.
    fn twins(&self) -> MutexGuard<'_, ShardTwins> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encodes the results of an entry's commands.
fn encode_results(results: &Vec<ApplyResult>) -> Result<Bytes, EnvelopeError> {
    envelope::seal(SHARD_RESULTS, results).map(Bytes::from)
}

/// Decodes what [`encode_results`] made.
pub(crate) fn decode_results(bytes: &[u8]) -> Result<Vec<ApplyResult>, EnvelopeError> {
    envelope::open(SHARD_RESULTS, bytes)
}

impl StateMachine for ShardMachine {
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError> {
        let twins = self.twins();
        let bytes = twins.consensus();
        if bytes.is_empty() {
            return Ok(None);
        }
        AppliedMark::from_bytes(bytes)
            .map(Some)
            .map_err(MachineError::new)
    }

    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError> {
        let entries: Vec<ShardEntry<'_>> = batches
            .iter()
            .map(|batch| ShardEntry {
                index: LogIndex::new(batch.position.index),
                payload: &batch.commands,
            })
            .collect();
        let applied = self.twins().apply(&entries, &mark.to_bytes());
        let results = applied.map_err(MachineError::new)?;
        results
            .iter()
            .map(|results| encode_results(results).map_err(MachineError::new))
            .collect()
    }

    fn image(&self) -> Result<Option<StateImage>, MachineError> {
        let copy = {
            let twins = self.twins();
            if twins.consensus().is_empty() {
                return Ok(None);
            }
            twins.copy().map_err(MachineError::new)?
        };
        let mark = AppliedMark::from_bytes(copy.consensus()).map_err(MachineError::new)?;
        let mut contents = Vec::new();
        copy.write(&mut contents).map_err(MachineError::new)?;
        Ok(Some(StateImage {
            mark,
            contents: Box::new(Cursor::new(contents)),
        }))
    }

    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError> {
        let copy = ShardCopy::read(self.shard, contents).map_err(MachineError::new)?;
        if copy.consensus() != mark.to_bytes() {
            let text = format!(
                "snapshot of shard {} is of another place than {}",
                self.shard,
                mark.position()
            );
            return Err(MachineError::new(text));
        }
        self.twins().install(copy).map_err(MachineError::new)
    }
}
