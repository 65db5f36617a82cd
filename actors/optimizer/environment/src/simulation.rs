//! Discrete events of a whole stack: every request, from its client through tiers and back.
//!
//! What [`crate::events`] does for single stations and their lines, this does for a [`StackModel`] with all
//! that it states: balancers, workers that share cores, lines of limited length, connection pools, time-outs
//! and retries, caches, read replicas, volumes and networks that burst, VMs that start, warm up and go, and
//! load that changes. Two allocations with one seed meet the same requests with the same work.
//!
//! A request takes a worker while it computes and while it stores, and only with `holds_worker` while it waits
//! for calls. What a caller gave up on goes on at the tier that was called.

mod draws;
mod engine;
mod layout;
mod least;
mod load;
mod measure;
mod outcome;
mod pipe;
mod tier;
mod vm;

pub use self::draws::{Purpose, child, stream, unit_law, with_scv};
use self::engine::{Change, Engine};
use self::layout::Layout;
pub use self::load::{AllocationChange, Arrivals, Load};
use self::measure::Tally;
use self::outcome::Run;
pub use self::outcome::{
    CallOutcome, ClassOutcome, LinkOutcome, Measured, Outcome, StepOutcome, TierOutcome,
};
use crate::flow::{FlowError, visits};
use crate::model::StackModel;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use twinscale_protocol::RequestClassName;

/// Most VMs of a stack that is simulated.
pub const VMS_MAX: usize = 200_000;
/// Most requests of a simulation over all replications.
pub const REQUESTS_MAX: f64 = 1e9;
/// Replications between two looks at the precision.
const ROUND: u32 = 8;
/// After the load has ended, requests in flight have as long again, but at least this, in seconds.
const DRAIN_MIN_S: f64 = 600.0;

/// How to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Root of all randomness.
    pub seed: u64,
    /// Threads; the outcome does not depend on them.
    pub threads: usize,
    /// Independent runs of the load, at least; rounded up to whole rounds of eight.
    pub replications: u32,
    /// Time at the start that does not count, in seconds.
    pub warm_up_s: f64,
    /// Further rounds are run until intervals are so narrow.
    pub stop: Option<Precision>,
}

/// When intervals are narrow enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Half-width over value, of the mean and the 99th percentile of every class.
    pub relative_half_width: f64,
    /// Runs after which it is enough whatever the precision.
    pub replications_max: u32,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// The model names what it does not have.
    #[error("the stack has no {kind} `{name}`; check the model with `twinscale stack check`")]
    Unknown {
        /// What is missing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The calls of the model lead nowhere or in circles.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A number of the load or the options cannot be used.
    #[error("{what} is {value}: give {rule}")]
    Number {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        rule: &'static str,
    },
    /// The caller ended it.
    #[error("the simulation was stopped before it had an outcome")]
    Stopped,
}

impl SimulationError {
    fn unknown(kind: &'static str, name: &str) -> Self {
        Self::Unknown {
            kind,
            name: name.to_owned(),
        }
    }
}

/// Simulates a stack under a load. `proceed` is told the share of the runs that are done, now and then and from
/// any thread; when it answers false there is no outcome.
///
/// Determinism: a function of model, load, changes, seed and precision; not of the threads.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate(
    model: &StackModel,
    load: &Load,
    changes: &[AllocationChange],
    options: &Options,
    proceed: &(dyn Fn(f64) -> bool + Sync),
) -> Result<Outcome, SimulationError> {
    check(model, load, options)?;
    let hits = visits(model)?.hit_ratios;
    let layout = Layout::new(model, &hits)?;
    let changes = places(&layout, changes)?;
    let rates = rates(&layout, load)?;
    let scene = Scene {
        layout: &layout,
        load,
        rates: &rates,
        changes: &changes,
        options,
    };
    let mut runs: Vec<Run> = Vec::new();
    let mut wanted = options.replications.max(1).next_multiple_of(ROUND);
    loop {
        let first = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        runs.extend(scene.runs(first, wanted, proceed)?);
        let outcome = Outcome::of(&layout, &runs);
        let enough = options.stop.is_none_or(|stop| {
            outcome.is_within(stop.relative_half_width) || wanted >= stop.replications_max
        });
        if enough {
            return Ok(outcome);
        }
        wanted += ROUND;
    }
}

