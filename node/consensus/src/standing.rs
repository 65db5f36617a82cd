//! When a replica stands for election.
//!
//! openraft draws a replica's election time once, when the group starts: two replicas that drew alike split
//! the votes again and again, and one whose log is short spends terms that it cannot win. So its own timer is
//! off, and a replica stands from here:
//! - once it has not heard its leader for as long as the others keep faith with one, and a little more, which
//!   differs by its place among the voters;
//! - after a majority said that it would vote for it. Who hears a leader, has a longer log or is about to
//!   stand itself says no; so a replica that was cut off does not unseat the leader when it comes back;
//! - after a pause that is drawn anew for every attempt.
//!
//! Asking first only saves elections: what makes a leader is the vote itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openraft::{EmptyNode, RaftMetrics, ServerState};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep_until, timeout_at};
use twinscale_protocol::NodeNumber;

use crate::groups::Shared;
use crate::ids::{GroupId, LogPosition};
use crate::network::PeerLane;
use crate::options::GroupsOptions;
use crate::running::Running;
use crate::status::has_quorum;
use crate::wire::{Reply, RequestBody};

/// Pauses grow with the attempts up to this many times, so that slow disks can elect too.
const PAUSE_GROWTH_MAX: u32 = 4;

/// What a replica knows of elections; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When its leader was heard last.
    heard: Option<Instant>,
    /// Until then it leaves the field to another.
    yields_until: Option<Instant>,
    /// It asks whether it would win.
    is_asking: bool,
}

/// Who asks, or is asked: its number, and where its log ends.
type Claim = (Option<LogPosition>, NodeNumber);

impl State {
    /// Says whether it would vote for another, and leaves the field to it then.
    fn would_vote(
        &mut self,
        now: Instant,
        own: Claim,
        other: Claim,
        options: &GroupsOptions,
    ) -> bool {
        let hears = self.hears_leader(now, options.election_max);
        let is_behind = other.0 < own.0;
        // Of two that ask at once exactly one gets the other's word.
        let is_rival = self.is_asking && other < own;
        let says_yes = !hears && !is_behind && !is_rival;
        if says_yes {
            self.yields_until = Some(now + options.election_min / 2);
        }
        says_yes
    }

    fn hears_leader(&self, now: Instant, faith: Duration) -> bool {
        self.heard.is_some_and(|heard| now < heard + faith)
    }

    /// Returns when it may stand at the earliest, if nothing happens.
    fn due(&self, patience: Duration, attempted: Instant, pause: Duration) -> Instant {
        let silent = self.heard.map(|heard| heard + patience);
        let due = silent.max(self.yields_until).max(Some(attempted + pause));
        due.unwrap_or(attempted)
    }
}

impl Standing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leader was heard. So openraft takes it also when it starts, for it does not know what it heard before.
    pub(crate) fn hear_leader(&self) {
        self.state().heard = Some(Instant::now());
    }

    /// Says whether the leader was heard within a time.
    pub(crate) fn hears_leader(&self, faith: Duration) -> bool {
        self.state().hears_leader(Instant::now(), faith)
    }

    /// Another was voted for: it gets time to win.
    pub(crate) fn leave_to_other(&self, options: &GroupsOptions) {
        self.state().yields_until = Some(Instant::now() + options.election_min);
    }
}

type Metrics = RaftMetrics<NodeNumber, EmptyNode>;

/// Returns how long after the others' faith ended a replica stands first: the voters one after the other,
/// beginning with another one in each group. Whom the replica knew as leader has no turn.
fn turn(metrics: &Metrics, group: GroupId, step: Duration) -> Duration {
    let voters: Vec<NodeNumber> = metrics
        .membership_config
        .voter_ids()
        .filter(|voter| Some(*voter) != metrics.current_leader || *voter == metrics.id)
        .collect();
    let count = voters.len().max(1);
    let own = voters.iter().position(|voter| *voter == metrics.id);
    let place = (own.unwrap_or(0) + group.0 as usize) % count;
    step * u32::try_from(place).unwrap_or(u32::MAX)
}

fn may_stand(metrics: &Metrics) -> bool {
    let is_voter = metrics
        .membership_config
        .voter_ids()
        .any(|voter| voter == metrics.id);
    is_voter && metrics.running_state.is_ok() && metrics.state != ServerState::Leader
}

