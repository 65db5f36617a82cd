//! Training: seeded, stopped early by a later span, resumable.
//!
//! Determinism: batch `n` is drawn by a generator seeded with the run's seed and `n` alone, so a resumed
//! run continues as an uninterrupted one would; the library runs on one thread.

use crate::adam::Adam;
use crate::architecture::{Architecture, Inputs, Layers, Pass};
use crate::checkpoint::{Checkpoint, CheckpointError, RunName};
use crate::parameters::{Values, initial_values, to_values};
use crate::parent::Parent;
use crate::serving::use_one_thread;
use crate::weights::{Member, WeightsError, first_line, weights_id, write_members};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use tch::{Kind, TchError, Tensor, no_grad};
use twinscale_forecaster::card::{CARD_VERSION, DatasetCard, NetworkCard, WeightsCard};
use twinscale_forecaster::training::corpus::Corpus;
use twinscale_forecaster::training::sampler::{
    BatchKind, Sampler, TrainingBatch, validation_batches,
};
use twinscale_protocol::QUANTILE_LEVELS;

/// Batches drawn ahead of the optimiser.
const BATCHES_AHEAD: usize = 4;
/// Rows of a validation batch, and batches per kind.
const VALIDATION_ROWS: usize = 128;
const VALIDATION_BATCHES: usize = 8;
/// Steps over which the rate rises.
const WARM_UP_STEPS: f64 = 200.0;
/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.02;
/// Bound on one row's share of the validation loss, so that one outlier decides nothing.
const ROW_LOSS_MAX: f64 = 2.0;

/// What weights of this network are not good for, whatever they are trained on.
pub const LIMITS: [&str; 4] = [
    "steps of 1 s to 2 h; longer ones get the seasonal fallback",
    "at most 48 steps ahead without a network for long horizons, 168 with one",
    "times of day and weekdays are read in UTC; patterns in local time are found through lags alone",
    "no other series, weather or price is read; events shift a forecast only as far as past ones of their kind did in training",
];

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// What to train.
    pub architecture: Architecture,
    /// Root of everything random.
    pub seed: u64,
    /// Optimiser steps at most.
    pub steps: u64,
    /// Rows of a batch.
    pub rows: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Validations without a better loss after which it stops.
    pub patience: u32,
    /// File to store progress in, and to resume from when it exists.
    pub checkpoint: Option<PathBuf>,
    /// The network to go on from; a random one where there is none.
    pub parent: Option<Parent>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            architecture: Architecture::Recurrent,
            seed: 1,
            steps: 3_000,
            rows: 128,
            rate: 2e-3,
            validate_every: 500,
            patience: 8,
            checkpoint: None,
            parent: None,
        }
    }
}

impl TrainOptions {
    fn run(&self) -> RunName {
        RunName {
            architecture: self.architecture,
            seed: self.seed,
            steps: self.steps,
        }
    }
}

/// What is told after each validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainProgress {
    /// Steps done.
    pub step: u64,
    /// Steps at most.
    pub steps: u64,
    /// Mean loss of the batches since the last validation.
    pub training_loss: f64,
    /// Loss on the validation spans.
    pub validation_loss: f64,
    /// Best validation loss so far.
    pub best_loss: f64,
    /// Step of the best loss.
    pub best_step: u64,
}

/// A trained network.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// What was asked.
    pub options: TrainOptions,
    /// The last progress.
    pub progress: TrainProgress,
    values: Values,
}

/// Puts networks into one safetensors file, in their order.
///
/// # Errors
/// [`TrainError::Weights`], never in practice.
pub fn weights_file(networks: &[Trained]) -> Result<Vec<u8>, TrainError> {
    Ok(write_members(&members_of(networks))?)
}

/// The networks as a weights file holds them.
pub(crate) fn members_of(networks: &[Trained]) -> Vec<Member> {
    let member = |network: &Trained| Member {
        architecture: network.options.architecture,
        values: network.values.clone(),
    };
    networks.iter().map(member).collect()
}

/// Why training ended without weights.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The network library refused.
    #[error("network library failed in training: {cause}")]
    Library {
        /// First line of its message.
        cause: String,
    },
    /// Weights could not be made or read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The checkpoint could not be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The loss is no number any more.
    #[error("loss is not finite at step {step}: lower the learning rate, now {rate}")]
    Diverged {
        /// The step.
        step: u64,
        /// Highest learning rate of the run.
        rate: f64,
    },
    /// The corpus has no span to validate on.
    #[error("no validation span: give series of at least three days before their cut")]
    NoValidation,
}

impl From<TchError> for TrainError {
    fn from(error: TchError) -> Self {
        Self::Library {
            cause: first_line(&error),
        }
    }
}

