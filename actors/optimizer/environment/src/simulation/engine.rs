//! The event loop: requests find their way through tiers, VMs, pools, links and volumes.
//!
//! A *visit* is a request at a tier; the first one of a request is its root. A visit waits for a worker,
//! computes, does its storage operations, makes its calls in stages, and is answered. A *try* is one
//! attempt at a call; a caller that gives up on one leaves the work behind it running, as real stacks do.

mod calls;
mod visits;

use super::layout::Layout;
use super::load::Arrivals;
use super::measure::Tally;
use super::pipe::Pipe;
use super::tier::Tier;
use super::vm::Ordered;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Most visits at one time: what comes beyond them is refused, and the result says so.
pub(super) const VISITS_MAX: usize = 2_000_000;
/// A long pause between tries is not doubled further.
const BACKOFF_DOUBLINGS_MAX: u32 = 20;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request of the class comes.
    Arrival(u32),
    /// A visit's message reaches its tier.
    Reach(u32),
    /// Tier, VM and number of the foretold completion.
    Computed(u32, u32, u32),
    /// A worker has a visit that costs nothing.
    Nothing(u32),
    /// A visit's storage operations are done.
    Stored(u32),
    /// Call, attempt, and how it went.
    Answer(u32, u64, Verdict),
    /// Call and attempt.
    TimeOut(u32, u64),
    /// The next try of a call.
    Retry(u32),
    /// The allocation changes.
    Change(u32),
    /// VMs that start may serve by now.
    Started(u32),
    /// From now on it counts.
    Measure,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// It was answered.
    Served,
    /// It was answered by a cache that had no answer.
    Missed,
    /// It was refused, or failed further down.
    Failed,
}

/// A request at a tier.
#[derive(Clone, Copy, Debug)]
struct Visit {
    seed: u64,
    /// The try that it answers; `None` = it is the root.
    answers: Option<(u32, u64)>,
    tier: u32,
    class: u32,
    vm: u32,
    /// The next stage of calls.
    stage: u32,
    /// Calls of the stage that are not over.
    pending: u32,
    /// Caches of which the newest look-up was in vain, a bit for each tier.
    missed: u64,
    arrived_at: f64,
    writes: bool,
    failed: bool,
    holds_worker: bool,
}

/// A call that a visit waits for.
#[derive(Clone, Copy, Debug)]
struct Waited {
    seed: u64,
    visit: u32,
    call: u32,
    /// The try that counts; another one's answer does not. 0 = none.
    attempt: u64,
    tries: u32,
    /// Whether the try has a connection of the pool.
    connected: bool,
}

/// Storage of things that come and go, with places that are used again.
#[derive(Debug)]
struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    const fn new() -> Self {
        Self {
            items: Vec::new(),
            free: Vec::new(),
        }
    }

    fn put(&mut self, item: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.items[place as usize] = item;
            return place;
        }
        self.items.push(item);
        u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
    }

    fn of(&mut self, place: u32) -> &mut T {
        &mut self.items[place as usize]
    }

    fn drop(&mut self, place: u32) {
        self.free.push(place);
    }

    fn held(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

/// Both directions of a link.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) there: Option<Pipe>,
    pub(super) back: Option<Pipe>,
}

/// A change of the allocation, by places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at_s: f64,
    pub(super) tier: usize,
    pub(super) vm_type: usize,
    pub(super) count: u32,
}

