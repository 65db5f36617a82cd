//! Fork-join: every customer asks all of `n` servers, each with a line of its own, and leaves when the last
//! has answered.

use crate::events::line::settling;
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Tally};
use crate::law::Law;

const BLOCK: usize = 256;

/// Servers that are asked together.
#[derive(Clone, Debug, PartialEq)]
pub struct ForkJoin {
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// Law of service of each server.
    pub services: Vec<Law>,
}

const RESPONSE: usize = 0;
const PRESENT: usize = 1;
const THROUGHPUT: usize = 2;
const BUSY: usize = 3;

impl Model for ForkJoin {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio("mean_response", RESPONSE),
            Figure::ratio("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
            Figure::ratio("utilisation", BUSY),
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(4, &[self.services[0].mean()])
    }

    fn settling(&self) -> f64 {
        let settlings = self.services.iter().map(|service| {
            let variation = 0.5 * (self.gap.scv() + service.scv());
            settling(service.mean() / self.gap.mean(), 1.0, variation)
        });
        // The slowest of many lines is further out than each alone.
        settlings.fold(0.0, f64::max) * 1.5
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let laws = self.services.iter().map(Sampler::new);
        let generators = streams.services(self.services.len());
        Box::new(ForkJoinRun {
            gap: Sampler::new(&self.gap),
            arrivals: streams.arrivals(),
            servers: laws
                .zip(generators)
                .map(|(service, generator)| Server {
                    service,
                    generator,
                    free: 0.0,
                })
                .collect(),
        })
    }
}

struct Server {
    service: Sampler,
    generator: Generator,
    /// Moment at which it becomes free, from the start of the block.
    free: f64,
}

struct ForkJoinRun {
    gap: Sampler,
    arrivals: Generator,
    servers: Vec<Server>,
}

impl Run for ForkJoinRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let mut left = customers;
        while left > 0 {
            let size = left.min(BLOCK as u64);
            self.block(usize::try_from(size).unwrap_or(BLOCK), tally);
            left -= size;
        }
    }
}

impl ForkJoinRun {
    fn block(&mut self, size: usize, tally: &mut Tally) {
        let (mut arrivals, mut works, mut done) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        let (arrivals, works, done) =
            (&mut arrivals[..size], &mut works[..size], &mut done[..size]);
        self.gap.fill(&mut self.arrivals, arrivals);
        let mut now = 0.0;
        for arrival in arrivals.iter_mut() {
            now += *arrival;
            *arrival = now;
        }
        let mut work_sum = 0.0;
        for server in &mut self.servers {
            server.service.fill(&mut server.generator, works);
            for ((arrival, work), done) in arrivals.iter().zip(works.iter()).zip(done.iter_mut()) {
                let start = if server.free > *arrival {
                    server.free
                } else {
                    *arrival
                };
                server.free = start + work;
                work_sum += work;
                if server.free > *done {
                    *done = server.free;
                }
            }
            server.free -= now;
        }
        let mut response_sum = 0.0;
        for (arrival, done) in arrivals.iter().zip(done.iter()) {
            response_sum += done - arrival;
            tally.histograms[0].record(done - arrival);
        }
        let count = size as f64;
        tally.ratios[RESPONSE].add(response_sum, count);
        tally.ratios[PRESENT].add(response_sum, now);
        tally.ratios[THROUGHPUT].add(count, now);
        tally.ratios[BUSY].add(work_sum, now * self.servers.len() as f64);
        tally.customers += size as u64;
        tally.events += 2 * size as u64 * self.servers.len() as u64;
    }
}