/// Trains on a corpus and tells of progress after each validation.
///
/// # Errors
/// [`TrainError`] when the library refuses, the checkpoint is unusable or the loss diverges.
pub fn train(
    corpus: &Corpus,
    options: &TrainOptions,
    progress: &mut dyn FnMut(&TrainProgress),
) -> Result<Trained, TrainError> {
    use_one_thread();
    let mut learner = Learner::start(options)?;
    let kinds = options.architecture.batch_kinds();
    let purpose = options.architecture.purpose();
    let validation: Vec<TrainingBatch> = kinds
        .into_iter()
        .flat_map(|kind| {
            validation_batches(corpus, kind, purpose, VALIDATION_ROWS, VALIDATION_BATCHES)
        })
        .collect();
    if validation.is_empty() {
        return Err(TrainError::NoValidation);
    }
    if options.parent.is_some() && learner.done.step == 0 {
        // What it must get better than.
        learner.validate(&validation, options)?;
        progress(&learner.done);
    }
    let (from, to, seed, rows) = (learner.done.step, options.steps, options.seed, options.rows);
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || {
            let sampler = Sampler::new(corpus, purpose);
            for step in from..to {
                let batch = draw(&sampler, corpus_kind(corpus, kinds, step), rows, seed, step);
                if sender.send(batch).is_err() {
                    // The optimiser stopped early.
                    return;
                }
            }
        });
        learner.run(&batches, &validation, options, progress)
    })?;
    Ok(Trained {
        options: options.clone(),
        progress: learner.done,
        values: learner.best,
    })
}

fn draw(
    sampler: &Sampler<'_>,
    kind: BatchKind,
    rows: usize,
    seed: u64,
    step: u64,
) -> TrainingBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(step + 1);
    sampler.draw(kind, rows, &mut rng)
}

/// Grids take turns, where there are members of both.
fn corpus_kind(corpus: &Corpus, [coarse, fine]: [BatchKind; 2], step: u64) -> BatchKind {
    if corpus.has(coarse) && (step.is_multiple_of(2) || !corpus.has(fine)) {
        coarse
    } else {
        fine
    }
}

/// Writes the card of a weights file.
///
/// `sources` names, per dataset, where it comes from and its licence.
///
/// # Errors
/// [`TrainError::Weights`], never in practice.
pub fn card(
    weights: &[u8],
    networks: &[Trained],
    corpus: &Corpus,
    sources: &BTreeMap<String, String>,
) -> Result<WeightsCard, TrainError> {
    let datasets = corpus.cuts().iter().map(|(dataset, cut_s)| {
        let source = sources.get(dataset).cloned().unwrap_or_default();
        let cut_s = cut_s.clone();
        (dataset.clone(), DatasetCard { source, cut_s })
    });
    Ok(WeightsCard {
        card_version: CARD_VERSION,
        weights_id: weights_id(weights)?,
        weights_bytes: weights.len() as u64,
        networks: networks.iter().map(network_card).collect(),
        datasets: datasets.collect(),
        parent: None,
        limits: LIMITS.iter().map(|limit| (*limit).to_owned()).collect(),
    })
}

fn network_card(network: &Trained) -> NetworkCard {
    NetworkCard {
        network: format!(
            "{}, {} quantiles, direct over the horizon",
            network.options.architecture.describe(),
            QUANTILE_LEVELS.len()
        ),
        seed: network.options.seed,
        steps: network.progress.step,
        best_step: network.progress.best_step,
        validation_loss: network.progress.best_loss,
    }
}

struct Learner {
    layers: Layers,
    adam: Adam,
    best: Values,
    done: TrainProgress,
    levels: Tensor,
}

