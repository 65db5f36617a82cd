//! Crashes at any write or sync, with any part of the unsynced bytes lost, while several groups write.

use futures::future::join_all;
use proptest::prelude::*;
use twinscale_log::fault_disk::{Fault, FaultDisk};
use twinscale_protocol::NodeNumber;

use super::model::{Change, Model};
use super::{create_small, entry, open_small, position, runtime};
use crate::group_log::{GroupLog, GroupLogError};
use crate::ids::GroupId;
use crate::types::Vote;

const GROUPS: u32 = 4;

/// What one life of the process does before it ends.
#[derive(Clone, Debug)]
struct Life {
    fault_after: u64,
    fault: Fault,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Several groups append at once.
    Append(Vec<(u32, Vec<u8>)>),
    Vote(u32, u64),
    /// Cuts this many entries off the end.
    Truncate(u32, u64),
    /// Purges through this share of what is there, in 1/256.
    Purge(u32, u8),
    /// Purges near or behind the end under a new term, as a snapshot of a leader does.
    PurgeAhead(u32, u64),
    Clean,
    LeaveRoom(Option<u64>),
}

fn life() -> impl Strategy<Value = Life> {
    let group = 0..GROUPS;
    let append = (group.clone(), prop::collection::vec(0_u8..120, 1..4));
    let step = prop_oneof![
        8 => prop::collection::vec(append, 1..5).prop_map(Step::Append),
        2 => (group.clone(), 1_u64..4).prop_map(|(group, up)| Step::Vote(group, up)),
        2 => (group.clone(), 0_u64..5).prop_map(|(group, count)| Step::Truncate(group, count)),
        3 => (group.clone(), any::<u8>()).prop_map(|(group, share)| Step::Purge(group, share)),
        1 => (group, 1_u64..9).prop_map(|(group, ahead)| Step::PurgeAhead(group, ahead)),
        3 => Just(Step::Clean),
        1 => prop::option::of(0_u64..500).prop_map(Step::LeaveRoom),
    ];
    (
        0_u64..80,
        prop_oneof![Just(Fault::PowerCut), Just(Fault::Error)],
        prop::collection::vec(step, 0..30),
    )
        .prop_map(|(fault_after, fault, steps)| Life {
            fault_after,
            fault,
            steps,
        })
}

/// What the lives share.
#[derive(Default)]
struct World {
    model: Model,
    next_id: u64,
    term: u64,
}

impl World {
    /// Does one step; returns whether the log still works.
    async fn step(&mut self, log: &GroupLog, disk: &FaultDisk, step: &Step) -> bool {
        match step {
            Step::Append(appends) => self.append(log, appends).await,
            Step::Vote(group, up) => {
                self.term += up;
                let vote = Vote::new(self.term, NodeNumber(u64::from(*group)));
                let outcome = log.save_vote(GroupId(*group), vote).await;
                self.model
                    .note(GroupId(*group), Change::Vote(vote), outcome)
            }
            Step::Truncate(group, count) => {
                let group = GroupId(*group);
                let model = self.model.group(group);
                let first = model.purged.map_or(0, |purged| purged.index + 1);
                let since = model.next_index().saturating_sub(*count).max(first);
                let outcome = log.truncate(group, since).await;
                self.model.note(group, Change::Truncate(since), outcome)
            }
            Step::Purge(group, share) => {
                let group = GroupId(*group);
                let model = self.model.group(group);
                let indexes: Vec<u64> = model.entries.keys().copied().collect();
                let Some(index) = indexes.get(indexes.len() * usize::from(*share) / 256) else {
                    return true;
                };
                let through = model.entries[index].position;
                let outcome = log.purge(group, through).await;
                self.model.note(group, Change::Purge(through), outcome)
            }
            Step::PurgeAhead(group, ahead) => {
                let group = GroupId(*group);
                self.term += 1;
                let model = self.model.group(group);
                let first = model.purged.map_or(0, |purged| purged.index + 1);
                let index = (model.next_index() + ahead).saturating_sub(4).max(first);
                let through = position(self.term, index);
                let outcome = log.purge(group, through).await;
                self.model.note(group, Change::Purge(through), outcome)
            }
            Step::Clean => match log.clean().await {
                Ok(_) | Err(GroupLogError::Refusing { .. } | GroupLogError::Log(_)) => true,
                Err(GroupLogError::Poisoned { .. }) => false,
                Err(error) => panic!("cleaning failed: {error}"),
            },
            Step::LeaveRoom(bytes) => {
                disk.leave_room(*bytes);
                bytes.is_some() || log.probe().await.is_ok()
            }
        }
    }

