//! One group that runs: openraft over its storage, followed until it stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use openraft::{EmptyNode, Raft, RaftMetrics};
use tokio::sync::{Semaphore, watch};
use twinscale_protocol::NodeNumber;

use crate::error::StartGroupError;
use crate::group_log::{GroupLog, LogCondition};
use crate::groups::Shared;
use crate::ids::{GroupId, LogPosition};
use crate::machine::{AppliedMark, StateMachine};
use crate::observer::GroupsObserver;
use crate::peer::PeerFactory;
use crate::receive::Receiving;
use crate::standing::Standing;
use crate::status::{GroupRole, GroupStatus, describe, status_of};
use crate::storage::{AppliedMembers, LogStore, MachineStore};
use crate::types::TypeConfig;

/// A group on this node.
pub(crate) struct Running {
    pub(crate) id: GroupId,
    pub(crate) peers: PeerFactory,
    pub(crate) proposals: Semaphore,
    pub(crate) receiving: tokio::sync::Mutex<Receiving>,
    /// Set while leadership is handed over: what is proposed now would not reach the next leader.
    pub(crate) is_handing_over: AtomicBool,
    /// Set when the node ends the group: that it stops then is no fault.
    pub(crate) is_ending: AtomicBool,
    pub(crate) standing: Standing,
    /// Held while the members are changed.
    pub(crate) members_change: tokio::sync::Mutex<()>,
    /// The members as far as they are applied.
    members: AppliedMembers,
    machine: Arc<dyn StateMachine>,
    pub(crate) observer: Arc<dyn GroupsObserver>,
    /// Replaced when the group starts again after its disk was full.
    raft: RwLock<Raft<TypeConfig>>,
    status: watch::Sender<GroupStatus>,
}

impl Running {
    pub(crate) async fn start(
        shared: &Shared,
        id: GroupId,
        machine: Arc<dyn StateMachine>,
    ) -> Result<Self, StartGroupError> {
        let peers = shared.peers(id);
        let members = AppliedMembers::default();
        let store = machine_store(shared, id, &machine, &members);
        let raft = start_raft(shared, id, store, &peers).await?;
        let standing = Standing::default();
        standing.hear_leader();
        let status = status_of(
            &raft.metrics().borrow(),
            &members.get(),
            shared.options.election_max,
        );
        Ok(Self {
            id,
            peers,
            proposals: Semaphore::new(shared.options.proposals_max),
            receiving: tokio::sync::Mutex::default(),
            is_handing_over: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            standing,
            members_change: tokio::sync::Mutex::default(),
            members,
            machine,
            observer: Arc::clone(&shared.observer),
            raft: RwLock::new(raft),
            status: watch::Sender::new(status),
        })
    }