impl Learner {
    fn start(options: &TrainOptions) -> Result<Self, TrainError> {
        let run = options.run();
        let stored = match &options.checkpoint {
            Some(path) => Checkpoint::read(path, run)?,
            None => None,
        };
        let checkpoint = stored.unwrap_or_else(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
            let first = options.parent.as_ref().map(Parent::values);
            let first = first.unwrap_or_else(|| initial_values(options.architecture, &mut rng));
            Checkpoint::first(run, first)
        });
        let layers = Layers::of(options.architecture, &checkpoint.parameters)?;
        for (_, tensor) in layers.iter() {
            tensor.shallow_clone().f_requires_grad_(true).map(drop)?;
        }
        let levels: Vec<f32> = QUANTILE_LEVELS.iter().map(|level| narrow(*level)).collect();
        Ok(Self {
            adam: Adam::of(
                options.architecture.parameters(),
                options.architecture.weight_decay(),
                &checkpoint.adam,
                &checkpoint.parameters,
            )?,
            layers,
            best: checkpoint.best,
            done: TrainProgress {
                step: checkpoint.step,
                steps: options.steps,
                training_loss: 0.0,
                validation_loss: checkpoint.best_loss,
                best_loss: checkpoint.best_loss,
                best_step: checkpoint.best_step,
            },
            levels: Tensor::f_from_slice(&levels)?,
        })
    }

    fn run(
        &mut self,
        batches: &Receiver<TrainingBatch>,
        validation: &[TrainingBatch],
        options: &TrainOptions,
        progress: &mut dyn FnMut(&TrainProgress),
    ) -> Result<(), TrainError> {
        let (mut total, mut count) = (0.0, 0.0);
        let patience = u64::from(options.patience) * options.validate_every;
        for batch in batches {
            let rate = rate_at(options, self.done.step);
            // What is left out depends on the step alone, so that a resumed run goes on alike.
            tch::manual_seed(mixed_seed(options.seed, self.done.step));
            total += self.learn(&batch, rate)?;
            count += 1.0;
            self.done.step += 1;
            let last = self.done.step == options.steps;
            if !last && !self.done.step.is_multiple_of(options.validate_every) {
                continue;
            }
            self.done.training_loss = total / count;
            (total, count) = (0.0, 0.0);
            self.validate(validation, options)?;
            progress(&self.done);
            if self.done.step - self.done.best_step >= patience {
                break;
            }
        }
        Ok(())
    }

    fn learn(&mut self, batch: &TrainingBatch, rate: f64) -> Result<f64, TrainError> {
        let inputs = Inputs::of(&batch.features)?;
        let (losses, mask) = self.losses(&self.layers.forward(&inputs, Pass::Train)?, batch)?;
        let loss = losses
            .f_sum(Kind::Float)?
            .f_div(&mask.f_sum(Kind::Float)?.f_clamp_min(1.0)?)?;
        loss.f_backward()?;
        self.adam.step(self.layers.tensors(), rate)?;
        let loss = loss.f_double_value(&[])?;
        if loss.is_finite() {
            Ok(loss)
        } else {
            Err(TrainError::Diverged {
                step: self.done.step,
                rate,
            })
        }
    }

    /// Mean pinball loss of each step, 0 where the truth is missing. Shape `[rows, horizon]`.
    fn losses(
        &self,
        quantiles: &Tensor,
        batch: &TrainingBatch,
    ) -> Result<(Tensor, Tensor), TchError> {
        let shape = quantiles.size();
        let shape = shape.get(..2).unwrap_or_default();
        let truth = Tensor::f_from_slice(&batch.targets)?.f_reshape(shape)?;
        let mask = Tensor::f_from_slice(&batch.mask)?.f_reshape(shape)?;
        let miss = truth.f_unsqueeze(-1)?.f_sub(quantiles)?;
        let above = miss.f_mul(&self.levels)?;
        let below = miss.f_mul(&self.levels.f_sub_scalar(1.0)?)?;
        let pinball =
            above
                .f_maximum(&below)?
                .f_mean_dim(Some([-1].as_slice()), false, Kind::Float)?;
        Ok((pinball.f_mul(&mask)?, mask))
    }

    fn validate(
        &mut self,
        validation: &[TrainingBatch],
        options: &TrainOptions,
    ) -> Result<(), TrainError> {
        let average = self.adam.average()?;
        let layers = Layers::of(options.architecture, &average)?;
        let loss = no_grad(|| {
            let (mut total, mut rows) = (0.0, 0.0);
            for batch in validation {
                let quantiles = layers.forward(&Inputs::of(&batch.features)?, Pass::Serve)?;
                let (losses, mask) = self.losses(&quantiles, batch)?;
                let seen = mask
                    .f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?
                    .f_clamp_min(1.0)?;
                let by_row = losses
                    .f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?
                    .f_div(&seen)?
                    .f_clamp_max(ROW_LOSS_MAX)?;
                total += by_row.f_sum(Kind::Float)?.f_double_value(&[])?;
                rows += batch.features.rows() as f64;
            }
            Ok::<f64, TchError>(total / rows)
        })?;
        self.done.validation_loss = loss;
        if loss < self.done.best_loss {
            self.done.best_loss = loss;
            self.done.best_step = self.done.step;
            self.best = average;
        }
        if let Some(path) = &options.checkpoint {
            self.checkpoint(options.run())?.write(path)?;
        }
        Ok(())
    }

    fn checkpoint(&self, run: RunName) -> Result<Checkpoint, TrainError> {
        let mut parameters = Values::new();
        for (spec, tensor) in self.layers.iter() {
            parameters.insert(spec.name, to_values(tensor)?);
        }
        Ok(Checkpoint {
            run,
            step: self.done.step,
            best_step: self.done.best_step,
            best_loss: self.done.best_loss,
            parameters,
            best: self.best.clone(),
            adam: self.adam.state()?,
        })
    }
}

fn mixed_seed(seed: u64, step: u64) -> i64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Far from the streams that batches are drawn from.
    rng.set_stream(u64::MAX - step);
    rng.random()
}

/// Rises linearly, then falls along half a cosine.
fn rate_at(options: &TrainOptions, step: u64) -> f64 {
    let rise = ((step + 1) as f64 / WARM_UP_STEPS).min(1.0);
    let share = step as f64 / options.steps.max(1) as f64;
    let fall = RATE_LEFT + (1.0 - RATE_LEFT) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
    options.rate * rise * fall
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "levels are exact enough in f32"
)]
fn narrow(level: f64) -> f32 {
    level as f32
}
