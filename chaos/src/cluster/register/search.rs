//! The search for one register: Wing and Gong in Lowe's just-in-time form.
//!
//! Events are taken in the order of time, and before an answer is taken, its operation must have had its
//! effect. What is remembered between two events is the set of configurations: what the register can hold,
//! and which of the open operations have had their effect. An operation of unknown outcome stays open for
//! ever: it may take effect at any later time, or never. What keeps the set small loses no order:
//! - an operation that writes nothing has its effect at the first state that explains its answer;
//! - of two configurations with one state and the same answered operations, one that has used a subset of the
//!   other's unknown operations can do all that the other can;
//! - of equal unknown operations the first is used first;
//! - an unknown operation that every configuration has used, or that expects what the register can never hold
//!   again, is forgotten;
//! - values that nothing will ever be compared with are one value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::history::{Operated, Operation, Outcome};
use super::step::{Held, compares, held, looks_only, step, writes};
use super::{Effort, count, is_answered};

/// Steps between two looks at the time.
const STEPS_PER_LOOK: u64 = 10_000;

/// From so many unknown operations on, values that nothing is compared with are one value. Below it they
/// keep their numbers, for the sake of who reads a violation.
const FOLD_FROM: usize = 12;

pub(super) enum Ended {
    Linearizable,
    Undecided,
    /// Nothing explains the answer of this operation.
    Violated(usize),
}

/// The register holds `state`, and these open operations have had their effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    state: Held,
    /// Operations that will be answered.
    done: BTreeSet<usize>,
    /// Operations of unknown outcome.
    used: BTreeSet<usize>,
}

/// The sets of used operations of each state and done set, none of which holds another.
type Configurations = BTreeMap<(Held, BTreeSet<usize>), Vec<BTreeSet<usize>>>;

