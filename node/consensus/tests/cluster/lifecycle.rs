//! Members, leadership, snapshots and full disks.

use std::time::Duration;

use std::sync::Arc;
use twinscale_consensus::{GroupError, GroupId, GroupRole, LogCondition, StartGroupError};
use twinscale_protocol::NodeNumber;

use crate::clients::Clients;
use crate::harness::{Cluster, PATIENCE};
use crate::register::{Answer, Command, Register};

const GROUP: GroupId = GroupId(0);

fn write(cluster: &Cluster, node: NodeNumber, id: u64) -> Result<Answer, GroupError> {
    let group = cluster.group(node, GROUP);
    let proposed = cluster.block_on(group.propose(Command::Write(id).encode(), PATIENCE))?;
    Ok(Answer::decode(&proposed.response))
}

#[test]
fn proposals_are_applied_on_all_and_read_back() {
    let cluster = Cluster::start(11, 3, 1);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    for id in 1..=20 {
        let answer = write(&cluster, leader, id).unwrap();
        assert_eq!((answer.version, answer.writer), (id, Some(id)));
    }
    let group = cluster.group(leader, GROUP);
    let point = cluster
        .block_on(group.check_linearizable(PATIENCE))
        .unwrap();
    let status = group.status().unwrap().borrow().clone();
    assert_eq!(point.term, status.term);
    let follower = cluster
        .numbers()
        .into_iter()
        .find(|number| *number != leader)
        .unwrap();
    cluster.wait_until("a follower knows its leader", |cluster| {
        let status = cluster
            .group(follower, GROUP)
            .status()
            .unwrap()
            .borrow()
            .clone();
        if status.leader == Some(leader) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    let refused = write(&cluster, follower, 99).unwrap_err();
    let not_leader = GroupError::NotLeader {
        group: GROUP,
        leader: Some(leader),
    };
    assert_eq!(refused, not_leader);
    assert_eq!(
        cluster.wait_agreement()[&GROUP],
        (1..=20).collect::<Vec<_>>()
    );
    let huge = group.propose(vec![0; (4 << 20) + 1].into(), PATIENCE);
    assert!(matches!(
        cluster.block_on(huge),
        Err(GroupError::TooLarge { .. })
    ));
}

/// Without a majority a leader refuses, at first with an unknown outcome, then at once.
#[test]
fn leader_without_majority_refuses() {
    let cluster = Cluster::start(12, 3, 1);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    write(&cluster, leader, 1).unwrap();
    cluster.network.isolate(&[leader].into());
    let group = cluster.group(leader, GROUP);
    let short = Duration::from_millis(300);
    let unknown = cluster.block_on(group.propose(Command::Write(2).encode(), short));
    assert!(
        matches!(unknown, Err(GroupError::OutcomeUnknown { .. })),
        "{unknown:?}"
    );
    cluster.wait_until("it knows that it has no majority", |_| {
        let status = group.status().unwrap().borrow().clone();
        if status.has_quorum {
            Err(format!("{status:?}"))
        } else {
            Ok(())
        }
    });
    let refused = cluster.block_on(group.propose(Command::Write(3).encode(), PATIENCE));
    assert_eq!(refused, Err(GroupError::NoQuorum { group: GROUP }));
    let refused = cluster.block_on(group.check_linearizable(PATIENCE));
    assert_eq!(refused, Err(GroupError::NoQuorum { group: GROUP }));
    let others: Vec<NodeNumber> = cluster
        .numbers()
        .into_iter()
        .filter(|one| *one != leader)
        .collect();
    let next = cluster.wait_leader(GROUP, &others);
    write(&cluster, next, 4).unwrap();
    cluster.network.heal();
    let writers = cluster.wait_agreement();
    assert_eq!(
        writers[&GROUP],
        [1, 4],
        "what was cut off never takes effect"
    );
    cluster.check_leaders();
}

/// A follower that missed more than the log keeps comes back by a snapshot.
#[test]
fn follower_that_lags_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::start(13, 3, 1);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    let follower = cluster
        .numbers()
        .into_iter()
        .find(|number| *number != leader)
        .unwrap();
    cluster.kill(follower);
    for id in 1..=700 {
        write(&cluster, leader, id).unwrap();
    }
    cluster.wait_until("the log was purged", |cluster| {
        let metrics = cluster.group(leader, GROUP).metrics().unwrap();
        let purged = metrics.purged.is_some_and(|purged| purged.index > 300);
        if purged {
            Ok(())
        } else {
            Err(format!("{metrics:?}"))
        }
    });
    cluster.restart(follower);
    cluster.wait_agreement();
    assert!(
        cluster.nodes[&follower].registers[&GROUP].installs() > 0,
        "it came by a snapshot"
    );
    // Its own snapshot brings it up when it starts again without any peer.
    let before = cluster.nodes[&follower].registers[&GROUP].writers().len();
    cluster.cut_power(follower);
    cluster.network.isolate(&[follower].into());
    cluster.restart(follower);
    let after = cluster.nodes[&follower].registers[&GROUP].writers().len();
    assert!(
        after >= 400 && after <= before,
        "{after} of {before} versions"
    );
    cluster.network.heal();
    cluster.wait_agreement();
}

/// A state that lacks what its log has purged, with the snapshot gone, does not start.
#[test]
fn state_behind_its_log_does_not_start() {
    let mut cluster = Cluster::start(14, 3, 1);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    for id in 1..=400 {
        write(&cluster, leader, id).unwrap();
    }
    let follower = cluster
        .numbers()
        .into_iter()
        .find(|number| *number != leader)
        .unwrap();
    cluster.wait_until("the follower purged its log", |cluster| {
        let metrics = cluster.group(follower, GROUP).metrics().unwrap();
        if metrics.purged.is_some() {
            Ok(())
        } else {
            Err(format!("{metrics:?}"))
        }
    });
    let groups = Arc::clone(&cluster.nodes[&follower].groups);
    cluster.block_on(groups.stop(GROUP));
    let disk = cluster.disks(follower).snapshots;
    for name in twinscale_log::disk::Disk::list(&disk).unwrap() {
        disk.delete_file(&name);
    }
    let refused = cluster.block_on(groups.start(GROUP, Arc::new(Register::default())));
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, StartGroupError::StateBehindLog { .. }),
        "{refused}"
    );
    drop(groups);
    cluster.kill(follower);
}

