//! Stations one after the other, some of them skipped by some customers: tandems and tiers.
//!
//! Each station takes its customers in the order of arrival and gives them on in the order of departure: a
//! station emits a departure when its server takes the next customer, which is when nobody can leave
//! earlier any more. So the line is simulated exactly, block after block, without a calendar.

use crate::events::line::{first_moments, settling};
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{CONTROLS_MAX, Figure, Tally};
use crate::law::Law;
use rand::Rng;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Most servers whose customers are kept as a sorted row.
const ROW_MAX: usize = 64;
/// Customers that enter the line at once.
const BLOCK: u64 = 1024;

/// One station of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Equal servers.
    pub servers: u32,
    /// Law of service.
    pub service: Law,
    /// Share of the customers of the stage before that come here; the others leave.
    pub visited: f64,
}

/// Stations in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// The stations in order.
    pub stages: Vec<Stage>,
}

const RESPONSE: usize = 0;
const PRESENT: usize = 1;
const THROUGHPUT: usize = 2;
/// Then for each stage: busy servers, customers present, time in it per visit.
const FIRST: usize = 3;
const PER_STAGE: usize = 3;

impl Chain {
    fn stage_loads(&self) -> Vec<(f64, f64)> {
        let mut rate = 1.0 / self.gap.mean();
        self.stages
            .iter()
            .map(|stage| {
                rate *= stage.visited;
                (rate, rate * stage.service.mean() / f64::from(stage.servers))
            })
            .collect()
    }
}

impl Model for Chain {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::controlled("mean_response", RESPONSE),
            Figure::controlled("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
        ];
        for place in 0..self.stages.len() {
            let first = FIRST + PER_STAGE * place;
            figures.push(Figure::listed("utilisation", place, first));
            figures.push(Figure::listed("queue", place, first + 1));
            figures.push(Figure::listed("residence", place, first + 2));
        }
        figures.extend(Figure::quantiles("response", 0));
        figures
    }

    fn tally(&self) -> Tally {
        let scale: f64 = self.stages.iter().map(|stage| stage.service.mean()).sum();
        let controls = (1 + self.stages.len()).min(CONTROLS_MAX);
        Tally::new(FIRST + PER_STAGE * self.stages.len(), &[scale]).with_controls(controls)
    }

    fn settling(&self) -> f64 {
        let loads = self.stage_loads();
        let enter = 1.0 / self.gap.mean();
        let settlings = self.stages.iter().zip(&loads).map(|(stage, (rate, load))| {
            let variation = 0.5 * (1.0_f64.max(self.gap.scv()) + stage.service.scv());
            settling(*load, f64::from(stage.servers), variation) * enter / rate.max(1e-300)
        });
        settlings.fold(0.0, f64::max) + 10.0 * self.stages.len() as f64
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let generators = streams.services(self.stages.len());
        let mut beginning = streams.beginning();
        let stations = self
            .stages
            .iter()
            .zip(self.stage_loads())
            .zip(generators)
            .map(|((stage, (_, load)), generator)| {
                let service = Sampler::new(&stage.service);
                let busy = load * f64::from(stage.servers);
                let free = first_moments(stage.servers, busy, &stage.service, &mut beginning);
                Station {
                    servers: f64::from(stage.servers),
                    mean: stage.service.mean(),
                    visited: stage.visited,
                    free: Free::new(&free),
                    service,
                    generator,
                }
            });
        Box::new(ChainRun {
            stations: stations.collect(),
            gap: Sampler::new(&self.gap),
            gap_mean: self.gap.mean(),
            arrivals: streams.arrivals(),
            routing: streams.routing(),
            now: 0.0,
            jobs: Vec::new(),
            left: Vec::new(),
        })
    }
}

/// A customer on the way.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// Moment of the next arrival or departure.
    at: f64,
    /// Moment of the arrival at the first station; negative infinity for what was there at first.
    born: f64,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    /// Earliest first in a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at)
    }
}

/// Customers in service, and idle servers as customers who left long ago.
enum Free {
    One(Job),
    Row(Vec<Job>),
    Heap(BinaryHeap<Job>),
}

impl Free {
    fn new(free: &[f64]) -> Self {
        let mut jobs: Vec<Job> = free
            .iter()
            .map(|at| Job {
                at: *at,
                born: f64::NEG_INFINITY,
            })
            .collect();
        jobs.sort_by(|left, right| right.cmp(left));
        match jobs.as_slice() {
            [job] => Self::One(*job),
            _ if jobs.len() <= ROW_MAX => Self::Row(jobs),
            _ => Self::Heap(jobs.into()),
        }
    }

