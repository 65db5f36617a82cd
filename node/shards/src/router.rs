//! Takes any command on any node and finds the node that leads its shard.
//!
//! Where to ask first comes from what this node saw last: its own replica's leader, or who answered last.
//! A wrong guess costs a redirect. What certainly had no effect is tried again until the deadline; what may
//! have had one is tried again only under a request id, which makes it take effect once. A node that sees too
//! little of a shard to find its leader says so soon, so that another one is asked.

use crate::error::ShardsError;
use crate::host::ShardHost;
use crate::places::{Places, ShardNetwork, check_schema};
use crate::reach::{Doubts, Round, Sight};
use crate::request::{ShardAnswer, ShardRequest, decode_answer, encode_answer, encode_request};
use crate::writer::Proposal;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use twinscale_protocol::{CustomerId, RequestId, ShardId, WireError, WireErrorCode};
use twinscale_twin::TwinCommand;
use twinscale_twin::shard::{command_customer, shard_command};
use twinscale_twin::stored::shard_v1::ShardCommand;

/// How often it is looked whether a node that was asked is there still.
const SILENCE_PERIOD: Duration = Duration::from_millis(100);

/// How commands are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterOptions {
    /// Time for one attempt.
    pub attempt_limit: Duration,
    /// First pause before another attempt where nobody leads; doubled each time.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// How long requests wait on a node that hears no majority of a shard.
    pub cut_off_limit: Duration,
    /// How long requests wait for a leader that others name and this node cannot reach.
    pub apart_limit: Duration,
}

