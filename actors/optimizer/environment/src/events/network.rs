//! Networks with any routing, open or closed, on a calendar of events.
//!
//! Stations serve first come first served. An open network has a source at each station; a closed one has
//! a fixed number of customers who think, then enter at the first station, and think again when they
//! leave. Time in the network counts from entering to leaving.

use crate::events::line::settling;
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Tally};
use crate::law::Law;
use rand::Rng;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Where customers come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Customers {
    /// Law of the gaps between arrivals at each station; none where nobody arrives from outside.
    Open(Vec<Option<Law>>),
    /// A fixed number who think for a time of a law, or not at all.
    Closed {
        /// Customers.
        population: u32,
        /// Law of the thinking time.
        think: Option<Law>,
    },
}

/// A network of stations.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Servers and law of service of each station.
    pub stations: Vec<(u32, Law)>,
    /// Probability of going from one station to another; what is left leaves. Shape: `[from][to]`.
    pub routing: Vec<Vec<f64>>,
    /// Where customers come from.
    pub customers: Customers,
    /// Visits to each station per customer, which the length of the warm-up follows. Shape: `[station]`.
    pub visits: Vec<f64>,
}

const RESPONSE: usize = 0;
const PRESENT: usize = 1;
const THROUGHPUT: usize = 2;
/// Then for each station: busy servers, customers present, time in it per customer of the network.
const FIRST: usize = 3;
const PER_STATION: usize = 3;

impl Model for Network {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio("mean_response", RESPONSE),
            Figure::ratio("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
        ];
        for place in 0..self.stations.len() {
            let first = FIRST + PER_STATION * place;
            figures.push(Figure::listed("utilisation", place, first));
            figures.push(Figure::listed("queue", place, first + 1));
            figures.push(Figure::listed("residence", place, first + 2));
        }
        figures.extend(Figure::quantiles("response", 0));
        figures
    }

    fn tally(&self) -> Tally {
        let scale: f64 = self.stations.iter().map(|(_, law)| law.mean()).sum();
        Tally::new(FIRST + PER_STATION * self.stations.len(), &[scale])
    }

    fn settling(&self) -> f64 {
        match &self.customers {
            Customers::Open(sources) => {
                let enter: f64 = sources.iter().flatten().map(|gap| 1.0 / gap.mean()).sum();
                let settlings =
                    self.stations
                        .iter()
                        .zip(&self.visits)
                        .map(|((servers, law), visits)| {
                            let servers = f64::from(*servers);
                            let load = enter * visits * law.mean() / servers;
                            settling(load, servers, law.scv().max(1.0))
                        });
                // Customers come back, and lines feed each other.
                2.0 * settlings.fold(0.0, f64::max)
            }
            // All think at first; the line at the slowest station then fills at the pace of the cycle.
            Customers::Closed { population, .. } => 20.0 * f64::from(*population) + 1_000.0,
        }
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let count = self.stations.len();
        let stations = self
            .stations
            .iter()
            .zip(&self.routing)
            .zip(streams.services(count))
            .map(|(((servers, law), row), services)| {
                let mut sum = 0.0;
                Station {
                    servers: *servers as usize,
                    service: Sampler::new(law),
                    services,
                    busy: 0,
                    line: VecDeque::new(),
                    next: row
                        .iter()
                        .map(|share| {
                            sum += share;
                            sum
                        })
                        .collect(),
                    work: 0.0,
                    time: 0.0,
                }
            });
        let mut run = NetworkRun {
            stations: stations.collect(),
            routing: streams.routing(),
            sources: Vec::new(),
            thinking: None,
            thinker: streams.thinking(),
            calendar: BinaryHeap::new(),
            sequence: 0,
            now: 0.0,
        };
        run.fill(&self.customers, streams);
        Box::new(run)
    }
}

#[derive(Clone, Copy, Debug)]
struct Customer {
    entered: f64,
    /// Moment of the arrival at the station where it is.
    arrived: f64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A source sends a customer to its station.
    Arrival(usize),
    /// A customer has thought.
    Thought,
    /// A customer leaves a station.
    Departure(usize, Customer),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: f64,
    /// Orders events of one moment.
    sequence: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// Earliest first in a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = other.at.total_cmp(&self.at);
        by_time.then(other.sequence.cmp(&self.sequence))
    }
}

struct Station {
    servers: usize,
    service: Sampler,
    services: Generator,
    busy: usize,
    line: VecDeque<Customer>,
    /// Cumulated probabilities of the next station.
    next: Vec<f64>,
    work: f64,
    time: f64,
}

