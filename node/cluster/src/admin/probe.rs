//! What a node says of itself for a picture of the cluster.

use super::message::{NODE_PROBE, NODE_PROBE_REPLY};
use super::picture::{Certificate, CertificateLevel};
use crate::network::NodeCalls;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use twinscale_membership::WallClock;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode, envelope};
use twinscale_wire::{Credentials, ExpiryLevel};

/// How long a node may take to answer.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Nodes that are asked at the same time.
const PROBES_AT_ONCE: usize = 64;

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// Its clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How long its certificate is valid still.
    pub certificate: Certificate,
}

/// What came of asking a node: how far its clock is ahead, in milliseconds, with its answer.
pub(super) type Probed = Result<(i64, ProbeReply), String>;

impl ProbeReply {
    /// Looks at this node.
    pub(super) fn of(clock: &dyn WallClock, credentials: &Credentials) -> Self {
        let expiry = credentials.expiry();
        let level = match expiry.level {
            ExpiryLevel::Fine => CertificateLevel::Fine,
            ExpiryLevel::Soon => CertificateLevel::Soon,
            ExpiryLevel::Urgent => CertificateLevel::Urgent,
            ExpiryLevel::Expired => CertificateLevel::Expired,
        };
        Self {
            unix_ms: clock.unix_ms(),
            certificate: Certificate {
                not_after: expiry.not_after,
                level,
            },
        }
    }
}

/// Asks nodes of themselves, all at once up to a number.
pub(super) async fn probe(
    calls: &NodeCalls,
    clock: &dyn WallClock,
    nodes: Vec<NodeNumber>,
) -> BTreeMap<NodeNumber, Probed> {
    let asked = nodes.into_iter().map(|node| async move {
        let began = clock.unix_ms();
        let probed = ask(calls, node).await.map_err(|error| error.message);
        // What the answer took is taken to be the same in both directions.
        let middle = began / 2 + clock.unix_ms() / 2;
        let offset = |reply: &ProbeReply| {
            let theirs = i64::try_from(reply.unix_ms).unwrap_or(i64::MAX);
            theirs.saturating_sub(i64::try_from(middle).unwrap_or(i64::MAX))
        };
        (node, probed.map(|reply| (offset(&reply), reply)))
    });
    let answers = futures::stream::iter(asked).buffer_unordered(PROBES_AT_ONCE);
    answers.collect().await
}

async fn ask(calls: &NodeCalls, node: NodeNumber) -> Result<ProbeReply, WireError> {
    let unreadable =
        |error: envelope::EnvelopeError| WireError::new(WireErrorCode::Internal, error.to_string());
    let request = envelope::seal(NODE_PROBE, &()).map_err(unreadable)?;
    let reply = calls.call(node, request, PROBE_LIMIT).await?;
    envelope::open(NODE_PROBE_REPLY, &reply).map_err(unreadable)
}
