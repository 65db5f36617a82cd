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
/// says, each with what is left of a service on average, which shortens the warm-up of large stations.
pub fn first_moments(
    servers: u32,
    busy: f64,
    service: &Law,
    generator: &mut Generator,
) -> Vec<f64> {
    let busy = busy.min(f64::from(servers) - 1.0);
    // The rest of the service that is met has the mean (1 + scv) / 2 services.
    let met = Sampler::new(&service.scaled(1.0 + service.scv()));
    (0..servers)
        .map(|server| {
            if f64::from(server) + 1.0 <= busy {
                met.draw(generator) * generator.random::<f64>()
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
            Figure::controlled("mean_wait", WAIT),
            Figure::controlled("mean_response", RESPONSE),
            Figure::controlled("mean_queue_len", WAITING),
            Figure::controlled("mean_in_system", PRESENT),
            Figure::ratio("throughput", ARRIVALS),
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures.extend(Figure::quantiles("wait", 1));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(7, &[self.service.mean(), self.service.mean()]).with_controls(4)
    }

    fn settling(&self) -> f64 {
        let variation = 0.5 * (self.gap.scv() + self.service.scv());
        settling(self.load(), f64::from(self.servers), variation)
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let service = Sampler::new(&self.service);
        let busy = self.service.mean() / self.gap.mean();
        let free = first_moments(self.servers, busy, &self.service, &mut streams.beginning());
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
            expected: [
                self.gap.mean(),
                self.service.mean(),
                self.service.second_moment(),
                1.0,
            ],
            gap: Sampler::new(&self.gap),
            service,
            arrivals: streams.arrivals(),
            services: streams.services(1).remove(0),
            waits: [0.0; BLOCK],
            gaps: [0.0; BLOCK],
            works: [0.0; BLOCK],
            elapsed: 0.0,
            recent: 0.0,
            fading: 1.0 - forgetting(self.load(), 0.5 * (self.gap.scv() + self.service.scv())),
        })
    }
}

struct LineRun<S> {
    servers: S,
    count: f64,
    /// What the laws expect of a gap, a service, its square and, shifted by one, of bunching.
    expected: [f64; 4],
    gap: Sampler,
    service: Sampler,
    arrivals: Generator,
    services: Generator,
    gaps: [f64; BLOCK],
    works: [f64; BLOCK],
    waits: [f64; BLOCK],
    /// Surplus of work over time of the recent customers, and how it fades from one to the next.
    recent: f64,
    fading: f64,
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
        let bunching = self.bunching(size);
        let (works, waits) = (&self.works[..size], &self.waits[..size]);
        let (mut wait_sum, mut work_sum, mut square_sum, mut waited) = (0.0, 0.0, 0.0, 0_u32);
        let [responses, waitings] = tally.histograms.as_mut_slice() else {
            return;
        };
        for (wait, work) in waits.iter().zip(works.iter()) {
            wait_sum += wait;
            work_sum += work;
            square_sum += work * work;
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
        let drawn = [span, work_sum, square_sum, bunching + count];
        for (index, (drawn, expected)) in drawn.into_iter().zip(self.expected).enumerate() {
            tally.control(index, drawn, count * expected);
        }
        tally.customers += size as u64;
        tally.events += 2 * size as u64;
    }
}

impl<S> LineRun<S> {
    /// Sum over a block of each customer's surplus of work over time, times that of those before: how much
    /// long services and short gaps came together. Its mean is zero, since customers are independent.
    fn bunching(&mut self, size: usize) -> f64 {
        let [gap_mean, work_mean, ..] = self.expected;
        let (mut sum, mut recent) = (0.0, self.recent);
        for (gap, work) in self.gaps[..size].iter().zip(&self.works[..size]) {
            let surplus = (work - work_mean) / work_mean - (gap - gap_mean) / gap_mean;
            sum += surplus * recent;
            recent = recent * self.fading + surplus;
        }
        self.recent = recent;
        sum
    }
}

/// Share of the memory of a busy queue that goes from one customer to the next. Half or twice of it took
/// less of the error away for M/M/1, M/M/4 and M/H2/1 at 70 % load.
fn forgetting(load: f64, variation: f64) -> f64 {
    let idle = 1.0 - load;
    (idle * idle / variation.max(0.25)).clamp(1e-6, 1.0)
}
