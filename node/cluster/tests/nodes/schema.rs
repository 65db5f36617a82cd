//! A newer program comes to the nodes one after the other, and its schema is raised once all have it.

use crate::harness::{Nodes, SCHEMAS, keys, name_of};
use crate::people::{LIMIT, client, refusal, until, write};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use twinscale_cluster::admin::{
    ClusterClient, Outcome, ReadReply, ReadRequest, SchemaReply, WriteRequest,
};
use twinscale_cluster::node::{ClusterNode, NodeError};
use twinscale_meta::stored::v1::SchemaRange;
use twinscale_protocol::{CustomerId, NodeNumber, WireErrorCode};

/// What a newer program knows.
const NEWER: SchemaRange = SchemaRange {
    oldest: 1,
    newest: 2,
};

const RAISE: WriteRequest = WriteRequest::RaiseSchema { to: None };

async fn schema(client: &ClusterClient) -> SchemaReply {
    match client.read(ReadRequest::Schema, LIMIT).await {
        Ok(ReadReply::Schema(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

/// Waits until group 0 knows what the program of a node knows.
async fn known(client: &ClusterClient, number: u64, newest: u32) {
    let is_known = |reply: &SchemaReply| {
        let mut nodes = reply.nodes.iter();
        let node = nodes.find(|node| node.number == NodeNumber(number));
        node.is_some_and(|node| node.newest == newest)
    };
    until(|| schema(client), is_known).await;
}

impl Nodes {
    async fn end(&mut self, number: u64) {
        let node = self.running.remove(&number).expect("it runs");
        node.stop(Duration::ZERO).await;
    }

    /// Starts a node again once the last task of its earlier start has let go of log and store.
    async fn begin(&self, number: u64, schemas: SchemaRange) -> Result<ClusterNode, NodeError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut setup = self.setup(number, number);
            setup.schemas = schemas;
            match ClusterNode::restart(setup, keys()).await {
                Err(NodeError::Log(_) | NodeError::Replicas(_)) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                started => return started,
            }
        }
    }

    async fn replace(&mut self, number: u64, schemas: SchemaRange) {
        self.end(number).await;
        let node = self.begin(number, schemas).await.expect("it starts");
        self.running.insert(number, node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_raised_once_every_node_knows_it_and_shuts_older_programs_out() {
    let mut nodes = Nodes::start(3).await;
    nodes.placed(3).await;
    let ada = client(&nodes, "operator/ada", &[1, 2, 3]);
    for number in [2, 3] {
        nodes.replace(number, NEWER).await;
        known(&ada, number, 2).await;
    }
    let (code, text) = refusal(&ada, RAISE).await;
    assert_eq!(code, WireErrorCode::Conflict, "{text}");
    assert!(text.contains("node-1 (up to 1)"), "{text}");
    assert!(!text.contains("node-2"), "{text}");

    // Until it is raised the way back is open.
    nodes.replace(3, SCHEMAS).await;
    known(&ada, 3, 1).await;
    let (_, text) = refusal(&ada, WriteRequest::RaiseSchema { to: Some(2) }).await;
    assert!(
        text.contains("node-1 (up to 1), node-3 (up to 1)"),
        "{text}"
    );
    for number in [3, 1] {
        nodes.replace(number, NEWER).await;
        known(&ada, number, 2).await;
    }

    let vic = client(&nodes, "viewer/vic", &[2]);
    let (code, _) = refusal(&vic, RAISE).await;
    assert_eq!(code, WireErrorCode::PermissionDenied);
    assert_eq!(write(&ada, RAISE).await.outcome, Outcome::Applied);
    assert_eq!(write(&ada, RAISE).await.outcome, Outcome::Unchanged);
    assert_eq!(schema(&vic).await.gate, 2, "a viewer may look");
    let customer = CustomerId::new("acme").expect("an id");
    for (number, node) in &nodes.running {
        let mut gate = node.schema_gate();
        let raised = timeout(LIMIT, gate.wait_for(|gate| *gate == 2)).await;
        raised.expect("in time").expect("it runs");
        nodes
            .record(*number, u128::from(*number), &customer, 0)
            .await;
    }

    // Its directory tells an older program, before anything of it is opened.
    nodes.end(2).await;
    let refused = nodes.begin(2, SCHEMAS).await;
    let Err(NodeError::Schema { gate: 2, .. }) = refused else {
        panic!("{refused:?}");
    };
    // Where it does not, as with a directory from a copy, the others do.
    let file = nodes.folder.path().join("2").join("node.json");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let mut kept: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let schema = kept.as_object_mut().and_then(|keys| keys.remove("schema"));
    assert_eq!(schema, Some(2.into()));
    std::fs::write(&file, kept.to_string()).expect("written");
    let node = nodes.begin(2, SCHEMAS).await.expect("it starts");
    let reason = timeout(LIMIT, node.expelled()).await.expect("in time");
    assert!(
        reason.contains("start a newer one") || reason.contains("schemas 1 to 1"),
        "{} is told: {reason}",
        name_of(2)
    );
    node.stop(Duration::ZERO).await;
    let node = nodes.begin(2, NEWER).await.expect("it starts");
    nodes.running.insert(2, node);
    nodes.record(2, 9, &customer, 1).await;
    nodes.stop().await;
}