fn check(model: &StackModel, load: &Load, options: &Options) -> Result<(), SimulationError> {
    let number = |what, value, rule| Err(SimulationError::Number { what, value, rule });
    let vms: usize = model
        .tiers
        .values()
        .flat_map(|tier| &tier.vms)
        .map(|vms| vms.count as usize)
        .sum();
    if vms > VMS_MAX {
        return number("the number of VMs", vms as f64, "at most 200,000");
    }
    if !(load.step_s > 0.0 && load.step_s.is_finite()) {
        return number(
            "the length of a step",
            load.step_s,
            "a positive number of seconds",
        );
    }
    if !(options.warm_up_s >= 0.0 && options.warm_up_s < load.seconds()) {
        let rule = "at least 0 and less than the load lasts, in seconds";
        return number("the warm-up", options.warm_up_s, rule);
    }
    let mut requests = 0.0;
    for rate in load.rates.iter().flat_map(|(_, rates)| rates) {
        if !(*rate >= 0.0 && rate.is_finite()) {
            return number("a rate", *rate, "at least 0 requests per second");
        }
        requests += rate * load.step_s;
    }
    let all = requests * f64::from(options.replications.max(1));
    if all > REQUESTS_MAX {
        return number(
            "the number of requests",
            all,
            "at most 1e9: a shorter load or fewer runs",
        );
    }
    Ok(())
}

/// Rates by place of the class.
fn rates(layout: &Layout, load: &Load) -> Result<Vec<Vec<f64>>, SimulationError> {
    let mut found = vec![Vec::new(); layout.classes.len()];
    let place =
        |name: &RequestClassName| layout.classes.iter().position(|class| class.name == *name);
    for (name, rates) in &load.rates {
        let class = place(name).ok_or_else(|| SimulationError::unknown("class", name.as_str()))?;
        found[class].clone_from(rates);
    }
    Ok(found)
}

fn places(layout: &Layout, changes: &[AllocationChange]) -> Result<Vec<Change>, SimulationError> {
    let mut found = Vec::with_capacity(changes.len());
    for change in changes {
        let unknown = |kind, name: &str| SimulationError::unknown(kind, name);
        let tier = layout
            .tiers
            .iter()
            .position(|tier| tier.name == change.tier)
            .ok_or_else(|| unknown("tier", change.tier.as_str()))?;
        let vm_type = layout.tiers[tier]
            .types
            .iter()
            .position(|vm_type| vm_type.name == change.vm_type.as_str())
            .ok_or_else(|| unknown("VM type of the tier", change.vm_type.as_str()))?;
        if !(change.at_s >= 0.0 && change.at_s.is_finite()) {
            return Err(SimulationError::Number {
                what: "the time of a change",
                value: change.at_s,
                rule: "at least 0 seconds",
            });
        }
        found.push(Change {
            at_s: change.at_s,
            tier,
            vm_type,
            count: change.count,
        });
    }
    Ok(found)
}

/// All that runs have in common.
struct Scene<'a> {
    layout: &'a Layout,
    load: &'a Load,
    rates: &'a [Vec<f64>],
    changes: &'a [Change],
    options: &'a Options,
}

impl Scene<'_> {
    /// Runs the replications from `first` to before `end`, on the threads of the options, in their order.
    fn runs(
        &self,
        first: u32,
        end: u32,
        proceed: &(dyn Fn(f64) -> bool + Sync),
    ) -> Result<Vec<Run>, SimulationError> {
        let count = end.saturating_sub(first) as usize;
        let slots: Vec<Mutex<Option<Run>>> = (0..count).map(|_| Mutex::new(None)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stopped = AtomicBool::new(false);
        let work = || {
            for (replication, index) in
                std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)))
                    .take_while(|index| *index < count)
                    .map(|index| (first as usize + index, index))
            {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let run = self.run(replication as u64);
                *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
                let over = done.fetch_add(1, Ordering::Relaxed) + 1;
                if !proceed(over as f64 / count as f64) {
                    stopped.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.threads.clamp(1, count.max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let runs = slots
            .into_iter()
            .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
        runs.collect::<Option<_>>().ok_or(SimulationError::Stopped)
    }

    fn run(&self, replication: u64) -> Run {
        let seed = child(self.options.seed, replication + 1);
        let arrivals = self.layout.classes.iter().zip(self.rates).enumerate();
        let arrivals = arrivals.map(|(place, (class, rates))| {
            Arrivals::new(
                class.gaps.clone(),
                rates.clone(),
                self.load.step_s,
                seed,
                place,
            )
        });
        let tally = Tally::new(self.layout, self.load, self.options.warm_up_s);
        let mut engine = Engine::new(self.layout, arrivals.collect(), self.changes, tally, seed);
        let seconds = self.load.seconds();
        engine.run(self.options.warm_up_s, seconds + seconds.max(DRAIN_MIN_S));
        Run::of(engine)
    }
}

#[cfg(test)]
mod tests;
