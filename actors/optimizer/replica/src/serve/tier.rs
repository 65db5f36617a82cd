//! One VM of a tier: workers, a line before them, and the calls that a visit makes.

use super::call::{CallState, Verdict};
use super::workers::Workers;
use crate::config::{ServeCall, ServeConfig, ServeStatus};
use rand::Rng;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use twinscale_environment::events::sample::Sampler;
use twinscale_environment::simulation::{Purpose, child, stream, unit_law};

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Visited {
    /// It was served.
    Served {
        /// CPU seconds that it burnt here and, one after the other, in the tiers called.
        burnt_s: f64,
    },
    /// There was no room.
    Refused,
    /// A call of it failed.
    Failed,
    /// The tier knows no such class.
    Unknown,
}

#[derive(Debug)]
struct Class {
    /// Law of mean 1, and mean in seconds of this VM's core.
    demand: Option<(Sampler, f64)>,
    stages: Vec<Vec<usize>>,
    visits: AtomicU64,
    burnt_s: Mutex<f64>,
}

/// The server of one VM.
#[derive(Debug)]
pub(super) struct TierServer {
    classes: BTreeMap<String, Class>,
    workers: Workers,
    permits: Semaphore,
    /// Visits that hold a worker or wait for one.
    held: AtomicUsize,
    held_max: usize,
    holds_worker: bool,
    calls: Vec<CallState>,
    refused: AtomicU64,
}

/// A place at a worker or in the line.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TierServer {
    pub(super) fn new(config: ServeConfig) -> io::Result<Arc<Self>> {
        let workers = Workers::start(config.workers)?;
        let speed = config.speed;
        let class = |(name, class): (String, crate::config::ServeClass)| {
            let demand = class
                .demand
                .map(|demand| (unit_law(&demand), demand.mean_s / speed));
            let class = Class {
                demand,
                stages: class.stages,
                visits: AtomicU64::new(0),
                burnt_s: Mutex::new(0.0),
            };
            (name, class)
        };
        let line = config
            .waiting_max
            .map_or(usize::MAX / 2, |most| most as usize);
        Ok(Arc::new(Self {
            classes: config.classes.into_iter().map(class).collect(),
            workers,
            permits: Semaphore::new(config.workers as usize),
            held: AtomicUsize::new(0),
            held_max: line + config.workers as usize,
            holds_worker: config.holds_worker,
            calls: config.calls.into_iter().map(CallState::new).collect(),
            refused: AtomicU64::new(0),
        }))
    }

    /// Serves a visit of a class; `seed` decides all that is random about it.
    pub(super) async fn visit(&self, name: &str, seed: u64) -> Visited {
        let Some(class) = self.classes.get(name) else {
            return Visited::Unknown;
        };
        if self.held.fetch_add(1, Ordering::Relaxed) >= self.held_max {
            self.held.fetch_sub(1, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Visited::Refused;
        }
        let place = Place(&self.held);
        let Ok(permit) = self.permits.acquire().await else {
            return Visited::Refused;
        };
        let mut burnt_s = self.compute(class, seed).await;
        let held = (permit, place);
        let kept = (self.holds_worker && !class.stages.is_empty()).then_some(held);
        let mut missed = BTreeMap::new();
        for stage in &class.stages {
            let Some(called_s) = self.stage(stage, name, seed, &mut missed).await else {
                return Visited::Failed;
            };
            burnt_s += called_s;
        }
        drop(kept);
        Visited::Served { burnt_s }
    }

    async fn compute(&self, class: &Class, seed: u64) -> f64 {
        class.visits.fetch_add(1, Ordering::Relaxed);
        let Some((law, mean_s)) = &class.demand else {
            return 0.0;
        };
        let demand = mean_s * law.draw(&mut stream(seed, Purpose::Work));
        let used = self.workers.burn(demand).await;
        *class.burnt_s.lock().unwrap_or_else(PoisonError::into_inner) += used;
        used
    }

    /// Makes the calls of a stage; tells the CPU seconds that were burnt for them, one after the other, or nothing
    /// when one failed. `missed` is what caches could not answer.
    async fn stage<'a>(
        &'a self,
        stage: &[usize],
        class: &str,
        seed: u64,
        missed: &mut BTreeMap<&'a str, bool>,
    ) -> Option<f64> {
        let mut begun = Vec::new();
        for &place in stage {
            let call = self.calls.get(place)?;
            let cache = call.stated.on_miss_of.as_deref();
            if cache.is_some_and(|cache| !missed.get(cache).copied().unwrap_or(false)) {
                continue;
            }
            let own = child(seed, 2 * place as u64 + 1);
            let uniform = stream(own, Purpose::Calls).random();
            for copy in 0..whole_calls(call.stated.per_request, uniform) {
                begun.push((call, child(own, u64::from(copy) + 1)));
            }
        }
        let one_by_one = matches!(stage, [only] if !self.calls[*only].stated.parallel);
        if one_by_one {
            let mut burnt_s = 0.0;
            for (call, seed) in begun {
                let answer = call.make(class, seed).await?;
                missed.insert(&call.stated.to, answer.verdict == Verdict::Missed);
                burnt_s += answer.burnt_s;
            }
            return Some(burnt_s);
        }
        let made = begun.iter().map(|(call, seed)| call.make(class, *seed));
        let answers = futures::future::join_all(made).await;
        let mut slowest_s: f64 = 0.0;
        for ((call, _), answer) in begun.iter().zip(answers) {
            let answer = answer?;
            missed.insert(&call.stated.to, answer.verdict == Verdict::Missed);
            slowest_s = slowest_s.max(answer.burnt_s);
        }
        Some(slowest_s)
    }

    /// What it has done so far.
    pub(super) fn status(&self) -> ServeStatus {
        let mut status = ServeStatus {
            refused: self.refused.load(Ordering::Relaxed),
            ..ServeStatus::default()
        };
        for (name, class) in &self.classes {
            let visits = class.visits.load(Ordering::Relaxed);
            status.visits.insert(name.clone(), visits);
            let burnt_s = *class.burnt_s.lock().unwrap_or_else(PoisonError::into_inner);
            status.burnt_s.insert(name.clone(), burnt_s);
        }
        for call in &self.calls {
            call.count_into(&mut status);
        }
        status
    }

    /// Calls of this VM as they were stated.
    pub(super) fn calls(&self) -> impl Iterator<Item = &ServeCall> {
        self.calls.iter().map(|call| &call.stated)
    }
}

/// A whole number with the mean asked for, from a uniform number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model allows at most 10,000"
)]
fn whole_calls(mean: f64, uniform: f64) -> u32 {
    let whole = mean.max(0.0).floor();
    whole as u32 + u32::from(uniform < mean - whole)
}
