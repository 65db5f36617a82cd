//! A case as a problem that both engines take.

use crate::cases::answers::Answers;
use crate::cases::kind::CHOICES_MAX;
use crate::cases::{CaseError, queues, stations};
use crate::events::balance::{Balancer, Policy};
use crate::events::chain::Chain;
use crate::events::finite::Finite;
use crate::events::fork_join::ForkJoin;
use crate::events::line::Line;
use crate::events::network::{Customers, Network};
use crate::events::priority::{Preemption, Priority};
use crate::events::replicate::Model;
use crate::events::sharing::Sharing;
use crate::law::Law;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    /// One station, first come first served.
    Line(Line),
    /// One station with limited room.
    Finite(Finite),
    /// One shared station.
    Sharing(Sharing),
    /// One station with classes.
    Priority(Priority),
    /// Stations in a line.
    Chain(Chain),
    /// An open network: outside arrivals per second, routing, servers and laws of service.
    Open {
        outside: Vec<f64>,
        routing: Vec<Vec<f64>>,
        stations: Vec<(u32, Law)>,
    },
    /// A closed network: demands and servers, thinking time, customers.
    Closed {
        stations: Vec<(f64, u32)>,
        think: f64,
        population: u32,
        /// Whether lists of one station are written as a value.
        scalar: bool,
    },
    /// Servers that are joined.
    ForkJoin(ForkJoin),
    /// Servers behind a balancer.
    Balancer(Balancer),
}

impl Problem {
    /// Whether lists of one station are written as a value.
    pub(crate) fn scalar(&self) -> bool {
        matches!(self, Self::Closed { scalar: true, .. })
    }

    /// Adds the results by formula, and refuses what has no steady state.
    pub(crate) fn solve(&self, answers: &mut Answers) -> Result<(), CaseError> {
        match self {
            Self::Line(line) => queues::line(line, answers),
            Self::Finite(finite) => queues::finite(finite, answers),
            Self::Sharing(sharing) => queues::sharing(sharing, answers),
            Self::Priority(priority) => queues::priority(priority, answers),
            Self::Chain(chain) => stations::chain(chain, answers),
            Self::Open {
                outside,
                routing,
                stations,
            } => stations::open(outside, routing, stations, answers),
            Self::Closed {
                stations,
                think,
                population,
                scalar,
            } => stations::closed(stations, *think, *population, *scalar, answers),
            Self::ForkJoin(fork_join) => stations::fork_join(fork_join, answers),
            Self::Balancer(balancer) => stations::balancer(balancer, answers),
        }
    }

    /// Model to simulate.
    pub(crate) fn model(&self) -> Result<Box<dyn Model>, CaseError> {
        Ok(match self {
            Self::Line(line) => Box::new(line.clone()),
            Self::Finite(finite) => Box::new(finite.clone()),
            Self::Sharing(sharing) => Box::new(sharing.clone()),
            Self::Priority(priority) => Box::new(priority.clone()),
            Self::Chain(chain) => Box::new(chain.clone()),
            Self::ForkJoin(fork_join) => Box::new(fork_join.clone()),
            Self::Balancer(balancer) => Box::new(balancer.clone()),
            Self::Open {
                outside,
                routing,
                stations,
            } => {
                let entering: f64 = outside.iter().sum();
                let visits = stations::arrivals(outside, routing, stations)?;
                Box::new(Network {
                    visits: visits.iter().map(|rate| rate / entering).collect(),
                    stations: stations.clone(),
                    routing: routing.clone(),
                    customers: Customers::Open(outside.iter().map(|rate| gap(*rate)).collect()),
                })
            }
            Self::Closed {
                stations,
                think,
                population,
                ..
            } => {
                let count = stations.len();
                let next =
                    |from: usize| (0..count).map(move |to| f64::from(u8::from(to == from + 1)));
                Box::new(Network {
                    visits: vec![1.0; count],
                    stations: stations
                        .iter()
                        .map(|(demand, servers)| (*servers, Law::Exponential { mean: *demand }))
                        .collect(),
                    routing: (0..count).map(|from| next(from).collect()).collect(),
                    customers: Customers::Closed {
                        population: *population,
                        think: (*think > 0.0).then_some(Law::Exponential { mean: *think }),
                    },
                })
            }
        })
    }
}

fn gap(rate: f64) -> Option<Law> {
    (rate > 0.0).then(|| Law::Exponential { mean: 1.0 / rate })
}

/// What a policy is called.
pub(crate) fn policy(text: &str) -> Option<Policy> {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "jsq(",
        "choice",
        "p2c",
        "two random",
        "2 random",
        "power of",
    ]) {
        let digits: String = text.chars().filter(char::is_ascii_digit).take(4).collect();
        let choices = digits.parse().unwrap_or(2).clamp(1, CHOICES_MAX);
        return Some(Policy::Choices(choices));
    }
    if has(&[
        "shortest",
        "jsq",
        "least conn",
        "least_conn",
        "leastconn",
        "least-conn",
        "least loaded",
    ]) {
        return Some(Policy::Shortest);
    }
    if has(&["round"]) || text.trim() == "rr" {
        return Some(Policy::RoundRobin);
    }
    has(&["random"]).then_some(Policy::Random)
}

/// Whether a less urgent customer in service is interrupted.
pub(crate) fn preemption(text: &str) -> Preemption {
    let text = text.replace(['-', ' ', '_'], "");
    let finishes = ["nonpreempt", "nopreempt", "notpreempt", "hol", "headofline"];
    if text.contains("preempt") && !finishes.iter().any(|word| text.contains(word)) {
        Preemption::Resume
    } else {
        Preemption::None
    }
}
