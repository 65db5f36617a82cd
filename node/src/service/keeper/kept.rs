//! The twins that a node drives: awake with an actor, or at rest until they are due.
//!
//! Invariant of a [`Roster`]: every twin at rest stands in its timetable once, under the moment at which it
//! is due.

use crate::assembly::NodeTwin;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use twinscale_protocol::{CustomerId, DomainTime, Generation};
use twinscale_supervision::{ChildState, Supervised};
use twinscale_twin::{TurnSummary, TwinMessage};

use super::lock;

/// A twin that is driven, and whose actor runs.
#[derive(Debug)]
pub struct KeptTwin {
    pub(super) twin: NodeTwin,
    /// Which start of a twin this is, of all since the node started.
    pub(super) serial: u64,
    /// Under which it acts; a later one needs another actor.
    pub(super) generation: Generation,
    /// Told when policy or stack changed.
    changed: Notify,
    /// How often something was asked of it, beside its turns.
    asked: AtomicU64,
    /// When it last had a turn or was asked for something.
    used_at: Mutex<Instant>,
    pub(super) last_turn: Mutex<Option<LastTurn>>,
    /// Restarts of the actors that it had before it last rested.
    restarts_before: u64,
    pub(super) driver: Mutex<Option<JoinHandle<()>>>,
}

/// What the newest turn of a twin came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTurn {
    /// When it was due, in domain time.
    pub at: DomainTime,
    /// How long it took, in system time.
    pub took: Duration,
    /// What came of it, or why nothing did.
    pub outcome: Result<TurnSummary, String>,
}

/// How a driven twin is, awake or at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Whether its turns are taken: its actor runs, or comes when one is due.
    pub is_driven: bool,
    /// When it is due, where its actor was put away until then.
    pub rests_until: Option<DomainTime>,
    /// Restarts of its actors.
    pub restarts: u64,
    /// Its newest turn since the node drives it.
    pub last_turn: Option<LastTurn>,
    /// Names the incarnation that runs.
    pub actor_id: Option<String>,
    /// Messages that wait for its actor or are being handled.
    pub mailbox: u64,
}

impl KeptTwin {
    pub(super) fn new(
        (twin, serial): (NodeTwin, u64),
        generation: Generation,
        before: Option<Resting>,
    ) -> Arc<Self> {
        Arc::new(Self {
            twin,
            serial,
            generation,
            changed: Notify::new(),
            asked: AtomicU64::new(0),
            used_at: Mutex::new(Instant::now()),
            restarts_before: before.as_ref().map_or(0, |before| before.restarts),
            last_turn: Mutex::new(before.and_then(|before| before.last_turn)),
            driver: Mutex::default(),
        })
    }

    /// What its newest turn came to.
    pub fn last_turn(&self) -> Option<LastTurn> {
        lock(&self.last_turn).clone()
    }

    /// Its actor.
    pub fn actor(&self) -> &Supervised<TwinMessage> {
        &self.twin.actor
    }

    /// How its actor is, and how often it was restarted.
    pub fn child(&self) -> (ChildState, u64) {
        let report = self.twin.actor.report().borrow().clone();
        let restarts = self.restarts_before.saturating_add(report.restarts);
        (report.state, restarts)
    }

    /// Tells its driver that policy or stack changed.
    pub(super) fn tell_of_change(&self) {
        self.ask();
        self.changed.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes that somebody wants something of its actor.
    pub(super) fn ask(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.touch();
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    pub(super) fn touch(&self) {
        *lock(&self.used_at) = Instant::now();
    }

    pub(super) fn idle_for(&self) -> Duration {
        lock(&self.used_at).elapsed()
    }

    fn glance(&self) -> Glance {
        let (state, restarts) = self.child();
        let mailbox = self.twin.actor.address().current();
        Glance {
            is_driven: state == ChildState::Running,
            rests_until: None,
            restarts,
            last_turn: self.last_turn(),
            actor_id: mailbox.as_ref().map(|one| one.actor_id().to_string()),
            mailbox: mailbox.map_or(0, |one| one.depth()) as u64,
        }
    }
}

/// A twin whose actor was put away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resting {
    pub(super) generation: Generation,
    /// When it must look again.
    pub(super) due: DomainTime,
    /// Of its configuration when it went to rest: with another one it is due at once.
    pub(super) config_version: u64,
    pub(super) last_turn: Option<LastTurn>,
    pub(super) restarts: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Awake(Arc<KeptTwin>),
    Resting(Box<Resting>),
}

impl Entry {
    pub(super) fn generation(&self) -> Generation {
        match self {
            Self::Awake(kept) => kept.generation,
            Self::Resting(resting) => resting.generation,
        }
    }

    fn due(&self) -> Option<DomainTime> {
        match self {
            Self::Awake(_) => None,
            Self::Resting(resting) => Some(resting.due),
        }
    }