    async fn append(&mut self, log: &GroupLog, appends: &[(u32, Vec<u8>)]) -> bool {
        let mut writes = Vec::new();
        let mut seen = Vec::new();
        for (group, fillers) in appends {
            if seen.contains(group) {
                continue;
            }
            seen.push(*group);
            let first = self.model.group(GroupId(*group)).next_index();
            let entries: Vec<_> = fillers
                .iter()
                .zip(first..)
                .map(|(filler, index)| {
                    self.next_id += 1;
                    entry(
                        position(self.term, index),
                        self.next_id,
                        usize::from(*filler),
                    )
                })
                .collect();
            writes.push((GroupId(*group), entries));
        }
        let outcomes = join_all(
            writes
                .iter()
                .map(|(group, entries)| log.append(*group, entries.clone())),
        )
        .await;
        let mut works = true;
        for ((group, entries), outcome) in writes.into_iter().zip(outcomes) {
            works &= self.model.note(group, Change::Append(entries), outcome);
        }
        works
    }

    /// Runs one life; the fault may strike while the log opens, while it works, or not at all.
    async fn live(&mut self, disk: &FaultDisk, life: &Life) {
        disk.arm(life.fault_after, life.fault);
        match open_small(disk) {
            Ok((log, _)) => {
                self.model.check(&log).await;
                for step in &life.steps {
                    if !self.step(&log, disk, step).await {
                        break;
                    }
                }
            }
            Err(
                GroupLogError::Io { .. } | GroupLogError::Log(twinscale_log::LogError::Io { .. }),
            ) => {}
            Err(error) => panic!("the log refuses to open after a crash: {error}"),
        }
        disk.leave_room(None);
        if life.fault == Fault::PowerCut {
            disk.crash();
        } else {
            disk.kill();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn acknowledged_changes_of_all_groups_survive_every_crash(
        seed in any::<u64>(),
        lives in prop::collection::vec(life(), 1..6),
    ) {
        let disk = FaultDisk::new(seed);
        runtime().block_on(async {
            drop(create_small(&disk).unwrap());
            let mut world = World::default();
            for life in &lives {
                world.live(&disk, life).await;
            }
            disk.crash();
            let (log, _) = open_small(&disk).unwrap();
            world.model.check(&log).await;
        });
    }
}

/// A full disk refuses votes and entries of every group until there is room, and keeps nothing of them.
#[test]
fn full_disk_refuses_every_group_until_there_is_room() {
    runtime().block_on(async {
        let disk = FaultDisk::new(1);
        let log = create_small(&disk).unwrap();
        let (one, two) = (GroupId(1), GroupId(2));
        log.append(one, vec![entry(position(1, 0), 2, 50)])
            .await
            .unwrap();
        disk.leave_room(Some(30));
        let refused = log.append(one, vec![entry(position(1, 1), 3, 50)]).await;
        assert!(matches!(
            refused,
            Err(GroupLogError::Log(
                twinscale_log::LogError::WriteRefused { .. }
            ))
        ));
        disk.leave_room(Some(40_000));
        assert!(!log.probe().await.unwrap(), "too little room to go on");
        let vote = Vote::new(5, NodeNumber(1));
        let refused = log.save_vote(two, vote).await;
        assert!(
            matches!(refused, Err(GroupLogError::Refusing { .. })),
            "{refused:?}"
        );
        disk.leave_room(None);
        assert!(log.probe().await.unwrap());
        log.save_vote(two, vote).await.unwrap();
        log.append(one, vec![entry(position(1, 1), 4, 50)])
            .await
            .unwrap();
        drop(log);
        disk.crash();
        let (log, _) = open_small(&disk).unwrap();
        assert_eq!(log.vote(two), Some(vote));
        assert_eq!(log.state(one).last, Some(position(1, 1)));
    });
}

/// A failed fsync poisons all groups for good, and a probe does not change that.
#[test]
fn failed_sync_poisons_every_group_for_good() {
    runtime().block_on(async {
        let disk = FaultDisk::new(1);
        let log = create_small(&disk).unwrap();
        let condition = log.condition();
        disk.arm(1, Fault::Error);
        let unknown = log
            .append(GroupId(1), vec![entry(position(1, 0), 2, 50)])
            .await;
        assert!(unknown.is_err());
        let refused = log.save_vote(GroupId(2), Vote::new(1, NodeNumber(1))).await;
        assert!(
            matches!(refused, Err(GroupLogError::Poisoned { .. })),
            "{refused:?}"
        );
        assert!(log.probe().await.is_err());
        let condition = condition.borrow().clone();
        assert!(matches!(condition, crate::LogCondition::Poisoned { .. }));
    });
}
