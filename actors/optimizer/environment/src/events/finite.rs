//! One station with room for `K` customers: those who find it full are turned away.

use crate::events::line::{first_moments, settling};
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::servers::{Heap, One, ROW_MAX, Row, Servers};
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Source, Tally};
use crate::law::Law;
use std::collections::VecDeque;

/// A station with limited room.
#[derive(Clone, Debug, PartialEq)]
pub struct Finite {
    /// Equal servers.
    pub servers: u32,
    /// Most customers in service and waiting; at least the servers.
    pub room: u32,
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// Law of service.
    pub service: Law,
}

const BLOCKED: usize = 0;
const SERVED: usize = 1;
const BUSY: usize = 2;
const WAIT: usize = 3;
const RESPONSE: usize = 4;
const PRESENT: usize = 5;
const WAITING: usize = 6;
const WAITED: usize = 7;

impl Model for Finite {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio("blocking", BLOCKED),
            Figure::ratio("throughput", SERVED),
            Figure::ratio("utilisation", BUSY),
            Figure::ratio("mean_wait", WAIT),
            Figure::ratio("mean_response", RESPONSE),
            Figure::ratio("mean_in_system", PRESENT),
            Figure::ratio("mean_queue_len", WAITING),
            Figure::ratio("prob_wait", WAITED),
            Figure {
                source: Source::Complement(WAITED),
                ..Figure::ratio("prob_no_wait", WAITED)
            },
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures.extend(Figure::quantiles("wait", 1));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(8, &[self.service.mean(), self.service.mean()])
    }

    fn settling(&self) -> f64 {
        let load = self.service.mean() / self.gap.mean() / f64::from(self.servers);
        let waiting = f64::from(self.room - self.servers) + 1.0;
        let variation = 0.5 * (self.gap.scv() + self.service.scv());
        // A room limits how long a queue remembers: it diffuses over it once.
        let diffusion = waiting * waiting / variation.max(0.25);
        let open = settling(load.min(1.0), f64::from(self.servers), variation);
        let filled = if load > 1.0 {
            waiting / (load - 1.0)
        } else {
            0.0
        };
        open.min(diffusion + filled.min(diffusion) + 10.0 * f64::from(self.servers))
            .max(filled.min(diffusion))
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let service = Sampler::new(&self.service);
        let busy = self.service.mean() / self.gap.mean();
        let free = first_moments(self.servers, busy, &self.service, &mut streams.beginning());
        match free.len() {
            0 | 1 => self.run(One(0.0), service, streams),
            2..=8 => self.run(Row::<8>::new(&free), service, streams),
            9..=32 => self.run(Row::<32>::new(&free), service, streams),
            33..=ROW_MAX => self.run(Row::<ROW_MAX>::new(&free), service, streams),
            _ => self.run(Heap::new(&free), service, streams),
        }
    }
}

impl Finite {
    fn run<S: Servers + Send + 'static>(
        &self,
        servers: S,
        service: Sampler,
        streams: &Streams,
    ) -> Box<dyn Run> {
        Box::new(FiniteRun {
            servers,
            count: f64::from(self.servers),
            waiting_max: (self.room - self.servers) as usize,
            gap: Sampler::new(&self.gap),
            service,
            arrivals: streams.arrivals(),
            services: streams.services(1).remove(0),
            starts: VecDeque::new(),
            now: 0.0,
        })
    }
}

struct FiniteRun<S> {
    servers: S,
    count: f64,
    waiting_max: usize,
    gap: Sampler,
    service: Sampler,
    arrivals: Generator,
    services: Generator,
    /// Moments at which those who wait will begin, in order.
    starts: VecDeque<f64>,
    now: f64,
}

impl<S: Servers> FiniteRun<S> {
    /// Moment at which a customer who arrives now begins; `None` when there is no room.
    fn admit(&mut self) -> Option<f64> {
        let free = self.servers.first();
        while self.starts.front().is_some_and(|start| *start <= self.now) {
            self.starts.pop_front();
        }
        if free <= self.now {
            return Some(self.now);
        }
        if self.starts.len() >= self.waiting_max {
            return None;
        }
        self.starts.push_back(free);
        Some(free)
    }
}

impl<S: Servers + Send> Run for FiniteRun<S> {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let begun = self.now;
        let (mut accepted, mut waited, mut wait_sum, mut work_sum) = (0.0, 0.0, 0.0, 0.0);
        let [responses, waits] = tally.histograms.as_mut_slice() else {
            return;
        };
        for _ in 0..customers {
            self.now += self.gap.draw(&mut self.arrivals);
            // Drawn for all, so that a larger room meets the same work.
            let work = self.service.draw(&mut self.services);
            let Some(start) = self.admit() else { continue };
            self.servers.occupy(start + work);
            let wait = start - self.now;
            accepted += 1.0;
            waited += f64::from(u8::from(wait > 0.0));
            wait_sum += wait;
            work_sum += work;
            responses.record(wait + work);
            waits.record(wait);
        }
        let span = self.now - begun;
        let offered = customers as f64;
        tally.ratios[BLOCKED].add(offered - accepted, offered);
        tally.ratios[SERVED].add(accepted, span);
        tally.ratios[BUSY].add(work_sum, span * self.count);
        tally.ratios[WAIT].add(wait_sum, accepted);
        tally.ratios[RESPONSE].add(wait_sum + work_sum, accepted);
        tally.ratios[PRESENT].add(wait_sum + work_sum, span);
        tally.ratios[WAITING].add(wait_sum, span);
        tally.ratios[WAITED].add(waited, accepted);
        tally.customers += customers;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of customers"
        )]
        let served = accepted as u64;
        tally.events += customers + served;
        self.servers.shift(self.now);
        for start in &mut self.starts {
            *start -= self.now;
        }
        self.now = 0.0;
    }
}