    pub(crate) fn raft(&self) -> Raft<TypeConfig> {
        self.raft
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn status(&self) -> watch::Receiver<GroupStatus> {
        self.status.subscribe()
    }

    /// Shows what openraft says, and stands for election when it is time to, until the group ends here.
    pub(crate) async fn follow(&self, shared: &Shared) {
        tokio::select! {
            () = self.show_and_restart(shared) => {}
            () = self.stand_when_due(shared) => {}
        }
    }

    /// Shows what openraft says until it stops, and starts it again once a full disk has room.
    async fn show_and_restart(&self, shared: &Shared) {
        loop {
            self.show_until_stopped(shared).await;
            if self.is_ending.load(Ordering::Acquire) {
                return;
            }
            let stopped = self.status.borrow().stopped.clone();
            tracing::error!(group = %self.id, reason = ?stopped, "a group stopped on this node");
            if !self.has_room_again(shared).await {
                return;
            }
            match start_raft(
                shared,
                self.id,
                machine_store(shared, self.id, &self.machine, &self.members),
                &self.peers,
            )
            .await
            {
                Ok(raft) => {
                    self.standing.hear_leader();
                    tracing::info!(group = %self.id, "a group runs again on this node");
                    *self.raft.write().unwrap_or_else(PoisonError::into_inner) = raft;
                }
                Err(error) => {
                    let reason = describe(&error);
                    tracing::error!(group = %self.id, %reason, "a group does not run again");
                    self.status
                        .send_modify(|status| status.stopped = Some(reason));
                    return;
                }
            }
        }
    }

    async fn show_until_stopped(&self, shared: &Shared) {
        let mut metrics = self.raft().metrics();
        loop {
            let status = {
                let current: &RaftMetrics<NodeNumber, EmptyNode> = &metrics.borrow_and_update();
                status_of(current, &self.members.get(), shared.options.election_max)
            };
            let has_stopped = status.stopped.is_some();
            self.show(status);
            if has_stopped {
                break;
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() {
                    break;
                },
                reason = refused(&shared.log) => {
                    // A leader that never writes would not notice, and keep the others from electing one.
                    self.end_for(reason).await;
                    break;
                }
            }
        }
        self.status.send_modify(|status| {
            status.role = GroupRole::Stopped;
            status.has_quorum = false;
            status.leader = None;
            status
                .stopped
                .get_or_insert_with(|| "it was shut down".to_owned());
        });
    }

    /// Takes no further part, because the log takes no writes.
    async fn end_for(&self, reason: String) {
        if let Err(error) = self.raft().shutdown().await {
            tracing::error!(group = %self.id, %error, "a group did not end in order");
        }
        self.status
            .send_modify(|status| status.stopped = Some(reason));
    }

    fn show(&self, status: GroupStatus) {
        self.status.send_if_modified(|current| {
            let is_new = *current != status;
            if is_new {
                self.tell(current, &status);
                *current = status;
            }
            is_new
        });
    }

    fn tell(&self, before: &GroupStatus, now: &GroupStatus) {
        let terms = now.term.saturating_sub(before.term);
        if terms > 0 {
            self.observer.terms_passed(terms);
        }
        let led_before = before.role == GroupRole::Leader && terms == 0;
        if now.role == GroupRole::Leader && !led_before {
            self.observer.led();
        }
    }

    /// Waits for room when the log refused a write; false when that is not why the group stopped.
    async fn has_room_again(&self, shared: &Shared) -> bool {
        let mut condition = shared.log.condition();
        let refused = matches!(*condition.borrow(), LogCondition::Refusing { .. });
        if !refused {
            return false;
        }
        let changed = condition
            .wait_for(|condition| !matches!(condition, LogCondition::Refusing { .. }))
            .await;
        changed.is_ok_and(|condition| *condition == LogCondition::Working)
    }
}

/// Waits until the log takes no writes and returns why.
async fn refused(log: &GroupLog) -> String {
    let mut condition = log.condition();
    let refused = condition.wait_for(|condition| *condition != LogCondition::Working);
    let known = refused.await.map(|condition| format!("{:?}", *condition));
    known.unwrap_or_else(|_closed| "the log was closed".to_owned())
}

fn machine_store(
    shared: &Shared,
    group: GroupId,
    machine: &Arc<dyn StateMachine>,
    members: &AppliedMembers,
) -> MachineStore {
    let machine = Arc::clone(machine);
    MachineStore::new(group, machine, shared.snapshots.clone(), members.clone())
}

async fn start_raft(
    shared: &Shared,
    group: GroupId,
    machine: MachineStore,
    peers: &PeerFactory,
) -> Result<Raft<TypeConfig>, StartGroupError> {
    let failed = |reason: String| StartGroupError::Failed { group, reason };
    let applied: Option<LogPosition> = machine
        .catch_up()
        .await
        .map_err(|error| failed(describe(&error)))?
        .as_ref()
        .map(AppliedMark::position);
    if let Some(purged) = shared
        .log
        .state(group)
        .purged
        .filter(|purged| Some(*purged) > applied)
    {
        return Err(StartGroupError::StateBehindLog {
            group,
            applied,
            purged,
        });
    }
    let log = LogStore::new(shared.log.clone(), group);
    let node = shared.log.identity().node;
    let config = Arc::clone(&shared.config);
    let raft = Raft::new(node, config, peers.clone(), log, machine)
        .await
        .map_err(|error| failed(describe(&error)))?;
    *peers.metrics.lock().unwrap_or_else(PoisonError::into_inner) = Some(raft.metrics());
    Ok(raft)
}
