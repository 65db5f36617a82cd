//! Crashes at any write or sync, with any part of the unsynced bytes lost.

use proptest::prelude::*;

use super::model::Model;
use super::{command, open_small};
use crate::error::LogError;
use crate::fault_disk::{Fault, FaultDisk};

/// What one life of the process does before it ends.
#[derive(Clone, Debug)]
struct Life {
    fault_after: u64,
    fault: Fault,
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Debug)]
enum Step {
    Propose(Vec<u8>),
    /// Purge through this share of what is there, in 1/256.
    Purge(u8),
    /// Leave room for this many bytes more, or without end.
    LeaveRoom(Option<u64>),
}

#[derive(Clone, Copy, Debug)]
enum End {
    PowerCut,
    Kill,
    Close,
}

fn life() -> impl Strategy<Value = Life> {
    let step = prop_oneof![
        8 => prop::collection::vec(0_u8..120, 1..5).prop_map(Step::Propose),
        1 => any::<u8>().prop_map(Step::Purge),
        1 => prop::option::of(0_u64..500).prop_map(Step::LeaveRoom),
    ];
    (
        0_u64..60,
        prop_oneof![Just(Fault::PowerCut), Just(Fault::Error)],
        prop::collection::vec(step, 0..24),
        prop_oneof![Just(End::PowerCut), Just(End::Kill), Just(End::Close)],
    )
        .prop_map(|(fault_after, fault, steps, end)| Life {
            fault_after,
            fault,
            steps,
            end,
        })
}

/// Runs one life; the fault may strike while the log opens, while it works, or not at all.
fn live(disk: &FaultDisk, model: &mut Model, next_id: &mut u64, life: &Life) {
    disk.arm(life.fault_after, life.fault);
    match open_small(disk) {
        Ok((log, _)) => {
            model.check(&log);
            for step in &life.steps {
                let works = match step {
                    Step::Propose(fillers) => {
                        let commands = fillers
                            .iter()
                            .map(|filler| {
                                *next_id += 1;
                                command(*next_id, usize::from(*filler))
                            })
                            .collect();
                        model.propose(&log, commands)
                    }
                    Step::Purge(share) => {
                        let last = model.kept.keys().last().copied().unwrap_or(0);
                        // A log that cannot purge goes on, and purges again.
                        let purged = model.purge(&log, last * u64::from(*share) / 256);
                        purged || life.fault == Fault::Error
                    }
                    Step::LeaveRoom(bytes) => {
                        disk.leave_room(*bytes);
                        true
                    }
                };
                if !works {
                    break;
                }
            }
            match life.end {
                End::PowerCut => disk.crash(),
                End::Kill => {}
                End::Close => drop(log.close()),
            }
        }
        Err(LogError::Io { .. }) => {}
        Err(error) => panic!("the log refuses to open after a crash: {error}"),
    }
    disk.leave_room(None);
    // A cut that struck must be taken; otherwise the next process sees what was written.
    if life.fault == Fault::PowerCut {
        disk.crash();
    } else {
        disk.kill();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn acknowledged_entries_survive_every_crash(
        seed in any::<u64>(),
        lives in prop::collection::vec(life(), 1..7),
    ) {
        let disk = FaultDisk::new(seed);
        let mut model = Model::default();
        let mut next_id = 0;
        for life in &lives {
            live(&disk, &mut model, &mut next_id, life);
        }
        disk.crash();
        let (log, _) = open_small(&disk).unwrap();
        model.check(&log);
    }
}

/// A failed fdatasync leaves bytes that reads see and the disk lacks; opening must renew them.
#[test]
fn bytes_shown_after_a_failed_sync_are_made_durable_by_opening() {
    let mut seen_recovered = 0;
    for seed in 0..200 {
        let disk = FaultDisk::new(seed);
        let mut model = Model::default();
        let (log, _) = open_small(&disk).unwrap();
        assert!(model.propose(&log, vec![command(1, 40)]));
        disk.arm(1, Fault::Error);
        assert!(!model.propose(&log, vec![command(2, 40)]));
        drop(log);
        disk.kill();
        let (log, report) = open_small(&disk).unwrap();
        model.check(&log);
        seen_recovered += report.last_index.get() - 1;
        assert!(model.propose(&log, vec![command(3, 40)]));
        disk.crash();
        let (log, _) = open_small(&disk).unwrap();
        model.check(&log);
    }
    assert_eq!(
        seen_recovered, 200,
        "reads see the bytes after a failed sync"
    );
}

/// A cut of a refused batch whose fdatasync failed leaves bytes that only the disk has; opening must cut
/// them again, or they stand behind the last entry when the log goes on in a new segment.
#[test]
fn bytes_hidden_by_a_failed_cut_are_gone_after_opening() {
    let mut hidden = 0;
    for seed in 0..200 {
        let disk = FaultDisk::new(seed);
        let mut model = Model::default();
        let (log, _) = open_small(&disk).unwrap();
        assert!(model.propose(&log, vec![command(1, 40)]));
        let length = visible_bytes(&disk);
        disk.leave_room(Some(30));
        // The refused write and the cut pass; the sync of the cut does not.
        disk.arm(2, Fault::Error);
        assert!(!model.propose(&log, vec![command(2, 40)]));
        drop(log);
        disk.leave_room(None);
        disk.kill();
        assert_eq!(visible_bytes(&disk), length, "reads see the cut");
        let untouched = disk.snapshot();
        untouched.crash();
        hidden += usize::from(visible_bytes(&untouched) > length);
        let (log, _) = open_small(&disk).unwrap();
        model.check(&log);
        drop(log);
        disk.crash();
        assert_eq!(visible_bytes(&disk), length, "opening made the cut durable");
    }
    assert!(hidden > 20, "the disk had hidden bytes in {hidden} of 200");
}

fn visible_bytes(disk: &FaultDisk) -> usize {
    let name = crate::format::segment_name(crate::LogIndex::ZERO.next());
    disk.file_bytes(&name).unwrap().len()
}
