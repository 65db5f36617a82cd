//! All groups of a node: one log, one directory of snapshots, one way to the peers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use twinscale_log::disk::Disk;

use crate::error::{EraseGroupError, OpenGroupsError, StartGroupError};
use crate::group::Group;
use crate::group_log::{GroupLog, LogCondition};
use crate::ids::GroupId;
use crate::machine::StateMachine;
use crate::network::PeerNetwork;
use crate::observer::{GroupsObserver, NoGroupsObserver};
use crate::options::GroupsOptions;
use crate::peer::PeerFactory;
use crate::running::Running;
use crate::snapshot::{SnapshotError, SnapshotStore};
use crate::status::describe;
use crate::types::has_single_term_leaders;

/// What all groups of a node share.
pub(crate) struct Shared {
    pub(crate) options: GroupsOptions,
    pub(crate) config: Arc<openraft::Config>,
    pub(crate) log: GroupLog,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) observer: Arc<dyn GroupsObserver>,
    network: Arc<dyn PeerNetwork>,
    /// Tells the snapshots that this process sends apart.
    transfers: Arc<AtomicU64>,
    running: Mutex<BTreeMap<GroupId, Follower>>,
}

/// A group and the task that follows it.
struct Follower {
    running: Arc<Running>,
    task: AbortHandle,
}

/// The consensus groups of one node.
///
/// Dropping it ends them as a crash would; [`Groups::shut_down`] ends them in order.
pub struct Groups {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Groups")
            .field("identity", &self.shared.log.identity())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn peers(&self, group: GroupId) -> PeerFactory {
        PeerFactory {
            identity: self.log.identity(),
            group,
            network: Arc::clone(&self.network),
            chunk_deadline: self.options.chunk_deadline,
            election_max: self.options.election_max,
            metrics: Arc::default(),
            transfers: Arc::clone(&self.transfers),
            observer: Arc::clone(&self.observer),
        }
    }

    fn followers(&self) -> MutexGuard<'_, BTreeMap<GroupId, Follower>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self, group: GroupId) -> Option<Arc<Running>> {
        let followers = self.followers();
        let follower = followers.get(&group)?;
        Some(Arc::clone(&follower.running))
    }
}

impl Groups {
    /// Prepares the groups of a node; none runs yet. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the snapshots cannot be read, the times contradict each other, or this build of openraft could
    /// elect several leaders in a term.
    pub fn open(
        log: GroupLog,
        snapshots: Arc<dyn Disk>,
        network: Arc<dyn PeerNetwork>,
        options: GroupsOptions,
    ) -> Result<Self, OpenGroupsError> {
        let observer = Arc::new(NoGroupsObserver);
        Self::open_observed(log, snapshots, network, options, observer)
    }

