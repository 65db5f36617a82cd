//! One station with classes of fixed priority, the first the most urgent.

use crate::events::line::settling;
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{CONTROLS_MAX, Figure, Tally};
use crate::law::Law;
use std::collections::VecDeque;

/// Most servers: those in service are looked through at every event.
pub const SERVERS_MAX: u32 = 4096;

/// What happens to a customer in service when a more urgent one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// It is finished first.
    None,
    /// It goes back to the head of its class and resumes later where it was.
    Resume,
}

/// A station with classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Priority {
    /// Equal servers.
    pub servers: u32,
    /// Laws of the gaps between arrivals and of service of each class.
    pub classes: Vec<(Law, Law)>,
    /// What a more urgent customer does to a less urgent one.
    pub preemption: Preemption,
}

const BUSY: usize = 0;
const WAIT: usize = 1;
const RESPONSE: usize = 2;
const PRESENT: usize = 3;
const THROUGHPUT: usize = 4;
/// Then wait and response of each class.
const FIRST: usize = 5;

impl Model for Priority {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio("utilisation", BUSY),
            Figure::controlled("mean_wait", WAIT),
            Figure::controlled("mean_response", RESPONSE),
            Figure::controlled("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
        ];
        for class in 0..self.classes.len() {
            let (name, first) = (class + 1, FIRST + 2 * class);
            figures.push(Figure::controlled(&format!("mean_wait_class{name}"), first));
            figures.push(Figure::controlled(
                &format!("mean_response_class{name}"),
                first + 1,
            ));
        }
        figures.extend(Figure::quantiles("response", 0));
        figures
    }

    fn tally(&self) -> Tally {
        let controls = (2 * self.classes.len()).min(CONTROLS_MAX);
        Tally::new(FIRST + 2 * self.classes.len(), &[self.classes[0].1.mean()])
            .with_controls(controls)
    }

    fn settling(&self) -> f64 {
        let load: f64 = self
            .classes
            .iter()
            .map(|(gap, service)| service.mean() / gap.mean())
            .sum();
        let variation = self
            .classes
            .iter()
            .map(|(gap, service)| 0.5 * (gap.scv() + service.scv()))
            .fold(1.0, f64::max);
        let servers = f64::from(self.servers);
        // The last class sees the idle time that the others leave: its line moves slower.
        2.0 * settling(load / servers, servers, variation)
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let count = self.classes.len();
        let sources = streams.arrivals_of(count).into_iter();
        let classes = self
            .classes
            .iter()
            .zip(sources)
            .zip(streams.services(count))
            .map(|(((law_of_gap, service), mut arrivals), services)| {
                let gap = Sampler::new(law_of_gap);
                Class {
                    expected: [law_of_gap.mean(), service.mean()],
                    next: gap.draw(&mut arrivals),
                    gap,
                    service: Sampler::new(service),
                    arrivals,
                    services,
                    line: VecDeque::new(),
                }
            });
        Box::new(PriorityRun {
            servers: self.servers as usize,
            preemption: self.preemption,
            classes: classes.collect(),
            serving: Vec::new(),
            now: 0.0,
        })
    }
}

struct Class {
    /// Means of the laws of gaps and of service.
    expected: [f64; 2],
    gap: Sampler,
    service: Sampler,
    arrivals: Generator,
    services: Generator,
    /// Moment of its next arrival.
    next: f64,
    line: VecDeque<Customer>,
}

#[derive(Clone, Copy, Debug)]
struct Customer {
    class: usize,
    arrived: f64,
    work: f64,
    /// Work left; in service: as of the start of the current stretch.
    left: f64,
    /// End of service, while in service.
    end: f64,
}

struct PriorityRun {
    servers: usize,
    preemption: Preemption,
    classes: Vec<Class>,
    serving: Vec<Customer>,
    now: f64,
}

impl PriorityRun {
    /// Index and moment of the least of `moments`.
    fn least(moments: impl Iterator<Item = f64>) -> (usize, f64) {
        let mut least = (usize::MAX, f64::INFINITY);
        for (index, moment) in moments.enumerate() {
            if moment < least.1 {
                least = (index, moment);
            }
        }
        least
    }

    fn begin(&mut self, mut customer: Customer) {
        customer.end = self.now + customer.left;
        self.serving.push(customer);
    }

    fn arrive(&mut self, class: usize, tally: &mut Tally) {
        let source = &mut self.classes[class];
        let work = source.service.draw(&mut source.services);
        let gap = source.gap.draw(&mut source.arrivals);
        source.next += gap;
        tally.control(2 * class, gap, source.expected[0]);
        tally.control(2 * class + 1, work, source.expected[1]);
        let customer = Customer {
            class,
            arrived: self.now,
            work,
            left: work,
            end: 0.0,
        };
        if self.serving.len() < self.servers {
            return self.begin(customer);
        }
        let (place, less_urgent) = self
            .serving
            .iter()
            .enumerate()
            .map(|(place, serving)| (place, serving.class))
            .max_by_key(|(_, class)| *class)
            .unwrap_or((0, 0));
        if self.preemption == Preemption::Resume && less_urgent > class {
            let mut interrupted = self.serving.swap_remove(place);
            interrupted.left = interrupted.end - self.now;
            self.classes[less_urgent].line.push_front(interrupted);
            return self.begin(customer);
        }
        self.classes[class].line.push_back(customer);
    }

    fn depart(&mut self, place: usize) -> Customer {
        let customer = self.serving.swap_remove(place);
        let next = self
            .classes
            .iter_mut()
            .find_map(|class| class.line.pop_front());
        if let Some(next) = next {
            self.begin(next);
        }
        customer
    }
}

impl Run for PriorityRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let begun = self.now;
        let (mut left, mut response_sum, mut work_sum) = (0, 0.0, 0.0);
        while left < customers {
            let (class, arrival) = Self::least(self.classes.iter().map(|class| class.next));
            let (place, departure) = Self::least(self.serving.iter().map(|serving| serving.end));
            if arrival < departure {
                self.now = arrival;
                self.arrive(class, tally);
                continue;
            }
            self.now = departure;
            let customer = self.depart(place);
            let response = departure - customer.arrived;
            response_sum += response;
            work_sum += customer.work;
            let first = FIRST + 2 * customer.class;
            tally.ratios[first].add(response - customer.work, 1.0);
            tally.ratios[first + 1].add(response, 1.0);
            tally.histograms[0].record(response.max(0.0));
            left += 1;
        }
        let (span, count) = (self.now - begun, customers as f64);
        tally.ratios[BUSY].add(work_sum, span * self.servers as f64);
        tally.ratios[WAIT].add(response_sum - work_sum, count);
        tally.ratios[RESPONSE].add(response_sum, count);
        tally.ratios[PRESENT].add(response_sum, span);
        tally.ratios[THROUGHPUT].add(count, span);
        tally.customers += customers;
        tally.events += 2 * customers;
        self.rebase();
    }
}

impl PriorityRun {
    fn rebase(&mut self) {
        let now = std::mem::take(&mut self.now);
        let shift = |customer: &mut Customer| {
            customer.arrived -= now;
            customer.end -= now;
        };
        self.serving.iter_mut().for_each(shift);
        for class in &mut self.classes {
            class.next -= now;
            class.line.iter_mut().for_each(shift);
        }
    }
}
