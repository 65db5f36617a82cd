//! One station, first come first served, with any law of gaps and of service: GI/G/c.

use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::servers::{Heap, One, ROW_MAX, Row, Servers};
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Source, Tally};
use crate::law::Law;
use rand::Rng;

/// Customers whose random numbers are drawn at once: they stay in the nearest cache.
const BLOCK: usize = 512;

/// A station with one stream of customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Equal servers.
    pub servers: u32,
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// Law of service.
    pub service: Law,
}

const BUSY: usize = 0;
const WAITED: usize = 1;
const WAIT: usize = 2;
const RESPONSE: usize = 3;
const WAITING: usize = 4;
const PRESENT: usize = 5;
const ARRIVALS: usize = 6;

impl Line {
    /// Offered work per server.
    pub fn load(&self) -> f64 {
        self.service.mean() / self.gap.mean() / f64::from(self.servers)
    }
}

/// Customers in which a station forgets: the relaxation time of a busy queue, and some services each.
pub fn settling(load: f64, servers: f64, variation: f64) -> f64 {
    let idle = (1.0 - load).max(1e-6);
    4.0 * load.max(0.1) * variation.max(0.25) / (idle * idle) + 10.0 * servers
}

/// Moments at which the servers of a station become free at first: as many are busy as the offered load
/// says, which shortens the warm-up of large stations.
pub fn first_moments(
    servers: u32,
    busy: f64,
    service: &Sampler,
    generator: &mut Generator,
) -> Vec<f64> {
    let busy = busy.min(f64::from(servers) - 1.0);
    (0..servers)
        .map(|server| {
            if f64::from(server) + 1.0 <= busy {
                service.draw(generator) * generator.random::<f64>()
            } else {
                0.0
            }
        })
        .collect()
}

impl Model for Line {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio("utilisation", BUSY),
            Figure::ratio("prob_wait", WAITED),
            Figure {
                source: Source::Complement(WAITED),
                ..Figure::ratio("prob_no_wait", WAITED)
            },
            Figure::ratio("mean_wait", WAIT),
            Figure::ratio("mean_response", RESPONSE),
            Figure::ratio("mean_queue_len", WAITING),
            Figure::ratio("mean_in_system", PRESENT),
            Figure::ratio("throughput", ARRIVALS),
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures.extend(Figure::quantiles("wait", 1));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(7, &[self.service.mean(), self.service.mean()])
    }

    fn settling(&self) -> f64 {
        let variation = 0.5 * (self.gap.scv() + self.service.scv());
        settling(self.load(), f64::from(self.servers), variation)
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let service = Sampler::new(&self.service);
        let busy = self.service.mean() / self.gap.mean();
        let free = first_moments(self.servers, busy, &service, &mut streams.beginning());
        match free.len() {
            0 | 1 => self.run(One(0.0), service, streams),
            2..=8 => self.run(Row::<8>::new(&free), service, streams),
            9..=16 => self.run(Row::<16>::new(&free), service, streams),
            17..=32 => self.run(Row::<32>::new(&free), service, streams),
            33..=ROW_MAX => self.run(Row::<ROW_MAX>::new(&free), service, streams),
            _ => self.run(Heap::new(&free), service, streams),
        }
    }
}

impl Line {
    fn run<S: Servers + Send + 'static>(
        &self,
        servers: S,
        service: Sampler,
        streams: &Streams,
    ) -> Box<dyn Run> {
        Box::new(LineRun {
            servers,
            count: f64::from(self.servers),
            gap: Sampler::new(&self.gap),
            service,
            arrivals: streams.arrivals(),
            services: streams.services(1).remove(0),
            waits: [0.0; BLOCK],
            gaps: [0.0; BLOCK],
            works: [0.0; BLOCK],
            elapsed: 0.0,
        })
    }
}

struct LineRun<S> {
    servers: S,
    count: f64,
    gap: Sampler,
    service: Sampler,
    arrivals: Generator,
    services: Generator,
    gaps: [f64; BLOCK],
    works: [f64; BLOCK],
    waits: [f64; BLOCK],
    /// Time since the servers' zero.
    elapsed: f64,
}

impl<S: Servers + Send> Run for LineRun<S> {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let mut left = customers;
        while left > 0 {
            let size = left.min(BLOCK as u64);
            self.block(usize::try_from(size).unwrap_or(BLOCK), tally);
            left -= size;
        }
        // Small numbers keep the digits of the differences.
        self.servers.shift(self.elapsed);
        self.elapsed = 0.0;
    }
}

impl<S: Servers> LineRun<S> {
    fn block(&mut self, size: usize, tally: &mut Tally) {
        let (gaps, works) = (&mut self.gaps[..size], &mut self.works[..size]);
        let waits = &mut self.waits[..size];
        self.gap.fill(&mut self.arrivals, gaps);
        self.service.fill(&mut self.services, works);
        let mut now = self.elapsed;
        for ((gap, work), wait) in gaps.iter().zip(works.iter()).zip(waits.iter_mut()) {
            now += gap;
            let free = self.servers.first();
            let start = if free > now { free } else { now };
            self.servers.occupy(start + work);
            *wait = start - now;
        }
        let span = now - self.elapsed;
        self.elapsed = now;
        let (mut wait_sum, mut work_sum, mut waited) = (0.0, 0.0, 0_u32);
        let [responses, waitings] = tally.histograms.as_mut_slice() else {
            return;
        };
        for (wait, work) in waits.iter().zip(works.iter()) {
            wait_sum += wait;
            work_sum += work;
            waited += u32::from(*wait > 0.0);
            responses.record(wait + work);
            waitings.record(*wait);
        }
        let count = size as f64;
        tally.ratios[BUSY].add(work_sum, span * self.count);
        tally.ratios[WAITED].add(f64::from(waited), count);
        tally.ratios[WAIT].add(wait_sum, count);
        tally.ratios[RESPONSE].add(wait_sum + work_sum, count);
        tally.ratios[WAITING].add(wait_sum, span);
        tally.ratios[PRESENT].add(wait_sum + work_sum, span);
        tally.ratios[ARRIVALS].add(count, span);
        tally.customers += size as u64;
        tally.events += 2 * size as u64;
    }
}
