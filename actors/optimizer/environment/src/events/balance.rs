//! A load balancer before servers with a line each, first come first served.

use crate::events::line::settling;
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Tally};
use crate::law::Law;
use rand::Rng;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// How the balancer chooses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Any, with equal probability.
    Random,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest customers, waiting and in service; among equals any. Least connections and
    /// join shortest queue are this.
    Shortest,
    /// The one with the fewest customers among this many different ones, drawn at random; among equals
    /// the first drawn.
    Choices(u32),
}

/// Servers behind a balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// Law of the work that a customer brings, served in that time by a server of speed one.
    pub service: Law,
    /// Speed of each server.
    pub speeds: Vec<f64>,
    /// How a server is chosen.
    pub policy: Policy,
}

const RESPONSE: usize = 0;
const WAIT: usize = 1;
const WAITED: usize = 2;
const PRESENT: usize = 3;
const THROUGHPUT: usize = 4;
const BUSY: usize = 5;

impl Model for Balancer {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::controlled("mean_response", RESPONSE),
            Figure::controlled("mean_wait", WAIT),
            Figure::ratio("prob_wait", WAITED),
            Figure::controlled("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
            Figure::ratio("utilisation", BUSY),
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures.extend(Figure::quantiles("wait", 1));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(6, &[self.service.mean(), self.service.mean()]).with_controls(3)
    }

    fn settling(&self) -> f64 {
        let speed: f64 = self.speeds.iter().sum();
        let count = self.speeds.len() as f64;
        let load = self.service.mean() / self.gap.mean() / speed;
        let variation = 0.5 * (1.0_f64.max(self.gap.scv()) + self.service.scv());
        // Without knowledge of the lines each is a queue of its own.
        let lines = match self.policy {
            Policy::Random | Policy::RoundRobin => count,
            Policy::Shortest | Policy::Choices(_) => 1.0,
        };
        lines * settling(load, 1.0, variation) + 20.0 * count
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let count = self.speeds.len();
        Box::new(BalancerRun {
            gap: Sampler::new(&self.gap),
            service: Sampler::new(&self.service),
            expected: [
                self.gap.mean(),
                self.service.mean(),
                self.service.second_moment(),
            ],
            arrivals: streams.arrivals(),
            services: streams.services(1).remove(0),
            routing: streams.routing(),
            policy: self.policy,
            slowness: self.speeds.iter().map(|speed| 1.0 / speed).collect(),
            free: vec![0.0; count],
            lengths: match self.policy {
                Policy::Random | Policy::RoundRobin => Lengths::Unknown,
                Policy::Choices(_) => Lengths::Asked(vec![VecDeque::new(); count]),
                Policy::Shortest => Lengths::Known(Shortest::new(count)),
            },
            drawn: Vec::new(),
            next: 0,
            now: 0.0,
        })
    }
}

/// Departures to come of each server, as far as the policy looks at them.
enum Lengths {
    Unknown,
    Asked(Vec<VecDeque<f64>>),
    Known(Shortest),
}

struct BalancerRun {
    gap: Sampler,
    service: Sampler,
    /// What the laws expect of a gap, a work and its square.
    expected: [f64; 3],
    arrivals: Generator,
    services: Generator,
    routing: Generator,
    policy: Policy,
    slowness: Vec<f64>,
    /// Moment at which each server has served all of its line.
    free: Vec<f64>,
    lengths: Lengths,
    drawn: Vec<usize>,
    next: usize,
    now: f64,
}

impl BalancerRun {
    fn choose(&mut self) -> usize {
        let count = self.free.len();
        match (&mut self.lengths, self.policy) {
            (Lengths::Asked(lines), Policy::Choices(choices)) => {
                draw_different(choices as usize, count, &mut self.routing, &mut self.drawn);
                let mut best = (usize::MAX, 0);
                for server in &self.drawn {
                    let line = &mut lines[*server];
                    while line.front().is_some_and(|departure| *departure <= self.now) {
                        line.pop_front();
                    }
                    if line.len() < best.0 {
                        best = (line.len(), *server);
                    }
                }
                best.1
            }
            (Lengths::Known(shortest), _) => {
                shortest.depart(self.now);
                shortest.choose(&mut self.routing)
            }
            (_, Policy::RoundRobin) => {
                let server = self.next;
                self.next = (server + 1) % count;
                server
            }
            _ => self.routing.random_range(0..count),
        }
    }
}

/// Draws `choices` different numbers below `count`.
fn draw_different(choices: usize, count: usize, routing: &mut Generator, drawn: &mut Vec<usize>) {
    drawn.clear();
    while drawn.len() < choices.min(count) {
        let server = routing.random_range(0..count);
        if !drawn.contains(&server) {
            drawn.push(server);
        }
    }
}

