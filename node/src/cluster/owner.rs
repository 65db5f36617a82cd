//! Drives the twins of the shards that this node leads.
//!
//! One task follows each replica. When this node becomes the leader of a shard, the task waits until the
//! state holds all that was acknowledged, and has the shard's twins started under the new term; when the
//! node is the leader no more, or of another term, they are ended. What ends too late does no harm: its
//! commands are refused by the group, and its calls outside by their generation.

use super::twins::ShardedTwins;
use crate::service::keeper::Keeper;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use twinscale_consensus::GroupRole;
use twinscale_log::LogIndex;
use twinscale_protocol::{CustomerId, Generation, ShardId};
use twinscale_shards::{HostedShard, ShardHost};

/// How long one check that this node leads may take.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// Pause before a twin that could not be started, or a customer that was configured elsewhere, is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Drives the twins of the shards that this node leads. Dropping it leaves the twins to the keeper.
#[derive(Debug)]
pub struct Owner {
    twins: Arc<ShardedTwins>,
    keeper: Arc<Keeper>,
    tasks: JoinSet<()>,
}

impl Owner {
    /// Owns no shard yet.
    pub fn new(twins: Arc<ShardedTwins>, keeper: Arc<Keeper>) -> Self {
        Self {
            twins,
            keeper,
            tasks: JoinSet::new(),
        }
    }

    /// Follows every replica of a host, those that come later too, until it is dropped.
    pub async fn run(mut self, host: Arc<ShardHost>) {
        let mut changes = host.watch();
        let mut followed: BTreeMap<ShardId, Weak<HostedShard>> = BTreeMap::new();
        loop {
            changes.borrow_and_update();
            followed.retain(|_, shard| shard.strong_count() > 0);
            for shard in host.all() {
                let is_new =
                    |before: &Weak<HostedShard>| !Weak::ptr_eq(before, &Arc::downgrade(&shard));
                if followed.get(&shard.shard()).is_none_or(is_new) {
                    followed.insert(shard.shard(), Arc::downgrade(&shard));
                    self.follow(shard);
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Follows a replica until its group stops; call it inside a tokio runtime.
    pub fn follow(&mut self, shard: Arc<HostedShard>) {
        while self.tasks.try_join_next().is_some() {}
        let owning = Owning {
            twins: Arc::clone(&self.twins),
            keeper: Arc::clone(&self.keeper),
            shard,
            looked_at: None,
        };
        self.tasks.spawn(owning.run());
    }
}

struct Owning {
    twins: Arc<ShardedTwins>,
    keeper: Arc<Keeper>,
    shard: Arc<HostedShard>,
    /// Where the state was when all its twins were seen to be driven.
    looked_at: Option<LogIndex>,
}

impl Owning {
    async fn run(mut self) {
        let Ok(mut status) = self.shard.status() else {
            return;
        };
        let mut driven: Option<Generation> = None;
        loop {
            let leads = {
                let status = status.borrow_and_update();
                (status.role == GroupRole::Leader).then_some(Generation(status.term))
            };
            if driven.is_some() && driven != leads {
                self.end(driven).await;
                driven = None;
            }
            if let Some(generation) = leads
                && (driven.is_some() || self.begin(generation).await)
            {
                driven = Some(generation);
                self.start_twins().await;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    self.end(driven).await;
                    return;
                },
                () = tokio::time::sleep(LOOK_AGAIN), if leads.is_some() => {}
            }
        }
    }

    /// Takes the shard over; returns whether this node is confirmed as its leader, with all that was
    /// acknowledged applied.
    async fn begin(&mut self, generation: Generation) -> bool {
        let shard = self.shard.shard();
        match self.shard.confirm(generation, CHECK_LIMIT).await {
            Ok(()) => {
                tracing::info!(%shard, %generation, "this node drives the twins of a shard");
                self.twins.lead(&self.shard, generation);
                self.looked_at = None;
                true
            }
            Err(error) => {
                tracing::debug!(%shard, %generation, %error, "not confirmed as the leader yet");
                false
            }
        }
    }

    async fn end(&mut self, driven: Option<Generation>) {
        let Some(generation) = driven else {
            return;
        };
        let shard = self.shard.shard();
        self.twins.give_up(shard);
        let is_of_shard = |customer: &CustomerId, of: Generation| {
            of == generation && self.twins.shard_of(customer) == Some(shard)
        };
        let ended = self.keeper.release(is_of_shard).await;
        tracing::info!(%shard, %generation, ended, "this node drives the twins of a shard no more");
    }

    /// Sees to it that every configured twin is driven, when something was applied since the last look. Those
    /// that are not due rest until they are.
    async fn start_twins(&mut self) {
        let reader = self.shard.machine().reader();
        let applied = self.shard.machine().applied_index();
        if self.looked_at == Some(applied) {
            return;
        }
        let mut all_are_driven = true;
        for customer in reader.customers() {
            if let Err(error) = self.keeper.keep(&customer).await {
                tracing::error!(%customer, %error, "twin cannot be started: it is tried again");
                all_are_driven = false;
            }
        }
        if all_are_driven {
            self.looked_at = Some(applied);
        }
    }
}
