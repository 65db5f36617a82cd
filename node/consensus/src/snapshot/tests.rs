//! Snapshots on the faulty disk: whole or not there.

use std::io::{Cursor, Read};
use std::sync::Arc;

use openraft::Membership;
use twinscale_log::disk::Disk;
use twinscale_log::fault_disk::{Fault, FaultDisk};
use twinscale_protocol::NodeNumber;

use super::{SnapshotError, SnapshotFile, SnapshotStore};
use crate::ids::{GroupId, LogPosition};
use crate::machine::{AppliedMark, StateImage};
use crate::types::StoredMembership;

const GROUP: GroupId = GroupId(9);

fn store(disk: &FaultDisk) -> Result<SnapshotStore, SnapshotError> {
    SnapshotStore::open(Arc::new(disk.clone()))
}

fn mark(index: u64) -> AppliedMark {
    let voters = [NodeNumber(1), NodeNumber(2)].into();
    let membership = Membership::new(vec![voters], None);
    let at = LogPosition { term: 1, index: 0 };
    let membership = StoredMembership::new(Some(at.into()), membership);
    AppliedMark::new(LogPosition { term: 3, index }.into(), &membership)
}

fn image(index: u64, contents: &[u8]) -> StateImage {
    StateImage {
        mark: mark(index),
        contents: Box::new(Cursor::new(contents.to_vec())),
    }
}

fn contents_of(snapshot: &SnapshotFile) -> Vec<u8> {
    let (_, _, mut contents) = snapshot.read_header().unwrap();
    let mut bytes = Vec::new();
    contents.read_to_end(&mut bytes).unwrap();
    bytes
}

/// More than two chunks, none alike.
fn large() -> Vec<u8> {
    (0_u32..200_000).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn newest_snapshot_is_found_and_older_ones_go() {
    let disk = FaultDisk::new(1);
    let snapshots = store(&disk).unwrap();
    for (index, contents) in [(5, vec![]), (9, vec![1, 2, 3]), (12, large())] {
        snapshots.build(GROUP, image(index, &contents)).unwrap();
        disk.crash();
        let snapshots = store(&disk).unwrap();
        let (found, found_mark) = snapshots.newest(GROUP).unwrap().unwrap();
        assert_eq!(found_mark, mark(index));
        assert_eq!(contents_of(&found), contents);
        assert!(snapshots.newest(GroupId(1)).unwrap().is_none());
    }
}

/// A power cut at any write or sync leaves the old snapshot or the new one, whole.
#[test]
fn building_that_is_cut_short_leaves_the_old_snapshot() {
    let (mut old, mut new) = (0, 0);
    for after in 0..14 {
        for seed in 0..10 {
            let disk = FaultDisk::new(seed);
            store(&disk)
                .unwrap()
                .build(GROUP, image(5, b"old"))
                .unwrap();
            disk.arm(after, Fault::PowerCut);
            let snapshots = store(&disk).unwrap();
            let built = snapshots.build(GROUP, image(8, &large())).is_ok();
            disk.crash();
            let snapshots = store(&disk).unwrap();
            let (found, found_mark) = snapshots.newest(GROUP).unwrap().expect("one is there");
            match found_mark.position().index {
                5 if !built => old += 1,
                8 => new += 1,
                index => panic!("built {built}, found {index}"),
            }
            let wanted = if found_mark == mark(5) {
                b"old".to_vec()
            } else {
                large()
            };
            assert_eq!(contents_of(&found), wanted);
            let rests = disk.list().unwrap();
            assert!(!rests.iter().any(|name| name.contains(".tmp")), "{rests:?}");
        }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

/// A receiver that has only a part, or a part twice, or a changed byte, refuses and removes it.
#[test]
fn half_copied_or_changed_snapshot_is_refused_and_removed() {
    let source = FaultDisk::new(1);
    let snapshot = store(&source)
        .unwrap()
        .build(GROUP, image(8, &large()))
        .unwrap();
    let whole = snapshot.bytes_at(0, usize::MAX).unwrap();
    let mut changed = Vec::new();
    for at in [
        0,
        9,
        30,
        60,
        100_000,
        whole.len() / 2,
        whole.len() - 60,
        whole.len() - 1,
    ] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        changed.push(bytes);
    }
    for count in [0, 5, 40, 100_000, whole.len() - 52, whole.len() - 1] {
        changed.push(whole[..count].to_vec());
    }
    changed.push([whole.clone(), vec![0]].concat());
    changed.push([&whole[..100_000], &whole[50_000..]].concat());
    let disk = FaultDisk::new(2);
    let snapshots = store(&disk).unwrap();
    for bytes in changed {
        let mut incoming = snapshots.begin(GROUP).unwrap();
        incoming.append(&bytes).unwrap();
        let refused = incoming.finish(&mark(8)).unwrap_err();
        assert!(
            matches!(
                refused,
                SnapshotError::Damaged { .. } | SnapshotError::Mark { .. }
            ),
            "{refused}"
        );
        assert_eq!(disk.list().unwrap(), Vec::<String>::new(), "nothing stays");
    }
    let mut incoming = snapshots.begin(GROUP).unwrap();
    for part in whole.chunks(70_000) {
        incoming.append(part).unwrap();
    }
    let received = incoming.finish(&mark(8)).unwrap();
    assert_eq!(contents_of(&received), large());
    // The same bytes under another mark are not what the leader announced.
    let mut incoming = snapshots.begin(GROUP).unwrap();
    incoming.append(&whole).unwrap();
    assert!(incoming.finish(&mark(9)).is_err());
}

/// Damage on disk after the fact: the damaged one is not used.
#[test]
fn damaged_snapshot_is_not_used() {
    let disk = FaultDisk::new(1);
    let snapshot = store(&disk)
        .unwrap()
        .build(GROUP, image(8, &large()))
        .unwrap();
    let mut bytes = disk.file_bytes(&snapshot.name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    disk.overwrite_file(&snapshot.name, bytes);
    assert!(store(&disk).unwrap().newest(GROUP).unwrap().is_none());
}
