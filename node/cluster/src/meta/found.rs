//! Founding a cluster on its first node.

use super::errand::{Errand, ErrandRequest};
use super::hands::Hands;
use super::writer::MetaWriter;
use std::time::Duration;
use tokio::time::timeout;
use twinscale_consensus::GroupRole;
use twinscale_meta::stored::v1::By;
use twinscale_meta::{Creation, GroupId, MetaCommand, Outcome};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};

/// The number of the node that founds a cluster.
pub const FIRST_NODE: NodeNumber = NodeNumber(1);

/// Founds a cluster on this node, its first: begins group 0 with it alone and creates the cluster in it.
/// Each part may have been done before, so that one that was cut short can be repeated.
///
/// # Errors
/// [`WireError`] when group 0 cannot begin or commit within the limit; that a cluster exists is a refusal.
pub async fn found_cluster(
    hands: &Hands,
    writer: &MetaWriter,
    by: By,
    creation: Creation,
    limit: Duration,
) -> Result<Outcome, WireError> {
    let shards = creation.shard_count;
    let voters = vec![FIRST_NODE];
    for errand in [Errand::MakeFirst { shards }, Errand::Begin { voters }] {
        let request = ErrandRequest {
            group: GroupId::Meta,
            number: 0,
            errand,
            limit_ms: u32::try_from(limit.as_millis()).unwrap_or(u32::MAX),
        };
        hands.run(request).await?;
    }
    let late = |_elapsed| {
        let text = format!("group 0 has no leader after {limit:?}; try again");
        WireError::new(WireErrorCode::Timeout, text)
    };
    let gone = || WireError::new(WireErrorCode::Unavailable, "group 0 ended; see the log");
    let mut status = writer.status().map_err(|_error| gone())?;
    let leads = status.wait_for(|status| status.role == GroupRole::Leader && status.has_quorum);
    let led = timeout(limit, leads).await.map_err(late)?;
    drop(led.map_err(|_closed| gone())?);
    let command = MetaCommand::CreateCluster(creation);
    Ok(writer.propose(by, command, limit).await?)
}
