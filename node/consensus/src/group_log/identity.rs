//! The file that says whose log a directory holds.
//!
//! A node that lost its log forgot its votes: under its old number it could vote twice in a term. So a
//! directory without this file, or with another's, is refused.

use std::io;
use std::path::PathBuf;

use twinscale_log::disk::Disk;
use twinscale_protocol::{ClusterId, NodeNumber};

use super::error::GroupLogError;
use crate::ids::ClusterTag;

const IDENTITY_NAME: &str = "identity";
const IDENTITY_TEMPORARY_NAME: &str = "identity.tmp";
const MAGIC: [u8; 8] = *b"TWINIDV1";
const IDENTITY_BYTES: usize = 8 + 16 + 8 + 4;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The cluster.
    pub cluster: ClusterTag,
    /// The node's number in it.
    pub node: NodeNumber,
}

impl LogIdentity {
    /// Names the log of a node of a cluster.
    pub fn new(cluster: &ClusterId, node: NodeNumber) -> Self {
        Self {
            cluster: ClusterTag::of(cluster),
            node,
        }
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(IDENTITY_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.node.0.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; IDENTITY_BYTES]) -> Option<Self> {
        let (covered, checksum) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (cluster, rest) = rest.split_first_chunk::<16>()?;
        let node = rest.first_chunk::<8>()?;
        let is_sound = *magic == MAGIC && u32::from_le_bytes(*checksum) == crc32fast::hash(covered);
        is_sound.then(|| Self {
            cluster: ClusterTag(u128::from_le_bytes(*cluster)),
            node: NodeNumber(u64::from_le_bytes(*node)),
        })
    }
}

/// Refuses a directory that holds no log, or the log of another.
pub(super) fn check(
    disk: &dyn Disk,
    names: &[String],
    wanted: LogIdentity,
) -> Result<(), GroupLogError> {
    let directory = disk.path_of("");
    let has = |name: &str| names.iter().any(|found| found == name);
    let has_segment = names.iter().any(|name| is_log_file(name));
    if !has(IDENTITY_NAME) || !has_segment {
        return Err(GroupLogError::Missing {
            directory,
            node: wanted.node,
        });
    }
    let path = disk.path_of(IDENTITY_NAME);
    let bytes = read(disk).map_err(|error| GroupLogError::io("read", path.clone(), error))?;
    let found = bytes
        .as_ref()
        .and_then(LogIdentity::decode)
        .ok_or(GroupLogError::IdentityDamaged { path })?;
    if found == wanted {
        Ok(())
    } else {
        Err(GroupLogError::Foreign {
            directory,
            found,
            wanted,
        })
    }
}

/// Refuses to make a log where files of one are.
pub(super) fn check_empty(disk: &dyn Disk, names: &[String]) -> Result<(), GroupLogError> {
    let in_use = names
        .iter()
        .find(|name| *name == IDENTITY_NAME || is_log_file(name));
    in_use.map_or(Ok(()), |name| {
        Err(GroupLogError::Exists {
            path: disk.path_of(name),
        })
    })
}

/// Writes the identity, durably, before the log gets its first segment.
pub(super) fn write(disk: &dyn Disk, identity: LogIdentity) -> Result<(), GroupLogError> {
    let failed = |error: io::Error| GroupLogError::io("write", disk.path_of(IDENTITY_NAME), error);
    match disk.remove(IDENTITY_TEMPORARY_NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    disk.create(IDENTITY_TEMPORARY_NAME)
        .and_then(|file| {
            file.write_at(0, &identity.encode())?;
            file.sync_data()
        })
        .and_then(|()| disk.rename(IDENTITY_TEMPORARY_NAME, IDENTITY_NAME))
        .and_then(|()| disk.sync_dir())
        .map_err(failed)
}

fn is_log_file(name: &str) -> bool {
    PathBuf::from(name)
        .extension()
        .is_some_and(|extension| extension == "log")
        || name == "durable-floor"
}

fn read(disk: &dyn Disk) -> io::Result<Option<[u8; IDENTITY_BYTES]>> {
    let file = disk.open(IDENTITY_NAME)?;
    let mut bytes = [0; IDENTITY_BYTES];
    let is_whole = file.length()? == IDENTITY_BYTES as u64;
    Ok((is_whole && file.read_at(0, &mut bytes)? == IDENTITY_BYTES).then_some(bytes))
}
