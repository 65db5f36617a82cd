//! Proximal policy optimisation of actor and critic.
//!
//! Each round lets the policy of the moment choose in a few pieces of traces, and follows the clipped
//! objective a few times. Demand does not depend on choices, so what every choice would have saved in a
//! step is known, not only what the chosen one did: the objective sums over all choices, each with the
//! probability that it had. Half of an advantage is what the choice would have saved there, which is
//! exact and noisy; the other half is what the critic expects of it, which is smooth and may be wrong.
//! Determinism: one seed gives the same weights; the library runs on one thread. Source: Schulman et al.,
//! Proximal policy optimization algorithms (2017), equation 7; Ciosek and Whiteson, Expected policy
//! gradients (2018), for the sum over choices.

use super::network::{
    PARAMETERS, PolicyNetwork, Tensors, actor, bars, critic, initial, inputs, scales, tensors,
};
use crate::adam::{Adam, AdamState};
use crate::architecture::dim;
use crate::parameters::Values;
use crate::serving::use_one_thread;
use crate::weights::{WeightsError, first_line};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Reduction, TchError, Tensor, no_grad};
use twinscale_policy::features::State;
use twinscale_policy::guard::SHIFTS;
use twinscale_policy::policies::{Probabilities, draw};
use twinscale_policy::segments::Segment;

/// States that mean, spread and known range are taken from at most.
const SCALE_STATES_MAX: usize = 400_000;
/// How far a probability may move in one round before its gradient ends.
const CLIP: f64 = 0.2;
/// Weight of the critic's loss.
const VALUE_WEIGHT: f64 = 0.5;
/// Bound of a return, in spreads of returns. A miss of one step in `n` is the root of `n` of them: a lower
/// bound would make the rarest misses look cheap.
const RETURN_MAX: f64 = 1_000.0;
/// Share of an advantage that the critic says.
const CRITIC_SHARE: f64 = 0.5;
/// Share of the rate by which matrices shrink in a step.
const WEIGHT_DECAY: f64 = 0.05;
/// Share of the rate that is left at the end.
const RATE_LEFT: f64 = 0.05;

/// How to train a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyTrainOptions {
    /// Root of everything random.
    pub seed: u64,
    /// Rounds of choosing and learning.
    pub rounds: u32,
    /// Pieces that a round chooses in.
    pub pieces: usize,
    /// Times that a round follows the gradient.
    pub passes: u32,
    /// Highest learning rate.
    pub rate: f64,
    /// Weight of the entropy, which keeps choices open.
    pub entropy: f64,
}

impl Default for PolicyTrainOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            rounds: 200,
            pieces: 96,
            passes: 4,
            rate: 1e-3,
            entropy: 0.01,
        }
    }
}

/// What is told after a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyProgress {
    /// Rounds done.
    pub round: u32,
    /// Rounds in all.
    pub rounds: u32,
    /// Mean return of the round's choices.
    pub mean_return: f64,
    /// Mean entropy of the choices, in nats.
    pub entropy: f64,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyTrainError {
    /// The network library refused.
    #[error("network library failed in training a policy: {cause}")]
    Library {
        /// First line of its message.
        cause: String,
    },
    /// Weights could not be made.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is nothing to learn from.
    #[error(
        "no piece of a trace to learn from: give traces longer than {} steps",
        twinscale_policy::segments::SEGMENT_STEPS
    )]
    Empty,
    /// The loss is no number any more.
    #[error("loss is not finite in round {round}: lower the learning rate, now {rate}")]
    Diverged {
        /// The round.
        round: u32,
        /// Highest learning rate.
        rate: f64,
    },
}

impl From<TchError> for PolicyTrainError {
    fn from(error: TchError) -> Self {
        Self::Library {
            cause: first_line(&error),
        }
    }
}