    pub(super) fn glance(&self) -> Glance {
        match self {
            Self::Awake(kept) => kept.glance(),
            Self::Resting(resting) => Glance {
                is_driven: true,
                rests_until: Some(resting.due),
                restarts: resting.restarts,
                last_turn: resting.last_turn.clone(),
                actor_id: None,
                mailbox: 0,
            },
        }
    }
}

/// The twins that a node drives.
#[derive(Debug, Default)]
pub(super) struct Roster {
    twins: BTreeMap<CustomerId, Entry>,
    timetable: BTreeSet<(DomainTime, CustomerId)>,
}

impl Roster {
    pub(super) fn get(&self, customer: &CustomerId) -> Option<&Entry> {
        self.twins.get(customer)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.twins.values()
    }

    pub(super) fn put(&mut self, customer: CustomerId, entry: Entry) {
        self.remove(&customer);
        if let Some(due) = entry.due() {
            self.timetable.insert((due, customer.clone()));
        }
        self.twins.insert(customer, entry);
    }

    pub(super) fn remove(&mut self, customer: &CustomerId) -> Option<Entry> {
        let entry = self.twins.remove(customer)?;
        if let Some(due) = entry.due() {
            self.timetable.remove(&(due, customer.clone()));
        }
        Some(entry)
    }

    /// Takes out those that something holds for; returns them.
    pub(super) fn take(&mut self, is_over: impl Fn(&CustomerId, Generation) -> bool) -> Vec<Entry> {
        let over: Vec<CustomerId> = self
            .twins
            .iter()
            .filter(|(customer, entry)| is_over(customer, entry.generation()))
            .map(|(customer, _)| customer.clone())
            .collect();
        over.iter()
            .filter_map(|customer| self.remove(customer))
            .collect()
    }

    /// Has a twin at rest wait until later.
    pub(super) fn postpone(&mut self, customer: &CustomerId, due: DomainTime) {
        if let Some(Entry::Resting(resting)) = self.twins.get(customer) {
            let resting = Resting {
                due,
                ..(**resting).clone()
            };
            self.put(customer.clone(), Entry::Resting(Box::new(resting)));
        }
    }

    /// Twins at rest that are due, the longest due first.
    pub(super) fn due(&self, now: DomainTime, at_most: usize) -> Vec<CustomerId> {
        let due = self.timetable.iter().take_while(|(at, _)| *at <= now);
        let due = due.take(at_most).map(|(_, customer)| customer.clone());
        due.collect()
    }

    /// When the next twin at rest is due.
    pub(super) fn next_due(&self) -> Option<DomainTime> {
        self.timetable.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn customer(number: u8) -> CustomerId {
        CustomerId::new(format!("customer-{number}")).expect("an id")
    }

    fn resting(due: i64, generation: u64) -> Entry {
        Entry::Resting(Box::new(Resting {
            generation: Generation(generation),
            due: DomainTime(due),
            config_version: 1,
            last_turn: None,
            restarts: 0,
        }))
    }

    proptest! {
        /// Whatever is put, replaced, postponed and removed: who is due is who rests and whose time has come.
        #[test]
        fn the_timetable_names_who_rests_and_nobody_else(
            steps in prop::collection::vec((0_u8..4, 0_u8..6, 0_i64..40), 1..60),
            now in 0_i64..40,
        ) {
            let mut roster = Roster::default();
            let mut expected: BTreeMap<CustomerId, i64> = BTreeMap::new();
            for (what, who, at) in steps {
                let customer = customer(who);
                match what {
                    0 | 1 => {
                        roster.put(customer.clone(), resting(at, 1));
                        expected.insert(customer, at);
                    }
                    2 => {
                        roster.postpone(&customer, DomainTime(at));
                        expected.entry(customer).and_modify(|due| *due = at);
                    }
                    _ => {
                        roster.remove(&customer);
                        expected.remove(&customer);
                    }
                }
            }
            let first = expected.values().min().map(|at| DomainTime(*at));
            prop_assert_eq!(roster.next_due(), first);
            let found: BTreeSet<CustomerId> = roster.due(DomainTime(now), usize::MAX).into_iter().collect();
            let due = expected.iter().filter(|(_, at)| **at <= now);
            prop_assert_eq!(found, due.map(|(customer, _)| customer.clone()).collect());
        }
    }

    #[test]
    fn those_of_a_generation_that_is_over_are_taken_out_and_are_due_no_more() {
        let mut roster = Roster::default();
        roster.put(customer(1), resting(5, 1));
        roster.put(customer(2), resting(6, 2));
        let taken = roster.take(|_, generation| generation == Generation(1));
        assert_eq!(taken.len(), 1);
        assert_eq!(roster.due(DomainTime(9), 9), [customer(2)]);
    }
}
