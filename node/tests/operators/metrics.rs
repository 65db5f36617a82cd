//! What nodes of a cluster tell at `GET /metrics`.

use crate::harness::{Nodes, customer};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use twinscale_protocol::RequestId;
use twinscale_twin::TwinCommand;

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster of three, two shards and four twins that had turns; a person looked at it.
pub(crate) async fn check(nodes: &Nodes) {
    check_members_and_groups(nodes).await;
    check_log_and_commits(nodes).await;
    check_wire(nodes).await;
    check_routing(nodes).await;
    check_refusals(nodes).await;
}

async fn at_every_node(nodes: &Nodes, series: &str, is_good: impl Fn(u64) -> bool) {
    for number in 1..=3 {
        let value = nodes.counted(number, series).await;
        assert!(
            value.is_some_and(&is_good),
            "{series} of node {number}: {value:?}"
        );
    }
}

async fn check_members_and_groups(nodes: &Nodes) {
    let three = |value| value == 3;
    let none = |value| value == 0;
    at_every_node(nodes, "twinscale_members{state=\"alive\"}", three).await;
    at_every_node(nodes, "twinscale_members{state=\"dead\"}", none).await;
    at_every_node(nodes, "twinscale_nodes{state=\"serving\"}", three).await;
    let leads = "twinscale_groups{role=\"leader\"}";
    assert_eq!(
        nodes.counted_everywhere(leads).await,
        3,
        "group 0 and two shards"
    );
    let follows = "twinscale_groups{role=\"follower\"}";
    assert_eq!(nodes.counted_everywhere(follows).await, 6);
    at_every_node(nodes, "twinscale_groups_leaderless", none).await;
    at_every_node(nodes, "twinscale_moves_under_way", none).await;
    at_every_node(
        nodes,
        "twinscale_moves_total{outcome=\"finished\"}",
        |value| value >= 1,
    )
    .await;
    let leaderships = nodes
        .counted_everywhere("twinscale_leaderships_total")
        .await;
    assert!(leaderships >= 3, "each group had a leader: {leaderships}");
    let terms = nodes
        .counted_everywhere("twinscale_term_changes_total")
        .await;
    assert!(
        terms >= leaderships,
        "a term has one leader: {terms}, {leaderships}"
    );
}

async fn check_log_and_commits(nodes: &Nodes) {
    let some = |value| value >= 1;
    at_every_node(nodes, "twinscale_log_batch_seconds_count", some).await;
    at_every_node(nodes, "twinscale_log_batch_entries_count", some).await;
    at_every_node(nodes, "twinscale_log_batch_bytes_sum", some).await;
    at_every_node(nodes, "twinscale_log_disk_bytes", some).await;
    at_every_node(nodes, "twinscale_replica_lag_entries", |value| {
        value < 1_000
    })
    .await;
    at_every_node(nodes, "twinscale_unapplied_entries", |value| value < 1_000).await;
    let committed = "twinscale_commit_seconds_count{outcome=\"committed\"}";
    assert!(
        nodes.counted_everywhere(committed).await >= 4,
        "of four twins"
    );
}

async fn check_wire(nodes: &Nodes) {
    let some = |value| value >= 1;
    let answered = |name: &str, method: &str| {
        format!("twinscale_wire_{name}_total{{method=\"{method}\",outcome=\"answered\"}}")
    };
    at_every_node(nodes, &answered("calls", "consensus"), some).await;
    at_every_node(nodes, &answered("served", "consensus"), some).await;
    let took = "twinscale_wire_call_seconds_count{method=\"consensus\"}";
    at_every_node(nodes, took, some).await;
    at_every_node(nodes, "twinscale_wire_connections", |value| value >= 2).await;
    at_every_node(nodes, "twinscale_wire_connects_total", |value| value >= 2).await;
    let asked = answered("served", "actors_read");
    assert!(
        nodes.counted_everywhere(&asked).await >= 1,
        "a person asked"
    );
}

/// A command that comes again under its request id is counted and does nothing.
async fn check_routing(nodes: &Nodes) {
    let repeated = "twinscale_commands_repeated_total";
    let before = nodes.counted_everywhere(repeated).await;
    for _ in 0..2 {
        let command = TwinCommand::LiftQuarantine;
        let router = nodes.router(2);
        let proposed = router
            .propose(RequestId(77), &customer(0), &command, LIMIT)
            .await;
        proposed.expect("a majority is there");
    }
    let after = nodes.counted_everywhere(repeated).await;
    assert!(after > before, "{before} and {after}");
    let local = nodes.counted_everywhere("twinscale_routed_total{where=\"local\"}");
    let remote = nodes.counted_everywhere("twinscale_routed_total{where=\"remote\"}");
    assert!(
        local.await + remote.await >= 6,
        "four configurations and two of these"
    );
    let other = |series| nodes.counted(2, series);
    for series in ["twinscale_redirects_total", "twinscale_route_retries_total"] {
        assert!(other(series).await.is_some(), "{series}");
    }
}

/// What is not of the cluster is refused and counted by its reason.
async fn check_refusals(nodes: &Nodes) {
    let address = nodes.address(1);
    let mut stranger = TcpStream::connect(address).await.expect("it listens");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    // It is hung up on; what is read until then is of no matter.
    let mut told = Vec::new();
    drop(stranger.read_to_end(&mut told).await);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("bound");
    socket.send_to(b"gossip", address).await.expect("sent");
    let counted = |series| async move { nodes.counted(1, series).await.unwrap_or_default() };
    let wait = async {
        let refused = "twinscale_wire_refused_total{reason=\"not-tls\"}";
        let malformed = "twinscale_gossip_refused_total{reason=\"malformed\"}";
        while counted(refused).await < 1 || counted(malformed).await < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, wait).await;
    waited.expect("both are refused and counted");
}
