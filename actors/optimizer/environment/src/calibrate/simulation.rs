//! A small simulation of a stack, of its own making: the truth that calibration is tested against.
//!
//! Requests pass their stations one after another; each station has machines with cores, first come first
//! served. Nothing of the formulas under test is used.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test's own small numbers"
)]

use crate::calibrate::{Observation, ResponseTimes};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use twinscale_protocol::{RequestClassName, TierName};

/// S. Vigna's generator `SplitMix64`.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }

    fn service(&mut self, service: &Service) -> f64 {
        let Service { mean_s, scv, sort } = *service;
        match sort {
            Sort::Exponential => self.exponential(mean_s),
            Sort::Lognormal => {
                let variance = (1.0 + scv).ln();
                (mean_s.ln() - variance / 2.0 + variance.sqrt() * self.normal()).exp()
            }
            Sort::Hyperexponential => {
                let share = 0.5 * (1.0 + ((scv - 1.0) / (scv + 1.0)).sqrt());
                if self.unit() < share {
                    self.exponential(mean_s / (2.0 * share))
                } else {
                    self.exponential(mean_s / (2.0 * (1.0 - share)))
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    Exponential,
    Lognormal,
    Hyperexponential,
}

/// A service time on one core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    pub(super) mean_s: f64,
    pub(super) scv: f64,
    pub(super) sort: Sort,
}

#[derive(Clone, Debug)]
pub(super) struct TrueStation {
    pub(super) tier: &'static str,
    pub(super) machines: usize,
    pub(super) cores: usize,
    /// To the machine that is free first; else to any.
    pub(super) is_balanced: bool,
    /// Of each class.
    pub(super) services: Vec<Service>,
    /// Mean visits of each class.
    pub(super) visits: Vec<f64>,
    /// Share of all cores that is busy anyhow.
    pub(super) background: f64,
}

#[derive(Clone, Debug)]
pub(super) struct TrueStack {
    pub(super) classes: Vec<&'static str>,
    pub(super) delays_s: Vec<f64>,
    pub(super) stations: Vec<TrueStation>,
}

struct Request {
    class: usize,
    start_s: f64,
    /// Stations still to pass, the next last.
    way: Vec<usize>,
}

pub(super) struct Simulation {
    pub(super) stack: TrueStack,
    random: Random,
    /// Relative error of meters.
    pub(super) meter_error: f64,
    now_s: f64,
    /// Time in bits (which order as the times do), number, request.
    events: BinaryHeap<Reverse<(u64, u64, usize)>>,
    requests: Vec<Option<Request>>,
    unused: Vec<usize>,
    count: u64,
    /// When each core of each machine of each station is free.
    free_s: Vec<Vec<Vec<f64>>>,
    /// Core seconds by station that lie after the end of the interval.
    ahead: Vec<f64>,
}

impl Simulation {
    pub(super) fn new(stack: TrueStack, seed: u64) -> Self {
        let free_s = stack
            .stations
            .iter()
            .map(|station| vec![vec![0.0; station.cores]; station.machines])
            .collect();
        Self {
            ahead: vec![0.0; stack.stations.len()],
            stack,
            random: Random(seed),
            meter_error: 0.01,
            now_s: 0.0,
            events: BinaryHeap::new(),
            requests: Vec::new(),
            unused: Vec::new(),
            count: 0,
            free_s,
        }
    }

    /// Runs for an interval at fixed rates, and says what a monitoring system would.
    pub(super) fn interval(&mut self, rates: &[f64], duration_s: f64) -> Observation {
        let end_s = self.now_s + duration_s;
        self.arrive(rates, end_s);
        let stations = self.stack.stations.len();
        let mut busy = std::mem::replace(&mut self.ahead, vec![0.0; stations]);
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); rates.len()];
        while let Some(Reverse((bits, _, at))) = self.events.peek().copied() {
            let now_s = f64::from_bits(bits);
            if now_s >= end_s {
                break;
            }
            self.events.pop();
            let Some(request) = self.requests[at].as_mut() else {
                continue;
            };
            let class = request.class;
            let Some(station) = request.way.pop() else {
                times[class].push(now_s - request.start_s + self.stack.delays_s[class]);
                self.requests[at] = None;
                self.unused.push(at);
                continue;
            };
            let (start_s, done_s) = self.serve(station, class, now_s);
            let within_s = done_s.min(end_s) - start_s.min(end_s);
            busy[station] += within_s;
            self.ahead[station] += done_s - start_s - within_s;
            self.push(done_s, at);
        }
        self.now_s = end_s;
        self.observation(&busy, times, duration_s)
    }

    fn arrive(&mut self, rates: &[f64], end_s: f64) {
        for (class, rate) in rates.iter().enumerate() {
            let mut time_s = self.now_s;
            loop {
                time_s += self.random.exponential(1.0 / rate);
                if time_s >= end_s || !time_s.is_finite() {
                    break;
                }
                let mut way = Vec::new();
                for (station, spec) in self.stack.stations.iter().enumerate().rev() {
                    let visits = spec.visits[class];
                    let chance = self.random.unit() < visits.fract();
                    let whole = visits.floor() as usize + usize::from(chance);
                    way.extend(std::iter::repeat_n(station, whole));
                }
                let request = Some(Request {
                    class,
                    start_s: time_s,
                    way,
                });
                let at = self.unused.pop().unwrap_or(self.requests.len());
                if at == self.requests.len() {
                    self.requests.push(None);
                }
                self.requests[at] = request;
                self.push(time_s, at);
            }
        }
    }

    fn push(&mut self, time_s: f64, at: usize) {
        self.count += 1;
        self.events
            .push(Reverse((time_s.to_bits(), self.count, at)));
    }

    fn serve(&mut self, station: usize, class: usize, now_s: f64) -> (f64, f64) {
        let spec = &self.stack.stations[station];
        let first = |cores: &Vec<f64>| cores.iter().copied().fold(f64::INFINITY, f64::min);
        let machines = &self.free_s[station];
        let machine = if spec.is_balanced {
            let free = machines.iter().map(first).enumerate();
            free.min_by(|a, b| a.1.total_cmp(&b.1))
                .map_or(0, |(at, _)| at)
        } else {
            ((self.random.unit() * machines.len() as f64) as usize).min(machines.len() - 1)
        };
        let service_s = self.random.service(&spec.services[class]);
        let cores = &mut self.free_s[station][machine];
        let core = (0..cores.len())
            .min_by(|a, b| cores[*a].total_cmp(&cores[*b]))
            .unwrap_or(0);
        let start_s = now_s.max(cores[core]);
        cores[core] = start_s + service_s;
        (start_s, start_s + service_s)
    }

    fn observation(&mut self, busy: &[f64], times: Vec<Vec<f64>>, duration_s: f64) -> Observation {
        let mut observation = Observation {
            duration_s,
            ..Observation::default()
        };
        for (station, busy) in self.stack.stations.iter().zip(busy) {
            let cores = (station.machines * station.cores) as f64;
            // Meters are off by a little.
            let error = 1.0 + self.meter_error * self.random.normal();
            let used = (busy / duration_s / cores + station.background) * error;
            let tier = TierName::new(station.tier).expect("a name");
            observation.utilisation.insert(tier, used.clamp(0.0, 1.0));
        }
        for (class, mut times) in self.stack.classes.iter().zip(times) {
            let class = RequestClassName::new(*class).expect("a name");
            observation
                .requests
                .insert(class.clone(), times.len() as f64);
            times.sort_by(f64::total_cmp);
            if let Some(found) = response_times(&times) {
                observation.responses.insert(class, found);
            }
        }
        observation
    }
}

/// Runs on at fixed rates for long, after a while for the queues to settle; gives utilisation and responses.
pub(super) fn truth(
    stack: &TrueStack,
    rates: &[f64],
    duration_s: f64,
    seed: u64,
) -> (
    BTreeMap<TierName, f64>,
    BTreeMap<RequestClassName, ResponseTimes>,
) {
    let mut simulation = Simulation::new(stack.clone(), seed);
    simulation.meter_error = 0.0;
    simulation.interval(rates, duration_s / 20.0);
    let found = simulation.interval(rates, duration_s);
    (found.utilisation, found.responses)
}

fn response_times(sorted: &[f64]) -> Option<ResponseTimes> {
    let at = |level: f64| {
        let place = (level * sorted.len() as f64).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied()
    };
    Some(ResponseTimes {
        mean_s: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
        p50_s: Some(at(0.5)?),
        p95_s: at(0.95),
        p99_s: at(0.99),
    })
}
