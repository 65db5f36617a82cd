//! Changes of the members, each resting on a membership that its caller saw.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use twinscale_consensus::{Group, GroupError, GroupId, GroupRole, GroupStatus};
use twinscale_protocol::NodeNumber;

use crate::clients::Clients;
use crate::harness::{Cluster, PATIENCE};

const GROUP: GroupId = GroupId(0);

/// Shorter than a change takes that waits for a node that is cut off.
const SHORT: Duration = Duration::from_millis(300);

fn set(numbers: &[u64]) -> BTreeSet<NodeNumber> {
    numbers.iter().copied().map(NodeNumber).collect()
}

fn status(group: &Group) -> GroupStatus {
    group.status().unwrap().borrow().clone()
}

fn changed(asked: u64, at: u64) -> GroupError {
    GroupError::MembersChanged {
        group: GROUP,
        asked,
        at,
    }
}

/// Waits for a leader that knows its members, which it does once its own first entry is applied.
fn settled_leader(cluster: &Cluster) -> (NodeNumber, Group) {
    let mut found = None;
    cluster.wait_until("a leader knows its members", |cluster| {
        found = cluster.leader(GROUP).filter(|leader| {
            let status = status(&cluster.group(*leader, GROUP));
            status
                .applied
                .is_some_and(|applied| applied.term == status.term)
        });
        found.map(drop).ok_or_else(|| cluster.describe(GROUP))
    });
    let leader = found.expect("the wait ended");
    (leader, cluster.group(leader, GROUP))
}

fn wait_caught_up(cluster: &Cluster, group: &Group, node: u64) {
    cluster.wait_until("a learner has caught up", |_| {
        let status = status(group);
        match status.lag.get(&NodeNumber(node)) {
            Some(0) => Ok(()),
            _ => Err(format!("{status:?}")),
        }
    });
}

