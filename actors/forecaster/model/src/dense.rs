//! The dense network.
//!
//! An encoder reads the recent past, the row's static features and a narrow view of all steps ahead at
//! once; residual blocks turn them into a code, which is decoded into a few numbers for each part of the
//! horizon; these meet the full features of each step. Dropout and weight decay are strong, since it has
//! ten times the parameters that the corpus could pin down. Source: the time-series dense encoder of Das
//! et al. (2023), with quantiles and the weighing of candidates added.

use crate::architecture::{Inputs, Layers, Pass, dim};
use crate::parameters::{OUTPUTS, ParameterSpec};
use tch::{Kind, TchError, Tensor};
use twinscale_forecaster::network::{
    ENCODER_FEATURES, ENCODER_STEPS, HORIZON_SHAPES, STATIC_FEATURES, STEP_FEATURES,
};

/// Width of the code and of the blocks.
const CODE: usize = 192;
/// Numbers of a step that the encoder sees.
const VIEW: usize = 12;
/// Parts of the horizon that are decoded: one step each of the shorter horizon, two of the longer.
const PARTS: usize = HORIZON_SHAPES[0];
/// Numbers that are decoded for each part.
const DECODED: usize = 16;
/// Width of the layer that mixes what was decoded with a step's features.
const MIXER: usize = 96;
/// Numbers that the encoder reads.
const READ: usize = ENCODER_STEPS * ENCODER_FEATURES + STATIC_FEATURES + PARTS * VIEW;
/// Keeps a normalised layer's spread away from 0.
const SPREAD_MIN: f64 = 1e-5;

pub(crate) const DROPOUT: f64 = 0.35;
pub(crate) const WEIGHT_DECAY: f64 = 0.1;

pub(crate) const PARAMETERS: &[ParameterSpec] = &[
    spec("block1_in_bias", &[CODE]),
    spec("block1_in_weight", &[CODE, CODE]),
    spec("block1_out_bias", &[CODE]),
    spec("block1_out_weight", &[CODE, CODE]),
    spec("block2_in_bias", &[CODE]),
    spec("block2_in_weight", &[CODE, CODE]),
    spec("block2_out_bias", &[CODE]),
    spec("block2_out_weight", &[CODE, CODE]),
    spec("code_bias", &[CODE]),
    spec("code_weight", &[CODE, READ]),
    spec("decode_bias", &[PARTS * DECODED]),
    spec("decode_weight", &[PARTS * DECODED, CODE]),
    spec("mixer_bias", &[MIXER]),
    spec("mixer_weight", &[MIXER, DECODED + STEP_FEATURES]),
    spec("output_bias", &[OUTPUTS]),
    spec("output_weight", &[OUTPUTS, MIXER]),
    spec("view_bias", &[VIEW]),
    spec("view_weight", &[VIEW, STEP_FEATURES]),
];

const fn spec(name: &'static str, shape: &'static [usize]) -> ParameterSpec {
    ParameterSpec { name, shape }
}

pub(crate) fn describe() -> String {
    format!("dense encoder of {READ} into {CODE}, two residual blocks, mixer of {MIXER}")
}

pub(crate) fn row_products(horizon: usize) -> usize {
    let code = CODE * (READ + 4 * CODE + PARTS * DECODED);
    let step = VIEW * STEP_FEATURES + MIXER * (DECODED + STEP_FEATURES + OUTPUTS);
    code + horizon * step
}

/// Shape of the result: `[rows, horizon, OUTPUTS]`.
pub(crate) fn forward(layers: &Layers, inputs: &Inputs, pass: Pass) -> Result<Tensor, TchError> {
    let (rows, each) = (inputs.rows, inputs.horizon / dim(PARTS));
    let view = layers
        .linear(&inputs.steps, "view_weight", "view_bias")?
        .f_silu()?
        .f_reshape([rows, dim(PARTS), each, dim(VIEW)])?
        .f_mean_dim(Some([2].as_slice()), false, Kind::Float)?
        .f_reshape([rows, dim(PARTS * VIEW)])?;
    let past = inputs.encoder.f_reshape([rows, -1])?;
    let read = Tensor::f_cat(&[&past, &inputs.statics, &view], 1)?;
    let code = layers.linear(&read, "code_weight", "code_bias")?.f_silu()?;
    let code = block(layers, &code, pass, BLOCK1)?;
    let code = block(layers, &code, pass, BLOCK2)?;
    let decoded = layers
        .linear(&code, "decode_weight", "decode_bias")?
        .f_reshape([rows, dim(PARTS), dim(DECODED)])?
        .f_repeat_interleave_self_int(each, 1, None)?;
    let steps = Tensor::f_cat(&[&decoded, &inputs.steps], 2)?;
    let mixed = layers
        .linear(&steps, "mixer_weight", "mixer_bias")?
        .f_silu()?;
    let mixed = layers.drop_some(&mixed, pass)?;
    layers.linear(&mixed, "output_weight", "output_bias")
}

/// Names of a block's parameters.
type BlockNames = [&'static str; 4];
const BLOCK1: BlockNames = [
    "block1_in_weight",
    "block1_in_bias",
    "block1_out_weight",
    "block1_out_bias",
];
const BLOCK2: BlockNames = [
    "block2_in_weight",
    "block2_in_bias",
    "block2_out_weight",
    "block2_out_bias",
];

/// Adds to the code what a layer makes of it, and brings the sum back to one spread.
fn block(
    layers: &Layers,
    code: &Tensor,
    pass: Pass,
    [in_weight, in_bias, out_weight, out_bias]: BlockNames,
) -> Result<Tensor, TchError> {
    let inner = layers.linear(code, in_weight, in_bias)?.f_silu()?;
    let change = layers.linear(&inner, out_weight, out_bias)?;
    let change = layers.drop_some(&change, pass)?;
    code.f_add(&change)?.f_layer_norm(
        [dim(CODE)],
        None::<&Tensor>,
        None::<&Tensor>,
        SPREAD_MIN,
        true,
    )
}
