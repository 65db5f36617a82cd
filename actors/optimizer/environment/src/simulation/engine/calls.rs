//! Calls: how a visit asks other tiers, in stages, with pools, tries and time-outs.

use super::super::draws::{Purpose, child, stream};
use super::{
    BACKOFF_DOUBLINGS_MAX, Engine, Event, VISITS_MAX, Verdict, Visit, Waited, small, stage_length,
    whole_calls,
};
use rand::Rng;

impl Engine<'_> {
    /// Begins the calls of a stage and says how many there are.
    pub(super) fn begin_calls(&mut self, visit: u32, calls: &[usize]) -> u32 {
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
    pub(super) fn attempt(&mut self, waited: u32) {
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

    pub(super) fn answered(&mut self, waited: u32, attempt: u64, verdict: Verdict) {
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

    pub(super) fn timed_out(&mut self, waited: u32, attempt: u64) {
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
