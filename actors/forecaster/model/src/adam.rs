//! Adam with decoupled weight decay, as plain tensors so that its state can be stored.

use crate::parameters::{ParameterSpec, Values, to_tensor, to_values};
use crate::weights::WeightsError;
use tch::{TchError, Tensor, no_grad};

const BETA_MEAN: f64 = 0.9;
const BETA_SQUARE: f64 = 0.99;
const EPSILON: f64 = 1e-8;
/// Longest gradient that is followed.
const GRADIENT_NORM_MAX: f64 = 1.0;
/// Share of the old average that a step keeps: about the last thousand steps count.
const AVERAGE_KEPT: f64 = 0.999;

/// The optimiser's state beside the parameters.
#[derive(Debug)]
pub(crate) struct Adam {
    parameters: &'static [ParameterSpec],
    /// Share of the rate by which matrices shrink in a step.
    decay: f64,
    mean: Vec<Tensor>,
    square: Vec<Tensor>,
    average: Vec<Tensor>,
    steps: i32,
}

/// Everything that a resumed run needs, as plain values.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdamState {
    pub(crate) mean: Values,
    pub(crate) square: Values,
    pub(crate) average: Values,
    pub(crate) steps: i32,
}

impl Adam {
    /// Continues from a state; an empty one starts.
    pub(crate) fn of(
        parameters: &'static [ParameterSpec],
        decay: f64,
        state: &AdamState,
        first: &Values,
    ) -> Result<Self, WeightsError> {
        let tensors = |values: &Values, default: Option<&Values>| {
            parameters
                .iter()
                .map(|spec| {
                    let zeros = vec![0.0; spec.len()];
                    let value = values
                        .get(spec.name)
                        .or_else(|| default.and_then(|values| values.get(spec.name)));
                    to_tensor(spec, value.unwrap_or(&zeros))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            parameters,
            decay,
            mean: tensors(&state.mean, None)?,
            square: tensors(&state.square, None)?,
            average: tensors(&state.average, Some(first))?,
            steps: state.steps,
        })
    }

    /// Reads the state out.
    pub(crate) fn state(&self) -> Result<AdamState, WeightsError> {
        Ok(AdamState {
            mean: self.values(&self.mean)?,
            square: self.values(&self.square)?,
            average: self.values(&self.average)?,
            steps: self.steps,
        })
    }

    /// The running average of the parameters, which serves better than the last ones.
    pub(crate) fn average(&self) -> Result<Values, WeightsError> {
        self.values(&self.average)
    }

    /// Follows the gradients once and clears them.
    pub(crate) fn step(
        &mut self,
        layers: &[(&'static ParameterSpec, Tensor)],
        rate: f64,
    ) -> Result<(), TchError> {
        no_grad(|| {
            self.steps += 1;
            let mut squares = 0.0;
            for (_, tensor) in layers {
                let norm = tensor.f_grad()?.f_norm()?.f_double_value(&[])?;
                squares += norm * norm;
            }
            let shrink = (GRADIENT_NORM_MAX / (squares.sqrt() + 1e-12)).min(1.0);
            for (index, (spec, tensor)) in layers.iter().enumerate() {
                let decay = if spec.shape.len() > 1 {
                    self.decay
                } else {
                    0.0
                };
                self.step_one(index, tensor, shrink, (rate, decay))?;
            }
            Ok(())
        })
    }

    fn step_one(
        &mut self,
        index: usize,
        tensor: &Tensor,
        shrink: f64,
        (rate, decay): (f64, f64),
    ) -> Result<(), TchError> {
        let mut tensor = tensor.shallow_clone();
        let gradient = tensor.f_grad()?.f_mul_scalar(shrink)?;
        let (mean, square) = (&mut self.mean[index], &mut self.square[index]);
        mean.f_lerp_(&gradient, 1.0 - BETA_MEAN).map(drop)?;
        let part = gradient.f_mul_scalar((1.0 - BETA_SQUARE).sqrt())?;
        square
            .f_mul_scalar_(BETA_SQUARE)?
            .f_addcmul_(&part, &part)
            .map(drop)?;
        let mean_bias = 1.0 - BETA_MEAN.powi(self.steps);
        let square_bias = 1.0 - BETA_SQUARE.powi(self.steps);
        let width = square
            .f_div_scalar(square_bias)?
            .f_sqrt()?
            .f_add_scalar(EPSILON)?;
        tensor.f_mul_scalar_(1.0 - rate * decay).map(drop)?;
        tensor
            .f_addcdiv_(&mean.f_mul_scalar(-rate / mean_bias)?, &width)
            .map(drop)?;
        // Early on the average follows closely, so that the first values soon do not count.
        let kept = AVERAGE_KEPT.min(f64::from(self.steps) / (f64::from(self.steps) + 10.0));
        self.average[index].f_lerp_(&tensor, 1.0 - kept).map(drop)?;
        tensor.zero_grad();
        Ok(())
    }

    fn values(&self, tensors: &[Tensor]) -> Result<Values, WeightsError> {
        self.parameters
            .iter()
            .zip(tensors)
            .map(|(spec, tensor)| Ok((spec.name, to_values(tensor)?)))
            .collect()
    }
}
