//! The event loop: requests find their way through tiers, VMs, pools, links and volumes.
//!
//! A *visit* is a request at a tier; the first one of a request is its root. A visit waits for a worker,
//! computes, does its storage operations, makes its calls in stages, and is answered. A *try* is one
//! attempt at a call; a caller that gives up on one leaves the work behind it running, as real stacks do.

use super::draws::{Purpose, child, stream};
use super::layout::{Layout, Place};
use super::load::Arrivals;
use super::measure::Tally;
use super::pipe::Pipe;
use super::tier::{Admission, Tier};
use super::vm::Ordered;
use rand::Rng;
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

    fn expect_arrival(&mut self, class: usize) {
        if let Some(at) = self.arrivals[class].next() {
            self.at(at, Event::Arrival(small(class)));
        }
    }

    fn arrive(&mut self, class: u32) {
        self.expect_arrival(class as usize);
        let stated = &self.layout.classes[class as usize];
        self.requests += 1;
        let seed = child(child(self.seed, u64::from(class) + 1), self.requests);
        let now = self.now;
        self.tally.came(class as usize, now);
        if self.visits.held() >= VISITS_MAX {
            self.tally.overloaded = true;
            return;
        }
        let Some(visit) = self.visit(seed, stated.entry, class) else {
            return;
        };
        let visit = self.visits.put(visit);
        let at = self.carry(
            Place::Clients,
            Place::Tier(stated.entry),
            stated.request_bytes,
            now,
        );
        self.at(at, Event::Reach(visit));
    }

    /// Time at which bytes that leave now have passed the links between two tiers.
    fn carry(&mut self, from: Place, to: Place, bytes: f64, now: f64) -> f64 {
        let mut at = now;
        for (link, wire) in self.layout.links.iter().zip(&mut self.wires) {
            let pipe = if (link.from, link.to) == (from, to) {
                &mut wire.there
            } else if (link.to, link.from) == (from, to) {
                &mut wire.back
            } else {
                continue;
            };
            at = pipe.as_mut().map_or(at, |pipe| pipe.pass(at, bytes));
            at += link.latency_s;
        }
        at
    }

    /// The same between two VMs: their zones' links count as well, and the sender's network.
    fn carry_between(&mut self, from: (u32, u32), to: (u32, u32), bytes: f64) -> f64 {
        let mut at = self.now;
        let tier = &mut self.tiers[from.0 as usize];
        at = tier.send(from.1, at, bytes);
        at = self.carry(
            Place::Tier(from.0 as usize),
            Place::Tier(to.0 as usize),
            bytes,
            at,
        );
        let zone = |(tier, vm): (u32, u32)| self.layout.tiers[tier as usize].zone(vm);
        if let (Some(left), Some(right)) = (zone(from), zone(to))
            && left != right
        {
            at = self.carry(Place::Zone(left), Place::Zone(right), bytes, at);
        }
        at
    }

    /// Makes a visit and chooses its VM; `None` where no VM serves.
    fn visit(&mut self, seed: u64, tier: usize, class: u32) -> Option<Visit> {
        let layout = &self.layout.tiers[tier];
        let reads = layout.demands[class as usize]
            .as_ref()
            .map_or(1.0, |demand| demand.read_share);
        let writes = reads < 1.0 && stream(seed, Purpose::Kind).random::<f64>() >= reads;
        let mut balance = stream(seed, Purpose::Balance);
        let Some(vm) = self.tiers[tier].choose(layout, writes, &mut balance) else {
            self.tally.refused(tier);
            return None;
        };
        Some(Visit {
            seed,
            answers: None,
            tier: small(tier),
            class,
            vm,
            stage: 0,
            pending: 0,
            missed: 0,
            arrived_at: self.now,
            writes,
            failed: false,
            holds_worker: false,
        })
    }

    fn reach(&mut self, visit: u32) {
        let Visit { tier, vm, .. } = *self.visits.of(visit);
        let layout = &self.layout.tiers[tier as usize];
        match self.tiers[tier as usize].admit(layout, vm, visit) {
            Admission::Worker => self.begin(visit),
            Admission::Line => {}
            Admission::Refused => {
                self.tally.refused(tier as usize);
                self.complete(visit, false);
            }
        }
    }

    /// Has a worker begin with a visit.
    fn begin(&mut self, visit: u32) {
        let Visit {
            seed,
            tier,
            class,
            vm,
            writes,
            ..
        } = *self.visits.of(visit);
        self.visits.of(visit).holds_worker = true;
        let layout = &self.layout.tiers[tier as usize];
        let Some(demand) = &layout.demands[class as usize] else {
            // Not at once: a long line of such visits would be a deep stack.
            self.at(self.now, Event::Nothing(visit));
            return;
        };
        let mean = if writes {
            demand.write_s
        } else {
            demand.read_s
        };
        let now = self.now;
        let slow = self.tiers[tier as usize].slowdown(layout, vm, now);
        let work = mean * slow * demand.law.draw(&mut stream(seed, Purpose::Work));
        let vm_now = self.tiers[tier as usize].vm(vm);
        vm_now.compute(now, visit, work);
        self.foretell(tier, vm);
    }

    /// Notes when the next computing of a VM ends.
    fn foretell(&mut self, tier: u32, vm: u32) {
        let place = self.tiers[tier as usize].vm(vm);
        place.foretold = place.foretold.wrapping_add(1);
        let foretold = place.foretold;
        if let Some(at) = place.next_at() {
            self.at(at, Event::Computed(tier, vm, foretold));
        }
    }

    fn computed(&mut self, tier: u32, vm: u32, foretold: u32) {
        let now = self.now;
        let place = self.tiers[tier as usize].vm(vm);
        if place.foretold != foretold {
            return;
        }
        let Some(visit) = place.computed(now) else {
            return;
        };
        self.foretell(tier, vm);
        self.compute_done(visit);
    }

    fn compute_done(&mut self, visit: u32) {
        let Visit {
            tier, vm, writes, ..
        } = *self.visits.of(visit);
        let layout = &self.layout.tiers[tier as usize];
        let now = self.now;
        match self.tiers[tier as usize].store(layout, vm, writes, now) {
            Some(at) => self.at(at, Event::Stored(visit)),
            None => self.worked(visit),
        }
    }

    /// A worker is done with what it does itself for a visit.
    fn worked(&mut self, visit: u32) {
        let Visit { tier, class, .. } = *self.visits.of(visit);
        let layout = &self.layout.tiers[tier as usize];
        let calls = !layout.stages[class as usize].is_empty();
        if !(layout.holds_worker && calls) {
            self.release_worker(visit);
        }
        self.next_stage(visit);
    }

    fn release_worker(&mut self, visit: u32) {
        let Visit {
            tier,
            vm,
            holds_worker,
            ..
        } = *self.visits.of(visit);
        if !holds_worker {
            return;
        }
        self.visits.of(visit).holds_worker = false;
        let layout = &self.layout.tiers[tier as usize];
        if let Some(next) = self.tiers[tier as usize].release(layout, vm, self.now) {
            self.begin(next);
        }
    }

    /// Makes the next calls of a visit, or answers it.
    fn next_stage(&mut self, visit: u32) {
        loop {
            let Visit {
                tier, class, stage, ..
            } = *self.visits.of(visit);
            let stages = &self.layout.tiers[tier as usize].stages[class as usize];
            let Some(calls) = stages.get(stage as usize) else {
                self.complete(visit, true);
                return;
            };
            self.visits.of(visit).stage += 1;
            if self.begin_calls(visit, calls) > 0 {
                return;
            }
        }
    }

    /// Begins the calls of a stage and says how many there are.
    fn begin_calls(&mut self, visit: u32, calls: &[usize]) -> u32 {
        let Visit { seed, missed, .. } = *self.visits.of(visit);
        let mut begun = Vec::new();
        for &call in calls {
            let stated = &self.layout.calls[call];
            if stated
                .on_miss_of
                .is_some_and(|cache| missed >> cache & 1 == 0)
            {
                continue;
            }
            let own = child(seed, 2 * call as u64 + 1);
            let mut rng = stream(own, Purpose::Calls);
            let copies = whole_calls(stated.per_request, rng.random());
            for copy in 0..copies {
                begun.push((call, child(own, u64::from(copy) + 1)));
            }
        }
        let sequential = calls.len() == 1 && !self.layout.calls[calls[0]].parallel;
        if sequential && begun.len() > 1 {
            // The copies of a sequential call follow each other: a chain, begun with the last first.
            return self.begin_chain(visit, &begun);
        }
        self.visits.of(visit).pending = small(begun.len());
        for (call, seed) in &begun {
            self.begin_call(visit, *call, *seed);
        }
        small(begun.len())
    }

    /// Begins the first of several calls that follow each other; the others wait in its number of stages.
    fn begin_chain(&mut self, visit: u32, begun: &[(usize, u64)]) -> u32 {
        let count = small(begun.len());
        self.visits.of(visit).pending = count;
        let (call, _) = begun[0];
        let seed = child(self.visits.of(visit).seed, 2 * call as u64 + 1);
        self.begin_call(visit, call, child(seed, u64::from(count)));
        count
    }

    fn begin_call(&mut self, visit: u32, call: usize, seed: u64) {
        let waited = self.calls.put(Waited {
            seed,
            visit,
            call: small(call),
            attempt: 0,
            tries: 0,
            connected: false,
        });
        self.attempt(waited);
    }

    /// Tries a call, once a connection is free.
    fn attempt(&mut self, waited: u32) {
        self.attempts += 1;
        let attempt = self.attempts;
        let place = self.calls.of(waited);
        place.attempt = attempt;
        place.tries += 1;
        place.connected = false;
        let (visit, call) = (place.visit, place.call as usize);
        let stated = &self.layout.calls[call];
        if let Some(limit) = stated.timeout_s {
            self.at(self.now + limit, Event::TimeOut(waited, attempt));
        }
        let Visit { tier, vm, .. } = *self.visits.of(visit);
        if let Some(size) = stated.pool_size {
            let pool = &mut self.tiers[tier as usize].vm(vm).pools[stated.slot];
            if pool.used >= size {
                pool.waiting.push_back((waited, attempt));
                return;
            }
            pool.used += 1;
            self.calls.of(waited).connected = true;
        }
        self.send(waited);
    }

    /// Sends a try on its way.
    fn send(&mut self, waited: u32) {
        let Waited {
            seed,
            visit,
            call,
            attempt,
            tries,
            ..
        } = *self.calls.of(waited);
        let caller = *self.visits.of(visit);
        let stated = &self.layout.calls[call as usize];
        if self.visits.held() >= VISITS_MAX {
            self.tally.overloaded = true;
            self.at(self.now, Event::Answer(waited, attempt, Verdict::Failed));
            return;
        }
        let seed = child(seed, u64::from(tries));
        let Some(own) = self.visit(seed, stated.to, caller.class) else {
            self.at(self.now, Event::Answer(waited, attempt, Verdict::Failed));
            return;
        };
        let to = (own.tier, own.vm);
        let own = self.visits.put(Visit {
            answers: Some((waited, attempt)),
            ..own
        });
        let at = self.carry_between((caller.tier, caller.vm), to, stated.request_bytes);
        self.at(at, Event::Reach(own));
    }

    /// A visit is over: its answer goes back.
    fn complete(&mut self, visit: u32, served: bool) {
        self.release_worker(visit);
        let done = *self.visits.of(visit);
        let layout = &self.layout.tiers[done.tier as usize];
        self.visits.drop(visit);
        let Some((waited, attempt)) = done.answers else {
            if served {
                self.answer_client(&done);
            }
            return;
        };
        let verdict = if served {
            Self::verdict(&done, layout.hit_ratio)
        } else {
            Verdict::Failed
        };
        // Whoever gave up hears nothing, and the place may be another's by now.
        if self.calls.of(waited).attempt != attempt {
            return;
        }
        let Waited { visit, call, .. } = *self.calls.of(waited);
        let stated = &self.layout.calls[call as usize];
        let caller = *self.visits.of(visit);
        let bytes = if served { stated.response_bytes } else { 0.0 };
        let at = self.carry_between((done.tier, done.vm), (caller.tier, caller.vm), bytes);
        self.at(at, Event::Answer(waited, attempt, verdict));
    }

    fn answer_client(&mut self, done: &Visit) {
        let bytes = self.layout.classes[done.class as usize].response_bytes;
        let sent = self.tiers[done.tier as usize].send(done.vm, self.now, bytes);
        let tier = Place::Tier(done.tier as usize);
        let at = self.carry(tier, Place::Clients, bytes, sent);
        let took = at - done.arrived_at;
        self.tally
            .served(done.class as usize, done.arrived_at, took);
    }

    fn verdict(done: &Visit, hit_ratio: Option<f64>) -> Verdict {
        let Some(ratio) = hit_ratio else {
            return Verdict::Served;
        };
        let mut rng = stream(done.seed, Purpose::Outcome);
        if rng.random::<f64>() < ratio {
            Verdict::Served
        } else {
            Verdict::Missed
        }
    }

    fn answered(&mut self, waited: u32, attempt: u64, verdict: Verdict) {
        if self.calls.of(waited).attempt != attempt {
            return;
        }
        let Waited { visit, call, .. } = *self.calls.of(waited);
        let to = self.layout.calls[call as usize].to;
        match verdict {
            Verdict::Failed => self.failed(waited),
            Verdict::Served | Verdict::Missed => {
                let bit = 1 << to;
                let place = self.visits.of(visit);
                if verdict == Verdict::Missed {
                    place.missed |= bit;
                } else {
                    place.missed &= !bit;
                }
                self.disconnect(waited);
                self.over(waited, true);
            }
        }
    }

    fn timed_out(&mut self, waited: u32, attempt: u64) {
        if self.calls.of(waited).attempt == attempt {
            self.tally.timed_out(self.calls.of(waited).call as usize);
            self.failed(waited);
        }
    }

    /// A try has failed: another follows, or the call has failed.
    fn failed(&mut self, waited: u32) {
        self.disconnect(waited);
        let place = self.calls.of(waited);
        place.attempt = 0;
        let (call, tries) = (place.call as usize, place.tries);
        let stated = &self.layout.calls[call];
        if tries > stated.retries_max {
            self.over(waited, false);
            return;
        }
        let doublings = (tries - 1).min(BACKOFF_DOUBLINGS_MAX);
        let pause = stated.backoff_s * f64::from(1_u32 << doublings);
        self.at(self.now + pause, Event::Retry(waited));
    }

    /// Gives a connection back, to the try that waits the longest.
    fn disconnect(&mut self, waited: u32) {
        let Waited {
            visit,
            call,
            connected,
            ..
        } = *self.calls.of(waited);
        if !connected {
            return;
        }
        self.calls.of(waited).connected = false;
        let Visit { tier, vm, .. } = *self.visits.of(visit);
        let slot = self.layout.calls[call as usize].slot;
        loop {
            let pool = &mut self.tiers[tier as usize].vm(vm).pools[slot];
            let Some((next, attempt)) = pool.waiting.pop_front() else {
                pool.used -= 1;
                return;
            };
            if self.calls.of(next).attempt == attempt {
                self.calls.of(next).connected = true;
                self.send(next);
                return;
            }
        }
    }

    /// A call is over: the visit goes on when it was the last of its stage.
    fn over(&mut self, waited: u32, served: bool) {
        let Waited { visit, call, .. } = *self.calls.of(waited);
        self.calls.of(waited).attempt = 0;
        self.calls.drop(waited);
        let place = self.visits.of(visit);
        place.pending -= 1;
        place.failed |= !served;
        let (pending, failed, seed) = (place.pending, place.failed, place.seed);
        let parallel = self.layout.calls[call as usize].parallel
            || stage_length(self.layout, self.visits.of(visit)) > 1;
        if parallel {
            if pending > 0 {
                return;
            }
        } else if pending > 0 && !failed {
            let seed = child(seed, 2 * u64::from(call) + 1);
            self.begin_call(visit, call as usize, child(seed, u64::from(pending)));
            return;
        }
        if failed {
            self.complete(visit, false);
        } else {
            self.next_stage(visit);
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
