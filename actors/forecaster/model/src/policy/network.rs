//! The networks of actor and critic, and their weights as safetensors.

use crate::architecture::dim;
use crate::parameters::{ParameterSpec, Values, to_tensor};
use crate::serving::use_one_thread;
use crate::weights::{WeightsError, first_line, read_values, write_values};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, TchError, Tensor, no_grad};
use twinscale_policy::features::{FEATURES, State};
use twinscale_policy::guard::{KEEP, SHIFTS};
use twinscale_policy::policies::{
    PolicyError, Probabilities, StochasticPolicy, TrainedRange, certain, masked,
};

/// Width of the layers.
const WIDTH: usize = 64;
/// Numbers of a state are at most so many spreads from their mean.
const NORMAL_MAX: f64 = 5.0;
/// What a choice that is not allowed has for a logit: its probability is 0 in f32, and differences of such
/// logits are small, so that ratios of them are finite.
const NEVER: f32 = -1e4;
/// States that are computed at once.
const ROWS_AT_ONCE: usize = 16_384;
/// Logit of the operator's setting before training, above the others.
const KEEP_FIRST: f32 = 1.0;

/// What training changes.
pub(super) const PARAMETERS: &[ParameterSpec] = &[
    spec("actor1_bias", &[WIDTH]),
    spec("actor1_weight", &[WIDTH, FEATURES]),
    spec("actor2_bias", &[WIDTH]),
    spec("actor2_weight", &[WIDTH, WIDTH]),
    spec("choice_bias", &[SHIFTS]),
    spec("choice_weight", &[SHIFTS, WIDTH]),
    spec("critic1_bias", &[WIDTH]),
    spec("critic1_weight", &[WIDTH, FEATURES]),
    spec("critic2_bias", &[WIDTH]),
    spec("critic2_weight", &[WIDTH, WIDTH]),
    spec("value_bias", &[SHIFTS]),
    spec("value_weight", &[SHIFTS, WIDTH]),
];

/// What the training states were like: mean, spread, and what counts as known.
const SCALES: &[ParameterSpec] = &[
    spec("state_high", &[FEATURES]),
    spec("state_low", &[FEATURES]),
    spec("state_mean", &[FEATURES]),
    spec("state_spread", &[FEATURES]),
];

const fn spec(name: &'static str, shape: &'static [usize]) -> ParameterSpec {
    ParameterSpec { name, shape }
}

/// Why weights of a policy cannot be used.
pub type PolicyWeightsError = WeightsError;

/// Tensors with their names.
pub(super) type Tensors = Vec<(&'static ParameterSpec, Tensor)>;

/// Draws first parameters: no choice but the operator's stands out.
pub(super) fn initial(rng: &mut ChaCha8Rng) -> Values {
    PARAMETERS
        .iter()
        .map(|spec| {
            let mut values = vec![0.0; spec.len()];
            if spec.name == "choice_bias" {
                values[KEEP] = KEEP_FIRST;
            } else if spec.name.ends_with("weight") {
                let fan_in = spec.shape.last().copied().unwrap_or(1) as f32;
                let is_output = ["choice_weight", "value_weight"].contains(&spec.name);
                let bound = if is_output { 0.01 } else { 1.0 } / fan_in.sqrt();
                values.fill_with(|| rng.random_range(-bound..bound));
            }
            (spec.name, values)
        })
        .collect()
}

/// Makes tensors of named values.
pub(super) fn tensors(
    specs: &'static [ParameterSpec],
    values: &Values,
) -> Result<Tensors, WeightsError> {
    specs
        .iter()
        .map(|spec| {
            let values = values.get(spec.name).map_or(&[][..], Vec::as_slice);
            Ok((spec, to_tensor(spec, values)?))
        })
        .collect()
}

/// Mean and spread of the states' numbers, and what counts as known.
pub(super) fn scales(states: &[State]) -> Values {
    let count = states.len().max(1) as f64;
    let (mut mean, mut spread) = (vec![0.0_f32; FEATURES], vec![1.0_f32; FEATURES]);
    for feature in 0..FEATURES {
        let values = states
            .iter()
            .map(|state| f64::from(state.features[feature]));
        let center = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - center).powi(2)).sum::<f64>() / count;
        mean[feature] = narrow(center);
        // A number that never varied says nothing, and must not be blown up.
        spread[feature] = if variance > 1e-8 {
            narrow(variance.sqrt())
        } else {
            1.0
        };
    }
    let range = TrainedRange::of(states);
    [
        ("state_high", range.high),
        ("state_low", range.low),
        ("state_mean", mean),
        ("state_spread", spread),
    ]
    .into_iter()
    .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// States as a tensor, brought to one spread. Shape `[rows, FEATURES]`.
pub(super) fn inputs(states: &[State], scales: &Tensors) -> Result<Tensor, TchError> {
    let values: Vec<f32> = states.iter().flat_map(|state| state.features).collect();
    Tensor::f_from_slice(&values)?
        .f_reshape([dim(states.len()), dim(FEATURES)])?
        .f_sub(get(scales, "state_mean")?)?
        .f_div(get(scales, "state_spread")?)?
        .f_clamp(-NORMAL_MAX, NORMAL_MAX)
}

