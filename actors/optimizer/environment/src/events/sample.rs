//! Samples of laws.

use crate::events::streams::Generator;
use crate::law::Law;
use rand::Rng;
use rand_distr::{Distribution, Exp1, Gamma, StandardNormal};

/// Most phases of an Erlang law that are drawn one by one; more are drawn as one gamma.
const PHASES_DRAWN_MAX: u32 = 8;

/// A law ready to be drawn from.
#[derive(Clone, Debug)]
pub enum Sampler {
    /// Exponential with a mean.
    Exponential(f64),
    /// Always the same.
    Constant(f64),
    /// Exponential of a normal with this mean and deviation.
    Lognormal(f64, f64),
    /// Branches with cumulated probabilities and means.
    Hyperexponential(Vec<(f64, f64)>),
    /// Phases with a mean each.
    Erlang(u32, f64),
    /// Gamma.
    Gamma(Gamma<f64>),
}

impl Sampler {
    /// Prepares a law that has been checked.
    pub fn new(law: &Law) -> Self {
        match law {
            Law::Exponential { mean } => Self::Exponential(*mean),
            Law::Deterministic { mean } => Self::Constant(*mean),
            Law::Lognormal { mean, scv } => {
                let variance = scv.ln_1p();
                Self::Lognormal(mean.ln() - 0.5 * variance, variance.sqrt())
            }
            Law::Hyperexponential { branches } => {
                let mut sum = 0.0;
                let cumulated = branches.iter().map(|(share, mean)| {
                    sum += share;
                    (sum, *mean)
                });
                Self::Hyperexponential(cumulated.collect())
            }
            Law::Erlang { phases, mean } if *phases <= PHASES_DRAWN_MAX => {
                Self::Erlang(*phases, mean / f64::from(*phases))
            }
            Law::Erlang { phases, mean } => gamma(f64::from(*phases), *mean),
            Law::Gamma { mean, scv } => gamma(1.0 / scv, *mean),
        }
    }

    /// Draws one time.
    #[inline]
    pub fn draw(&self, generator: &mut Generator) -> f64 {
        match self {
            Self::Exponential(mean) => mean * exponential(generator),
            Self::Constant(mean) => *mean,
            Self::Lognormal(middle, deviation) => {
                let normal: f64 = StandardNormal.sample(generator);
                deviation.mul_add(normal, *middle).exp()
            }
            Self::Hyperexponential(branches) => {
                let at: f64 = generator.random();
                let branch = branches.iter().find(|(below, _)| at < *below);
                let mean = branch.or(branches.last()).map_or(0.0, |(_, mean)| *mean);
                mean * exponential(generator)
            }
            Self::Erlang(phases, mean) => {
                mean * (0..*phases).map(|_| exponential(generator)).sum::<f64>()
            }
            Self::Gamma(gamma) => gamma.sample(generator),
        }
    }

    /// Draws as many times as there is room.
    pub fn fill(&self, generator: &mut Generator, times: &mut [f64]) {
        match self {
            Self::Exponential(mean) => {
                for time in times {
                    *time = mean * exponential(generator);
                }
            }
            Self::Constant(mean) => times.fill(*mean),
            _ => {
                for time in times {
                    *time = self.draw(generator);
                }
            }
        }
    }
}

fn gamma(shape: f64, mean: f64) -> Sampler {
    match Gamma::new(shape, mean / shape) {
        Ok(gamma) => Sampler::Gamma(gamma),
        // Only for parameters beyond the range of the floats, where the spread is beyond it too.
        Err(_) => Sampler::Constant(mean),
    }
}

/// Draws an exponential time of mean one.
#[inline]
pub fn exponential(generator: &mut Generator) -> f64 {
    Exp1.sample(generator)
}
