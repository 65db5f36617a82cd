//! People command a cluster over mutual TLS.

use crate::harness::{Nodes, keys, name_of};
use crate::people::{
    LIMIT, audit, client, connect, members, refusal, shards, to_its_end, until, write,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use twinscale_cluster::admin::{
    AskError, Asked, AuditReply, CLUSTER_WRITE, CLUSTER_WRITE_REPLY, CertificateLevel,
    ClusterClient, GroupHealth, Heard, MemberLine, MemberState, MembersReply, MetaPart, Outcome,
    Routed, ShardLine, ShardsReply, WriteReply, WriteRequest,
};
use twinscale_cluster::node::ClusterNode;
use twinscale_protocol::{AccountName, ClusterId, CustomerId, NodeNumber, ShardId, WireErrorCode};
use twinscale_wire::DefaultTimeProvider;
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CertificateAuthority};

/// A shard and two nodes between which moving its replica leaves the cluster as even as it is.
fn even_move(members: &MembersReply, shards: &ShardsReply) -> (ShardId, NodeNumber, NodeNumber) {
    let count = |node: NodeNumber| {
        let lines = shards.shards.iter();
        lines
            .filter(|line| line.shard.is_some() && line.voters.contains(&node))
            .count()
    };
    let nodes = || members.members.iter().map(|line| line.number);
    let lines = shards.shards.iter();
    let mut found = lines.filter_map(|line| {
        let from = line
            .voters
            .iter()
            .copied()
            .max_by_key(|node| count(*node))?;
        let others = nodes().filter(|node| !line.voters.contains(node));
        let to = others.min_by_key(|node| count(*node))?;
        (count(from) > count(to)).then_some((line.shard?, from, to))
    });
    found
        .next()
        .expect("nine replicas on four nodes are uneven by one")
}

fn commands() -> Vec<WriteRequest> {
    let node = "node-2".to_owned();
    vec![
        WriteRequest::Drain { node: node.clone() },
        WriteRequest::Undrain { node: node.clone() },
        WriteRequest::Decommission {
            node: node.clone(),
            is_gone: false,
        },
        WriteRequest::Move {
            shard: Some(ShardId(0)),
            from: node,
            to: "node-1".to_owned(),
        },
        WriteRequest::Rebalance,
        WriteRequest::Snapshot { shard: None },
    ]
}

