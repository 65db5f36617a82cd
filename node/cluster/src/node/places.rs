//! Who holds which shard.

use crate::meta::MetaShown;
use std::sync::Arc;
use twinscale_meta::{GroupId, shard_of};
use twinscale_protocol::{CustomerId, ShardId};
use twinscale_shards::Places;

/// Who holds a shard, as group 0 says.
#[derive(Debug)]
pub(super) struct MetaPlaces(pub(super) Arc<MetaShown>);

impl Places for MetaPlaces {
    fn shard_of(&self, customer: &CustomerId) -> ShardId {
        let shards = self.0.state().shard_count();
        // Until the state is known no replica is, so that this shard has nobody to ask.
        shards.map_or(ShardId(0), |shards| shard_of(customer, shards))
    }

    fn replicas(&self, shard: ShardId) -> Vec<u64> {
        let state = self.0.state();
        let group = state.group(GroupId::Shard(shard));
        group.map_or_else(Vec::new, |group| {
            group.voters.iter().map(|voter| voter.0).collect()
        })
    }
}