pub(super) struct Search<'a> {
    operations: &'a [&'a Operated],
    effort: &'a Effort<'a>,
    /// Open operations that will be answered.
    answered: BTreeSet<usize>,
    /// Open operations that never will be.
    unknown: BTreeSet<usize>,
    /// How many operations to come, or open and to be answered, compare with a value, and write it.
    compared: BTreeMap<Held, usize>,
    written: BTreeMap<Held, usize>,
    configurations: Configurations,
    looked_at: u64,
    /// Unknown operations from which on values are folded.
    pub(super) fold_from: usize,
    pub(super) steps: u64,
    pub(super) widest: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(operations: &'a [&'a Operated], effort: &'a Effort<'a>) -> Self {
        let mut configurations = Configurations::new();
        configurations.insert((Held::Nothing, BTreeSet::new()), vec![BTreeSet::new()]);
        let mut search = Self {
            operations,
            effort,
            answered: BTreeSet::new(),
            unknown: BTreeSet::new(),
            compared: BTreeMap::new(),
            written: BTreeMap::new(),
            configurations,
            looked_at: 0,
            fold_from: FOLD_FROM,
            steps: 0,
            widest: 1,
        };
        for one in operations {
            for value in compares(one) {
                *search.compared.entry(value).or_default() += 1;
            }
            if let Some(value) = writes(one) {
                *search.written.entry(value).or_default() += 1;
            }
        }
        search
    }

    pub(super) fn run(&mut self) -> Ended {
        for (_, is_answer, place) in moments(self.operations) {
            if !is_answer {
                self.begin(place);
                continue;
            }
            let Some(after) = self.explained(place) else {
                return Ended::Undecided;
            };
            if after.is_empty() {
                return Ended::Violated(place);
            }
            self.configurations = after;
            self.answered.remove(&place);
            self.is_no_longer_to_come(place);
            self.forget();
            self.widest = self
                .widest
                .max(count(self.configurations.values().map(Vec::len).sum()));
        }
        Ended::Linearizable
    }

    pub(super) fn states(&self) -> impl Iterator<Item = Held> {
        self.configurations.keys().map(|(state, _)| *state)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = usize> {
        self.answered.union(&self.unknown).copied()
    }

    fn one(&self, place: usize) -> Option<&'a Operated> {
        self.operations.get(place).copied()
    }

    fn begin(&mut self, place: usize) {
        let Some(one) = self.one(place) else { return };
        if !is_answered(one) {
            self.is_no_longer_to_come(place);
            self.unknown.insert(place);
            return;
        }
        self.answered.insert(place);
        if looks_only(one) {
            self.rebuild(Self::settled);
        }
    }

    fn is_no_longer_to_come(&mut self, place: usize) {
        let Some(one) = self.one(place) else { return };
        for value in compares(one) {
            take_one(&mut self.compared, value);
        }
        if let Some(value) = writes(one) {
            take_one(&mut self.written, value);
        }
    }

    fn rebuild(&mut self, change: impl Fn(&Self, Configuration) -> Configuration) {
        let mut changed = Configurations::new();
        for configuration in each(&std::mem::take(&mut self.configurations)) {
            insert(&mut changed, change(self, configuration));
        }
        self.configurations = changed;
    }

    /// Lets the open operations that write nothing have their effect where the state explains them.
    fn settled(&self, mut configuration: Configuration) -> Configuration {
        for place in &self.answered {
            let explains = |one| looks_only(one) && step(one, configuration.state).is_some();
            if self.one(*place).is_some_and(explains) {
                configuration.done.insert(*place);
            }
        }
        configuration
    }

    /// All configurations in which an operation has had its effect; it is forgotten in them. Nothing where
    /// the search went past its limit.
    fn explained(&mut self, place: usize) -> Option<Configurations> {
        let mut explained = Configurations::new();
        let mut seen = Configurations::new();
        let mut ahead: VecDeque<Configuration> = each(&self.configurations).collect();
        // Those that have used little come first, and make those that have used more needless.
        while let Some(mut configuration) = ahead.pop_front() {
            if self.is_enough() {
                return None;
            }
            if configuration.done.remove(&place) {
                insert(&mut explained, configuration);
                continue;
            }
            for next in self.answered.difference(&configuration.done) {
                let reached = self.reached(&configuration, *next);
                ahead.extend(reached.filter(|reached| insert(&mut seen, reached.clone())));
            }
            let mut tried = BTreeSet::new();
            for next in self.unknown.difference(&configuration.used) {
                let Some(reached) = self.reached(&configuration, *next) else {
                    continue;
                };
                // Of equal ones the first: a write can be used anywhere, what compares only here.
                let equal = (self.is_comparing(*next), reached.state);
                if tried.insert(equal) && insert(&mut seen, reached.clone()) {
                    ahead.push_back(reached);
                }
            }
        }
        Some(explained)
    }

    /// Counts the steps from one configuration; says whether the search went past its limit.
    fn is_enough(&mut self) -> bool {
        self.steps += count(self.answered.len() + self.unknown.len());
        if self.steps > self.effort.steps_max {
            return true;
        }
        let is_look = self.steps - self.looked_at >= STEPS_PER_LOOK;
        if is_look {
            self.looked_at = self.steps;
        }
        is_look && (self.effort.is_over)()
    }

    fn reached(&self, from: &Configuration, next: usize) -> Option<Configuration> {
        let one = self.one(next)?;
        let mut reached = from.clone();
        reached.state = self.folded(step(one, from.state)?);
        if is_answered(one) {
            reached.done.insert(next);
        } else {
            reached.used.insert(next);
        }
        Some(self.settled(reached))
    }

    fn is_comparing(&self, place: usize) -> bool {
        let one = self.one(place);
        one.is_some_and(|one| compares(one).next().is_some())
    }

    /// One value for all that nothing will be compared with.
    fn folded(&self, state: Held) -> Held {
        let is_unknown_compared = || {
            let mut unknown = self.unknown.iter().filter_map(|place| self.one(*place));
            unknown.any(|one| compares(one).any(|value| value == state))
        };
        if self.unknown.len() < self.fold_from
            || self.compared.contains_key(&state)
            || is_unknown_compared()
        {
            return state;
        }
        Held::Other
    }

    /// Forgets unknown operations that cannot make a difference any more.
    fn forget(&mut self) {
        if self.unknown.is_empty() {
            return;
        }
        let mut gone = self.unreachable();
        let mut useds = self.configurations.values().flatten();
        if let Some(first) = useds.next() {
            let mut by_all = first.clone();
            useds.for_each(|used| by_all.retain(|place| used.contains(place)));
            gone.extend(by_all);
        }
        self.unknown.retain(|place| !gone.contains(place));
        self.rebuild(|search, mut configuration| {
            configuration.used.retain(|place| !gone.contains(place));
            configuration.state = search.folded(configuration.state);
            configuration
        });
    }

    /// Unknown operations that expect what the register can never hold again.
    fn unreachable(&self) -> BTreeSet<usize> {
        let mut holds: BTreeSet<Held> = self.states().chain(self.written.keys().copied()).collect();
        let mut left = self.unknown.clone();
        loop {
            let can = |place: &usize| match self.one(*place).map(|one| &one.operation) {
                Some(Operation::CompareAndSet { expected, .. }) => holds.contains(&held(*expected)),
                _ => true,
            };
            let (reached, beyond): (BTreeSet<usize>, BTreeSet<usize>) =
                left.into_iter().partition(can);
            if reached.is_empty() {
                return beyond;
            }
            let written = reached.iter().filter_map(|place| writes(self.one(*place)?));
            holds.extend(written);
            left = beyond;
        }
    }
}

fn each(configurations: &Configurations) -> impl Iterator<Item = Configuration> {
    configurations.iter().flat_map(|((state, done), useds)| {
        useds.iter().map(|used| Configuration {
            state: *state,
            done: done.clone(),
            used: used.clone(),
        })
    })
}

/// Adds a configuration unless one that can do as much is there; says whether it was added.
fn insert(into: &mut Configurations, configuration: Configuration) -> bool {
    let Configuration { state, done, used } = configuration;
    let useds = into.entry((state, done)).or_default();
    if useds.iter().any(|other| other.is_subset(&used)) {
        return false;
    }
    useds.retain(|other| !used.is_subset(other));
    useds.push(used);
    true
}

fn take_one(counts: &mut BTreeMap<Held, usize>, value: Held) {
    if let Some(count) = counts.get_mut(&value) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&value);
        }
    }
}

/// Invocations and answers in the order of time; what happens at one time may have overlapped.
fn moments(operations: &[&Operated]) -> Vec<(u64, bool, usize)> {
    let mut moments = Vec::with_capacity(operations.len() * 2);
    for (place, one) in operations.iter().enumerate() {
        moments.push((one.invoked_us, false, place));
        if let Outcome::Ok { at_us, .. } = &one.outcome {
            moments.push((*at_us, true, place));
        }
    }
    moments.sort_unstable();
    moments
}
