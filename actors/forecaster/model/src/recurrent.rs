//! The recurrent network.
//!
//! A gated recurrent unit reads the recent past. Its last state and the row's static features are mixed
//! with the features of each step ahead. Source: the multi-horizon quantile recurrent forecaster of Wen et
//! al. (2017), with the weighing of candidates added.

use crate::architecture::{Inputs, Layers, Pass, dim};
use crate::parameters::{OUTPUTS, ParameterSpec};
use tch::{Kind, TchError, Tensor};
use twinscale_forecaster::network::{
    ENCODER_FEATURES, ENCODER_STEPS, STATIC_FEATURES, STEP_FEATURES,
};

/// Width of the recurrent state.
const HIDDEN: usize = 96;

/// Width of the layers that mix the state with each step's features.
const MIXER: usize = 128;

pub(crate) const DROPOUT: f64 = 0.0;
pub(crate) const WEIGHT_DECAY: f64 = 0.01;

/// All parameters, in the order of their names.
pub(crate) const PARAMETERS: &[ParameterSpec] = &[
    ParameterSpec {
        name: "context_bias",
        shape: &[MIXER],
    },
    ParameterSpec {
        name: "context_weight",
        shape: &[MIXER, HIDDEN + STATIC_FEATURES],
    },
    ParameterSpec {
        name: "encoder_bias_hidden",
        shape: &[3 * HIDDEN],
    },
    ParameterSpec {
        name: "encoder_bias_input",
        shape: &[3 * HIDDEN],
    },
    ParameterSpec {
        name: "encoder_weight_hidden",
        shape: &[3 * HIDDEN, HIDDEN],
    },
    ParameterSpec {
        name: "encoder_weight_input",
        shape: &[3 * HIDDEN, ENCODER_FEATURES],
    },
    ParameterSpec {
        name: "mixer_bias",
        shape: &[MIXER],
    },
    ParameterSpec {
        name: "mixer_weight",
        shape: &[MIXER, MIXER],
    },
    ParameterSpec {
        name: "output_bias",
        shape: &[OUTPUTS],
    },
    ParameterSpec {
        name: "output_weight",
        shape: &[OUTPUTS, MIXER],
    },
    ParameterSpec {
        name: "step_weight",
        shape: &[MIXER, STEP_FEATURES],
    },
];

pub(crate) fn describe() -> String {
    format!("gated recurrent unit of {HIDDEN}, mixer of {MIXER}")
}

pub(crate) fn row_products(horizon: usize) -> usize {
    let encoder = ENCODER_STEPS * 3 * HIDDEN * (ENCODER_FEATURES + HIDDEN);
    let context = MIXER * (HIDDEN + STATIC_FEATURES);
    let step = MIXER * (STEP_FEATURES + MIXER + OUTPUTS);
    encoder + context + horizon * step
}

/// Shape of the result: `[rows, horizon, OUTPUTS]`.
pub(crate) fn forward(layers: &Layers, inputs: &Inputs, pass: Pass) -> Result<Tensor, TchError> {
    let state = layers.drop_some(&encode(layers, inputs)?, pass)?;
    let context = layers.linear(
        &Tensor::f_cat(&[&state, &inputs.statics], 1)?,
        "context_weight",
        "context_bias",
    )?;
    let first = inputs
        .steps
        .f_linear(layers.get("step_weight")?, None::<&Tensor>)?
        .f_add(&context.f_unsqueeze(1)?)?
        .f_silu()?;
    let mixed = layers
        .linear(&first, "mixer_weight", "mixer_bias")?
        .f_silu()?
        .f_add(&first)?;
    let mixed = layers.drop_some(&mixed, pass)?;
    layers.linear(&mixed, "output_weight", "output_bias")
}

fn encode(layers: &Layers, inputs: &Inputs) -> Result<Tensor, TchError> {
    let start = Tensor::f_zeros(
        [1, inputs.rows, dim(HIDDEN)],
        (Kind::Float, inputs.encoder.device()),
    )?;
    let parameters = [
        layers.get("encoder_weight_input")?,
        layers.get("encoder_weight_hidden")?,
        layers.get("encoder_bias_input")?,
        layers.get("encoder_bias_hidden")?,
    ];
    let (_, state) = inputs
        .encoder
        .f_gru(&start, &parameters, true, 1, 0.0, false, false, true)?;
    state.f_squeeze_dim(0)
}
