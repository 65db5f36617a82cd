//! Visits: how a request comes to a tier, is worked on there, and is answered.

use super::super::draws::{Purpose, child, stream};
use super::super::layout::Place;
use super::super::tier::Admission;
use super::{Engine, Event, VISITS_MAX, Verdict, Visit, Waited, small};
use rand::Rng;

impl Engine<'_> {
    pub(super) fn expect_arrival(&mut self, class: usize) {
        if let Some(at) = self.arrivals[class].next() {
            self.at(at, Event::Arrival(small(class)));
        }
    }

    pub(super) fn arrive(&mut self, class: u32) {
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
    pub(super) fn carry_between(&mut self, from: (u32, u32), to: (u32, u32), bytes: f64) -> f64 {
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
    pub(super) fn visit(&mut self, seed: u64, tier: usize, class: u32) -> Option<Visit> {
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

    pub(super) fn reach(&mut self, visit: u32) {
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

    pub(super) fn computed(&mut self, tier: u32, vm: u32, foretold: u32) {
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

    pub(super) fn compute_done(&mut self, visit: u32) {
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
    pub(super) fn worked(&mut self, visit: u32) {
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
    pub(super) fn next_stage(&mut self, visit: u32) {
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

    /// A visit is over: its answer goes back.
    pub(super) fn complete(&mut self, visit: u32, served: bool) {
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
}
