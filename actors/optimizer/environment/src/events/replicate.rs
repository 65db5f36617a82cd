//! Runs the replications of a model, on as many threads as wanted.

use crate::events::control::Controls;
use crate::events::estimate::{Estimate, estimates};
use crate::events::streams::Streams;
use crate::events::tally::{Figure, Tally};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

/// Independent replications of every simulation: enough degrees of freedom for narrow intervals, few
/// enough that each is long against the memory of a busy queue.
pub const REPLICATIONS: u32 = 32;
/// Most customers of a simulation.
pub const CUSTOMERS_MAX: u64 = 1_000_000_000;
/// Customers between two looks at whether to go on.
const CHUNK: u64 = 1 << 16;
/// Share of the counted customers that at least is simulated before counting.
const WARM_UP_SHARE: f64 = 0.1;
/// Customers of a warm-up that are always affordable, however short the replication.
const WARM_UP_FREE: f64 = 10_000.0;
/// Times to forget that a replication lasts before control variates serve it.
const CONTROLLED_SETTLINGS: f64 = 100.0;

/// A model that can be simulated.
pub trait Model: Sync {
    /// Figures that it reports.
    fn figures(&self) -> Vec<Figure>;
    /// Empty tally for them.
    fn tally(&self) -> Tally;
    /// Customers after which a replication has forgotten how it began.
    fn settling(&self) -> f64;
    /// Begins a replication.
    fn start(&self, streams: &Streams) -> Box<dyn Run>;
}

/// A replication under way.
pub trait Run: Send {
    /// Simulates until about `customers` more have been counted.
    fn advance(&mut self, customers: u64, tally: &mut Tally);
}

/// When a simulation ends before its limit of customers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopRule {
    /// Half-width of each figure's interval over its value that is narrow enough.
    pub relative_half_width: f64,
}

/// How to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimulationOptions {
    /// Customers counted over all replications, at most.
    pub customers: u64,
    /// Root of all randomness.
    pub seed: u64,
    /// Threads; the result does not depend on them.
    pub threads: usize,
    /// Stops earlier, when there is a rule.
    pub stop: Option<StopRule>,
}

impl SimulationOptions {
    /// Whether the number of customers is in range.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self) -> Result<(), SimulationError> {
        if (u64::from(REPLICATIONS)..=CUSTOMERS_MAX).contains(&self.customers) {
            return Ok(());
        }
        Err(SimulationError::Customers {
            given: self.customers,
        })
    }
}

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Customers simulated since the last call, counted or not.
    pub customers: u64,
}

/// What a simulation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// The figures.
    pub estimates: Vec<Estimate>,
    /// Customers counted.
    pub customers: u64,
    /// Arrivals at and departures from stations, with those of the warm-up.
    pub events: u64,
}

/// Why a simulation has no result.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimulationError {
    /// Fewer customers than replications, or too many.
    #[error("customers is {given}; give {REPLICATIONS} to {CUSTOMERS_MAX}")]
    Customers {
        /// What was asked for.
        given: u64,
    },
    /// The caller ended it.
    #[error(
        "the simulation was stopped before it had a result; allow it more time or fewer customers"
    )]
    Stopped,
}

struct Replication {
    /// Gone once it has come to its end, with what it needs of memory.
    run: Option<Box<dyn Run>>,
    tally: Tally,
    events: u64,
    warm: bool,
}

