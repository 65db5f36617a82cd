//! What a router is told of the cluster: who holds which shard, who is there, and how others are asked.

use crate::error::ShardsError;
use futures::future::BoxFuture;
use std::time::Duration;
use twinscale_protocol::{CustomerId, ShardId, WireError};
use twinscale_twin::TwinCommand;

/// A way to ask other nodes.
pub trait ShardNetwork: Send + Sync + 'static {
    /// Sends a request of this crate to a node and returns its answer, within a time.
    ///
    /// # Errors
    /// [`Unavailable`] and [`Overloaded`] when it certainly did not get it; any other code when it may have.
    ///
    /// [`Unavailable`]: twinscale_protocol::WireErrorCode::Unavailable
    /// [`Overloaded`]: twinscale_protocol::WireErrorCode::Overloaded
    fn ask(
        &self,
        node: u64,
        request: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>>;
}

/// Who holds a shard and who is there, as far as this node knows.
pub trait Places: std::fmt::Debug + Send + Sync + 'static {
    /// The shard of a customer; `None` while it is not known into how many shards they are spread. A guess
    /// would be worse than none: what is stored in the wrong shard is lost to whoever looks for it.
    fn shard_of(&self, customer: &CustomerId) -> Option<ShardId>;

    /// The nodes that hold a replica of it, in any order.
    fn replicas(&self, shard: ShardId) -> Vec<u64>;

    /// Whether a node was heard once and is silent now.
    fn is_silent(&self, node: u64) -> bool;

    /// The schema up to which every replica knows commands: the cluster's gate.
    fn schema(&self) -> u32;
}

/// Refuses a command that a replica might not know: one that does not stops when it comes to it.
///
/// A gate never falls, so that what is let through here may be applied anywhere.
pub(crate) fn check_schema(
    places: &dyn Places,
    shard: ShardId,
    command: &TwinCommand,
) -> Result<(), ShardsError> {
    let (schema, gate) = (command.schema(), places.schema());
    if schema <= gate {
        return Ok(());
    }
    Err(ShardsError::BeyondGate {
        shard,
        schema,
        gate,
    })
}
