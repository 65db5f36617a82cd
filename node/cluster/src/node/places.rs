//! Who holds which shard, and who is there.

use crate::meta::MetaShown;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use twinscale_membership::{Liveness, MembershipView};
use twinscale_meta::{GroupId, ShardCount, shard_of};
use twinscale_protocol::{CustomerId, NodeNumber, ShardId};
use twinscale_shards::Places;

/// Who holds a shard, as group 0 says, and who is there, as gossip says.
///
/// A node that starts again knows its replicas before it hears from group 0. The number of shards is fixed with
/// the cluster, so it takes the one that its replicas were recorded under.
#[derive(Debug)]
pub(super) struct MetaPlaces {
    pub(super) shown: Arc<MetaShown>,
    /// The number of shards that replicas were recorded under here.
    pub(super) recorded: Arc<OnceLock<ShardCount>>,
    pub(super) members: watch::Receiver<Arc<MembershipView>>,
    /// The schema that is open on this node.
    pub(super) gate: watch::Receiver<u32>,
}

impl Places for MetaPlaces {
    fn shard_of(&self, customer: &CustomerId) -> Option<ShardId> {
        let told = self.shown.state().shard_count();
        let shards = told.or_else(|| self.recorded.get().copied())?;
        Some(shard_of(customer, shards))
    }

    fn replicas(&self, shard: ShardId) -> Vec<u64> {
        let state = self.shown.state();
        let group = state.group(GroupId::Shard(shard));
        group.map_or_else(Vec::new, |group| {
            group.voters.iter().map(|voter| voter.0).collect()
        })
    }

    fn is_silent(&self, node: u64) -> bool {
        let liveness = self.members.borrow().liveness(NodeNumber(node));
        matches!(liveness, Some(Liveness::Dead | Liveness::Left))
    }

    fn schema(&self) -> u32 {
        *self.gate.borrow()
    }
}
