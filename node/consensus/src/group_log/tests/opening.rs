//! Whose log a directory holds.

use twinscale_log::fault_disk::{Fault, FaultDisk};
use twinscale_protocol::NodeNumber;

use super::{IDENTITY, create_small, entry, open_small, position, runtime, small_options};
use crate::group_log::{GroupLog, GroupLogError, LogIdentity};
use crate::ids::{ClusterTag, GroupId};

#[test]
fn wiped_node_is_refused_under_its_old_number() {
    let disk = FaultDisk::new(1);
    let refused = open_small(&disk).unwrap_err();
    assert!(
        matches!(refused, GroupLogError::Missing { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("under a new number"),
        "{refused}"
    );
    // The segments without the identity, and the identity without the segments.
    drop(create_small(&disk).unwrap());
    let lost = disk.snapshot();
    lost.delete_file("identity");
    lost.kill();
    let refused = open_small(&lost).unwrap_err();
    assert!(
        matches!(refused, GroupLogError::Missing { .. }),
        "{refused}"
    );
    disk.delete_file("segment-00000000000000000001.log");
    disk.delete_file("durable-floor");
    disk.kill();
    let refused = open_small(&disk).unwrap_err();
    assert!(
        matches!(refused, GroupLogError::Missing { .. }),
        "{refused}"
    );
}

#[test]
fn log_of_another_node_or_cluster_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(GroupLog::create(directory.path(), IDENTITY, small_options()).unwrap());
    let others = [
        LogIdentity {
            node: NodeNumber(2),
            ..IDENTITY
        },
        LogIdentity {
            cluster: ClusterTag(8),
            ..IDENTITY
        },
    ];
    for other in others {
        let refused = GroupLog::open(directory.path(), other, small_options()).unwrap_err();
        assert!(
            matches!(refused, GroupLogError::Foreign { .. }),
            "{refused}"
        );
    }
    let refused = GroupLog::create(directory.path(), IDENTITY, small_options()).unwrap_err();
    assert!(matches!(refused, GroupLogError::Exists { .. }), "{refused}");
    GroupLog::open(directory.path(), IDENTITY, small_options()).unwrap();
}

#[test]
fn damaged_identity_is_refused() {
    let disk = FaultDisk::new(1);
    drop(create_small(&disk).unwrap());
    let mut bytes = disk.file_bytes("identity").unwrap();
    bytes[20] ^= 1;
    disk.overwrite_file("identity", bytes);
    disk.kill();
    let refused = open_small(&disk).unwrap_err();
    assert!(
        matches!(refused, GroupLogError::IdentityDamaged { .. }),
        "{refused}"
    );
}

/// A making that is cut short leaves a directory that is refused, never one that forgot something.
#[test]
fn making_that_is_cut_short_is_refused_or_whole() {
    let mut whole = 0;
    for after in 0..16 {
        for seed in 0..20 {
            let disk = FaultDisk::new(seed);
            disk.arm(after, Fault::PowerCut);
            let made = create_small(&disk).map(drop).is_ok();
            disk.crash();
            match open_small(&disk) {
                Ok(_) => whole += 1,
                Err(GroupLogError::Missing { .. }) => {
                    assert!(!made, "a log that was made is there");
                }
                Err(error) => panic!("cut after {after}: {error}"),
            }
        }
    }
    assert!(whole > 0, "some were made");
}

/// An entry that vanished from the middle is no shorter log.
#[test]
fn gap_in_a_group_is_refused() {
    runtime().block_on(async {
        let disk = FaultDisk::new(1);
        let log = create_small(&disk).unwrap();
        for index in 0..12 {
            let entry = entry(position(1, index), index * 16 + 2, 80);
            log.append(GroupId(1), vec![entry]).await.unwrap();
        }
        drop(log);
        // The oldest segment goes as a purge would take it, but the group's entries were not purged.
        disk.delete_file("segment-00000000000000000001.log");
        disk.kill();
        let refused = open_small(&disk).unwrap_err();
        assert!(
            matches!(refused, GroupLogError::Gap { index: 0, .. }),
            "{refused}"
        );
    });
}
