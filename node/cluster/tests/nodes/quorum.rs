//! Commands that would lose a quorum.

use crate::harness::{Nodes, name_of};
use crate::people::{client, members, refusal, shards, until};
use std::time::Duration;
use twinscale_cluster::admin::{
    ClusterClient, GroupHealth, Heard, MembersReply, ShardsReply, WriteRequest,
};
use twinscale_protocol::{NodeNumber, WireErrorCode};

/// Two voters of a shard whose loss takes its majority, and not that of group 0.
async fn unneeded_pair(ada: &ClusterClient) -> (NodeNumber, NodeNumber) {
    let grown = |seen: &ShardsReply| seen.shards[0].voters.len() == 3;
    let seen = until(|| shards(ada), grown).await;
    let meta = &seen.shards[0].voters;
    let lines = seen.shards.iter().filter(|line| line.shard.is_some());
    let mut pairs = lines.filter_map(|line| {
        let others = line.voters.iter().filter(|node| node.0 != 1);
        let outside = others.clone().copied().find(|node| !meta.contains(node));
        let inside = others.copied().find(|node| meta.contains(node));
        outside.zip(inside)
    });
    pairs.next().expect("four nodes, three voters of group 0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_lose_a_quorum_is_refused_with_the_reason() {
    let mut nodes = Nodes::start_with(4, 4).await;
    nodes.placed(3).await;
    let ada = client(&nodes, "operator/ada", &[1]);
    until(
        || members(&ada),
        |seen| seen.members.iter().all(|line| line.heard == Heard::Alive),
    )
    .await;
    let gone = |node: &str| WriteRequest::Decommission {
        node: node.to_owned(),
        is_gone: true,
    };
    let (code, text) = refusal(&ada, gone("node-4")).await;
    assert_eq!(code, WireErrorCode::Conflict);
    assert!(text.contains("node-4 is heard of"), "{text}");

    let (first, second) = unneeded_pair(&ada).await;
    for node in [first, second] {
        let stopped = nodes.running.remove(&node.0).expect("it runs");
        stopped.stop(Duration::ZERO).await;
    }
    let silent = |seen: &MembersReply| {
        let lines = seen.members.iter();
        lines.filter(|line| line.heard != Heard::Alive).count() == 2
    };
    until(|| members(&ada), silent).await;
    let (code, text) = refusal(&ada, gone(name_of(first.0).as_str())).await;
    assert_eq!(code, WireErrorCode::Conflict);
    assert!(text.contains("no majority"), "{text}");
    let staying = WriteRequest::Decommission {
        node: name_of(first.0).to_string(),
        is_gone: false,
    };
    let (code, text) = refusal(&ada, staying).await;
    assert_eq!(code, WireErrorCode::Conflict);
    assert!(text.contains("bring back its other voters first"), "{text}");
    let (code, text) = refusal(
        &ada,
        WriteRequest::Drain {
            node: "nobody".to_owned(),
        },
    )
    .await;
    assert_eq!(code, WireErrorCode::NotFound);
    assert!(
        text.contains("node-3"),
        "it names those that there are: {text}"
    );
    let seen = until(
        || shards(&ada),
        |seen| {
            seen.shards
                .iter()
                .any(|line| line.health == GroupHealth::NoMajority)
        },
    )
    .await;
    assert!(
        seen.shards[0].health <= GroupHealth::Degraded,
        "group 0 serves: {seen:#?}"
    );
    nodes.stop().await;
}
