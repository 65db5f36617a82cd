//! The twins of all replicas that a node holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use twinscale_protocol::{CustomerId, Generation, ShardId, WireError, WireErrorCode};
use twinscale_shards::{
    HostedShard, LeaderWriter, Places, RequestIds, Router, ShardHost, ShardsError,
};
use twinscale_twin::shard::ShardReader;
use twinscale_twin::{
    Answer, Authorities, Authority, HostError, HostMetrics, HostStatus, Proposal, Residency,
    SharedTwin, TwinCommand, TwinOutline, TwinWriter, Twins,
};

/// How long a command may take to find its leader and be committed: several elections.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);

/// The twins of all replicas that a node holds; commands go to whoever leads their shard.
///
/// What is read here is what this node's replica has applied: on a follower it may be a moment old.
pub struct ShardedTwins {
    host: Arc<ShardHost>,
    router: Arc<Router>,
    places: Arc<dyn Places>,
    requests: RequestIds,
    /// Shards that this node leads.
    led: RwLock<BTreeMap<ShardId, Authority>>,
    status: watch::Sender<HostStatus>,
    commands: AtomicU64,
    overloaded: AtomicU64,
}

impl fmt::Debug for ShardedTwins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedTwins")
            .field("led", &self.led())
            .finish_non_exhaustive()
    }
}

impl ShardedTwins {
    /// Joins the replicas of a node with the way to all others.
    pub fn new(
        host: Arc<ShardHost>,
        router: Arc<Router>,
        places: Arc<dyn Places>,
        requests: RequestIds,
    ) -> Self {
        Self {
            host,
            router,
            places,
            requests,
            led: RwLock::default(),
            status: watch::Sender::new(HostStatus::ReadWrite),
            commands: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
        }
    }

    /// The shard of a customer; `None` while this node does not know into how many they are spread.
    pub fn shard_of(&self, customer: &CustomerId) -> Option<ShardId> {
        self.places.shard_of(customer)
    }

    /// The schema up to which every node of the cluster knows commands.
    pub fn schema_gate(&self) -> u32 {
        self.places.schema()
    }

    /// Says whether the node's log takes writes.
    pub fn set_status(&self, status: HostStatus) {
        self.status.send_if_modified(|shown| {
            // What failed for good stays failed, whatever else goes on.
            let changes = !matches!(shown, HostStatus::Failed { .. }) && *shown != status;
            if changes {
                *shown = status;
            }
            changes
        });
    }

    /// Shards that this node leads, with the term.
    pub fn led(&self) -> BTreeMap<ShardId, Generation> {
        let led = self.led.read().unwrap_or_else(PoisonError::into_inner);
        led.iter()
            .map(|(shard, authority)| (*shard, authority.generation))
            .collect()
    }

