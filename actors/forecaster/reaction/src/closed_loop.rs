//! Histories of which the truth is known: demand meets a stack, and answers to what it met.
//!
//! Latency and throttling are what a [`Service`] makes of load and allocation, so that they are high because
//! demand is, as in life; beside that VMs fail and allocations change for reasons of their own. The node brings
//! the stack of the environment; this crate knows none.

use crate::drivers::{COMPONENTS, Features, KINDS, Memory, Met, Span};
use crate::effect::{KnownRow, LinearEffect, Profiles};
use crate::history::Observed;
use crate::laws::Answers;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What serves a simulated customer.
pub trait Service {
    /// What a step meets: `offered` work, in servers that it would keep busy, on so many servers.
    fn meet(&mut self, offered: f64, servers: u32) -> Met;
}

/// What a simulated customer lives through.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Steps.
    pub steps: usize,
    /// Servers that mean demand keeps busy.
    pub mean: f64,
    /// Demand over the mean by hour of the week.
    pub week: Vec<f64>,
    /// Spread of what demand does by itself, as a logarithm, and how long it lasts, in seconds.
    pub noise: (f64, f64),
    /// Spread that is new in each step.
    pub jitter: f64,
    /// Spread of the level over weeks.
    pub drift: f64,
    /// Servers that are kept over the usual demand of the hour.
    pub headroom: f64,
    /// Failures a day.
    pub failures: f64,
    /// Price by step.
    pub price: Vec<f64>,
    /// Events.
    pub events: Vec<Span>,
    /// Spread of an event's effect between events of a kind.
    pub between: f64,
}

/// Seconds in a week.
const WEEK_S: u32 = 604_800;
/// How long the level drifts: three weeks, in seconds.
const DRIFT_S: f64 = 1_814_400.0;
/// Failures last from so many to so many seconds.
const FAILURE_S: (f64, f64) = (900.0, 10_800.0);
/// Share of the servers that is left in a failure.
const LEFT: (f64, f64) = (0.35, 0.85);

impl Scene {
    /// Draws what a customer lives through: prices that change, campaigns and other events, failures.
    pub fn draw(interval_s: u32, steps: usize, rng: &mut ChaCha8Rng) -> Self {
        let (peak, depth) = (rng.random_range(8.0..20.0), rng.random_range(0.2..0.7));
        let weekend = rng.random_range(0.5..1.1);
        let mut week: Vec<f64> = (0..168_u32)
            .map(|hour| {
                let turn = (f64::from(hour % 24) - peak) / 24.0 * std::f64::consts::TAU;
                let day = if (48..96).contains(&hour) {
                    weekend
                } else {
                    1.0
                };
                day * (1.0 + depth * turn.cos()) * rng.random_range(0.95..1.05)
            })
            .collect();
        let mean: f64 = week.iter().sum::<f64>() / 168.0;
        for value in &mut week {
            *value /= mean;
        }
        let mut price = vec![1.0; steps];
        let mut now = 1.0;
        for _ in 0..rng.random_range(1..5_u32) {
            now = (now * rng.random_range(0.75..1.3_f64)).clamp(0.5, 2.0);
            let from = rng.random_range(0..steps.max(1));
            price[from..].fill(now);
        }
        let mut scene = Self {
            interval_s,
            steps,
            mean: rng.random_range(6.0..40.0),
            week,
            noise: (
                rng.random_range(0.04..0.12),
                rng.random_range(3_600.0..28_800.0),
            ),
            jitter: rng.random_range(0.01..0.04),
            drift: rng.random_range(0.0..0.06),
            headroom: rng.random_range(1.2..1.6),
            failures: rng.random_range(0.1..0.6),
            price,
            events: Vec::new(),
            between: 0.08,
        };
        for kind in KINDS {
            for _ in 0..rng.random_range(0..5_u32) {
                let start_s = rng.random_range(0..scene.end_s().max(1));
                let end_s = start_s + rng.random_range(3_600..129_600);
                scene.events.push(Span {
                    start_s,
                    end_s,
                    kind,
                });
            }
        }
        scene
    }

