//! The commands of operators from outside: the built binary asks nodes of a cluster over mutual TLS.
#![expect(clippy::panic, reason = "a test that waited in vain ends here")]

#[path = "cluster/acting.rs"]
mod acting;
#[path = "operators/borrowing.rs"]
mod borrowing;
#[path = "operators/harness.rs"]
mod harness;
#[path = "operators/metrics.rs"]
mod metrics;
#[path = "operators/retraining.rs"]
mod retraining;
#[path = "operators/weights.rs"]
mod weights;

use harness::{Nodes, customer};
use serde_json::Value;
use std::process::{Command, Output};
use tempfile::TempDir;
use twinscale::cluster::commands::message::{ActorDone, ActorName, ActorOperation, ActorOrder};
use twinscale_protocol::RequestId;

fn twinscale(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinscale"));
    command.env_remove("TWINSCALE_CERTIFICATES");
    command.env_remove("TWINSCALE_NODE");
    command
        .args(arguments)
        .output()
        .expect("the built binary starts")
}

/// It must end with the code and say all the words on standard error.
#[track_caller]
fn refuses(output: &Output, code: i32, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn help_has_examples_and_what_is_missing_is_named() {
    for (command, words) in [
        (
            &["members"][..],
            &["--certificates", "TWINSCALE_NODE", "Example"][..],
        ),
        (&["move-shard"], &["--from", "move-shard 17"]),
        (&["decommission"], &["--gone", "never taken again"]),
        (&["actors"], &["inspect twin/acme"]),
        (&["actors", "pause"], &["--for", "--on"]),
        (&["snapshot"], &["snapshot all"]),
    ] {
        let output = twinscale(&[command, &["--help"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        for word in words {
            assert!(
                text.contains(word),
                "{command:?}: `{word}` is not in: {text}"
            );
        }
    }
    refuses(
        &twinscale(&["members"]),
        2,
        &["--certificates <DIR>", "--node"],
    );
    let no_address = ["members", "--certificates", "x", "--node", "node-a"];
    refuses(&twinscale(&no_address), 2, &["NAME=HOST:PORT"]);
    let no_shard = ["move-shard", "x", "--from", "a", "--to", "b"];
    refuses(&twinscale(&no_shard), 2, &["`x` is no shard"]);
    let no_actor = ["actors", "kill", "acme"];
    refuses(&twinscale(&no_actor), 2, &["twin/CUSTOMER"]);
}

#[test]
fn without_a_certificate_or_a_node_it_is_said_what_helps() {
    let folder = TempDir::new().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let none = place("none");
    let to = ["--certificates", &none, "--node", "a=127.0.0.1:9"];
    refuses(
        &twinscale(&[&["members"][..], &to].concat()),
        4,
        &["none", "twinscale ca issue"],
    );
    let (authority, ada, node) = (place("ca"), place("ada"), place("node-a"));
    for arguments in [
        &["ca", "init", &authority, "--cluster", "c1"][..],
        &["ca", "issue", &authority, "operator/ada", "--out", &ada],
        &["ca", "issue", &authority, "node/a", "--out", &node],
    ] {
        assert!(twinscale(arguments).status.success(), "{arguments:?}");
    }
    let as_node = ["--certificates", &node, "--node", "a=127.0.0.1:9"];
    refuses(
        &twinscale(&[&["drain", "a"][..], &as_node].concat()),
        3,
        &["that of node a"],
    );
    let nodes = "a=127.0.0.1:9,b=127.0.0.1:10";
    let unreachable = ["--certificates", &ada, "--node", nodes, "--timeout", "5"];
    let words = [
        "a=127.0.0.1:9: ",
        "b=127.0.0.1:10: ",
        "hint: check the addresses",
    ];
    refuses(
        &twinscale(&[&["shards"][..], &unreachable].concat()),
        4,
        &words,
    );
    let unconfirmed = [&["decommission", "a"][..], &unreachable].concat();
    refuses(&twinscale(&unconfirmed), 3, &["--yes"]);
    let no_place = [&["actors", "restart", "forecaster"][..], &unreachable].concat();
    refuses(&twinscale(&no_place), 3, &["--on"]);
}

/// Runs the binary against nodes, as an account, and reads what it prints for programs.
async fn json(nodes: &Nodes, who: &str, arguments: &[&str]) -> Value {
    let output = nodes.run(who, &[arguments, &["--json"]].concat()).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn table(nodes: &Nodes, arguments: &[&str]) -> String {
    let output = nodes.run("operator/ada", arguments).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn check_looks(nodes: &Nodes) {
    let members = json(nodes, "viewer/vic", &["members"]).await;
    assert_eq!(members["form"], "twinscale-members/1");
    assert_eq!(members["members"].as_array().map(Vec::len), Some(3));
    assert_eq!(members["members"][0]["state"], "serving");
    let shown = table(nodes, &["members"]).await;
    assert!(
        shown.starts_with("NODE") && shown.contains("node-3"),
        "{shown}"
    );
    let shards = table(nodes, &["shards"]).await;
    assert!(
        shards.contains("group 0") && shards.contains("3/3"),
        "{shards}"
    );
    let one = json(nodes, "viewer/vic", &["shards", "1"]).await;
    assert_eq!(one["shards"][0]["shard"], 1);
    refuses(
        &nodes.run("operator/ada", &["shards", "99"]).await,
        3,
        &["shard 99 is unknown"],
    );
    let doctor = nodes.doctor().await;
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert!(
        doctor.status.success() && told.contains("[ok]   quorums"),
        "{told}"
    );
}

async fn check_twins(nodes: &Nodes) {
    let twins = json(nodes, "viewer/vic", &["twins", "ls"]).await;
    let lines = twins["twins"].as_array().expect("a list");
    assert_eq!(lines.len(), 4, "{twins}");
    assert!(
        lines.iter().all(|line| line["state"] == "driven"),
        "{twins}"
    );
    assert_eq!(twins["silent"].as_array().map(Vec::len), Some(0));
    let page = json(nodes, "viewer/vic", &["twins", "ls", "--limit", "3"]).await;
    assert_eq!(page["next_after"], "customer-2");
    let shown = json(nodes, "viewer/vic", &["twins", "show", "customer-1"]).await;
    assert_eq!(shown["twin"]["customer"], "customer-1");
    assert_eq!(shown["placed"]["node"], lines[1]["node"]);
    let text = table(nodes, &["twins", "show", "customer-1"]).await;
    assert!(text.starts_with("customer-1 on node node-"), "{text}");
    let unknown = nodes.run("viewer/vic", &["twins", "show", "nobody"]).await;
    refuses(&unknown, 3, &["no node drives a twin of customer nobody"]);
}

async fn check_actors(nodes: &Nodes) {
    let tree = json(nodes, "viewer/vic", &["actors", "tree"]).await;
    let by_node = tree["nodes"].as_array().expect("a list");
    assert_eq!(by_node.len(), 3);
    let twins: u64 = by_node
        .iter()
        .filter_map(|node| node["twins"].as_u64())
        .sum();
    assert_eq!(twins, 4, "each twin is driven once: {tree}");
    for operation in ["restart", "kill"] {
        for actor in ["forecaster", "optimizer", "provisioner"] {
            let order = ["actors", operation, actor, "--on", "node-3"];
            let done = &json(nodes, "operator/ada", &order).await["Done"];
            assert_eq!(done["note"], "a new incarnation runs", "{order:?}");
            assert_ne!(done["before"], done["actor"]["incarnation"]);
        }
    }
    let twin = "twin/customer-0";
    let paused = &json(
        nodes,
        "operator/ada",
        &["actors", "pause", twin, "--for", "90"],
    )
    .await["Done"];
    assert_eq!(paused["actor"]["state"], "paused");
    let seen = json(nodes, "viewer/vic", &["actors", "inspect", twin]).await;
    assert_eq!(seen["nodes"][0]["actors"][0]["state"], "paused");
    assert_eq!(
        seen["nodes"].as_array().map(Vec::len),
        Some(1),
        "one node drives it"
    );
    let resumed = &json(nodes, "operator/ada", &["actors", "resume", twin]).await["Done"];
    assert_eq!(resumed["actor"]["state"], "running");
    let again = table(nodes, &["actors", "resume", twin]).await;
    assert!(again.contains("it was not paused"), "{again}");
    for operation in ["restart", "kill", "pause", "resume"] {
        let refused = nodes.run("viewer/vic", &["actors", operation, twin]).await;
        refuses(&refused, 3, &["as viewer/vic", "operator/NAME"]);
    }
    let nobody = nodes
        .run("operator/ada", &["actors", "kill", "twin/nobody"])
        .await;
    refuses(&nobody, 3, &["twin/nobody"]);
}

/// An order that is sent again, through another node, is done once.
async fn check_sent_twice(nodes: &Nodes) {
    let order = |request| ActorOrder {
        request: RequestId(request),
        actor: ActorName::Optimizer,
        node: Some("node-2".to_owned()),
        operation: ActorOperation::Restart,
    };
    let first = nodes.order(1, &order(1)).await;
    let again = nodes.order(3, &order(1)).await;
    assert_eq!(first, again);
    let other = nodes.order(2, &order(2)).await;
    let (ActorDone::Done { actor, .. }, ActorDone::Done { before, .. }) = (first, other) else {
        panic!("both are done");
    };
    assert_eq!(
        actor.incarnation, before,
        "nothing began between the first and the other"
    );
}

async fn check_commands(nodes: &Nodes) {
    let taken = table(nodes, &["snapshot", "all"]).await;
    assert_eq!(taken.matches("3 of 3 replicas").count(), 3, "{taken}");
    let even = json(nodes, "operator/ada", &["rebalance"]).await;
    assert_eq!(even["outcome"], "unchanged");
    let refused = nodes.run("operator/ada", &["drain", "node-2"]).await;
    refuses(
        &refused,
        3,
        &[
            "without node 2, 2 serving nodes are left for 3 replicas",
            "hint:",
        ],
    );
    let refused = nodes
        .run("operator/ada", &["decommission", "node-2", "--yes"])
        .await;
    refuses(&refused, 3, &["add a node or lower the replication first"]);
    let refused = nodes.run("viewer/vic", &["drain", "node-2"]).await;
    refuses(&refused, 3, &["as viewer/vic", "operator/NAME"]);
    let audit = json(nodes, "viewer/vic", &["audit", "--by", "operator/ada"]).await;
    let verbs: Vec<(&str, &str)> = audit["records"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            (
                line["what"].as_str().unwrap_or(""),
                line["outcome"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let wanted = [("drain-node", "refused"), ("decommission-node", "refused")];
    assert!(verbs.ends_with(&wanted), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_at_a_cluster_and_commands_it() {
    let nodes = Nodes::start(3, 2).await;
    for number in 0..4 {
        nodes.configure(&customer(number)).await;
    }
    nodes.all_are_driven(4).await;
    check_looks(&nodes).await;
    check_twins(&nodes).await;
    check_actors(&nodes).await;
    check_sent_twice(&nodes).await;
    check_commands(&nodes).await;
    metrics::check(&nodes).await;
    nodes.stop().await;
}