    /// Whether this node leads a shard and drives its twins, as far as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        let led = self.led.read().unwrap_or_else(PoisonError::into_inner);
        led.contains_key(&shard)
    }

    /// Makes sure that this node leads a shard, under the term that its twins act under, and that its state
    /// holds everything that was acknowledged.
    ///
    /// # Errors
    /// [`ShardsError::NotLeader`] with who leads, and what keeps the check from its end.
    pub async fn confirm_led(&self, shard: ShardId, limit: Duration) -> Result<(), ShardsError> {
        let generation = {
            let led = self.led.read().unwrap_or_else(PoisonError::into_inner);
            led.get(&shard).map(|authority| authority.generation)
        };
        let Some(generation) = generation else {
            return Err(self.not_led(shard));
        };
        self.host.find(shard)?.confirm(generation, limit).await
    }

    /// Why this node does not answer for a shard that it does not lead.
    pub fn not_led(&self, shard: ShardId) -> ShardsError {
        match self.host.find(shard) {
            Ok(hosted) if hosted.generation().is_some() => ShardsError::Unavailable {
                shard,
                reason: "its leader takes over".to_owned(),
            },
            Ok(hosted) => ShardsError::NotLeader {
                shard,
                leader: hosted.leader(),
            },
            Err(error) => error,
        }
    }

    pub(super) fn lead(&self, shard: &Arc<HostedShard>, generation: Generation) {
        let writer = LeaderWriter::new(Arc::clone(shard), Arc::clone(&self.places), generation);
        let authority = Authority {
            writer: Arc::new(writer),
            generation,
        };
        let mut led = self.led.write().unwrap_or_else(PoisonError::into_inner);
        led.insert(shard.shard(), authority);
    }

    pub(super) fn give_up(&self, shard: ShardId) {
        let mut led = self.led.write().unwrap_or_else(PoisonError::into_inner);
        led.remove(&shard);
    }

    /// Looks at the replica that holds a customer's twin, and sees whether its states still come back.
    fn look<R>(
        &self,
        customer: &CustomerId,
        look: impl FnOnce(&ShardReader, &CustomerId) -> Option<R>,
    ) -> Option<R> {
        let hosted = self.host.find(self.shard_of(customer)?).ok()?;
        let reader = hosted.machine().reader();
        let found = look(reader, customer);
        if found.is_none() {
            self.note_failure(reader);
        }
        found
    }

    /// A store that does not give back what was put into it is broken: the node ends, and its next start
    /// rebuilds the store.
    fn note_failure(&self, reader: &ShardReader) {
        if let Some(reason) = reader.failure() {
            let reason = reason.to_owned();
            self.set_status(HostStatus::Failed { reason });
        }
    }

    fn count(&self, error: &ShardsError) {
        if matches!(error, ShardsError::Overloaded { .. }) {
            self.overloaded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TwinWriter for ShardedTwins {
    fn commit<'a>(&'a self, customer: &'a CustomerId, command: TwinCommand) -> Proposal<'a> {
        Box::pin(async move {
            let request = self.requests.next();
            let proposed = self
                .router
                .propose(request, customer, &command, COMMIT_LIMIT)
                .await;
            match proposed {
                Ok(proposal) => {
                    self.commands.fetch_add(1, Ordering::Relaxed);
                    Ok(proposal.result)
                }
                Err(error) => {
                    self.count(&error);
                    Err(HostError::Shard(error.into()))
                }
            }
        })
    }

    fn find(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.look(customer, ShardReader::twin)
    }

    /// Twins act through the writer of their [`Authority`]: nothing else may act outside.
    fn confirm(&self, generation: Generation, _limit: Duration) -> Answer<()> {
        let text = format!("generation {generation} is confirmed by its shard's leader alone");
        let error = WireError::new(WireErrorCode::PermissionDenied, text);
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Twins for ShardedTwins {
    fn customers(&self) -> Vec<CustomerId> {
        let held = self.host.all();
        let mut customers: Vec<CustomerId> = held
            .iter()
            .flat_map(|hosted| hosted.machine().reader().customers())
            .collect();
        customers.sort_unstable();
        customers
    }

    fn knows(&self, customer: &CustomerId) -> bool {
        let knows = |reader: &ShardReader, customer: &CustomerId| Some(reader.knows(customer));
        self.look(customer, knows).unwrap_or_default()
    }

    fn outline(&self, customer: &CustomerId) -> Option<TwinOutline> {
        self.look(customer, ShardReader::outline)
    }

    fn config_version(&self, customer: &CustomerId) -> Option<u64> {
        self.look(customer, ShardReader::config_version)
    }

    fn peek(&self, customer: &CustomerId) -> Option<SharedTwin> {
        self.look(customer, ShardReader::peek)
    }

    fn put_away_idle(&self) -> usize {
        let held = self.host.all();
        let put_away = held.iter().map(|hosted| {
            let reader = hosted.machine().reader();
            self.note_failure(reader);
            reader.put_away_idle()
        });
        put_away.sum()
    }

    fn residency(&self) -> Residency {
        let held = self.host.all();
        let each = held
            .iter()
            .map(|hosted| hosted.machine().reader().residency());
        each.fold(Residency::default(), Residency::plus)
    }

    fn status(&self) -> HostStatus {
        self.status.borrow().clone()
    }

    fn watch_status(&self) -> watch::Receiver<HostStatus> {
        self.status.subscribe()
    }

    fn metrics(&self) -> HostMetrics {
        HostMetrics {
            commands: self.commands.load(Ordering::Relaxed),
            overloaded: self.overloaded.load(Ordering::Relaxed),
            ..HostMetrics::default()
        }
    }
}

impl Authorities for ShardedTwins {
    fn of(&self, customer: &CustomerId) -> Option<Authority> {
        let shard = self.shard_of(customer)?;
        let led = self.led.read().unwrap_or_else(PoisonError::into_inner);
        led.get(&shard).cloned()
    }
}