/// One run of one load over one allocation.
pub(super) struct Engine<'a> {
    layout: &'a Layout,
    pub(super) tiers: Vec<Tier>,
    pub(super) wires: Vec<Wire>,
    arrivals: Vec<Arrivals>,
    changes: &'a [Change],
    visits: Slab<Visit>,
    calls: Slab<Waited>,
    calendar: BinaryHeap<Reverse<(Ordered, u64, Event)>>,
    /// Orders what happens at one time.
    sequence: u64,
    attempts: u64,
    requests: u64,
    seed: u64,
    pub(super) tally: Tally,
    now: f64,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        layout: &'a Layout,
        arrivals: Vec<Arrivals>,
        changes: &'a [Change],
        tally: Tally,
        seed: u64,
    ) -> Self {
        let wire = |bytes_per_s: Option<f64>| Wire {
            there: bytes_per_s.map(|rate| Pipe::new(rate, None)),
            back: bytes_per_s.map(|rate| Pipe::new(rate, None)),
        };
        Self {
            layout,
            tiers: layout.tiers.iter().map(Tier::new).collect(),
            wires: layout
                .links
                .iter()
                .map(|link| wire(link.bytes_per_s))
                .collect(),
            arrivals,
            changes,
            visits: Slab::new(),
            calls: Slab::new(),
            calendar: BinaryHeap::new(),
            sequence: 0,
            attempts: 0,
            requests: 0,
            seed,
            tally,
            now: 0.0,
        }
    }

    /// Runs until all that came is answered, but not beyond `end_s`; counts from `measure_s` on.
    pub(super) fn run(&mut self, measure_s: f64, end_s: f64) {
        self.at(measure_s, Event::Measure);
        for change in 0..self.changes.len() {
            let at_s = self.changes[change].at_s;
            self.at(at_s, Event::Change(small(change)));
        }
        for class in 0..self.arrivals.len() {
            self.expect_arrival(class);
        }
        while let Some(Reverse((at, _, event))) = self.calendar.pop() {
            if at.0 > end_s {
                break;
            }
            // Time does not go on to a time-out of what was answered: a run would end, and be measured, that late.
            if let Event::TimeOut(waited, attempt) = event
                && self.calls.of(waited).attempt != attempt
            {
                continue;
            }
            self.now = at.0;
            self.tally.events += 1;
            self.happen(event);
            if self.visits.held() == 0 && self.calendar.is_empty() {
                break;
            }
        }
        let end = self.now;
        for tier in &mut self.tiers {
            tier.advance(end);
        }
        self.tally.end(end);
    }

    fn at(&mut self, time: f64, event: Event) {
        self.sequence += 1;
        self.calendar
            .push(Reverse((Ordered(time), self.sequence, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(class) => self.arrive(class),
            Event::Reach(visit) => self.reach(visit),
            Event::Computed(tier, vm, foretold) => self.computed(tier, vm, foretold),
            Event::Nothing(visit) => self.compute_done(visit),
            Event::Stored(visit) => self.worked(visit),
            Event::Answer(call, attempt, verdict) => self.answered(call, attempt, verdict),
            Event::TimeOut(call, attempt) => self.timed_out(call, attempt),
            Event::Retry(call) => self.attempt(call),
            Event::Change(change) => self.change(change as usize),
            Event::Started(tier) => {
                let now = self.now;
                self.tiers[tier as usize].open(&self.layout.tiers[tier as usize], now);
            }
            Event::Measure => self.measure(),
        }
    }

    fn measure(&mut self) {
        let now = self.now;
        for tier in &mut self.tiers {
            tier.begin_measuring(now);
        }
        for pipe in self
            .wires
            .iter_mut()
            .flat_map(|wire| [&mut wire.there, &mut wire.back])
            .flatten()
        {
            pipe.begin_measuring();
        }
        self.tally.begin();
    }

    fn change(&mut self, change: usize) {
        let change = self.changes[change];
        let layout = &self.layout.tiers[change.tier];
        let now = self.now;
        let tier = &mut self.tiers[change.tier];
        tier.resize(layout, change.vm_type, change.count, now);
        if layout.start_up_s > 0.0 {
            self.at(now + layout.start_up_s, Event::Started(small(change.tier)));
        } else {
            tier.open(layout, now);
        }
    }
}

/// How many calls the stage has that a visit is in.
fn stage_length(layout: &Layout, visit: &Visit) -> usize {
    let stages = &layout.tiers[visit.tier as usize].stages[visit.class as usize];
    let stage = (visit.stage as usize).checked_sub(1);
    stage
        .and_then(|stage| stages.get(stage))
        .map_or(0, Vec::len)
}

/// A whole number with the mean asked for, from a uniform number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model allows at most 10,000"
)]
fn whole_calls(mean: f64, uniform: f64) -> u32 {
    let whole = mean.max(0.0).floor();
    whole as u32 + u32::from(uniform < mean - whole)
}

fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
