//! The schema gate: who knows which schemas, and raising it.

use super::answers::Admin;
use super::command::{Carried, done};
use super::message::{Outcome, Routed};
use super::picture::{SchemaLine, SchemaReply, SeenBy};
use super::words;
use twinscale_meta::stored::v1::NodeRecord;
use twinscale_meta::{MetaCommand, MetaState, NodeState};
use twinscale_protocol::{AccountName, WireError, WireErrorCode};

/// Nodes that apply commands now. A dead one is asked when it comes back, before it is taken in.
fn active(state: &MetaState) -> impl Iterator<Item = &NodeRecord> {
    let applies = |state| !matches!(state, NodeState::Decommissioned | NodeState::Dead);
    state.nodes().iter().filter(move |node| applies(node.state))
}

/// The newest schema that any node knows: what the newest program brings.
fn newest(state: &MetaState) -> u32 {
    let known = active(state).map(|node| node.facts.schema.newest);
    known.max().unwrap_or(state.schema()).max(state.schema())
}

/// Names the nodes that do not know a schema.
fn lacking(state: &MetaState, schema: u32) -> Vec<String> {
    let lacks = active(state).filter(|node| node.facts.schema.newest < schema);
    let named = lacks.map(|node| {
        let facts = &node.facts;
        format!("{} (up to {})", facts.name, facts.schema.newest)
    });
    named.collect()
}

/// The gate and what each node knows.
pub(super) fn schema(seen_by: SeenBy, state: &MetaState) -> SchemaReply {
    let there = state.nodes().iter();
    let there = there.filter(|node| node.state != NodeState::Decommissioned);
    let nodes = there.map(|node| SchemaLine {
        number: node.number,
        name: node.facts.name.clone(),
        state: words::member_state(node.state),
        software: node.facts.software.clone(),
        oldest: node.facts.schema.oldest,
        newest: node.facts.schema.newest,
    });
    SchemaReply {
        seen_by,
        gate: state.schema(),
        nodes: nodes.collect(),
    }
}

impl Admin {
    /// Raises the gate; group 0 refuses, and audits that, while a node does not know the schema.
    pub(super) async fn raise_schema(
        &self,
        by: &AccountName,
        state: &MetaState,
        to: Option<u32>,
    ) -> Carried {
        let to = to.unwrap_or_else(|| newest(state));
        match self.commit(by, MetaCommand::RaiseSchema { to }, None).await {
            Ok(Routed::Done(reply)) => {
                let note = match reply.outcome {
                    Outcome::Applied => format!("the schema is {to} now"),
                    Outcome::Unchanged => format!("the schema is {to} already"),
                };
                Ok(Routed::Done(done(reply.outcome, vec![note], None)))
            }
            Err(error) if error.code == WireErrorCode::Conflict => {
                let lacking = lacking(state, to);
                if lacking.is_empty() {
                    return Err(error);
                }
                let text = format!(
                    "schema {to} is not known to every node: {}; upgrade these first",
                    lacking.join(", ")
                );
                Err(WireError::new(WireErrorCode::Conflict, text))
            }
            other => other,
        }
    }
}
