//! The shards that this node holds replicas of.

use crate::error::ShardsError;
use crate::machine::ShardMachine;
use crate::writer::{Proposal, ShardWriter, WriterOptions};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use twinscale_consensus::{Group, GroupRole, GroupStatus};
use twinscale_protocol::{CustomerId, Generation, ShardId};
use twinscale_twin::SharedTwin;
use twinscale_twin::stored::shard_v1::ShardCommand;

/// A replica that runs here.
#[derive(Debug)]
pub struct HostedShard {
    machine: Arc<ShardMachine>,
    group: Group,
    writer: ShardWriter,
}

/// The shards that this node holds replicas of.
#[derive(Debug, Default)]
pub struct ShardHost {
    shards: RwLock<BTreeMap<ShardId, Arc<HostedShard>>>,
    changes: watch::Sender<()>,
}

impl HostedShard {
    /// Joins a group that runs with its state; call it inside a tokio runtime.
    pub fn new(machine: Arc<ShardMachine>, group: Group, options: WriterOptions) -> Self {
        let writer = ShardWriter::start(machine.shard(), group.clone(), options);
        Self {
            machine,
            group,
            writer,
        }
    }

    /// Which shard it is.
    pub fn shard(&self) -> ShardId {
        self.machine.shard()
    }

    /// Its state.
    pub fn machine(&self) -> &Arc<ShardMachine> {
        &self.machine
    }

    /// Its group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Who leads and how far it is, with changes.
    ///
    /// # Errors
    /// [`ShardsError::NotHere`] when the group was stopped.
    pub fn status(&self) -> Result<watch::Receiver<GroupStatus>, ShardsError> {
        let status = self.group.status();
        status.map_err(|error| ShardsError::of_group(self.shard(), error))
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<u64> {
        let status = self.status().ok()?;
        let status = status.borrow();
        status.leader.map(|leader| leader.0)
    }

    /// Whether the group's leader is a node and was heard here within the time for which replicas keep faith.
    pub fn hears_leader(&self, node: u64) -> bool {
        self.leader() == Some(node) && self.group.hears_leader()
    }

    /// The generation under which this node leads; `None` = it does not.
    pub fn generation(&self) -> Option<Generation> {
        let status = self.status().ok()?;
        let status = status.borrow();
        (status.role == GroupRole::Leader).then_some(Generation(status.term))
    }

    /// Has a command committed and applied; this node must lead.
    ///
    /// # Errors
    /// [`ShardsError`]; but for [`ShardsError::OutcomeUnknown`] it never takes effect.
    pub async fn propose(&self, command: ShardCommand) -> Result<Proposal, ShardsError> {
        self.writer.propose(command).await
    }

    /// Makes sure that this node leads under a generation now, and that its state holds everything that was
    /// acknowledged: what comes before an effect outside.
    ///
    /// # Errors
    /// [`ShardsError::NotLeader`] for another generation, and when nobody confirms it in time.
    pub async fn confirm(
        &self,
        generation: Generation,
        limit: Duration,
    ) -> Result<(), ShardsError> {
        let shard = self.shard();
        let checked = self.group.check_linearizable(limit).await;
        let point = checked.map_err(|error| ShardsError::of_group(shard, error))?;
        if Generation(point.term) == generation {
            return Ok(());
        }
        Err(ShardsError::NotLeader {
            shard,
            leader: self.leader(),
        })
    }

    /// Reads a twin after everything that was acknowledged before; this node must lead.
    ///
    /// # Errors
    /// As [`HostedShard::confirm`].
    pub async fn read_linearizable(
        &self,
        customer: &CustomerId,
        limit: Duration,
    ) -> Result<Option<SharedTwin>, ShardsError> {
        let checked = self.group.check_linearizable(limit).await;
        checked.map_err(|error| ShardsError::of_group(self.shard(), error))?;
        Ok(self.machine.reader().twin(customer))
    }
}

impl ShardHost {
    /// Takes a replica that runs; one of the same shard from before is returned.
    pub fn insert(&self, shard: HostedShard) -> Option<Arc<HostedShard>> {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let before = shards.insert(shard.shard(), Arc::new(shard));
        drop(shards);
        self.changes.send_replace(());
        before
    }

    /// Gives a replica up.
    pub fn remove(&self, shard: ShardId) -> Option<Arc<HostedShard>> {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let removed = shards.remove(&shard);
        drop(shards);
        self.changes.send_replace(());
        removed
    }

    /// Tells whenever a replica comes or goes.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Finds a replica.
    ///
    /// # Errors
    /// [`ShardsError::NotHere`].
    pub fn find(&self, shard: ShardId) -> Result<Arc<HostedShard>, ShardsError> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let found = shards.get(&shard).cloned();
        found.ok_or(ShardsError::NotHere { shard })
    }

    /// All replicas, by shard.
    pub fn all(&self) -> Vec<Arc<HostedShard>> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.values().cloned().collect()
    }
}
