//! Tells group 0 that a node was started again.

use super::ask::ask;
use super::error::NodeError;
use super::gate::Gate;
use super::joining::{JoinAnswers, JoinReply, JoinRequest};
use super::start::{JOIN_PAUSE, START_LIMIT};
use crate::network::Directory;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::sleep;
use twinscale_wire::{Addresses, Identity, Peers};

/// A start that group 0 is to know.
pub(super) struct Telling {
    pub(super) request: JoinRequest,
    pub(super) seeds: watch::Sender<Addresses>,
    pub(super) asking: Peers,
    pub(super) directory: Arc<Directory>,
}

impl Telling {
    /// Tells it until it is known: here, where this node leads group 0, or through the seeds.
    pub(super) async fn run(self, joins: JoinAnswers, gate: Gate) {
        let own = Identity::Node(self.request.facts.name.clone());
        loop {
            let here = joins.take(&own, self.request.clone()).await;
            if matches!(here, Ok(JoinReply::Joined { .. })) {
                return;
            }
            match ask(&self.asking, &self.seeds, &self.request, START_LIMIT).await {
                // A node that holds no replica of group 0, such as a drained one, or one whose replica is behind,
                // learns of the others in no other way, and answers only those that it knows.
                Ok((_, nodes)) => return self.directory.add(nodes),
                // For good: what it says of itself does not change while it runs.
                Err(error @ NodeError::Refused { .. }) => {
                    let name = &self.request.facts.name;
                    return gate.expel(format!("node `{name}`: {error}"));
                }
                Err(error) => tracing::warn!(%error, "this start is not known to group 0 yet"),
            }
            sleep(JOIN_PAUSE).await;
        }
    }
}