#[test]
fn leadership_is_handed_over_in_groups_of_three_and_five() {
    for nodes in [3, 5] {
        let cluster = Cluster::start(16 + nodes, nodes, 1);
        let clients = Clients::start(&cluster, 16, 2);
        for _ in 0..3 {
            clients.wait_progress(&cluster, 50);
            let leader = cluster.wait_leader(GROUP, &cluster.numbers());
            let to = cluster
                .numbers()
                .into_iter()
                .find(|number| *number != leader)
                .unwrap();
            let group = cluster.group(leader, GROUP);
            cluster
                .block_on(group.transfer_leadership(to, PATIENCE))
                .unwrap();
        }
        clients.wait_progress(&cluster, 50);
        clients.finish(&cluster);
    }
}

/// A full disk takes a node out of all votes, visibly, until it has room again.
#[test]
fn full_disk_takes_a_node_out_until_there_is_room() {
    let cluster = Cluster::start(22, 3, 2);
    let clients = Clients::start(&cluster, 22, 2);
    clients.wait_progress(&cluster, 100);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    let disk = cluster.disks(leader).log;
    disk.leave_room(Some(200));
    let log = cluster.nodes[&leader].groups.log().clone();
    cluster.wait_until("the leader stopped", |cluster| {
        let status = cluster
            .group(leader, GROUP)
            .status()
            .unwrap()
            .borrow()
            .clone();
        let refuses = matches!(*log.condition().borrow(), LogCondition::Refusing { .. });
        if status.role == GroupRole::Stopped && refuses {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    let refused = write(&cluster, leader, u64::MAX).unwrap_err();
    assert!(
        matches!(refused, GroupError::LogRefuses { .. }),
        "{refused}"
    );
    clients.wait_progress(&cluster, 200);
    disk.leave_room(None);
    cluster.wait_until("the node runs again", |cluster| {
        let status = cluster
            .group(leader, GROUP)
            .status()
            .unwrap()
            .borrow()
            .clone();
        if status.role == GroupRole::Stopped {
            Err(format!("{status:?}"))
        } else {
            Ok(())
        }
    });
    clients.wait_progress(&cluster, 100);
    clients.finish(&cluster);
}

/// A failed sync takes a node out until it is started again; nothing that was acknowledged is lost.
#[test]
fn failed_sync_takes_a_node_out_until_it_is_started_again() {
    let mut cluster = Cluster::start(23, 3, 2);
    let clients = Clients::start(&cluster, 23, 2);
    clients.wait_progress(&cluster, 100);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    let log = cluster.nodes[&leader].groups.log().clone();
    cluster.wait_until("a sync failed", |cluster| {
        // A write that fails is cut short and refused; the next fault may strike a sync.
        cluster
            .disks(leader)
            .log
            .arm(1, twinscale_log::fault_disk::Fault::Error);
        cluster.disks(leader).log.leave_room(None);
        let condition = log.condition().borrow().clone();
        if matches!(condition, LogCondition::Poisoned { .. }) {
            Ok(())
        } else {
            Err(format!("{condition:?}"))
        }
    });
    cluster.disks(leader).log.disarm();
    drop(log);
    clients.wait_progress(&cluster, 200);
    for group in cluster.group_ids() {
        cluster.wait_until("every group of the node stopped", |cluster| {
            let status = cluster.group(leader, *group).status().unwrap();
            let status = status.borrow().clone();
            if status.role == GroupRole::Stopped {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        });
    }
    cluster.kill(leader);
    clients.know(&cluster);
    cluster.restart(leader);
    clients.know(&cluster);
    clients.wait_progress(&cluster, 100);
    clients.finish(&cluster);
}

/// Many groups share the log of each node.
#[test]
fn sixty_four_groups_on_three_nodes_survive_a_node() {
    let mut cluster = Cluster::start(24, 3, 64);
    for group in cluster.group_ids() {
        cluster.wait_leader(*group, &cluster.numbers());
    }
    let clients = Clients::start(&cluster, 24, 1);
    clients.wait_progress(&cluster, 1_000);
    let lost = NodeNumber(2);
    cluster.cut_power(lost);
    clients.know(&cluster);
    let rest = cluster.numbers();
    for group in cluster.group_ids() {
        cluster.wait_leader(*group, &rest);
    }
    clients.wait_progress(&cluster, 1_000);
    cluster.restart(lost);
    clients.know(&cluster);
    clients.wait_progress(&cluster, 1_000);
    clients.finish(&cluster);
    let log = cluster.nodes[&NodeNumber(1)].groups.log();
    assert_eq!(log.groups().len(), 64);
    let metrics = log.metrics();
    assert!(
        metrics.proposals > metrics.batches,
        "groups shared syncs: {metrics:?}"
    );
}
