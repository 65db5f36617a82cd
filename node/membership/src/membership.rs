//! The handle that a node holds: start, look, tell, leave.

use chitchat::{ChitchatHandle, spawn_chitchat};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::info;
use twinscale_protocol::NodeNumber;

use crate::clock::WallClock;
use crate::config::{Environment, MembershipConfig};
use crate::error::{PublishError, StartError};
use crate::gossiped::{
    LEADS_KEY, LOAD_KEY, Load, MemberState, STATE_KEY, encode_leads, encode_load, encode_state,
};
use crate::limits::FAREWELL_INTERVAL;
use crate::observer::Observer;
use crate::refusal::{RefusalReport, Refusals};
use crate::ring::{KeyRing, SharedKeyRing};
use crate::roster::Roster;
use crate::start::{Parts, chitchat_config, first_documents, open_socket, sealed_socket};
use crate::tracker::{Life, Tracker};
use crate::transport::SealedTransport;
use crate::view::{Liveness, MembershipView, Standing};

/// This node's membership of the cluster. Dropping it falls silent, as a crash does; see
/// [`Membership::leave`].
pub struct Membership {
    gossip: Arc<ChitchatHandle>,
    views: watch::Receiver<Arc<MembershipView>>,
    keys: SharedKeyRing,
    refusals: Arc<Refusals>,
    roster: Arc<Roster>,
    own: Life,
    /// Ends its task when dropped.
    observer: JoinSet<()>,
}

/// Who confirmed to know that this node left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveReport {
    /// They know.
    pub told: Vec<NodeNumber>,
    /// They were alive and did not confirm in time; they may hear it from the others, or see a silence.
    pub untold: Vec<NodeNumber>,
}

impl Membership {
    /// Opens the gossip socket, joins the cluster through the seeds and starts to tell and to listen.
    ///
    /// The first state is [`MemberState::Joining`]. Needs a tokio runtime with time and IO.
    ///
    /// # Errors
    /// [`StartError`]: a wrong configuration, an address in use, or gossip that does not start.
    pub async fn start(
        config: MembershipConfig,
        keys: KeyRing,
        environment: Environment,
    ) -> Result<Self, StartError> {
        config.check()?;
        let (socket, address) = open_socket(&config, &environment).await?;
        let own = Life {
            member: config.member,
            incarnation: config.incarnation,
            address,
        };
        let parts = Parts {
            keys: SharedKeyRing::new(keys),
            refusals: Arc::default(),
            roster: Arc::default(),
        };
        let transport =
            SealedTransport::new(sealed_socket(&config, &environment, own, socket, &parts));
        let first = first_documents(&config)?;
        let gossip = spawn_chitchat(chitchat_config(&config, own), first, &transport)
            .await
            .map_err(|error| StartError::Gossip(format!("{error:#}")))?;
        info!(member = %own.member, incarnation = %own.incarnation, address = %own.address, "gossip started");
        Ok(Self::observe(
            gossip,
            own,
            parts,
            &config,
            environment.clock,
        ))
    }

    fn observe(
        gossip: ChitchatHandle,
        own: Life,
        parts: Parts,
        config: &MembershipConfig,
        clock: Arc<dyn WallClock>,
    ) -> Self {
        let gossip = Arc::new(gossip);
        let tracker = Tracker::new(own, config.duplicate_after);
        let (sender, views) = watch::channel(Arc::new(tracker.view().clone()));
        let observer = Observer {
            gossip: Arc::clone(&gossip),
            tracker,
            roster: Arc::clone(&parts.roster),
            clock,
            views: sender,
            started: Instant::now(),
            gossip_interval: config.gossip_interval,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.run());
        Self {
            gossip,
            views,
            keys: parts.keys,
            refusals: parts.refusals,
            roster: parts.roster,
            own,
            observer: tasks,
        }
    }

    /// Says where this node gossips.
    pub fn gossip_address(&self) -> SocketAddr {
        self.own.address
    }

    /// Reads what this node sees now.
    pub fn view(&self) -> Arc<MembershipView> {
        Arc::clone(&self.views.borrow())
    }

    /// Follows what this node sees. Views between two looks may be left out;
    /// [`MembershipView::changes_since`] says what they amount to.
    pub fn watch(&self) -> watch::Receiver<Arc<MembershipView>> {
        self.views.clone()
    }

    /// The keys, to rotate them while gossip runs.
    pub fn keys(&self) -> &SharedKeyRing {
        &self.keys
    }