    /// Takes the next job in, done at `done` of the start, and gives out whom its server served before.
    #[inline]
    fn serve(&mut self, job: Job, work: f64) -> Job {
        let done = |before: &Job| Job {
            at: work
                + if before.at > job.at {
                    before.at
                } else {
                    job.at
                },
            born: job.born,
        };
        match self {
            Self::One(before) => {
                let next = done(before);
                std::mem::replace(before, next)
            }
            Self::Row(row) => {
                let before = row[0];
                let next = done(&before);
                let mut place = 1;
                while place < row.len() && row[place].at < next.at {
                    row[place - 1] = row[place];
                    place += 1;
                }
                row[place - 1] = next;
                before
            }
            Self::Heap(heap) => match heap.peek_mut() {
                Some(mut top) => {
                    let next = done(&top);
                    std::mem::replace(&mut *top, next)
                }
                None => job,
            },
        }
    }

    fn shift(&mut self, by: f64) {
        let shift = |job: &mut Job| {
            job.at -= by;
            job.born -= by;
        };
        match self {
            Self::One(job) => shift(job),
            Self::Row(row) => row.iter_mut().for_each(shift),
            Self::Heap(heap) => {
                let mut jobs = std::mem::take(heap).into_vec();
                jobs.iter_mut().for_each(shift);
                *heap = jobs.into();
            }
        }
    }
}

struct Station {
    servers: f64,
    /// Mean of the law of service.
    mean: f64,
    visited: f64,
    free: Free,
    service: Sampler,
    generator: Generator,
}

struct ChainRun {
    stations: Vec<Station>,
    gap: Sampler,
    gap_mean: f64,
    arrivals: Generator,
    routing: Generator,
    now: f64,
    /// Customers on the way to the next station, in order; those who left. Kept for their room.
    jobs: Vec<Job>,
    left: Vec<Job>,
}

impl Run for ChainRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let mut left = customers;
        while left > 0 {
            let size = left.min(BLOCK);
            self.block(size, tally);
            left -= size;
        }
        for station in &mut self.stations {
            station.free.shift(self.now);
        }
        self.now = 0.0;
    }
}

impl ChainRun {
    fn block(&mut self, size: u64, tally: &mut Tally) {
        let begun = self.now;
        self.jobs.clear();
        self.left.clear();
        for _ in 0..size {
            self.now += self.gap.draw(&mut self.arrivals);
            self.jobs.push(Job {
                at: self.now,
                born: self.now,
            });
        }
        let span = self.now - begun;
        tally.control(0, span, size as f64 * self.gap_mean);
        for (index, station) in self.stations.iter_mut().enumerate() {
            station.part(&mut self.jobs, &mut self.left, &mut self.routing);
            let (work, time, events) = station.serve(&mut self.jobs);
            let first = FIRST + PER_STAGE * index;
            tally.ratios[first].add(work, span * station.servers);
            tally.ratios[first + 1].add(time, span);
            tally.ratios[first + 2].add(time, events as f64);
            tally.control(1 + index, work, events as f64 * station.mean);
            tally.events += 2 * events;
        }
        let mut response_sum = 0.0;
        for job in self.left.iter().chain(&self.jobs) {
            let response = job.at - job.born;
            response_sum += response;
            tally.histograms[0].record(response);
        }
        let count = (self.left.len() + self.jobs.len()) as f64;
        tally.ratios[RESPONSE].add(response_sum, count);
        tally.ratios[PRESENT].add(response_sum, span);
        tally.ratios[THROUGHPUT].add(count, span);
        tally.customers += size;
    }
}

impl Station {
    /// Moves those who do not come here to `left`.
    fn part(&self, jobs: &mut Vec<Job>, left: &mut Vec<Job>, routing: &mut Generator) {
        if self.visited >= 1.0 {
            return;
        }
        jobs.retain(|job| {
            let comes = routing.random::<f64>() < self.visited;
            if !comes {
                left.push(*job);
            }
            comes
        });
    }

    /// Takes the jobs in and leaves in their place those who depart, in order; returns the work taken in,
    /// the time that those who came will spend here, and how many they are.
    fn serve(&mut self, jobs: &mut Vec<Job>) -> (f64, f64, u64) {
        let (mut work_sum, mut time_sum) = (0.0, 0.0);
        let count = jobs.len() as u64;
        let mut kept = 0;
        for index in 0..jobs.len() {
            let job = jobs[index];
            let work = self.service.draw(&mut self.generator);
            let start = self.free.first().max(job.at);
            work_sum += work;
            time_sum += start - job.at + work;
            let departed = self.free.serve(job, work);
            // What was there at first is nobody's customer.
            if departed.born > f64::NEG_INFINITY {
                jobs[kept] = departed;
                kept += 1;
            }
        }
        jobs.truncate(kept);
        (work_sum, time_sum, count)
    }
}

impl Free {
    #[inline]
    fn first(&self) -> f64 {
        match self {
            Self::One(job) => job.at,
            Self::Row(row) => row[0].at,
            Self::Heap(heap) => heap.peek().map_or(0.0, |job| job.at),
        }
    }
}