/// Trains on pieces of traces.
///
/// # Errors
/// [`PolicyTrainError`] when there is no piece, the library refuses or the loss diverges.
pub fn train_policy(
    pieces: &[&Segment],
    options: &PolicyTrainOptions,
    progress: &mut dyn FnMut(&PolicyProgress),
) -> Result<PolicyNetwork, PolicyTrainError> {
    use_one_thread();
    if pieces.is_empty() {
        return Err(PolicyTrainError::Empty);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut learner = Learner::start(pieces, options, &mut rng)?;
    for round in 0..options.rounds {
        let drawn: Vec<&Segment> = (0..options.pieces.max(1))
            .map(|_| pieces[rng.random_range(0..pieces.len())])
            .collect();
        let batch = learner.choose(&drawn, &mut rng)?;
        let entropy = learner.learn(&batch, round)?;
        progress(&PolicyProgress {
            round: round + 1,
            rounds: options.rounds,
            mean_return: batch.mean_return,
            entropy,
        });
    }
    learner.finish()
}

/// What a round saw and what came of it; all tensors have one row per judged step.
struct Batch {
    inputs: Tensor,
    bars: Tensor,
    /// Logarithms of the probabilities at the time. Shape `[rows, SHIFTS]`.
    logarithms: Tensor,
    /// Shape `[rows, SHIFTS]`.
    returns: Tensor,
    /// Shape `[rows, SHIFTS]`.
    advantages: Tensor,
    mean_return: f64,
}

struct Learner {
    options: PolicyTrainOptions,
    parameters: Tensors,
    scales: Tensors,
    scale_values: Values,
    adam: Adam,
}

impl Learner {
    fn start(
        pieces: &[&Segment],
        options: &PolicyTrainOptions,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self, PolicyTrainError> {
        let total: usize = pieces.iter().map(|piece| piece.states.len()).sum();
        let every = total.div_ceil(SCALE_STATES_MAX).max(1);
        let states: Vec<State> = pieces
            .iter()
            .step_by(every)
            .flat_map(|piece| piece.states.iter().copied())
            .take(SCALE_STATES_MAX)
            .collect();
        let scale_values = scales(&states);
        let first = initial(rng);
        let parameters = tensors(PARAMETERS, &first)?;
        for (_, tensor) in &parameters {
            tensor.shallow_clone().f_requires_grad_(true).map(drop)?;
        }
        let network = PolicyNetwork::of(joined(&first, &scale_values))?;
        Ok(Self {
            options: *options,
            adam: Adam::of(PARAMETERS, WEIGHT_DECAY, &AdamState::default(), &first)?,
            parameters,
            scales: network.into_scales(),
            scale_values,
        })
    }

    /// Lets the policy of the moment choose.
    fn choose(&self, drawn: &[&Segment], rng: &mut ChaCha8Rng) -> Result<Batch, PolicyTrainError> {
        let all: Vec<State> = drawn
            .iter()
            .flat_map(|piece| piece.states.iter().copied())
            .collect();
        let probabilities = no_grad(|| {
            let inputs = inputs(&all, &self.scales)?;
            let found = actor(&self.parameters, &inputs, &bars(&all)?)?.f_exp()?;
            Vec::<f32>::try_from(&found.f_contiguous()?.f_view([-1])?)
        })?;
        let mut rows = probabilities.chunks_exact(SHIFTS);
        let (mut states, mut returns, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for piece in drawn {
            let chosen: Vec<usize> = rows
                .by_ref()
                .take(piece.states.len())
                .map(|row| draw(&widened(row), rng))
                .collect();
            let found = piece.returns(&chosen);
            sum += found
                .iter()
                .zip(&chosen)
                .map(|(returns, shift)| returns[*shift])
                .sum::<f64>();
            returns.extend(found.as_flattened().iter().map(|value| narrow(*value)));
            states.extend(piece.states.iter().take(piece.judged).copied());
        }
        let mean_return = sum / (states.len().max(1) as f64);
        self.batch(&states, &returns, mean_return)
    }

    fn batch(
        &self,
        states: &[State],
        returns: &[f32],
        mean_return: f64,
    ) -> Result<Batch, PolicyTrainError> {
        let returns = Tensor::f_from_slice(returns)?
            .f_reshape([dim(states.len()), dim(SHIFTS)])?
            .f_clamp(-RETURN_MAX, RETURN_MAX)?;
        let (inputs, bars) = (inputs(states, &self.scales)?, bars(states)?);
        let (logarithms, advantages) = no_grad(|| {
            let logarithms = actor(&self.parameters, &inputs, &bars)?;
            let expected = critic(&self.parameters, &inputs)?;
            let values = returns.f_lerp(&expected, CRITIC_SHARE)?;
            let mean = logarithms.f_exp()?.f_mul(&values)?.f_sum_dim_intlist(
                [-1].as_slice(),
                true,
                Kind::Float,
            )?;
            Ok::<_, TchError>((logarithms, values.f_sub(&mean)?))
        })?;
        Ok(Batch {
            inputs,
            bars,
            logarithms,
            returns,
            advantages,
            mean_return,
        })
    }

    /// Follows the objective; the entropy of the last pass.
    fn learn(&mut self, batch: &Batch, round: u32) -> Result<f64, PolicyTrainError> {
        let mut entropy = 0.0;
        let share = f64::from(round) / f64::from(self.options.rounds.max(1));
        let rate = self.options.rate * (RATE_LEFT + (1.0 - RATE_LEFT) * (1.0 - share));
        for _ in 0..self.options.passes {
            let all = actor(&self.parameters, &batch.inputs, &batch.bars)?;
            let ratio = all.f_sub(&batch.logarithms)?.f_exp()?;
            let plain = ratio.f_mul(&batch.advantages)?;
            let clipped = ratio
                .f_clamp(1.0 - CLIP, 1.0 + CLIP)?
                .f_mul(&batch.advantages)?;
            let gain = plain
                .f_minimum(&clipped)?
                .f_mul(&batch.logarithms.f_exp()?)?
                .f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?
                .f_mean(Kind::Float)?;
            // Barred choices have probability 0 and a huge logarithm: their product is 0.
            let open = all
                .f_exp()?
                .f_mul(&all)?
                .f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?
                .f_mean(Kind::Float)?
                .f_neg()?;
            let miss = critic(&self.parameters, &batch.inputs)?
                .f_mse_loss(&batch.returns, Reduction::Mean)?;
            let loss = miss
                .f_mul_scalar(VALUE_WEIGHT)?
                .f_sub(&gain)?
                .f_sub(&open.f_mul_scalar(self.options.entropy)?)?;
            loss.f_backward()?;
            self.adam.step(&self.parameters, rate)?;
            entropy = open.f_double_value(&[])?;
            if !loss.f_double_value(&[])?.is_finite() {
                return Err(PolicyTrainError::Diverged {
                    round: round + 1,
                    rate: self.options.rate,
                });
            }
        }
        Ok(entropy)
    }

    /// The running average of the parameters serves.
    fn finish(self) -> Result<PolicyNetwork, PolicyTrainError> {
        let average = self.adam.average()?;
        Ok(PolicyNetwork::of(joined(&average, &self.scale_values))?)
    }
}

fn joined(parameters: &Values, scales: &Values) -> Values {
    let both = parameters.iter().chain(scales);
    both.map(|(name, values)| (*name, values.clone())).collect()
}

fn widened(row: &[f32]) -> Probabilities {
    let mut probabilities = [0.0; SHIFTS];
    for (probability, found) in probabilities.iter_mut().zip(row) {
        *probability = f64::from(*found);
    }
    probabilities
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "returns are exact enough in f32"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
