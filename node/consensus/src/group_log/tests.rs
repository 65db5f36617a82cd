//! Tests of the node's log on real files and on the faulty disk.

mod cleaning;
mod formats;
mod model;
mod opening;
mod power_cuts;

use std::sync::Arc;

use bytes::Bytes;
use openraft::{EntryPayload, Membership};
use tokio::runtime::Runtime;
use twinscale_log::fault_disk::FaultDisk;
use twinscale_log::{LogOptions, OpenReport};
use twinscale_protocol::NodeNumber;

use super::{GroupLog, GroupLogError, GroupLogOptions, LogIdentity};
use crate::ids::{ClusterTag, GroupId, LogPosition};
use crate::types::{Batch, Entry};

const IDENTITY: LogIdentity = LogIdentity {
    cluster: ClusterTag(7),
    node: NodeNumber(1),
};

/// Segments so small that a few entries fill one, and hardly anything in memory.
fn small_options() -> GroupLogOptions {
    GroupLogOptions {
        file: LogOptions {
            segment_bytes_max: 600,
            ..LogOptions::default()
        },
        cache_bytes_max: 300,
        garbage_factor: 2,
        resume_free_bytes: 64 << 10,
    }
}

fn create_small(disk: &FaultDisk) -> Result<GroupLog, GroupLogError> {
    let (files, room) = (Arc::new(disk.clone()), Arc::new(disk.clone()));
    GroupLog::create_on(files, room, IDENTITY, small_options())
}

fn open_small(disk: &FaultDisk) -> Result<(GroupLog, OpenReport), GroupLogError> {
    let (files, room) = (Arc::new(disk.clone()), Arc::new(disk.clone()));
    GroupLog::open_on(files, room, IDENTITY, small_options())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn position(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

/// An entry that is told from all others by its id.
fn entry(at: LogPosition, id: u64, filler_bytes: usize) -> Entry {
    let payload = match id % 16 {
        0 => EntryPayload::Blank,
        1 => {
            let voters = [NodeNumber(1), NodeNumber(id)].into();
            EntryPayload::Membership(Membership::new(vec![voters], None))
        }
        _ => {
            let mut bytes = id.to_le_bytes().to_vec();
            bytes.resize(8 + filler_bytes, u8::try_from(id % 251).unwrap());
            EntryPayload::Normal(Batch(Bytes::from(bytes)))
        }
    };
    Entry {
        log_id: at.into(),
        payload,
    }
}

async fn read_all(log: &GroupLog, group: GroupId) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = log.state(group).purged.map_or(0, |purged| purged.index + 1);
    loop {
        let chunk = log.entries(group, next, u64::MAX, 200).await.unwrap();
        let Some(last) = chunk.last() else {
            return entries;
        };
        next = last.log_id.index + 1;
        entries.extend(chunk);
    }
}