impl Running {
    /// Says to a peer whether this replica would vote for it.
    pub(crate) fn would_vote(
        &self,
        shared: &Shared,
        from: NodeNumber,
        last: Option<LogPosition>,
    ) -> bool {
        let metrics = self.raft().metrics();
        let current = metrics.borrow();
        let leads = has_quorum(&current, shared.options.election_max);
        if leads || current.running_state.is_err() || shared.log.refusal().is_some() {
            return false;
        }
        let own = (shared.log.state(self.id).last, current.id);
        let mut state = self.standing.state();
        state.would_vote(Instant::now(), own, (last, from), &shared.options)
    }

    #[expect(
        clippy::infinite_loop,
        reason = "the task is aborted with the groups of the node"
    )]
    /// Stands for election whenever it is time to.
    pub(crate) async fn stand_when_due(&self, shared: &Shared) {
        let options = &shared.options;
        let seed = shared.log.identity().node.0 ^ (u64::from(self.id.0) << 32);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut stood = 0;
        let mut attempted = Instant::now();
        let mut pause = random.random_range(options.election_min / 4..=options.election_min);
        loop {
            let patience = {
                let metrics = self.raft().metrics();
                let current = metrics.borrow();
                options.election_max + turn(&current, self.id, options.election_min / 2)
            };
            let state = *self.standing.state();
            if state.heard > Some(attempted) {
                stood = 0;
            }
            let due = state.due(patience, attempted, pause);
            if Instant::now() < due {
                sleep_until(due).await;
                continue;
            }
            let attempt = self.attempt(shared).await;
            attempted = Instant::now();
            pause = match attempt {
                Attempt::Stood => {
                    stood = (stood + 1).min(PAUSE_GROWTH_MAX);
                    let least = options.election_min / 2 * stood;
                    random.random_range(least..=least * 2)
                }
                Attempt::None => options.election_min,
                Attempt::Refused => {
                    random.random_range(options.election_min / 8..=options.election_min / 2)
                }
            };
        }
    }

    async fn attempt(&self, shared: &Shared) -> Attempt {
        let raft = self.raft();
        let sets = {
            let metrics = raft.metrics();
            let current = metrics.borrow();
            if !may_stand(&current) || shared.log.refusal().is_some() {
                return Attempt::None;
            }
            current
                .membership_config
                .membership()
                .get_joint_config()
                .clone()
        };
        self.standing.state().is_asking = true;
        let would_win = self.would_win(shared, &sets).await;
        self.standing.state().is_asking = false;
        // A change of the members that began while this node led must not go on under another term of it.
        let is_changing = self.members_change.try_lock();
        let hears = self
            .standing
            .state()
            .hears_leader(Instant::now(), shared.options.election_max);
        if !would_win || hears || is_changing.is_err() {
            return Attempt::Refused;
        }
        tracing::debug!(group = %self.id, "a replica stands for election");
        match raft.trigger().elect().await {
            Ok(()) => {
                self.observer.stood();
                Attempt::Stood
            }
            Err(_stopped) => Attempt::None,
        }
    }

    /// Asks the other voters, until a majority of each set says yes or the time for it is over.
    async fn would_win(&self, shared: &Shared, sets: &[BTreeSet<NodeNumber>]) -> bool {
        let own = shared.log.identity().node;
        let last = shared.log.state(self.id).last;
        let patience = shared.options.election_min / 2;
        let until = Instant::now() + patience;
        let others: BTreeSet<NodeNumber> = sets
            .iter()
            .flatten()
            .copied()
            .filter(|node| *node != own)
            .collect();
        let mut asked: FuturesUnordered<_> = others
            .into_iter()
            .map(|node| async move {
                let body = RequestBody::WouldVote { last };
                (
                    node,
                    self.peers.ask(node, PeerLane::Votes, body, patience).await,
                )
            })
            .collect();
        let mut yes = BTreeSet::from([own]);
        while !has_majorities(sets, &yes) {
            match timeout_at(until, asked.next()).await {
                Ok(Some((node, Ok(Reply::WouldVote { would: true })))) => {
                    yes.insert(node);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }
}

/// What came of an attempt to stand.
enum Attempt {
    /// There was no reason to.
    None,
    /// No majority would have it.
    Refused,
    Stood,
}

fn has_majorities(sets: &[BTreeSet<NodeNumber>], yes: &BTreeSet<NodeNumber>) -> bool {
    sets.iter()
        .all(|set| set.intersection(yes).count() * 2 > set.len())
}

#[cfg(test)]
mod tests;