/// What to add to the logits so that no choice is made that is not allowed. Shape `[rows, SHIFTS]`.
pub(super) fn bars(states: &[State]) -> Result<Tensor, TchError> {
    let bar = |is_allowed: bool| if is_allowed { 0.0 } else { NEVER };
    let values: Vec<f32> = states
        .iter()
        .flat_map(|state| state.allowed.map(bar))
        .collect();
    Tensor::f_from_slice(&values)?.f_reshape([dim(states.len()), dim(SHIFTS)])
}

fn get<'a>(tensors: &'a Tensors, name: &'static str) -> Result<&'a Tensor, TchError> {
    tensors
        .iter()
        .find(|(spec, _)| spec.name == name)
        .map(|(_, tensor)| tensor)
        .ok_or_else(|| TchError::TensorNameNotFound(name.to_owned(), "policy".to_owned()))
}

fn layer(
    tensors: &Tensors,
    input: &Tensor,
    [weight, bias]: [&'static str; 2],
) -> Result<Tensor, TchError> {
    input.f_linear(get(tensors, weight)?, Some(get(tensors, bias)?))
}

/// Logarithms of the choices' probabilities. Shape `[rows, SHIFTS]`.
pub(super) fn actor(tensors: &Tensors, inputs: &Tensor, bars: &Tensor) -> Result<Tensor, TchError> {
    let hidden = layer(tensors, inputs, ["actor1_weight", "actor1_bias"])?.f_tanh()?;
    let hidden = layer(tensors, &hidden, ["actor2_weight", "actor2_bias"])?.f_tanh()?;
    layer(tensors, &hidden, ["choice_weight", "choice_bias"])?
        .f_add(bars)?
        .f_log_softmax(-1, Kind::Float)
}

/// Expected return of each choice. Shape `[rows, SHIFTS]`.
pub(super) fn critic(tensors: &Tensors, inputs: &Tensor) -> Result<Tensor, TchError> {
    let hidden = layer(tensors, inputs, ["critic1_weight", "critic1_bias"])?.f_tanh()?;
    let hidden = layer(tensors, &hidden, ["critic2_weight", "critic2_bias"])?.f_tanh()?;
    layer(tensors, &hidden, ["value_weight", "value_bias"])
}

/// A trained policy.
#[derive(Debug)]
pub struct PolicyNetwork {
    parameters: Tensors,
    scales: Tensors,
    values: Values,
}

impl PolicyNetwork {
    /// Builds it of parameters and of what the training states were like.
    pub(super) fn of(values: Values) -> Result<Self, WeightsError> {
        use_one_thread();
        Ok(Self {
            parameters: tensors(PARAMETERS, &values)?,
            scales: tensors(SCALES, &values)?,
            values,
        })
    }

    /// Reads the bytes of a weights file.
    ///
    /// # Errors
    /// [`PolicyWeightsError`] when they are corrupt, cut off or of another network.
    pub fn read(bytes: &[u8]) -> Result<Self, PolicyWeightsError> {
        Self::of(read_values(bytes, PARAMETERS.iter().chain(SCALES))?)
    }

    /// The bytes of a weights file; the same weights give the same bytes.
    ///
    /// # Errors
    /// [`PolicyWeightsError`], never in practice.
    pub fn write(&self) -> Result<Vec<u8>, PolicyWeightsError> {
        write_values(&self.values, PARAMETERS.iter().chain(SCALES))
    }

    /// What its training states were like.
    pub fn range(&self) -> TrainedRange {
        let of = |name| self.values.get(name).cloned().unwrap_or_default();
        TrainedRange {
            low: of("state_low"),
            high: of("state_high"),
        }
    }

    /// Hands out what brings states to one spread.
    pub(super) fn into_scales(self) -> Tensors {
        self.scales
    }

    fn infer(&self, states: &[State]) -> Result<Vec<f32>, TchError> {
        // Thread settings and gradient mode belong to the calling thread.
        use_one_thread();
        no_grad(|| {
            let inputs = inputs(states, &self.scales)?;
            let logarithms = actor(&self.parameters, &inputs, &bars(states)?)?;
            Vec::<f32>::try_from(&logarithms.f_exp()?.f_contiguous()?.f_view([-1])?)
        })
    }
}

impl StochasticPolicy for PolicyNetwork {
    fn probabilities(&self, states: &[State]) -> Result<Vec<Probabilities>, PolicyError> {
        let mut all = Vec::with_capacity(states.len());
        for states in states.chunks(ROWS_AT_ONCE) {
            let found = self.infer(states).map_err(|error| PolicyError::Failed {
                cause: first_line(&error),
            })?;
            for (row, state) in found.chunks_exact(SHIFTS).zip(states) {
                let mut weights = certain(KEEP);
                for (weight, found) in weights.iter_mut().zip(row) {
                    *weight = f64::from(*found);
                }
                // In f64 they sum to 1 exactly enough.
                all.push(masked(weights, state.allowed));
            }
        }
        Ok(all)
    }
}
