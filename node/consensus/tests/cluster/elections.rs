//! Who stands for election, and who does not.

use std::time::Duration;

use tokio::time::Instant;
use twinscale_consensus::{GroupId, GroupRole, GroupsOptions};
use twinscale_protocol::NodeNumber;

use crate::clients::Clients;
use crate::harness::{Cluster, options};

const GROUP: GroupId = GroupId(0);

/// A replica that was cut off stood for no election meanwhile, so that the leader leads on when it is back.
#[test]
fn replica_that_was_cut_off_unseats_nobody() {
    let options = GroupsOptions {
        // Far above what a busy machine takes, for a leader that loses its office otherwise is not meant.
        election_max: Duration::from_millis(1_500),
        ..options()
    };
    let cluster = Cluster::start_with(41, 3, 1, options);
    let clients = Clients::start(&cluster, 41, 2);
    clients.wait_progress(&cluster, 50);
    let leader = cluster.wait_leader(GROUP, &cluster.numbers());
    let term = |cluster: &Cluster, node: NodeNumber| {
        let status = cluster.group(node, GROUP).status().unwrap();
        let status = status.borrow().clone();
        (status.term, status.role)
    };
    let before = term(&cluster, leader);
    let others = cluster.numbers();
    let cut_off = *others.iter().find(|number| **number != leader).unwrap();
    cluster.network.isolate(&[cut_off].into());
    let cut = Instant::now();
    while cut.elapsed() < options.election_max * 3 {
        clients.wait_progress(&cluster, 20);
    }
    assert_eq!(term(&cluster, cut_off), (before.0, GroupRole::Follower));
    cluster.network.heal();
    clients.finish(&cluster);
    assert_eq!(
        term(&cluster, leader),
        before,
        "{}",
        cluster.describe(GROUP)
    );
    assert_eq!(term(&cluster, cut_off), (before.0, GroupRole::Follower));
}