    /// Reads what was refused since the start, and whose clocks are off.
    pub fn refusals(&self) -> RefusalReport {
        self.refusals.report()
    }

    /// Tells the others what this node does now.
    ///
    /// # Errors
    /// For [`MemberState::Serving`]: [`PublishError::StandingUnknown`] until it is known that no other
    /// process has this node id, [`PublishError::Refused`] when an older one has it.
    pub async fn set_state(&self, state: MemberState) -> Result<(), PublishError> {
        let text = encode_state(&state)?;
        let chitchat = self.gossip.chitchat();
        let mut chitchat = chitchat.lock().await;
        // Under the lock that the observer judges under, so that a refusal is not overwritten.
        let standing = self.views.borrow().standing.clone();
        match (standing, state) {
            (Standing::Checking, MemberState::Serving) => Err(PublishError::StandingUnknown),
            (Standing::Refused(duplicate), MemberState::Serving | MemberState::Joining) => {
                Err(PublishError::Refused(duplicate))
            }
            _ => {
                chitchat.self_node_state().set(STATE_KEY, text);
                Ok(())
            }
        }
    }

    /// Tells the others how busy this node is. Once a second is often enough.
    ///
    /// # Errors
    /// [`PublishError::Encode`], which does not happen.
    pub async fn set_load(&self, load: Load) -> Result<(), PublishError> {
        self.tell(LOAD_KEY, encode_load(&load)?).await;
        Ok(())
    }

    /// Tells the others which shards this node leads, each with its term: hints, nothing more.
    ///
    /// # Errors
    /// [`PublishError::TooManyLeads`] or [`PublishError::TooLarge`]; the earlier hints stay.
    pub async fn set_leads(&self, leads: &BTreeMap<u32, u64>) -> Result<(), PublishError> {
        self.tell(LEADS_KEY, encode_leads(leads)?).await;
        Ok(())
    }

    /// Tells the others that this node leaves, waits up to `limit` until each that is alive confirms, and
    /// stops.
    ///
    /// # Errors
    /// [`PublishError::Encode`], which does not happen.
    pub async fn leave(self, limit: Duration) -> Result<LeaveReport, PublishError> {
        let version = self.announce_departure().await?;
        let others: BTreeMap<_, _> = self
            .view()
            .members
            .values()
            .filter(|one| one.liveness == Liveness::Alive && one.id != self.own.member)
            .map(|one| (one.id, one.gossip))
            .collect();
        // A time-out is no error: the report says who did not confirm.
        drop(timeout(limit, self.farewell(version, &others)).await);
        let (told, untold) = others
            .into_keys()
            .partition(|id| self.roster.has_confirmed(*id, version));
        self.stop().await;
        Ok(LeaveReport { told, untold })
    }

    /// Stops without a word, as a crash does, and frees the address.
    pub async fn stop(mut self) {
        // It fails only when gossip has ended already.
        drop(self.gossip.initiate_shutdown());
        drop(self.gossip.termination_watcher().await);
        self.observer.shutdown().await;
    }

    async fn announce_departure(&self) -> Result<u64, PublishError> {
        let text = encode_state(&MemberState::Left)?;
        let chitchat = self.gossip.chitchat();
        let mut chitchat = chitchat.lock().await;
        let own = chitchat.self_node_state();
        own.set(STATE_KEY, text);
        Ok(own.max_version())
    }

    /// Gossips with those that have not confirmed, round by round, until all have.
    async fn farewell(&self, version: u64, others: &BTreeMap<NodeNumber, SocketAddr>) {
        let missing = || {
            let unconfirmed =
                |(id, _): &(&NodeNumber, _)| !self.roster.has_confirmed(**id, version);
            others
                .iter()
                .filter(unconfirmed)
                .map(|(_, address)| *address)
        };
        while missing().next().is_some() {
            for address in missing() {
                if self.gossip.gossip(address).is_err() {
                    return;
                }
            }
            let all_confirmed = async {
                while missing().next().is_some() {
                    self.roster.confirmed_more().await;
                }
            };
            // After the interval, what was lost on the way is sent again.
            drop(timeout(FAREWELL_INTERVAL, all_confirmed).await);
        }
    }

    async fn tell(&self, key: &'static str, text: String) {
        let chitchat = self.gossip.chitchat();
        chitchat.lock().await.self_node_state().set(key, text);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.gossip.abort();
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}
