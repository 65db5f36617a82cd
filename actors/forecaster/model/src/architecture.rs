//! The forward pass.
//!
//! A gated recurrent unit reads the recent past. Its last state and the row's static features are mixed
//! with the features of each step ahead; the mix weighs the simple candidates, shifts their mean to the
//! median, and gives positive gaps from which the other quantiles follow outwards, so that they cannot
//! cross. Source: the multi-horizon quantile recurrent forecaster of Wen et al. (2017), with the
//! candidates' weighing added.

use crate::parameters::{HIDDEN, PARAMETERS, ParameterSpec, Values, to_tensor};
use crate::weights::WeightsError;
use tch::{Kind, TchError, Tensor};
use twinscale_forecaster::network::{
    CANDIDATES, ENCODER_FEATURES, ENCODER_STEPS, FeatureBatch, STATIC_FEATURES, STEP_FEATURES,
};
use twinscale_protocol::QUANTILES;
use twinscale_protocol::quantile::MEDIAN;

/// The inputs of a batch as tensors.
#[derive(Debug)]
pub(crate) struct Inputs {
    encoder: Tensor,
    statics: Tensor,
    steps: Tensor,
    candidates: Tensor,
}

impl Inputs {
    pub(crate) fn of(batch: &FeatureBatch) -> Result<Self, TchError> {
        let rows = dim(batch.rows());
        let horizon = dim(batch.horizon());
        let shaped = |values: &[f32], shape: &[i64]| Tensor::f_from_slice(values)?.f_reshape(shape);
        Ok(Self {
            encoder: shaped(
                &batch.encoder,
                &[rows, dim(ENCODER_STEPS), dim(ENCODER_FEATURES)],
            )?,
            statics: shaped(&batch.statics, &[rows, dim(STATIC_FEATURES)])?,
            steps: shaped(&batch.steps, &[rows, horizon, dim(STEP_FEATURES)])?,
            candidates: shaped(&batch.candidates, &[rows, horizon, dim(CANDIDATES)])?,
        })
    }
}

/// The parameters as tensors, in the order of [`PARAMETERS`].
#[derive(Debug)]
pub(crate) struct Layers {
    tensors: Vec<(&'static ParameterSpec, Tensor)>,
}

impl Layers {
    pub(crate) fn of(values: &Values) -> Result<Self, WeightsError> {
        let tensors = PARAMETERS
            .iter()
            .map(|spec| {
                let values = values.get(spec.name).map_or(&[][..], Vec::as_slice);
                Ok((spec, to_tensor(spec, values)?))
            })
            .collect::<Result<_, WeightsError>>()?;
        Ok(Self { tensors })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static ParameterSpec, Tensor)> {
        self.tensors.iter()
    }

    pub(crate) fn get(&self, name: &'static str) -> Result<&Tensor, TchError> {
        self.tensors
            .iter()
            .find(|(spec, _)| spec.name == name)
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| TchError::TensorNameNotFound(name.to_owned(), "network".to_owned()))
    }

    /// Runs the network. Shape of the result: `[rows, horizon, QUANTILES]`, ascending.
    pub(crate) fn forward(&self, inputs: &Inputs) -> Result<Tensor, TchError> {
        let state = self.encode(&inputs.encoder)?;
        let context = Tensor::f_cat(&[&state, &inputs.statics], 1)?
            .f_linear(self.get("context_weight")?, Some(self.get("context_bias")?))?;
        let first = inputs
            .steps
            .f_linear(self.get("step_weight")?, None::<&Tensor>)?
            .f_add(&context.f_unsqueeze(1)?)?
            .f_silu()?;
        let mixed = first
            .f_linear(self.get("mixer_weight")?, Some(self.get("mixer_bias")?))?
            .f_silu()?
            .f_add(&first)?;
        let outputs = mixed.f_linear(self.get("output_weight")?, Some(self.get("output_bias")?))?;
        quantiles(&outputs, &inputs.candidates)
    }

    fn encode(&self, steps: &Tensor) -> Result<Tensor, TchError> {
        let rows = steps.size().first().copied().unwrap_or(0);
        let start = Tensor::f_zeros([1, rows, dim(HIDDEN)], (Kind::Float, steps.device()))?;
        let parameters = [
            self.get("encoder_weight_input")?,
            self.get("encoder_weight_hidden")?,
            self.get("encoder_bias_input")?,
            self.get("encoder_bias_hidden")?,
        ];
        let (_, state) = steps.f_gru(&start, &parameters, true, 1, 0.0, false, false, true)?;
        state.f_squeeze_dim(0)
    }
}

fn quantiles(outputs: &Tensor, candidates: &Tensor) -> Result<Tensor, TchError> {
    let weights = outputs
        .f_narrow(2, 0, dim(CANDIDATES))?
        .f_softmax(-1, Kind::Float)?;
    let weighed = weights
        .f_mul(candidates)?
        .f_sum_dim_intlist(-1, true, Kind::Float)?;
    let median = weighed.f_add(&outputs.f_narrow(2, dim(CANDIDATES), 1)?)?;
    let gaps = outputs
        .f_narrow(2, dim(CANDIDATES + 1), dim(QUANTILES - 1))?
        .f_softplus()?;
    let above = gaps
        .f_narrow(2, dim(MEDIAN), dim(QUANTILES - 1 - MEDIAN))?
        .f_cumsum(2, Kind::Float)?
        .f_add(&median)?;
    // Gaps below the median count outwards; flipped, so that the lowest quantile comes first.
    let below = median
        .f_sub(&gaps.f_narrow(2, 0, dim(MEDIAN))?.f_cumsum(2, Kind::Float)?)?
        .f_flip([2])?;
    Tensor::f_cat(&[&below, &median, &above], 2)
}

/// A size as tch wants it.
pub(crate) fn dim(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