impl Run for BalancerRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let begun = self.now;
        let (mut wait_sum, mut service_sum, mut waited) = (0.0, 0.0, 0.0);
        let (mut work_sum, mut square_sum) = (0.0, 0.0);
        let [responses, waits] = tally.histograms.as_mut_slice() else {
            return;
        };
        for _ in 0..customers {
            self.now += self.gap.draw(&mut self.arrivals);
            let work = self.service.draw(&mut self.services);
            work_sum += work;
            square_sum += work * work;
            let server = self.choose();
            let service = work * self.slowness[server];
            let start = self.free[server].max(self.now);
            let done = start + service;
            self.free[server] = done;
            match &mut self.lengths {
                Lengths::Unknown => {}
                Lengths::Asked(lines) => lines[server].push_back(done),
                Lengths::Known(shortest) => shortest.arrive(server, done),
            }
            let wait = start - self.now;
            wait_sum += wait;
            service_sum += service;
            waited += f64::from(u8::from(wait > 0.0));
            responses.record(wait + service);
            waits.record(wait);
        }
        let span = self.now - begun;
        let count = customers as f64;
        tally.ratios[RESPONSE].add(wait_sum + service_sum, count);
        tally.ratios[WAIT].add(wait_sum, count);
        tally.ratios[WAITED].add(waited, count);
        tally.ratios[PRESENT].add(wait_sum + service_sum, span);
        tally.ratios[THROUGHPUT].add(count, span);
        let drawn = [span, work_sum, square_sum];
        for (index, (drawn, expected)) in drawn.into_iter().zip(self.expected).enumerate() {
            tally.control(index, drawn, count * expected);
        }
        tally.ratios[BUSY].add(service_sum, span * self.free.len() as f64);
        tally.customers += customers;
        tally.events += 2 * customers;
        self.rebase();
    }
}

impl BalancerRun {
    fn rebase(&mut self) {
        let now = std::mem::take(&mut self.now);
        for moment in &mut self.free {
            *moment -= now;
        }
        match &mut self.lengths {
            Lengths::Unknown => {}
            Lengths::Asked(lines) => {
                for departure in lines.iter_mut().flatten() {
                    *departure -= now;
                }
            }
            Lengths::Known(shortest) => shortest.shift(now),
        }
    }
}

/// Servers by the number of their customers.
struct Shortest {
    /// Servers with each number of customers.
    groups: Vec<Vec<usize>>,
    /// Customers and place in the group of each server.
    places: Vec<(usize, usize)>,
    departures: BinaryHeap<Departure>,
    least: usize,
}

#[derive(Clone, Copy, Debug)]
struct Departure {
    at: f64,
    server: usize,
}

impl PartialEq for Departure {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Departure {}

impl PartialOrd for Departure {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Departure {
    /// Earliest first in a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .at
            .total_cmp(&self.at)
            .then(other.server.cmp(&self.server))
    }
}

impl Shortest {
    fn new(count: usize) -> Self {
        Self {
            groups: vec![(0..count).collect()],
            places: (0..count).map(|place| (0, place)).collect(),
            departures: BinaryHeap::new(),
            least: 0,
        }
    }

    fn regroup(&mut self, server: usize, length: usize) {
        let (old, place) = self.places[server];
        let group = &mut self.groups[old];
        group.swap_remove(place);
        if let Some(moved) = group.get(place) {
            self.places[*moved].1 = place;
        }
        if self.groups.len() <= length {
            self.groups.resize_with(length + 1, Vec::new);
        }
        self.groups[length].push(server);
        self.places[server] = (length, self.groups[length].len() - 1);
    }

    fn depart(&mut self, now: f64) {
        while let Some(departure) = self.departures.peek().copied() {
            if departure.at > now {
                return;
            }
            self.departures.pop();
            let length = self.places[departure.server].0 - 1;
            self.regroup(departure.server, length);
            self.least = self.least.min(length);
        }
    }

    fn choose(&mut self, routing: &mut Generator) -> usize {
        while self.groups[self.least].is_empty() {
            self.least += 1;
        }
        let group = &self.groups[self.least];
        group[routing.random_range(0..group.len())]
    }

    fn arrive(&mut self, server: usize, done: f64) {
        let length = self.places[server].0 + 1;
        self.regroup(server, length);
        self.departures.push(Departure { at: done, server });
    }

    fn shift(&mut self, by: f64) {
        let mut departures = std::mem::take(&mut self.departures).into_vec();
        for departure in &mut departures {
            departure.at -= by;
        }
        self.departures = departures.into();
    }
}
