//! Which replicas this node holds, and which it gave up: one small file, replaced whole.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use twinscale_log::disk::Disk;
use twinscale_meta::GroupId;
use twinscale_protocol::envelope::{
    self, BODY_BYTES_MAX, EnvelopeError, EnvelopeKind, HEADER_BYTES,
};

/// The file's content.
const RECORDS: EnvelopeKind = EnvelopeKind(0x0800);

const NAME: &str = "replicas";
const TEMPORARY_NAME: &str = "replicas.tmp";

/// Which replicas a node holds, and which it gave up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReplicaRecords {
    /// The cluster's number of shards, once a shard came here: the store cannot be read without it.
    pub(super) shards: Option<u32>,
    /// The number under which each replica was made, or taken again.
    pub(super) held: BTreeMap<GroupId, u64>,
    /// Up to which number replicas were deleted: none is made again under it, whatever comes late.
    pub(super) remembered: BTreeMap<GroupId, u64>,
    /// Given up and perhaps not yet gone.
    pub(super) deleting: BTreeSet<GroupId>,
}

/// Why the records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The disk refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is damaged or of a newer program.
    #[error(
        "records of replicas in {} cannot be read; run the program that wrote them, or take the node out and \
         start it with an empty data directory under a new name",
        path.display()
    )]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: EnvelopeError,
    },
}

/// Whether a replica was ever recorded on a disk.
///
/// # Errors
/// When the disk cannot be listed.
pub(crate) fn has_records(disk: &dyn Disk) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| name == NAME))
}

/// The file.
#[derive(Clone)]
pub(super) struct RecordsFile {
    disk: Arc<dyn Disk>,
}

impl fmt::Debug for RecordsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordsFile")
            .field(&self.disk.path_of(NAME))
            .finish()
    }
}

impl RecordsFile {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// Reads the records; `None` = nothing was ever written.
    pub(super) fn load(&self) -> Result<Option<ReplicaRecords>, RecordsError> {
        let is_there = has_records(&*self.disk).map_err(|source| self.io("list", source))?;
        if !is_there {
            return Ok(None);
        }
        let bytes = self.read().map_err(|source| self.io("read", source))?;
        let records = envelope::open(RECORDS, &bytes).map_err(|source| self.unreadable(source))?;
        Ok(Some(records))
    }

    /// Replaces the records, durably: the old ones or the new ones are there, whenever it ends.
    pub(super) fn save(&self, records: &ReplicaRecords) -> Result<(), RecordsError> {
        let sealed = envelope::seal(RECORDS, records);
        let bytes = sealed.map_err(|source| self.unreadable(source))?;
        self.write(&bytes)
            .map_err(|source| self.io("write", source))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let file = self.disk.open(NAME)?;
        let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
        // More than any envelope has is read as far as it takes to refuse it.
        let mut bytes = vec![0; length.min(HEADER_BYTES + BODY_BYTES_MAX + 1)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = file.read_at(filled as u64, rest)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.disk.list()?.iter().any(|name| name == TEMPORARY_NAME) {
            self.disk.remove(TEMPORARY_NAME)?;
        }
        let file = self.disk.create(TEMPORARY_NAME)?;
        file.write_at(0, bytes)?;
        file.sync_data()?;
        self.disk.rename(TEMPORARY_NAME, NAME)?;
        self.disk.sync_dir()
    }

    fn io(&self, operation: &'static str, source: io::Error) -> RecordsError {
        RecordsError::Disk {
            operation,
            path: self.disk.path_of(NAME),
            source,
        }
    }

    fn unreadable(&self, source: EnvelopeError) -> RecordsError {
        RecordsError::Unreadable {
            path: self.disk.path_of(NAME),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_log::fault_disk::{Fault, FaultDisk};
    use twinscale_protocol::ShardId;

    fn records() -> ReplicaRecords {
        ReplicaRecords {
            shards: Some(64),
            held: BTreeMap::from([(GroupId::Meta, 0), (GroupId::Shard(ShardId(17)), 300)]),
            remembered: BTreeMap::from([(GroupId::Shard(ShardId(2)), 9)]),
            deleting: BTreeSet::from([GroupId::Shard(ShardId(2))]),
        }
    }

    #[test]
    fn golden_bytes_of_the_file() {
        const BODY: &[u8] = &[
            1, 64, // shards
            2, 0, 0, 1, 17, 251, 44, 1, // held
            1, 1, 2, 9, // remembered
            1, 1, 2, // deleting
        ];
        let sealed = envelope::seal(RECORDS, &records()).expect("encodes");
        assert_eq!(&sealed[..8], [84, 87, 83, 67, 1, 0, 0, 8]);
        assert_eq!(&sealed[HEADER_BYTES..], BODY);
    }

    #[test]
    fn either_the_old_or_the_new_records_are_there_after_a_power_cut() {
        let mut outcomes = BTreeSet::new();
        for operations in 1..20 {
            let disk = FaultDisk::new(operations);
            let file = RecordsFile::new(Arc::new(disk.clone()));
            assert_eq!(file.load().expect("reads"), None);
            let old = ReplicaRecords::default();
            file.save(&old).expect("writes");
            disk.arm(operations, Fault::PowerCut);
            let saved = file.save(&records());
            disk.disarm();
            disk.crash();
            let found = file.load().expect("reads").expect("was written");
            let is_new = found == records();
            assert!(is_new || found == old, "{found:?}");
            assert!(is_new || saved.is_err(), "what was acknowledged is lost");
            outcomes.insert((saved.is_ok(), is_new));
            file.save(&old).expect("writes again, whatever was left");
        }
        assert!(outcomes.contains(&(true, true)) && outcomes.contains(&(false, false)));
    }

    #[test]
    fn damaged_records_are_refused() {
        let disk = FaultDisk::new(1);
        let file = RecordsFile::new(Arc::new(disk.clone()));
        file.save(&records()).expect("writes");
        let opened = disk.open(NAME).expect("it is there");
        opened.write_at(20, &[99]).expect("writes");
        let error = file.load().expect_err("it is damaged");
        assert!(matches!(error, RecordsError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains("new name"), "{error}");
    }
}
