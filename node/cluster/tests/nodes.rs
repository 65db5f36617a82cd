//! Whole nodes over loopback: a cluster is founded, nodes join, shards are placed, a node dies and returns,
//! and people command it.
#![expect(clippy::panic, reason = "a test that waited in vain ends here")]

#[path = "nodes/commands.rs"]
mod commands;
#[path = "nodes/founding.rs"]
mod founding;
#[path = "nodes/harness.rs"]
mod harness;
#[path = "meta/locks.rs"]
mod locks;
#[path = "nodes/people.rs"]
mod people;
#[path = "nodes/quorum.rs"]
mod quorum;
#[path = "nodes/schema.rs"]
mod schema;

use harness::{DEADLINE, Nodes, keys};
use std::time::Duration;
use twinscale_cluster::node::{ClusterNode, NodeError};
use twinscale_protocol::CustomerId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_serves_and_takes_a_node_back() {
    let mut nodes = Nodes::start(3).await;
    nodes.placed(3).await;
    let customers: Vec<CustomerId> = (0..6)
        .map(|number| CustomerId::new(format!("customer-{number}")).expect("an id"))
        .collect();
    for (number, customer) in (0_u64..).zip(&customers) {
        nodes
            .record(number % 3 + 1, u128::from(number) + 1, customer, 0)
            .await;
    }

    let killed = nodes.running.remove(&2).expect("it runs");
    killed.stop(Duration::ZERO).await;
    for (number, customer) in (0_u64..).zip(&customers) {
        let node = if number % 2 == 0 { 1 } else { 3 };
        nodes
            .record(node, u128::from(number) + 101, customer, 1)
            .await;
    }

    let again = ClusterNode::restart(nodes.setup(2, 2), keys()).await;
    nodes.running.insert(2, again.expect("it restarts"));
    for (number, customer) in (0_u64..).zip(&customers) {
        nodes.record(2, u128::from(number) + 201, customer, 2).await;
        assert_eq!(
            nodes.held(customer),
            3,
            "all acknowledged samples are there"
        );
    }
    nodes.stop().await;
}

/// A node that starts again has its replicas before it hears of group 0: a guess where a customer belongs would
/// put what it is sent where nobody looks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_alone_knows_where_customers_belong() {
    let mut nodes = Nodes::start(3).await;
    nodes.placed(3).await;
    let customers: Vec<CustomerId> = (0..16)
        .map(|number| CustomerId::new(format!("customer-{number}")).expect("an id"))
        .collect();
    let places = |node: &ClusterNode| -> Vec<_> {
        let places = node.places();
        customers.iter().map(|one| places.shard_of(one)).collect()
    };
    let before = places(&nodes.running[&1]);
    assert!(before.iter().all(Option::is_some), "{before:?}");
    for (_, node) in std::mem::take(&mut nodes.running) {
        node.stop(Duration::ZERO).await;
    }

    let again = ClusterNode::restart(nodes.setup(2, 2), keys()).await;
    let again = again.expect("it restarts");
    let shown = again.keeper().shown();
    assert_eq!(places(&again), before, "group 0 says {:?}", shown.index());
    again.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_serves_its_own_node_alone() {
    let nodes = Nodes::start(1).await;
    let other = ClusterNode::restart(nodes.setup(1, 7), keys()).await;
    assert!(
        matches!(other, Err(NodeError::OtherDirectory { .. })),
        "{other:?}"
    );
    let again = ClusterNode::join(nodes.setup(1, 1), keys(), DEADLINE).await;
    assert!(matches!(again, Err(NodeError::State { .. })), "{again:?}");
}
