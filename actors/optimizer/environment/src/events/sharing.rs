//! Servers that all customers share equally: egalitarian processor sharing.
//!
//! Runs on the attained service: all present attain it at one rate, so the order of departures is that of
//! the attained service at which they end, and a heap of these is the calendar.

use crate::events::line::settling;
use crate::events::replicate::{Model, Run};
use crate::events::sample::Sampler;
use crate::events::streams::{Generator, Streams};
use crate::events::tally::{Figure, Tally};
use crate::law::Law;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A station whose customers share its servers; nobody gets more than one.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    /// Equal servers.
    pub servers: u32,
    /// Law of the gaps between arrivals.
    pub gap: Law,
    /// Law of the time that a customer needs alone.
    pub service: Law,
}

const RESPONSE: usize = 0;
const PRESENT: usize = 1;
const THROUGHPUT: usize = 2;
const BUSY: usize = 3;
const WAIT: usize = 4;

impl Model for Sharing {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::controlled("mean_response", RESPONSE),
            Figure::controlled("mean_in_system", PRESENT),
            Figure::ratio("throughput", THROUGHPUT),
            Figure::ratio("utilisation", BUSY),
            Figure::controlled("mean_wait", WAIT),
        ];
        figures.extend(Figure::quantiles("response", 0));
        figures
    }

    fn tally(&self) -> Tally {
        Tally::new(5, &[self.service.mean()]).with_controls(3)
    }

    fn settling(&self) -> f64 {
        let servers = f64::from(self.servers);
        let load = self.service.mean() / self.gap.mean() / servers;
        let variation = 0.5 * (self.gap.scv().max(1.0) + self.service.scv().max(1.0));
        settling(load, servers, variation)
    }

    fn start(&self, streams: &Streams) -> Box<dyn Run> {
        let gap = Sampler::new(&self.gap);
        let mut arrivals = streams.arrivals();
        Box::new(SharingRun {
            servers: f64::from(self.servers),
            next_arrival: gap.draw(&mut arrivals),
            gap,
            service: Sampler::new(&self.service),
            expected: [
                self.gap.mean(),
                self.service.mean(),
                self.service.second_moment(),
            ],
            arrivals,
            services: streams.services(1).remove(0),
            present: BinaryHeap::new(),
            attained: 0.0,
            now: 0.0,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Present {
    /// Attained service at which it ends.
    end: f64,
    arrived: f64,
    work: f64,
}

impl PartialEq for Present {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Present {}

impl PartialOrd for Present {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Present {
    /// Least first in a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        other.end.total_cmp(&self.end)
    }
}

struct SharingRun {
    servers: f64,
    gap: Sampler,
    service: Sampler,
    /// What the laws expect of a gap, a service and its square.
    expected: [f64; 3],
    arrivals: Generator,
    services: Generator,
    present: BinaryHeap<Present>,
    attained: f64,
    now: f64,
    next_arrival: f64,
}

impl Run for SharingRun {
    fn advance(&mut self, customers: u64, tally: &mut Tally) {
        let begun = self.now;
        let (mut response_sum, mut work_sum, mut left) = (0.0, 0.0, 0);
        while left < customers {
            let count = self.present.len() as f64;
            let rate = if count > self.servers {
                self.servers / count
            } else {
                1.0
            };
            let departure = self.present.peek().map_or(f64::INFINITY, |first| {
                self.now + (first.end - self.attained) / rate
            });
            if departure > self.next_arrival {
                self.attained += (self.next_arrival - self.now) * rate;
                self.now = self.next_arrival;
                let gap = self.gap.draw(&mut self.arrivals);
                self.next_arrival += gap;
                let work = self.service.draw(&mut self.services);
                for (index, drawn) in [gap, work, work * work].into_iter().enumerate() {
                    tally.control(index, drawn, self.expected[index]);
                }
                self.present.push(Present {
                    end: self.attained + work,
                    arrived: self.now,
                    work,
                });
                continue;
            }
            let Some(first) = self.present.pop() else {
                continue;
            };
            self.now = departure;
            self.attained = first.end;
            let response = self.now - first.arrived;
            response_sum += response;
            work_sum += first.work;
            tally.histograms[0].record(response.max(0.0));
            left += 1;
        }
        let (span, count) = (self.now - begun, customers as f64);
        tally.ratios[RESPONSE].add(response_sum, count);
        tally.ratios[PRESENT].add(response_sum, span);
        tally.ratios[THROUGHPUT].add(count, span);
        tally.ratios[BUSY].add(work_sum, span * self.servers);
        tally.ratios[WAIT].add(response_sum - work_sum, count);
        tally.customers += customers;
        tally.events += 2 * customers;
        self.rebase();
    }
}

impl SharingRun {
    fn rebase(&mut self) {
        let now = std::mem::take(&mut self.now);
        let attained = std::mem::take(&mut self.attained);
        self.next_arrival -= now;
        let mut present = std::mem::take(&mut self.present).into_vec();
        for one in &mut present {
            one.end -= attained;
            one.arrived -= now;
        }
        self.present = present.into();
    }
}