async fn strangers_are_refused(nodes: &Nodes) {
    let viewer = client(nodes, "viewer/vic", &[2]);
    assert_eq!(members(&viewer).await.members.len(), 4, "a viewer may look");
    for request in commands() {
        let (code, text) = refusal(&viewer, request.clone()).await;
        assert_eq!(code, WireErrorCode::PermissionDenied, "{request:?}: {text}");
        assert!(text.contains("certificate of an operator"), "{text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = ClusterId::new("test").expect("an id");
    let time = Arc::new(DefaultTimeProvider);
    let other = CertificateAuthority::init(folder.path(), &cluster, AUTHORITY_VALIDITY, time);
    let forged = connect(
        nodes,
        &other.expect("an authority"),
        "operator/eve",
        &[1, 2],
    );
    match forged.write(WriteRequest::Rebalance, LIMIT).await {
        Err(AskError::NoNode { tried }) => {
            assert_eq!(tried.len(), 2, "{tried:?}");
            assert!(tried.iter().all(|one| one.is_refusal), "{tried:?}");
        }
        other => panic!("{other:?}"),
    }
    let mallory = client(nodes, "operator/mallory", &[1]);
    let asked = Asked {
        by: Some(AccountName::new("ada").expect("a name")),
        request: WriteRequest::Rebalance,
    };
    let kinds = (CLUSTER_WRITE, CLUSTER_WRITE_REPLY);
    let answered: Result<Routed<WriteReply>, AskError> = mallory.ask(kinds, &asked, LIMIT).await;
    match answered {
        Err(AskError::Answered { error, .. }) => assert_eq!(error.code, WireErrorCode::Invalid),
        other => panic!("{other:?}"),
    }
}

async fn every_node_shows_all(nodes: &Nodes) {
    for to in 1..=4 {
        let ada = client(nodes, "operator/ada", &[to]);
        let seen = until(
            || members(&ada),
            |seen| {
                seen.members.len() == 4
                    && seen.members.iter().all(|line| line.heard == Heard::Alive)
                    && seen.members.iter().all(|line| line.silent.is_none())
            },
        )
        .await;
        assert!(seen.seen_by.meta_leader.is_some(), "asked of node {to}");
        let leaders = seen.members.iter();
        assert_eq!(
            leaders.filter(|line| line.meta == MetaPart::Leader).count(),
            1
        );
        for line in &seen.members {
            assert_eq!(line.state, MemberState::Serving);
            let offset = line.clock_offset_ms.expect("it answered");
            assert!(offset.abs() < 1_000, "one machine, one clock: {offset} ms");
            let level = line.certificate.expect("it answered").level;
            assert_eq!(level, CertificateLevel::Fine);
        }
    }
}

fn voters(seen: &ShardsReply, shard: ShardId) -> BTreeSet<NodeNumber> {
    let found = |line: &&ShardLine| line.shard == Some(shard);
    let line = seen.shards.iter().find(found).expect("it is there");
    line.voters.iter().copied().collect()
}

/// Whether all four groups are whole and none moves.
fn is_sound(seen: &ShardsReply) -> bool {
    let lines = seen.shards.iter();
    let calm = lines.filter(|line| line.health == GroupHealth::Sound && line.moving.is_none());
    calm.count() == 4
}

fn check_audit(audit: &AuditReply, shard: ShardId) {
    let moves = audit
        .records
        .iter()
        .filter(|line| line.what == "start-move");
    let by_ada: Vec<_> = moves.filter(|line| line.by == "operator/ada").collect();
    assert_eq!(by_ada.len(), 1, "the second was none: {audit:#?}");
    assert_eq!(by_ada[0].group, Some(format!("shard {shard}")));
    assert_eq!(by_ada[0].outcome, "applied");
    let refused = ["operator/eve", "operator/mallory", "operator/vic"];
    let strangers = audit.records.iter();
    let strangers = strangers.filter(|line| refused.contains(&&*line.by));
    assert_eq!(strangers.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_look_at_a_cluster_and_move_its_shards() {
    let nodes = Nodes::start_with(4, 3).await;
    nodes.placed(3).await;
    let customers: Vec<CustomerId> = (0..6)
        .map(|number| CustomerId::new(format!("customer-{number}")).expect("an id"))
        .collect();
    for (number, customer) in (1_u128..).zip(&customers) {
        nodes.record(1, number, customer, 0).await;
    }
    every_node_shows_all(&nodes).await;
    strangers_are_refused(&nodes).await;

    let ada = client(&nodes, "operator/ada", &[3]);
    let before = until(|| shards(&ada), is_sound).await;
    let (shard, from, to) = even_move(&members(&ada).await, &before);
    let request = WriteRequest::Move {
        shard: Some(shard),
        from: from.to_string(),
        to: name_of(to.0).to_string(),
    };
    let moved = write(&ada, request.clone()).await;
    assert_eq!(moved.outcome, Outcome::Applied);
    let end = to_its_end(&ada, moved.task.expect("it goes on")).await;
    assert_eq!((end.failed, end.done, end.total), (None, 1, 1));
    let again = write(&ada, request).await;
    assert_eq!(
        (again.outcome, again.task),
        (Outcome::Unchanged, None),
        "sent twice"
    );
    let after = until(|| shards(&ada), is_sound).await;
    let mut wanted = voters(&before, shard);
    wanted.remove(&from);
    wanted.insert(to);
    assert_eq!(voters(&after, shard), wanted);
    for (number, customer) in (101_u128..).zip(&customers) {
        nodes.record(4, number, customer, 1).await;
        assert_eq!(
            nodes.held(customer),
            2,
            "what was recorded before the move is there"
        );
    }
    for group in [None, Some(ShardId(0)), Some(ShardId(1)), Some(ShardId(2))] {
        let taken = write(&ada, WriteRequest::Snapshot { shard: group }).await;
        assert!(taken.notes[0].starts_with("3 of 3 replicas"), "{taken:?}");
    }
    assert!(
        nodes.snapshots_cover_all().await,
        "each replica took its own"
    );
    let unknown = WriteRequest::Snapshot {
        shard: Some(ShardId(99)),
    };
    assert_eq!(refusal(&ada, unknown).await.0, WireErrorCode::NotFound);
    write(&ada, WriteRequest::Rebalance).await;

    let seen = audit(&client(&nodes, "viewer/vic", &[2])).await;
    check_audit(&seen, shard);
    nodes.stop().await;
}

fn check_history(audit: &AuditReply) {
    let words: Vec<(String, String)> = audit
        .records
        .iter()
        .filter(|line| line.by == "operator/ada" && line.node == Some(NodeNumber(1)))
        .map(|line| (line.what.clone(), line.outcome.clone()))
        .collect();
    let wanted = [
        ("drain-node", "applied"),
        ("drain-node", "unchanged"),
        ("undrain-node", "applied"),
        ("decommission-node", "applied"),
    ];
    let wanted = wanted.map(|(what, outcome)| (what.to_owned(), outcome.to_owned()));
    assert_eq!(words, wanted);
}

/// Empties the first node while somebody writes; returns how many writes there were.
async fn drain_under_load(nodes: &Nodes, ada: &ClusterClient, customer: &CustomerId) -> u128 {
    let drained = write(
        ada,
        WriteRequest::Drain {
            node: "node-1".to_owned(),
        },
    )
    .await;
    assert_eq!(drained.outcome, Outcome::Applied);
    let mut recorded = 1_u128;
    let writes = async {
        loop {
            let step = i64::try_from(recorded).expect("small");
            nodes.record(2, recorded + 1, customer, step).await;
            recorded += 1;
            sleep(Duration::from_millis(10)).await;
        }
    };
    let end = tokio::select! {
        () = writes => unreachable!("it never ends"),
        end = to_its_end(ada, drained.task.expect("it goes on")) => end,
    };
    assert_eq!(end.failed, None);
    assert!(end.total > 0 && end.done == end.total, "{end:?}");
    assert!(recorded > 10, "{recorded} writes went on meanwhile");
    recorded
}

fn first(seen: &MembersReply) -> MemberLine {
    seen.members[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_drained_under_load_restarted_fills_again_and_leaves_for_good() {
    let mut nodes = Nodes::start_with(4, 4).await;
    nodes.placed(3).await;
    // The first node founded group 0, so that group 0 has to move as well.
    let ada = client(&nodes, "operator/ada", &[3]);
    let customer = CustomerId::new("acme").expect("an id");
    nodes.record(2, 1, &customer, 0).await;
    let recorded = drain_under_load(&nodes, &ada, &customer).await;
    assert_eq!(
        nodes.held(&customer),
        usize::try_from(recorded).expect("small")
    );
    let replicas_gone = || async { nodes.running[&1].host().all().len() };
    until(replicas_gone, |held| *held == 0).await;
    let seen = first(&members(&ada).await);
    assert_eq!(
        (seen.state, seen.replicas, seen.leads),
        (MemberState::Draining, 0, Some(0))
    );
    let repeated = write(
        &ada,
        WriteRequest::Drain {
            node: "1".to_owned(),
        },
    )
    .await;
    assert_eq!(repeated.outcome, Outcome::Unchanged);

    // What a drain is for. The node comes back without any replica, and has to get to know the others.
    let drained = nodes.running.remove(&1).expect("it runs");
    drained.stop(Duration::ZERO).await;
    let again = ClusterNode::restart(nodes.setup(1, 1), keys()).await;
    nodes.running.insert(1, again.expect("it restarts"));

    let filled = write(
        &ada,
        WriteRequest::Undrain {
            node: "node-1".to_owned(),
        },
    )
    .await;
    assert_eq!(filled.outcome, Outcome::Applied);
    let refills = until(|| members(&ada), |seen| first(seen).replicas > 0).await;
    assert_eq!(first(&refills).state, MemberState::Serving);

    let request = WriteRequest::Decommission {
        node: "node-1".to_owned(),
        is_gone: false,
    };
    let leaving = write(&ada, request).await;
    let end = to_its_end(&ada, leaving.task.expect("it goes on")).await;
    assert_eq!(end.failed, None);
    let seen = first(&members(&ada).await);
    assert_eq!(
        (seen.state, seen.replicas),
        (MemberState::Decommissioned, 0)
    );
    check_history(&audit(&ada).await);
    nodes.stop().await;
}