    fn end_s(&self) -> i64 {
        i64::try_from(self.steps)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(self.interval_s))
    }

    /// Servers by step: the usual demand of the hour with headroom, less what has failed.
    fn servers(&self, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let step_s = f64::from(self.interval_s);
        let mut left = vec![1.0_f64; self.steps];
        let chance = self.failures * step_s / 86_400.0;
        for step in 0..self.steps {
            if rng.random::<f64>() < chance {
                let lasts = rng.random_range(FAILURE_S.0..FAILURE_S.1) / step_s;
                let kept = rng.random_range(LEFT.0..LEFT.1);
                let rest = left.iter_mut().skip(step);
                let lasting = (0_u32..).map(f64::from).take_while(|at| *at < lasts);
                rest.zip(lasting).for_each(|(one, _)| *one = kept);
            }
        }
        let usual = (0..self.steps).map(|step| self.mean * self.usual(step) * self.headroom);
        usual
            .zip(left)
            .map(|(usual, left)| whole(usual * left))
            .collect()
    }

    fn usual(&self, step: usize) -> f64 {
        let seconds = step as f64 * f64::from(self.interval_s);
        let hour = (seconds % f64::from(WEEK_S)) / 3_600.0;
        let slot = (0..self.week.len()).rev().find(|slot| *slot as f64 <= hour);
        slot.and_then(|slot| self.week.get(slot))
            .copied()
            .unwrap_or(1.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn whole(servers: f64) -> u32 {
    servers.round().clamp(1.0, 1e6) as u32
}

/// A history with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// What was observed; demand in servers that it keeps busy.
    pub observed: Observed,
    /// Features of each step.
    pub features: Vec<Features>,
    /// True effects of each step by component.
    pub effects: Vec<Profiles>,
    /// Demand that would have come without any reaction.
    pub without: Vec<f64>,
    /// Servers by step.
    pub servers: Vec<u32>,
}

impl Simulated {
    /// Features with true effects, of every `stride`-th step in which something is off its normal.
    pub fn known(&self, stride: usize) -> Vec<KnownRow> {
        let rows = self
            .features
            .iter()
            .zip(&self.effects)
            .step_by(stride.max(1));
        let rows = rows.filter(|(features, _)| !crate::effect::is_normal(features));
        rows.map(|(features, effects)| KnownRow {
            features: *features,
            effects: *effects,
        })
        .collect()
    }
}

/// Simulates a customer in a scene.
///
/// What demand does by itself, and which servers fail, depends on the seed alone: two customers in one scene with
/// one seed differ by how they answer, and by nothing else.
pub fn simulate(
    scene: &Scene,
    answers: &mut dyn Answers,
    service: &mut dyn Service,
    seed: u64,
) -> Simulated {
    let stream = |number| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        rng
    };
    let servers = scene.servers(&mut stream(1));
    let without = alone(scene, &mut stream(2));
    let mut rng = stream(3);
    let factors: Vec<f64> = (scene.events.iter())
        .map(|_| 1.0 + scene.between * gauss(&mut rng))
        .collect();
    let mut memory = Memory::new(scene.interval_s);
    let mut found = Simulated {
        observed: Observed {
            interval_s: scene.interval_s,
            price: scene.price.iter().copied().map(Some).collect(),
            events: scene.events.clone(),
            ..Observed::default()
        },
        features: Vec::with_capacity(scene.steps),
        effects: Vec::with_capacity(scene.steps),
        without: Vec::new(),
        servers: Vec::new(),
    };
    let mut at = 0_i64;
    for (step, (alone, servers)) in without.iter().zip(&servers).enumerate() {
        let price = scene.price.get(step).copied().unwrap_or(1.0);
        let features = memory.features(price, at, &scene.events);
        let mut effects = answers.effects(&features);
        for (event, factor) in scene.events.iter().zip(&factors) {
            if at >= event.start_s && at < event.end_s {
                let place = crate::drivers::Component::Event(event.kind).place();
                effects[place] *= factor;
            }
        }
        let demand = alone * effects.iter().sum::<f64>().exp();
        let met = service.meet(demand, *servers);
        memory.meet(Some(met));
        answers.meet(met);
        found.observed.demand.push(Some(demand));
        found.observed.latency.push(Some(met.latency));
        found.observed.throttled.push(Some(met.throttled));
        found.features.push(features);
        found.effects.push(effects);
        at = at.saturating_add(i64::from(scene.interval_s));
    }
    found.without = without;
    found.servers = servers;
    found
}

/// Demand by itself.
fn alone(scene: &Scene, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let step_s = f64::from(scene.interval_s);
    let (kept, drifts) = ((-step_s / scene.noise.1).exp(), (-step_s / DRIFT_S).exp());
    let (mut noise, mut drift) = (scene.noise.0 * gauss(rng), scene.drift * gauss(rng));
    (0..scene.steps)
        .map(|step| {
            noise = kept * noise + scene.noise.0 * (1.0 - kept * kept).sqrt() * gauss(rng);
            drift = drifts * drift + scene.drift * (1.0 - drifts * drifts).sqrt() * gauss(rng);
            let jitter = scene.jitter * gauss(rng);
            scene.mean * scene.usual(step) * (noise + drift + jitter).exp()
        })
        .collect()
}

fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// A customer who answers exactly as a linear model says, by some scales: its truth is a number by component.
#[derive(Clone, Debug)]
pub struct Scaled<'a> {
    /// The model.
    pub linear: &'a LinearEffect,
    /// The scales.
    pub scales: Profiles,
}

impl Answers for Scaled<'_> {
    fn effects(&mut self, features: &Features) -> Profiles {
        let mut effects = [0.0; COMPONENTS];
        for (place, effect) in effects.iter_mut().enumerate() {
            let terms = self.linear.weights[place].iter().zip(&features[place]);
            *effect = self.scales[place] * terms.map(|(weight, input)| weight * input).sum::<f64>();
        }
        effects
    }

    fn meet(&mut self, _met: Met) {}
}
