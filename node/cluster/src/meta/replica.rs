//! One replica on this node: started, stopped, and its state taken back.

use super::keeper::KeeperError;
use super::machine::MetaMachine;
use super::shown::MetaShown;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use twinscale_consensus::{Group, Groups, StateMachine};
use twinscale_meta::GroupId;
use twinscale_meta::stored::v1::SchemaRange;
use twinscale_shards::{HostedShard, ShardHost, ShardMachine, WriterOptions};
use twinscale_twin::shard::ShardTwins;

/// How often it is looked whether nobody holds a replica's state any more.
const RELEASE_INTERVAL: Duration = Duration::from_millis(5);

/// How long the last users of a replica that is deleted may take: reads and snapshots under way.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// What a replica runs on.
pub(super) struct Ground<'a> {
    pub(super) groups: &'a Groups,
    pub(super) host: &'a ShardHost,
    pub(super) shown: &'a Arc<MetaShown>,
    pub(super) writer: WriterOptions,
    pub(super) schemas: SchemaRange,
}

/// The state of a replica that runs.
#[derive(Debug)]
pub(super) enum Machine {
    Meta(Arc<MetaMachine>),
    Shard(Arc<ShardMachine>),
    /// None runs, and what the store holds of it is not known in memory: a restart reads it again.
    Lost,
}

/// The consensus group of a group.
pub(super) fn consensus_group(group: GroupId) -> twinscale_consensus::GroupId {
    match group {
        GroupId::Meta => twinscale_consensus::GroupId(0),
        GroupId::Shard(shard) => twinscale_shards::group_of(shard),
    }
}

impl Ground<'_> {
    /// Runs the replica of group 0.
    pub(super) async fn start_meta(&self) -> Result<Machine, KeeperError> {
        let machine = Arc::new(MetaMachine::new(Arc::clone(self.shown), self.schemas));
        self.start(GroupId::Meta, Arc::<MetaMachine>::clone(&machine))
            .await?;
        Ok(Machine::Meta(machine))
    }

    /// Runs a shard's replica and lets it serve.
    pub(super) async fn start_shard(&self, twins: ShardTwins) -> Result<Machine, KeeperError> {
        let machine = Arc::new(ShardMachine::new(twins));
        let id = GroupId::Shard(machine.shard());
        let group = self.start(id, Arc::<ShardMachine>::clone(&machine)).await?;
        let hosted = HostedShard::new(Arc::clone(&machine), group, self.writer);
        self.host.insert(hosted);
        Ok(Machine::Shard(machine))
    }

    async fn start(
        &self,
        group: GroupId,
        machine: Arc<dyn StateMachine>,
    ) -> Result<Group, KeeperError> {
        let started = self.groups.start(consensus_group(group), machine).await;
        started.map_err(|source| KeeperError::Start { group, source })
    }

    /// Ends a replica, and gives back the twins of a shard's once nobody else holds them.
    ///
    /// Whatever still writes for the replica holds its state: a snapshot that is built or installed, an
    /// entry that is applied.
    pub(super) async fn end(
        &self,
        group: GroupId,
        machine: Option<Machine>,
    ) -> Result<Option<ShardTwins>, (KeeperError, Option<Machine>)> {
        if let GroupId::Shard(shard) = group {
            drop(self.host.remove(shard));
        }
        self.groups.stop(consensus_group(group)).await;
        match machine {
            None => Ok(None),
            Some(Machine::Lost) => Err((KeeperError::Lost { group }, Some(Machine::Lost))),
            Some(Machine::Meta(machine)) => match released(machine).await {
                Ok(_) => Ok(None),
                Err(machine) => Err((KeeperError::InUse { group }, Some(Machine::Meta(machine)))),
            },
            Some(Machine::Shard(machine)) => match released(machine).await {
                Ok(machine) => Ok(Some(machine.into_twins())),
                Err(machine) => Err((KeeperError::InUse { group }, Some(Machine::Shard(machine)))),
            },
        }
    }
}

/// Waits until nobody else holds a value.
async fn released<T: Send + Sync>(value: Arc<T>) -> Result<T, Arc<T>> {
    let alone = async {
        while Arc::strong_count(&value) > 1 {
            sleep(RELEASE_INTERVAL).await;
        }
    };
    if timeout(RELEASE_LIMIT, alone).await.is_err() {
        return Err(value);
    }
    // Nobody can have taken it again: there is no other way to it.
    Arc::try_unwrap(value)
}
