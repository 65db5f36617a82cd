//! What a purge frees, and what lives on.

use futures::future::join_all;
use twinscale_log::fault_disk::FaultDisk;
use twinscale_protocol::NodeNumber;

use super::{create_small, entry, open_small, position, read_all, runtime};
use crate::group_log::GroupLog;
use crate::ids::GroupId;
use crate::types::Vote;

const BUSY: GroupId = GroupId(1);
const LAGGING: GroupId = GroupId(2);

async fn fill(log: &GroupLog, group: GroupId, indexes: std::ops::Range<u64>) {
    for index in indexes {
        log.append(group, vec![entry(position(1, index), index * 16 + 2, 80)])
            .await
            .unwrap();
    }
}

/// A group that purges nothing holds its own entries and not the segments of the others.
#[test]
fn lagging_group_does_not_hold_the_disk() {
    runtime().block_on(async {
        let disk = FaultDisk::new(3);
        let log = create_small(&disk).unwrap();
        let vote = Vote::new(4, NodeNumber(1));
        log.save_vote(GroupId(3), vote).await.unwrap();
        fill(&log, LAGGING, 0..3).await;
        let mut disk_bytes_max = 0;
        for round in 0..40 {
            fill(&log, BUSY, round * 10..round * 10 + 10).await;
            log.purge(BUSY, position(1, round * 10 + 8)).await.unwrap();
            log.clean().await.unwrap();
            disk_bytes_max = disk_bytes_max.max(log.disk_bytes());
        }
        // Ten live entries of 150 bytes twice, two segments, and the one that is written.
        assert!(
            disk_bytes_max < 6_000,
            "{disk_bytes_max} bytes for some 2,000 that live"
        );
        assert_eq!(read_all(&log, LAGGING).await.len(), 3);
        drop(log);
        disk.crash();
        let (log, report) = open_small(&disk).unwrap();
        assert!(
            report.first_index.get() > 300,
            "old segments are gone: {report:?}"
        );
        assert_eq!(read_all(&log, LAGGING).await.len(), 3);
        assert_eq!(read_all(&log, BUSY).await.len(), 1);
        assert_eq!(log.vote(GroupId(3)), Some(vote));
    });
}

/// Readers of entries that are not cached go on while the cleaner moves them.
#[test]
fn readers_follow_entries_that_are_copied_forward() {
    runtime().block_on(async {
        let disk = FaultDisk::new(4);
        let log = create_small(&disk).unwrap();
        fill(&log, LAGGING, 0..20).await;
        let work = async {
            for round in 0..30 {
                fill(&log, BUSY, round * 10..round * 10 + 10).await;
                log.purge(BUSY, position(1, round * 10 + 9)).await.unwrap();
                log.clean().await.unwrap();
            }
        };
        let readers = join_all((0..4).map(|_| async {
            for _ in 0..60 {
                assert_eq!(read_all(&log, LAGGING).await.len(), 20);
            }
        }));
        futures::join!(work, readers);
    });
}

/// A group that was erased stays so, whatever of it still stands in old segments, and can begin anew.
#[test]
fn erased_group_is_forgotten_and_begins_anew() {
    runtime().block_on(async {
        let disk = FaultDisk::new(5);
        let log = create_small(&disk).unwrap();
        let gone = LAGGING;
        log.save_vote(gone, Vote::new(4, NodeNumber(1)))
            .await
            .unwrap();
        fill(&log, gone, 0..20).await;
        log.purge(gone, position(1, 8)).await.unwrap();
        fill(&log, BUSY, 0..5).await;
        log.erase(gone).await.unwrap();
        let is_forgotten = |log: &GroupLog| {
            let state = log.state(gone);
            assert_eq!(
                (state.purged, state.last, log.vote(gone)),
                (None, None, None)
            );
            assert_eq!(log.groups(), [BUSY]);
        };
        is_forgotten(&log);
        drop(log);
        disk.crash();
        let (log, _) = open_small(&disk).unwrap();
        is_forgotten(&log);
        // The record of it goes with the segments that it speaks of.
        for round in 0..10 {
            fill(&log, BUSY, round * 10 + 5..round * 10 + 15).await;
            log.purge(BUSY, position(1, round * 10 + 13)).await.unwrap();
            log.clean().await.unwrap();
        }
        drop(log);
        disk.crash();
        let (log, report) = open_small(&disk).unwrap();
        assert!(report.first_index.get() > 30, "{report:?}");
        is_forgotten(&log);
        let vote = Vote::new(1, NodeNumber(2));
        log.save_vote(gone, vote).await.unwrap();
        fill(&log, gone, 0..3).await;
        drop(log);
        disk.crash();
        let (log, _) = open_small(&disk).unwrap();
        assert_eq!(read_all(&log, gone).await.len(), 3);
        assert_eq!(log.vote(gone), Some(vote));
    });
}