struct NetworkRun {
    stations: Vec<Station>,
    routing: Generator,
    sources: Vec<Option<(Sampler, Generator)>>,
    thinking: Option<Sampler>,
    thinker: Generator,
    calendar: BinaryHeap<Event>,
    sequence: u64,
    now: f64,
}

impl NetworkRun {
    fn fill(&mut self, customers: &Customers, streams: &Streams) {
        match customers {
            Customers::Open(sources) => {
                let generators = streams.arrivals_of(sources.len());
                for (station, (gap, mut generator)) in sources.iter().zip(generators).enumerate() {
                    let gap = gap.as_ref().map(Sampler::new);
                    if let Some(gap) = &gap {
                        let at = gap.draw(&mut generator);
                        self.plan(at, What::Arrival(station));
                    }
                    self.sources.push(gap.map(|gap| (gap, generator)));
                }
            }
            Customers::Closed { population, think } => {
                self.thinking = think.as_ref().map(Sampler::new);
                for _ in 0..*population {
                    self.think();
                }
            }
        }
    }

    fn plan(&mut self, at: f64, what: What) {
        self.sequence += 1;
        self.calendar.push(Event {
            at,
            sequence: self.sequence,
            what,
        });
    }

    fn think(&mut self) {
        let time = match &self.thinking {
            Some(law) => law.draw(&mut self.thinker),
            None => 0.0,
        };
        self.plan(self.now + time, What::Thought);
    }

    /// In a closed network who leaves thinks.
    fn think_again(&mut self) {
        if self.sources.is_empty() {
            self.think();
        }
    }

    fn enter(&mut self, station: usize, customer: Customer) {
        let place = &mut self.stations[station];
        if place.busy < place.servers {
            place.busy += 1;
            self.serve(station, customer);
        } else {
            place.line.push_back(customer);
        }
    }

    fn serve(&mut self, station: usize, customer: Customer) {
        let place = &mut self.stations[station];
        let work = place.service.draw(&mut place.services);
        place.work += work;
        self.plan(self.now + work, What::Departure(station, customer));
    }

    /// Returns the customer when it leaves the network.
    fn depart(&mut self, station: usize, mut customer: Customer) -> Option<Customer> {
        let place = &mut self.stations[station];
        place.time += self.now - customer.arrived;
        match place.line.pop_front() {
            Some(next) => self.serve(station, next),
            None => place.busy -= 1,
        }
        let place = &self.stations[station];
        // Certain ways need no random number.
        let total = place.next.last().copied().unwrap_or(0.0);
        let at = if total <= 0.0 {
            1.0
        } else {
            self.routing.random::<f64>()
        };
        match place.next.iter().position(|below| at < *below) {
            Some(next) => {
                customer.arrived = self.now;
                self.enter(next, customer);
                None
            }
            None => Some(customer),
        }
    }
}

impl Run for NetworkRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let begun = self.now;
        let (mut left, mut response_sum) = (0, 0.0);
        while left < customers {
            let Some(event) = self.calendar.pop() else {
                return;
            };
            self.now = event.at;
            let new = Customer {
                entered: event.at,
                arrived: event.at,
            };
            tally.events += 1;
            match event.what {
                What::Arrival(station) => {
                    if let Some((gap, generator)) = &mut self.sources[station] {
                        let next = event.at + gap.draw(generator);
                        self.plan(next, What::Arrival(station));
                    }
                    self.enter(station, new);
                }
                What::Thought => self.enter(0, new),
                What::Departure(station, customer) => {
                    tally.events += 1;
                    let Some(customer) = self.depart(station, customer) else {
                        continue;
                    };
                    let response = self.now - customer.entered;
                    response_sum += response;
                    tally.histograms[0].record(response);
                    left += 1;
                    self.think_again();
                }
            }
        }
        let (span, count) = (self.now - begun, customers as f64);
        tally.ratios[RESPONSE].add(response_sum, count);
        tally.ratios[PRESENT].add(response_sum, span);
        tally.ratios[THROUGHPUT].add(count, span);
        for (index, station) in self.stations.iter_mut().enumerate() {
            let first = FIRST + PER_STATION * index;
            let (work, time) = (
                std::mem::take(&mut station.work),
                std::mem::take(&mut station.time),
            );
            tally.ratios[first].add(work, span * station.servers as f64);
            tally.ratios[first + 1].add(time, span);
            tally.ratios[first + 2].add(time, count);
        }
        tally.customers += customers;
    }
}