    /// Prepares the groups of a node, with an observer.
    ///
    /// # Errors
    /// Those of [`Groups::open`].
    pub fn open_observed(
        log: GroupLog,
        snapshots: Arc<dyn Disk>,
        network: Arc<dyn PeerNetwork>,
        options: GroupsOptions,
        observer: Arc<dyn GroupsObserver>,
    ) -> Result<Self, OpenGroupsError> {
        if !has_single_term_leaders() {
            return Err(OpenGroupsError::SeveralLeadersPerTerm);
        }
        let config = options
            .raft_config()
            .map_err(|reason| OpenGroupsError::Times { reason })?;
        let shared = Arc::new(Shared {
            options,
            config: Arc::new(config),
            log,
            snapshots: SnapshotStore::open(snapshots)?,
            observer,
            network,
            transfers: Arc::default(),
            running: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(clean(shared.log.clone()));
        tasks.spawn(probe(Arc::clone(&shared)));
        Ok(Self {
            shared,
            tasks: Mutex::new(tasks),
        })
    }

    /// Runs a group with the state that its owner gives.
    ///
    /// A group that is new everywhere needs [`Group::initialize`] on one of its nodes; one that is new here
    /// waits for its leader.
    ///
    /// # Errors
    /// [`StartGroupError::StateBehindLog`] when entries that the state lacks are gone;
    /// [`StartGroupError::Running`], or [`StartGroupError::Failed`] with the storage's reason.
    #[expect(
        clippy::missing_panics_doc,
        reason = "two callers that start one group at once contradict each other about its state"
    )]
    pub async fn start(
        &self,
        group: GroupId,
        machine: Arc<dyn StateMachine>,
    ) -> Result<Group, StartGroupError> {
        if self.shared.running(group).is_some() {
            return Err(StartGroupError::Running { group });
        }
        let running = Arc::new(Running::start(&self.shared, group, machine).await?);
        let task = {
            let (running, shared) = (Arc::clone(&running), Arc::clone(&self.shared));
            let mut tasks = self.tasks();
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move { running.follow(&shared).await })
        };
        let before = self
            .shared
            .followers()
            .insert(group, Follower { running, task });
        assert!(
            before.is_none(),
            "a group is started by one caller at a time"
        );
        Ok(self.group(group))
    }

    /// Returns the handle of a group, whether or not it runs here.
    pub fn group(&self, group: GroupId) -> Group {
        Group::new(group, &self.shared)
    }

    /// Ends a group on this node; its log stays, so that it can be started again.
    pub async fn stop(&self, group: GroupId) {
        let follower = self.shared.followers().remove(&group);
        if let Some(follower) = follower {
            end(follower).await;
        }
    }

    /// Forgets a group that was stopped: its snapshots, its log and its vote; durable when it returns. It may
    /// be begun here again as one that never was.
    ///
    /// Only for a replica that is no member of its group and cannot become one again under what it forgets;
    /// nothing of its last run may still hold its state.
    ///
    /// # Errors
    /// [`EraseGroupError::Running`], and those of the disk: then call it again.
    pub async fn erase(&self, group: GroupId) -> Result<(), EraseGroupError> {
        if self.shared.running(group).is_some() {
            return Err(EraseGroupError::Running { group });
        }
        let snapshots = self.shared.snapshots.clone();
        tokio::task::spawn_blocking(move || snapshots.erase(group))
            .await
            .unwrap_or_else(|error| Err(SnapshotError::task(&error)))?;
        self.shared.log.erase(group).await?;
        Ok(())
    }

    /// Ends all groups and the work behind them.
    pub async fn shut_down(&self) {
        let followers = std::mem::take(&mut *self.shared.followers());
        futures::future::join_all(followers.into_values().map(end)).await;
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }

    /// Returns the groups that were started and not stopped.
    pub fn started(&self) -> Vec<GroupId> {
        self.shared.followers().keys().copied().collect()
    }

    /// Returns the node's log.
    pub fn log(&self) -> &GroupLog {
        &self.shared.log
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(follower: Follower) {
    follower.running.is_ending.store(true, Ordering::Release);
    if let Err(error) = follower.running.raft().shutdown().await {
        tracing::error!(group = %follower.running.id, %error, "a group did not end in order");
    }
    follower.task.abort();
}

#[expect(
    clippy::infinite_loop,
    reason = "the task is aborted with the groups of the node"
)]
/// Cleans the log whenever a purge left something.
async fn clean(log: GroupLog) {
    loop {
        log.garbage().await;
        match log.clean().await {
            Ok(0) => {}
            Ok(segments) => tracing::debug!(segments, "the log gave disk back"),
            Err(error) => tracing::warn!(error = describe(&error), "the log gave no disk back"),
        }
    }
}

/// Looks at a full disk until it has room.
async fn probe(shared: Arc<Shared>) {
    let mut condition = shared.log.condition();
    let mut ticks = tokio::time::interval(shared.options.probe_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let refuses = condition
            .wait_for(|condition| matches!(condition, LogCondition::Refusing { .. }))
            .await
            .is_ok();
        if !refuses {
            return;
        }
        ticks.tick().await;
        match shared.log.probe().await {
            Ok(true) => tracing::info!("the log takes writes again"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = describe(&error), "the log takes no writes again");
                return;
            }
        }
    }
}
