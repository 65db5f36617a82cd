//! Asks for a number.

use super::error::NodeError;
use super::joining::{JOIN_REPLY, JOIN_REQUEST, JoinReply, JoinRequest};
use crate::network::NodePlace;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use twinscale_protocol::{NodeId, NodeNumber};
use twinscale_wire::{Addresses, CallError, CallOptions, Envelope, Peers, RefusalReason};

/// A number, and the nodes that there are.
pub(super) type Joined = (NodeNumber, BTreeMap<NodeNumber, NodePlace>);

/// Asks the seeds, and whom they name, for a number. When every one refuses the certificates, asking again would
/// not help, and that is said.
pub(super) async fn ask(
    asking: &Peers,
    seeds: &watch::Sender<Addresses>,
    request: &JoinRequest,
    limit: Duration,
) -> Result<Joined, NodeError> {
    let deadline = Instant::now() + limit;
    let mut waiting: Vec<NodeId> = seeds.borrow().keys().cloned().collect();
    let mut last = "no seed is given".to_owned();
    let mut asked: Vec<NodeId> = Vec::new();
    let mut is_hopeless = true;
    while let Some(name) = waiting.pop() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || asked.contains(&name) {
            continue;
        }
        asked.push(name.clone());
        let sealed = Envelope::seal(JOIN_REQUEST, request);
        let sealed = sealed.map_err(|error| NodeError::Refused {
            reason: error.to_string(),
        })?;
        let answered = asking.call(&name, sealed, CallOptions::within(left)).await;
        is_hopeless &= matches!(&answered, Err(error) if is_lasting(error));
        let reply = answered
            .map_err(|error| error.to_string())
            .and_then(|reply| {
                let opened = reply.open::<JoinReply>(JOIN_REPLY);
                opened.map_err(|error| error.to_string())
            });
        match reply {
            Ok(JoinReply::Joined { number, nodes }) => {
                let nodes = nodes
                    .into_iter()
                    .map(|(number, name, address)| (number, NodePlace { name, address }));
                return Ok((number, nodes.collect()));
            }
            Ok(JoinReply::NotLeader {
                leader: Some((leader, address)),
            }) => {
                last = format!("node `{name}` says that node `{leader}` leads group 0");
                seeds.send_if_modified(|known| {
                    known.insert(leader.clone(), address.clone()).as_ref() != Some(&address)
                });
                waiting.push(leader);
            }
            Ok(JoinReply::NotLeader { leader: None }) => {
                last = format!("node `{name}` says that group 0 elects a leader");
            }
            Ok(JoinReply::Refused { reason }) => return Err(NodeError::Refused { reason }),
            Err(error) => last = error,
        }
    }
    if is_hopeless && !asked.is_empty() {
        return Err(NodeError::Refused { reason: last });
    }
    Err(NodeError::NoSeed { last })
}

/// Whether the two ends do not take each other's certificates: one of another authority, cluster or node.
fn is_lasting(error: &CallError) -> bool {
    let CallError::Refused { refusal, .. } = error else {
        return false;
    };
    matches!(
        refusal.reason,
        RefusalReason::UnknownAuthority
            | RefusalReason::WrongPurpose
            | RefusalReason::NoIdentity
            | RefusalReason::OtherIdentity
            | RefusalReason::OtherCluster
    )
}