/// Simulates `model`. `proceed` is called every now and then, from any thread; when it answers false the
/// simulation stops without a result.
///
/// Determinism: a function of the model, the seed, the customers and the stop rule; not of the threads.
///
/// # Errors
/// When the number of customers is out of range or `proceed` stops the simulation.
pub fn simulate(
    model: &dyn Model,
    options: &SimulationOptions,
    proceed: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Simulated, SimulationError> {
    options.check()?;
    let limit = options.customers / u64::from(REPLICATIONS);
    let warm_up = warm_up(model.settling(), limit);
    let figures = model.figures();
    let slots: Vec<Mutex<Option<Replication>>> =
        (0..REPLICATIONS).map(|_| Mutex::new(None)).collect();
    let mut counted = 0;
    // Rounds double the length; without a rule there is one.
    let mut round = match options.stop {
        Some(_) => (limit / 32).max(1_000).min(limit),
        None => limit,
    };
    loop {
        let more = (round - counted).min(limit - counted);
        advance_all(model, options, &slots, (warm_up, more), proceed)?;
        counted += more;
        let replications: Vec<Replication> = slots
            .iter()
            .filter_map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take())
            .collect();
        let tallies: Vec<&Tally> = replications.iter().map(|one| &one.tally).collect();
        // A regression needs replications that are near normal, which long ones are.
        let controls = if counted as f64 >= CONTROLLED_SETTLINGS * model.settling() {
            Controls::new(&tallies)
        } else {
            Controls::none(tallies.len())
        };
        let found = estimates(&figures, &tallies, &controls);
        let narrow = options.stop.is_some_and(|rule| narrow_enough(&found, rule));
        if counted >= limit || narrow {
            return Ok(Simulated {
                estimates: found,
                customers: tallies.iter().map(|tally| tally.customers).sum(),
                events: replications.iter().map(|one| one.events).sum(),
            });
        }
        for (slot, replication) in slots.iter().zip(replications) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(replication);
        }
        round *= 2;
    }
}

/// Customers before counting: twice the time to forget, within what the length of the run affords.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a positive range first"
)]
fn warm_up(settling: f64, counted: u64) -> u64 {
    let counted = counted as f64;
    let most = (2.0 * counted).max(WARM_UP_FREE);
    (2.0 * settling).clamp(WARM_UP_SHARE * counted, most) as u64
}

fn narrow_enough(estimates: &[Estimate], rule: StopRule) -> bool {
    estimates
        .iter()
        .all(|one| one.half_width_joint <= rule.relative_half_width * one.value.abs())
}

fn advance_all(
    model: &dyn Model,
    options: &SimulationOptions,
    slots: &[Mutex<Option<Replication>>],
    (warm_up, more): (u64, u64),
    proceed: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<(), SimulationError> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(index) else { return };
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let replication = slot.get_or_insert_with(|| Replication {
                run: Some(model.start(&Streams::new(
                    options.seed,
                    u32::try_from(index).unwrap_or(u32::MAX),
                ))),
                tally: model.tally(),
                events: 0,
                warm: false,
            });
            let go_on = |customers| {
                if !proceed(Progress { customers }) {
                    stopped.store(true, Ordering::Relaxed);
                }
                !stopped.load(Ordering::Relaxed)
            };
            if !replication.advance(warm_up, more, &go_on) {
                return;
            }
            if options.stop.is_none() {
                replication.run = None;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.threads.clamp(1, slots.len()) {
            scope.spawn(work);
        }
        work();
    });
    if stopped.load(Ordering::Relaxed) {
        return Err(SimulationError::Stopped);
    }
    Ok(())
}

impl Replication {
    /// Returns whether it came to its end.
    fn advance(&mut self, warm_up: u64, more: u64, go_on: &dyn Fn(u64) -> bool) -> bool {
        if !self.warm {
            if !self.chunks(warm_up, go_on) {
                return false;
            }
            self.tally.clear();
            self.warm = true;
        }
        self.chunks(more, go_on)
    }

    fn chunks(&mut self, customers: u64, go_on: &dyn Fn(u64) -> bool) -> bool {
        let mut left = customers;
        let Some(run) = &mut self.run else {
            return true;
        };
        while left > 0 {
            let chunk = left.min(CHUNK);
            let events = self.tally.events;
            run.advance(chunk, &mut self.tally);
            self.events += self.tally.events - events;
            left -= chunk;
            if !go_on(chunk) {
                return false;
            }
        }
        true
    }
}
