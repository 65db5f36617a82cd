//! A shard as it was after one entry, and its way over a wire or into a file.
//!
//! Layout: envelopes, each behind its length (u32, little endian): the begin, a part for every key, the
//! end with the number of parts. Each has its checksum; the reader takes all of it or nothing.

use super::error::ShardError;
use super::parts_of;
use super::remembered::{RememberedRequests, number_of};
use super::twins::restore;
use crate::host::recovery::restore_stored;
use crate::outline::TwinOutline;
use crate::state::{PartKey, TwinState};
use crate::stored::shard_v1::{
    REMEMBERED, Remembered, SNAPSHOT_BEGIN, SNAPSHOT_END, SNAPSHOT_PART, ShardMark, SnapshotBegin,
    SnapshotEnd, SnapshotPart,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use twinscale_log::LogIndex;
use twinscale_protocol::envelope::{self, BODY_BYTES_MAX, EnvelopeKind, HEADER_BYTES};
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_store::KeyValue;

/// A shard as it was after one entry.
#[derive(Clone, Debug)]
pub struct ShardCopy {
    shard: ShardId,
    mark: ShardMark,
    twins: Vec<CopiedTwin>,
    remembered: RememberedRequests,
}

/// A twin of a copy.
#[derive(Clone, Debug)]
pub(super) enum CopiedTwin {
    /// As it was in memory.
    State(Box<TwinState>),
    /// As it was stored.
    Stored(CustomerId, Vec<KeyValue>),
}

impl CopiedTwin {
    /// All its keys with their values: the same ones, whether it was in memory or put away.
    fn parts(&self) -> Result<Vec<KeyValue>, ShardError> {
        match self {
            Self::State(state) => parts_of(state),
            Self::Stored(customer, stored) => parts_of(&restored(customer, stored)?),
        }
    }

    fn outline(&self) -> Result<(CustomerId, TwinOutline), ShardError> {
        match self {
            Self::State(state) => Ok((state.customer().clone(), TwinOutline::of(state))),
            Self::Stored(customer, stored) => {
                let state = restored(customer, stored)?;
                Ok((customer.clone(), TwinOutline::of(&state)))
            }
        }
    }
}

fn restored(customer: &CustomerId, stored: &[KeyValue]) -> Result<TwinState, ShardError> {
    restore_stored(customer, stored.to_vec()).map_err(ShardError::Restore)
}

impl ShardCopy {
    pub(super) fn new(
        shard: ShardId,
        mark: ShardMark,
        twins: Vec<CopiedTwin>,
        remembered: RememberedRequests,
    ) -> Self {
        Self {
            shard,
            mark,
            twins,
            remembered,
        }
    }

    /// Whose copy it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The last entry that is applied in it.
    pub fn applied(&self) -> LogIndex {
        LogIndex::new(self.mark.applied)
    }

    /// What the consensus stored beside that entry.
    pub fn consensus(&self) -> &[u8] {
        &self.mark.consensus
    }

    /// How many twins it holds.
    pub fn twins(&self) -> usize {
        self.twins.len()
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the target says, and [`io::ErrorKind::InvalidData`] for a state that cannot be encoded.
    pub fn write(&self, target: &mut dyn Write) -> io::Result<()> {
        let begin = SnapshotBegin {
            shard: self.shard,
            mark: self.mark.clone(),
            twins: self.twins.len() as u64,
        };
        write_frame(target, SNAPSHOT_BEGIN, &begin)?;
        let mut parts = 0;
        let mut put = |(key, value)| {
            parts += 1;
            write_frame(target, SNAPSHOT_PART, &SnapshotPart { key, value })
        };
        for twin in &self.twins {
            let encoded = twin.parts().map_err(io::Error::other)?;
            encoded.into_iter().try_for_each(&mut put)?;
        }
        let remembered = self.remembered.parts(self.shard);
        let remembered = remembered.map_err(io::Error::other)?;
        remembered.into_iter().try_for_each(&mut put)?;
        write_frame(target, SNAPSHOT_END, &SnapshotEnd { parts })
    }

    /// Reads and checks a whole one.
    ///
    /// # Errors
    /// [`ShardError::Snapshot`] with what is wrong: cut, damaged, of another shard, or followed by more.
    pub fn read(shard: ShardId, source: &mut dyn Read) -> Result<Self, ShardError> {
        let refused = |reason: String| ShardError::Snapshot { shard, reason };
        let begin: SnapshotBegin = read_frame(source, SNAPSHOT_BEGIN).map_err(refused)?;
        if begin.shard != shard {
            return Err(refused(format!("it is of shard {}", begin.shard)));
        }
        let mut reading = Reading {
            shard,
            twins: Vec::new(),
            customer: None,
            parts: BTreeMap::new(),
            remembered: BTreeMap::new(),
            count: 0,
        };
        let end = loop {
            let frame = read_bytes(source).map_err(refused)?;
            let kind = envelope::peek_kind(&frame).map_err(|error| refused(error.to_string()))?;
            if kind == SNAPSHOT_END {
                break open_frame::<SnapshotEnd>(SNAPSHOT_END, &frame).map_err(refused)?;
            }
            let part = open_frame(SNAPSHOT_PART, &frame).map_err(refused)?;
            reading.take(part)?;
        };
        reading.finish_twin()?;
        if end.parts != reading.count || begin.twins != reading.twins.len() as u64 {
            return Err(refused(format!(
                "{} parts of {} and {} twins of {}",
                reading.count,
                end.parts,
                reading.twins.len(),
                begin.twins
            )));
        }
        let mut rest = [0];
        match source.read(&mut rest) {
            Ok(0) => {}
            Ok(_) => return Err(refused("more follows behind its end".to_owned())),
            Err(error) => return Err(refused(error.to_string())),
        }
        let next = begin.mark.next_remembered;
        Ok(Self {
            shard,
            mark: begin.mark,
            twins: reading.twins,
            remembered: RememberedRequests::restore(reading.remembered, next),
        })
    }

    /// Everything under its key in the store, but for the mark.
    pub(super) fn parts(&self) -> Result<Vec<KeyValue>, ShardError> {
        let shard = self.shard;
        let mut parts = self
            .remembered
            .parts(shard)
            .map_err(|source| ShardError::Mark { shard, source })?;
        for twin in &self.twins {
            parts.extend(twin.parts()?);
        }
        Ok(parts)
    }

    /// Its twins, as a node knows those that it has put away.
    pub(super) fn outlines(&self) -> Result<Vec<(CustomerId, TwinOutline)>, ShardError> {
        self.twins.iter().map(CopiedTwin::outline).collect()
    }

    pub(super) fn into_marks(self) -> (ShardMark, RememberedRequests) {
        (self.mark, self.remembered)
    }
}

/// A snapshot that is being read: parts of one twin stand together.
struct Reading {
    shard: ShardId,
    twins: Vec<CopiedTwin>,
    customer: Option<CustomerId>,
    parts: BTreeMap<PartKey, Vec<u8>>,
    remembered: BTreeMap<u64, Remembered>,
    count: u64,
}

impl Reading {
    fn take(&mut self, SnapshotPart { key, value }: SnapshotPart) -> Result<(), ShardError> {
        self.count += 1;
        let shard = self.shard;
        if let Some(number) = number_of(shard, &key) {
            let one = envelope::open(REMEMBERED, &value)
                .map_err(|source| ShardError::Mark { shard, source })?;
            self.remembered.insert(number, one);
            return Ok(());
        }
        let Some((customer, part)) = PartKey::from_key(&key) else {
            let reason = format!("key {} is of no known form", key.escape_ascii());
            return Err(ShardError::Snapshot { shard, reason });
        };
        if self.customer.as_ref() != Some(&customer) {
            self.finish_twin()?;
            self.customer = Some(customer);
        }
        self.parts.insert(part, value);
        Ok(())
    }

    fn finish_twin(&mut self) -> Result<(), ShardError> {
        let parts = std::mem::take(&mut self.parts);
        if let Some(customer) = self.customer.take() {
            let state = restore(customer, parts)?;
            self.twins.push(CopiedTwin::State(Box::new(state)));
        }
        Ok(())
    }
}

fn write_frame<T: Serialize>(
    target: &mut dyn Write,
    kind: EnvelopeKind,
    value: &T,
) -> io::Result<()> {
    let sealed = envelope::seal(kind, value).map_err(io::Error::other)?;
    let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
    target.write_all(&length.to_le_bytes())?;
    target.write_all(&sealed)
}

fn read_bytes(source: &mut dyn Read) -> Result<Vec<u8>, String> {
    let cut = |error: io::Error| format!("it is cut: {error}");
    let mut length = [0; 4];
    source.read_exact(&mut length).map_err(cut)?;
    let length = u32::from_le_bytes(length) as usize;
    let limit = BODY_BYTES_MAX + HEADER_BYTES;
    if length > limit {
        return Err(format!(
            "a part of {length} bytes is above the limit of {limit}"
        ));
    }
    // Grows with what is there, not with what is announced.
    let mut bytes = Vec::new();
    let read = source
        .take(length as u64)
        .read_to_end(&mut bytes)
        .map_err(cut)?;
    if read < length {
        return Err(format!("it is cut: {read} of {length} bytes of a part"));
    }
    Ok(bytes)
}

fn open_frame<T: DeserializeOwned>(kind: EnvelopeKind, bytes: &[u8]) -> Result<T, String> {
    envelope::open(kind, bytes).map_err(|error| error.to_string())
}

fn read_frame<T: DeserializeOwned>(source: &mut dyn Read, kind: EnvelopeKind) -> Result<T, String> {
    open_frame(kind, &read_bytes(source)?)
}
