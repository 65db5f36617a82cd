//! Training by pinball loss on simulated customers, of whom the true effects are known.
//!
//! A component's quantile is its scale's quantile times its profile; of a negative profile the quantiles turn
//! around. Rows are drawn by customer first, so that those to whom much happens do not count more.
//! Determinism: one seed gives the same weights; the library runs on one thread. Source: Koenker and Bassett,
//! Regression quantiles (1978).

use super::network::{PARAMETERS, ReactionNetwork, Tensors, initial, inputs, narrow, profiles};
use super::network::{scales, tensors};
use crate::adam::{Adam, AdamState};
use crate::architecture::dim;
use crate::serving::use_one_thread;
use crate::weights::{WeightsError, first_line};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, TchError, Tensor};
use twinscale_reaction::drivers::{COMPONENTS, Features};
use twinscale_reaction::effect::{KnownRow, LEVELS};

/// Rows of a step.
const ROWS: usize = 2_048;
/// Share of the rate by which matrices shrink in a step.
const WEIGHT_DECAY: f64 = 0.001;
/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.02;
/// Steps between two words of progress.
const TOLD: u32 = 50;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReactionTrainOptions {
    /// Root of everything random.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u32,
    /// Highest learning rate.
    pub rate: f64,
}

impl Default for ReactionTrainOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 3_000,
            rate: 1e-2,
        }
    }
}

/// What is told now and then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReactionProgress {
    /// Steps done.
    pub step: u32,
    /// Steps in all.
    pub steps: u32,
    /// Loss of the step.
    pub loss: f64,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ReactionTrainError {
    /// The network library refused.
    #[error("network library failed in training a reaction: {cause}")]
    Library {
        /// First line of its message.
        cause: String,
    },
    /// Weights could not be made.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is nothing to learn from.
    #[error(
        "none of {customers} customers has a step in which anything is off its normal: give more or longer histories"
    )]
    Empty {
        /// Customers given.
        customers: usize,
    },
    /// The loss is no number any more.
    #[error("loss is not finite in step {step}: lower the learning rate, now {rate}")]
    Diverged {
        /// The step.
        step: u32,
        /// Highest learning rate.
        rate: f64,
    },
}

impl From<TchError> for ReactionTrainError {
    fn from(error: TchError) -> Self {
        Self::Library {
            cause: first_line(&error),
        }
    }
}

/// Trains on rows by customer.
///
/// # Errors
/// [`ReactionTrainError`] when there is no row, the library refuses or the loss diverges.
pub fn train_reaction(
    customers: &[Vec<KnownRow>],
    options: &ReactionTrainOptions,
    progress: &mut dyn FnMut(&ReactionProgress),
) -> Result<ReactionNetwork, ReactionTrainError> {
    use_one_thread();
    let known: Vec<&Vec<KnownRow>> = customers.iter().filter(|rows| !rows.is_empty()).collect();
    if known.is_empty() {
        return Err(ReactionTrainError::Empty {
            customers: customers.len(),
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let first = initial(&mut rng);
    let parameters = tensors(&first)?;
    for (_, tensor) in &parameters {
        tensor.shallow_clone().f_requires_grad_(true).map(drop)?;
    }
    let mut adam = Adam::of(PARAMETERS, WEIGHT_DECAY, &AdamState::default(), &first)?;
    let weights = weights(&known)?;
    for step in 0..options.steps {
        let share = f64::from(step) / f64::from(options.steps.max(1));
        let rate = options.rate * (RATE_LEFT + (1.0 - RATE_LEFT) * (1.0 - share));
        let batch = Batch::draw(&known, &mut rng)?;
        let loss = loss(&parameters, &batch, &weights)?;
        loss.f_backward()?;
        adam.step(&parameters, rate)?;
        let loss = loss.f_double_value(&[])?;
        if !loss.is_finite() {
            return Err(ReactionTrainError::Diverged {
                step: step + 1,
                rate: options.rate,
            });
        }
        if (step + 1) % TOLD == 0 || step + 1 == options.steps {
            progress(&ReactionProgress {
                step: step + 1,
                steps: options.steps,
                loss,
            });
        }
    }
    Ok(ReactionNetwork::of(adam.average()?)?)
}

struct Batch {
    /// Shape `[COMPONENTS, rows, INPUTS]`.
    inputs: Tensor,
    /// Shape `[COMPONENTS, rows, 1]`.
    effects: Tensor,
}

impl Batch {
    fn draw(known: &[&Vec<KnownRow>], rng: &mut ChaCha8Rng) -> Result<Self, TchError> {
        let rows: Vec<&KnownRow> = (0..ROWS)
            .map(|_| {
                let customer = known[rng.random_range(0..known.len())];
                &customer[rng.random_range(0..customer.len())]
            })
            .collect();
        let features: Vec<Features> = rows.iter().map(|row| row.features).collect();
        let effects: Vec<f32> = rows
            .iter()
            .flat_map(|row| row.effects.map(narrow))
            .collect();
        let effects = Tensor::f_from_slice(&effects)?
            .f_reshape([dim(rows.len()), dim(COMPONENTS)])?
            .f_transpose(0, 1)?
            .f_unsqueeze(-1)?;
        Ok(Self {
            inputs: inputs(&features)?,
            effects,
        })
    }
}

/// Weights of the components: each counts alike, however rare or small its effects are. Shape `[COMPONENTS, 1, 1]`.
fn weights(known: &[&Vec<KnownRow>]) -> Result<Tensor, TchError> {
    let mut sums = [0.0; COMPONENTS];
    for rows in known {
        for row in *rows {
            for (sum, effect) in sums.iter_mut().zip(row.effects) {
                *sum += effect.abs() / rows.len() as f64 / known.len() as f64;
            }
        }
    }
    let weights = sums.map(|mean| if mean > 1e-9 { narrow(1.0 / mean) } else { 0.0 });
    Tensor::f_from_slice(&weights)?.f_reshape([dim(COMPONENTS), 1, 1])
}

fn loss(parameters: &Tensors, batch: &Batch, weights: &Tensor) -> Result<Tensor, TchError> {
    let profiles = profiles(parameters, &batch.inputs)?.f_unsqueeze(-1)?;
    let scales = scales(parameters)?.f_unsqueeze(1)?;
    let turned = scales.f_flip([-1])?;
    let up = profiles.f_relu()?.f_mul(&scales)?;
    let down = profiles.f_neg()?.f_relu()?.f_mul(&turned)?;
    let miss = batch.effects.f_sub(&up.f_sub(&down)?)?;
    let levels = LEVELS.map(narrow);
    let levels = Tensor::f_from_slice(&levels)?.f_reshape([1, 1, dim(LEVELS.len())])?;
    let above = miss.f_mul(&levels)?;
    let below = miss.f_mul(&levels.f_sub_scalar(1.0)?)?;
    above.f_maximum(&below)?.f_mul(weights)?.f_mean(Kind::Float)
}