/// A replica moves: learner, caught up, voter; the old one stays as a learner until it is removed.
#[test]
fn replica_moves_to_a_new_node_and_the_old_one_leaves() {
    let mut cluster = Cluster::start(15, 3, 1);
    let clients = Clients::start(&cluster, 15, 2);
    clients.wait_progress(&cluster, 500);
    let (leader, group) = settled_leader(&cluster);
    let others = cluster.numbers();
    let old = *others.iter().find(|number| **number != leader).unwrap();
    cluster.add(NodeNumber(4));
    clients.know(&cluster);
    let before = status(&group);
    assert_eq!(before.voters, [set(&[1, 2, 3])]);
    assert_eq!(before.lag.len(), 3, "{before:?}");
    let added = group.add_learners(set(&[4]), before.membership_index, PATIENCE);
    let added = cluster.block_on(added).unwrap().index;
    assert!(added > before.membership_index);
    wait_caught_up(&cluster, &group, 4);
    let learned = status(&group);
    assert_eq!(learned.membership_index, added);
    assert_eq!(learned.voters, [set(&[1, 2, 3])]);
    assert_eq!(learned.learners, set(&[4]));

    let mut voters = set(&[1, 2, 3, 4]);
    voters.remove(&old);
    let replaced = group.change_voters(voters.clone(), added, PATIENCE);
    let replaced = cluster.block_on(replaced).unwrap().index;
    let now = status(&group);
    assert_eq!(
        (now.membership_index, &now.voters),
        (replaced, &vec![voters])
    );
    assert_eq!(now.learners, BTreeSet::from([old]));
    cluster.wait_until("the old replica knows that it has no vote", |cluster| {
        let status = status(&cluster.group(old, GROUP));
        let knows = status.role == GroupRole::Learner && status.membership_index == replaced;
        if knows {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });

    let removed = group.remove_learners(BTreeSet::from([old]), replaced, PATIENCE);
    let removed = cluster.block_on(removed).unwrap().index;
    let now = status(&group);
    assert_eq!((now.membership_index, now.learners), (removed, set(&[])));
    cluster.kill(old);
    clients.know(&cluster);
    clients.wait_progress(&cluster, 200);
    clients.finish(&cluster);
}

/// What rests on an older membership changes nothing, nor does what was done already.
#[test]
fn late_and_repeated_changes_are_refused() {
    let cluster = Cluster::start(31, 3, 1);
    let (leader, group) = settled_leader(&cluster);
    let first = status(&group).membership_index;
    let again = cluster.block_on(group.recommit_members(first, PATIENCE));
    let again = again.unwrap().index;
    assert!(again > first, "the same members have a new index");
    let same = status(&group);
    assert_eq!(
        (same.membership_index, &same.voters),
        (again, &vec![set(&[1, 2, 3])])
    );

    let refused = Err(changed(first, again));
    let late = async {
        [
            group.add_learners(set(&[4]), first, PATIENCE).await,
            group.remove_learners(set(&[4]), first, PATIENCE).await,
            group.change_voters(set(&[1, 2]), first, PATIENCE).await,
            group.recommit_members(first, PATIENCE).await,
        ]
    };
    for outcome in cluster.block_on(late) {
        assert_eq!(outcome, refused);
    }
    let early = cluster.block_on(group.recommit_members(again + 1, PATIENCE));
    assert_eq!(early, Err(changed(again + 1, again)));
    assert_eq!(status(&group).membership_index, again);
    assert_eq!(status(&group).learners, set(&[]));

    let unknown = cluster.block_on(group.change_voters(set(&[1, 2, 77]), again, PATIENCE));
    assert!(
        matches!(unknown, Err(GroupError::Members { .. })),
        "{unknown:?}"
    );
    let voter = cluster.block_on(group.remove_learners(set(&[1]), again, PATIENCE));
    assert!(
        matches!(voter, Err(GroupError::Members { .. })),
        "{voter:?}"
    );
    assert_eq!(status(&group).membership_index, again);

    let follower = cluster.numbers().into_iter().find(|one| *one != leader);
    let follower = cluster.group(follower.unwrap(), GROUP);
    let refused = cluster.block_on(follower.recommit_members(again, PATIENCE));
    assert!(
        matches!(refused, Err(GroupError::NotLeader { .. })),
        "{refused:?}"
    );
}

/// Of several changes that rest on one membership exactly one happens.
#[test]
fn of_concurrent_changes_one_happens() {
    let cluster = Cluster::start(32, 3, 1);
    let (_, group) = settled_leader(&cluster);
    for round in 0..10 {
        let at = status(&group).membership_index;
        let changes = (0..8).map(|change| {
            let group = group.clone();
            let learner = set(&[100 + 10 * round + change]);
            async move {
                match change % 3 {
                    0 => group.recommit_members(at, PATIENCE).await,
                    1 => group.change_voters(set(&[1, 2, 3]), at, PATIENCE).await,
                    _ => group.add_learners(learner, at, PATIENCE).await,
                }
            }
        });
        let changes: Vec<_> = changes.map(|one| cluster.runtime().spawn(one)).collect();
        let outcomes = cluster.block_on(join_all(changes));
        let mut done = Vec::new();
        for outcome in outcomes {
            match outcome.unwrap() {
                Ok(place) => done.push(place.index),
                Err(GroupError::MembersChanged {
                    asked, at: newest, ..
                }) => {
                    assert!(asked == at && newest > at, "{asked} {at} {newest}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(done, [status(&group).membership_index]);
    }
}

/// While a change is not committed, no other is taken up; a joint change that was left is ended.
#[test]
fn joint_change_that_was_left_is_ended() {
    let mut cluster = Cluster::start(33, 3, 1);
    let (leader, group) = settled_leader(&cluster);
    cluster.add(NodeNumber(4));
    cluster.add(NodeNumber(5));
    let first = status(&group).membership_index;
    let learners = group.add_learners(set(&[4, 5]), first, PATIENCE);
    let learners = cluster.block_on(learners).unwrap().index;
    wait_caught_up(&cluster, &group, 4);
    wait_caught_up(&cluster, &group, 5);

    // Without both of them the joint change has no majority of its new voters.
    cluster.network.isolate(&set(&[4, 5]));
    let goal: BTreeSet<NodeNumber> = [leader, NodeNumber(4), NodeNumber(5)].into();
    let unknown = cluster.block_on(group.change_voters(goal.clone(), learners, SHORT));
    assert!(
        matches!(unknown, Err(GroupError::OutcomeUnknown { .. })),
        "{unknown:?}"
    );
    let refused = cluster.block_on(group.recommit_members(learners, SHORT));
    assert_eq!(refused, Err(changed(learners, learners + 1)));
    assert_eq!(
        status(&group).voters,
        [set(&[1, 2, 3])],
        "only what is committed is shown"
    );

    cluster.network.heal();
    cluster.wait_until("the joint change is committed", |cluster| {
        let leader = cluster.leader(GROUP).ok_or("no leader")?;
        let status = status(&cluster.group(leader, GROUP));
        if status.voters == [set(&[1, 2, 3]), goal.clone()] {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    let (_, group) = settled_leader(&cluster);
    let joint = status(&group);
    assert!(
        joint.is_voter(NodeNumber(4)) && joint.learners.is_empty(),
        "{joint:?}"
    );
    let refused = group.remove_learners(set(&[9]), joint.membership_index, PATIENCE);
    let refused = cluster.block_on(refused);
    assert!(
        matches!(refused, Err(GroupError::Members { .. })),
        "{refused:?}"
    );
    let again = group.recommit_members(joint.membership_index, PATIENCE);
    let again = cluster.block_on(again).unwrap().index;
    let still = status(&group);
    assert_eq!(
        (still.membership_index, &still.voters),
        (again, &joint.voters)
    );

    let back = set(&[1, 2, 3]);
    let ended = cluster.block_on(group.change_voters(back.clone(), again, PATIENCE));
    let ended = ended.unwrap().index;
    let now = status(&group);
    assert_eq!((now.membership_index, now.voters), (ended, vec![back]));
    assert_eq!(now.learners, set(&[4, 5]));
    cluster.check_leaders();
}