impl Default for RouterOptions {
    /// Three seconds for an attempt, in which a shard elects a leader once; pauses of 10 to 200 ms. A second
    /// without a majority, which a node needs to hear of others after a pause; three without a way to the leader,
    /// in which one that died is known to be dead, or followed by another.
    fn default() -> Self {
        Self {
            attempt_limit: Duration::from_secs(3),
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_millis(200),
            cut_off_limit: Duration::from_secs(1),
            apart_limit: Duration::from_secs(3),
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounts {
    /// Commands that this node's own replica took.
    pub local: u64,
    /// Commands that another node took.
    pub remote: u64,
    /// Attempts that were told of another leader.
    pub redirects: u64,
    /// Attempts that were made again for other reasons.
    pub retries: u64,
}

#[derive(Debug, Default)]
struct Counters {
    local: AtomicU64,
    remote: AtomicU64,
    redirects: AtomicU64,
    retries: AtomicU64,
}

/// Takes any command on any node and finds the node that leads its shard.
pub struct Router {
    node: u64,
    host: Arc<ShardHost>,
    places: Arc<dyn Places>,
    network: Arc<dyn ShardNetwork>,
    options: RouterOptions,
    /// Who answered last, by shard.
    known: Mutex<BTreeMap<ShardId, u64>>,
    doubts: Mutex<Doubts>,
    counters: Counters,
}

/// What one request has asked.
#[derive(Debug)]
struct Asking {
    /// Who was asked in this round.
    tried: Vec<u64>,
    round: Round,
}

impl Asking {
    fn begin() -> Self {
        Self {
            tried: Vec::new(),
            round: Round::begin(Instant::now()),
        }
    }
}

/// How a request goes on.
#[derive(Debug)]
enum Next {
    /// Somebody else may answer at once.
    Another,
    /// After a pause.
    Pause,
    /// Not on this node.
    Refuse(ShardsError),
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("node", &self.node)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Router {
    /// Joins the replicas of a node with the ways to the others.
    pub fn new(
        node: u64,
        host: Arc<ShardHost>,
        places: Arc<dyn Places>,
        network: Arc<dyn ShardNetwork>,
        options: RouterOptions,
    ) -> Self {
        Self {
            node,
            host,
            places,
            network,
            options,
            known: Mutex::default(),
            doubts: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Counts since the start.
    pub fn counts(&self) -> RouterCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RouterCounts {
            local: read(&self.counters.local),
            remote: read(&self.counters.remote),
            redirects: read(&self.counters.redirects),
            retries: read(&self.counters.retries),
        }
    }

    /// Has a command committed and applied by whoever leads the customer's shard.
    ///
    /// Under [`RequestId::NONE`] it must be one that may take effect again, such as samples, or whose own
    /// rules refuse it then, such as a plan on its parent.
    ///
    /// # Errors
    /// [`ShardsError`]; but for [`ShardsError::OutcomeUnknown`] it never takes effect.
    pub async fn propose(
        &self,
        request: RequestId,
        customer: &CustomerId,
        command: &TwinCommand,
        limit: Duration,
    ) -> Result<Proposal, ShardsError> {
        let shard = self.places.shard_of(customer);
        let shard = shard.ok_or(ShardsError::Unplaced)?;
        check_schema(&*self.places, shard, command)?;
        let command =
            shard_command(request, customer, command).map_err(|error| ShardsError::Invalid {
                shard,
                reason: error.to_string(),
            })?;
        self.route(shard, command, Instant::now() + limit).await
    }

    /// Answers a request that another node sent here: it is not sent on, its sender is told whom to ask.
    pub async fn answer(&self, request: ShardRequest) -> Vec<u8> {
        let ShardRequest { shard, command } = request;
        let taken = self.take(shard, command).await;
        let answer = taken.map(|proposal| (proposal.generation, proposal.result));
        encode_answer(&ShardAnswer(answer)).unwrap_or_else(|error| {
            let reason = error.to_string();
            let unknown = ShardAnswer(Err(ShardsError::OutcomeUnknown { shard, reason }));
            // An answer without a result is a few hundred bytes.
            encode_answer(&unknown).unwrap_or_default()
        })
    }

    async fn take(&self, shard: ShardId, command: ShardCommand) -> Result<Proposal, ShardsError> {
        self.check_placed(shard, &command)?;
        self.host.find(shard)?.propose(command).await
    }

    /// Checks that a command is of a customer of the shard: a node that is mistaken about it must not have
    /// anything stored where nobody looks for it.
    fn check_placed(&self, shard: ShardId, command: &ShardCommand) -> Result<(), ShardsError> {
        let customer = command_customer(command).ok_or_else(|| ShardsError::Invalid {
            shard,
            reason: "it names no customer".to_owned(),
        })?;
        match self.places.shard_of(&customer) {
            Some(belongs_to) if belongs_to == shard => Ok(()),
            Some(belongs_to) => Err(ShardsError::Misplaced {
                shard,
                customer,
                belongs_to,
            }),
            None => Err(ShardsError::Unplaced),
        }
    }

    async fn route(
        &self,
        shard: ShardId,
        command: ShardCommand,
        deadline: Instant,
    ) -> Result<Proposal, ShardsError> {
        let may_repeat = command.request != RequestId::NONE;
        let attempt = |node, limit| -> BoxFuture<'_, _> {
            Box::pin(self.attempt(node, shard, command.clone(), limit))
        };
        self.with_leader(shard, deadline, may_repeat, attempt).await
    }

    /// Asks whoever leads a shard: one node after another, until one answers or the time is over. `attempt`
    /// asks one node, within a time; a node that does not lead must answer so.
    ///
    /// What may have been done is asked for again only where `may_repeat` says that this does no harm.
    ///
    /// # Errors
    /// [`ShardsError`]; but for [`ShardsError::OutcomeUnknown`] nothing was done.
    pub async fn with_leader<'a, T>(
        &self,
        shard: ShardId,
        deadline: Instant,
        may_repeat: bool,
        attempt: impl Fn(u64, Duration) -> BoxFuture<'a, Result<T, ShardsError>> + Send + Sync,
    ) -> Result<T, ShardsError> {
        let mut asking = Asking::begin();
        let mut pause = self.options.pause_min;
        let mut unknown: Option<ShardsError> = None;
        loop {
            let node = self.choose(shard, &asking.tried);
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = left.min(self.options.attempt_limit);
            let attempted = match node {
                None => Err(ShardsError::Unavailable {
                    shard,
                    reason: "no node is known to hold it".to_owned(),
                }),
                Some(node) if self.is_silent(shard, node) => Err(ShardsError::Unreachable {
                    shard,
                    node,
                    reason: "it is silent".to_owned(),
                }),
                Some(node) => self.until_silent(shard, node, attempt(node, limit)).await,
            };
            let error = match attempted {
                Ok(answer) => {
                    self.learn(shard, node);
                    self.doubts().clear(shard);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if error.is_outcome_unknown() {
                if !may_repeat {
                    return Err(error);
                }
                unknown = Some(error.clone());
            }
            if error.is_final() {
                return Err(unknown.unwrap_or(error));
            }
            let next = self.learn_from(shard, node, &error, &mut asking);
            if let Next::Refuse(refusal) = next {
                // What once may have taken effect stays unknown, whatever the last attempt said.
                return Err(unknown.unwrap_or(refusal));
            }
            if matches!(next, Next::Another) && Instant::now() < deadline {
                continue;
            }
            if Instant::now() + pause >= deadline {
                return Err(unknown.unwrap_or(error));
            }
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.options.pause_max);
        }
    }

    /// Whether there is no use in asking a node: it fell silent, and the shard's group does not hear it either.
    fn is_silent(&self, shard: ShardId, node: u64) -> bool {
        let is_led = || {
            let hosted = self.host.find(shard);
            hosted.is_ok_and(|hosted| hosted.hears_leader(node))
        };
        node != self.node && self.places.is_silent(node) && !is_led()
    }

    /// Waits for an answer for as long as the node that owes it is heard.
    async fn until_silent<T>(
        &self,
        shard: ShardId,
        node: u64,
        mut attempt: BoxFuture<'_, Result<T, ShardsError>>,
    ) -> Result<T, ShardsError> {
        if node == self.node {
            return attempt.await;
        }
        loop {
            match tokio::time::timeout(SILENCE_PERIOD, &mut attempt).await {
                Ok(answered) => return answered,
                Err(_waiting) if self.is_silent(shard, node) => {
                    return Err(ShardsError::OutcomeUnknown {
                        shard,
                        reason: format!("node {node} fell silent and owes the answer"),
                    });
                }
                Err(_waiting) => {}
            }
        }
    }

    /// The node to ask next: who is known to lead, else a replica that was not asked in this round.
    fn choose(&self, shard: ShardId, tried: &[u64]) -> Option<u64> {
        let is_new = |node: &u64| !tried.contains(node);
        let here = self.host.find(shard).ok();
        let of_replica = here.as_ref().and_then(|hosted| hosted.leader());
        if let Some(leader) = of_replica.filter(is_new) {
            return Some(leader);
        }
        let known = self.known().get(&shard).copied();
        if let Some(leader) = known.filter(is_new) {
            return Some(leader);
        }
        let replicas = self.places.replicas(shard);
        let other = replicas.iter().copied().find(is_new);
        other.or_else(|| replicas.first().copied())
    }

    /// Takes from an error how to go on.
    fn learn_from(
        &self,
        shard: ShardId,
        node: Option<u64>,
        error: &ShardsError,
        asking: &mut Asking,
    ) -> Next {
        asking.tried.extend(node);
        if let Some(node) = node {
            asking.round.note(node, self.node, error);
        }
        match error {
            ShardsError::NotLeader {
                leader: Some(leader),
                ..
            } if !asking.tried.contains(leader) => {
                self.learn(shard, Some(*leader));
                self.counters.redirects.fetch_add(1, Ordering::Relaxed);
                return Next::Another;
            }
            _ => self.learn(shard, None),
        }
        let replicas = self.places.replicas(shard);
        if replicas.iter().all(|node| asking.tried.contains(node)) {
            // A round is over: whoever was asked may lead by now.
            let over = std::mem::replace(asking, Asking::begin());
            return self.judge(shard, &over.round, &replicas);
        }
        match error {
            // Nothing was waited for: the next replica may lead.
            ShardsError::Unreachable { .. } => Next::Another,
            _ => Next::Pause,
        }
    }

    /// Says after a round whether another one may find a leader.
    fn judge(&self, shard: ShardId, round: &Round, voters: &[u64]) -> Next {
        let sight = round.judge(self.node, voters, |node| self.places.is_silent(node));
        let times = (round.begun(), Instant::now());
        let lasts = self.doubts().note(shard, sight, times);
        let limit = match sight {
            Sight::Apart { .. } => self.options.apart_limit,
            Sight::CutOff { .. } | Sight::Sound => self.options.cut_off_limit,
        };
        match sight.reason() {
            Some(reason) if lasts >= limit => Next::Refuse(ShardsError::CutOff { shard, reason }),
            _ => Next::Pause,
        }
    }

    fn learn(&self, shard: ShardId, leader: Option<u64>) {
        let mut known = self.known();
        match leader {
            Some(leader) => known.insert(shard, leader),
            None => known.remove(&shard),
        };
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubts(&self) -> std::sync::MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(
        &self,
        node: u64,
        shard: ShardId,
        command: ShardCommand,
        limit: Duration,
    ) -> Result<Proposal, ShardsError> {
        let unknown = |reason: String| ShardsError::OutcomeUnknown { shard, reason };
        if node == self.node {
            let taken = tokio::time::timeout(limit, self.take(shard, command)).await;
            let proposal = taken
                .unwrap_or_else(|_late| Err(unknown(format!("no answer within {limit:?}"))))?;
            self.counters.local.fetch_add(1, Ordering::Relaxed);
            return Ok(proposal);
        }
        let request = encode_request(&ShardRequest { shard, command });
        let request = request.map_err(|error| ShardsError::Invalid {
            shard,
            reason: error.to_string(),
        })?;
        let asked = tokio::time::timeout(limit, self.network.ask(node, request, limit)).await;
        let bytes = match asked {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(of_wire(shard, node, &error)),
            Err(_late) => {
                return Err(unknown(format!(
                    "node {node} gave no answer within {limit:?}"
                )));
            }
        };
        let ShardAnswer(answer) =
            decode_answer(&bytes).map_err(|error| unknown(error.to_string()))?;
        let (generation, result) = answer?;
        self.counters.remote.fetch_add(1, Ordering::Relaxed);
        Ok(Proposal { result, generation })
    }
}

/// Makes the error of a shard of what asking a node came to.
pub fn of_wire(shard: ShardId, node: u64, error: &WireError) -> ShardsError {
    let reason = format!("node {node}: {}", error.message);
    match error.code {
        WireErrorCode::Unavailable => ShardsError::Unreachable {
            shard,
            node,
            reason: error.message.clone(),
        },
        WireErrorCode::Overloaded => ShardsError::Overloaded { shard, reason },
        _ => ShardsError::OutcomeUnknown { shard, reason },
    }
}
