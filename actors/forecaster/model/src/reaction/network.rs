//! The network of profiles and scales, and its weights as safetensors.
//!
//! Each component has a layer of its own. Its output is what the layer says less what it says of a normal step,
//! bounded, and zero by a gate where nothing is off its normal. Of components that may only fall, the weights of
//! the layer are positive and its output is turned: more of any input is never more demand. So are their scales;
//! those of the others may have either sign.

use crate::architecture::dim;
use crate::parameters::{ParameterSpec, Values, to_tensor};
use crate::serving::use_one_thread;
use crate::weights::{WeightsError, first_line, read_values, write_values};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, TchError, Tensor, no_grad};
use twinscale_reaction::drivers::{COMPONENTS, Component, Features, INPUTS, Sign};
use twinscale_reaction::effect::{
    EFFECT_MAX, EffectError, LEVELS, MIDDLE, Profiles, Scale, SharedEffect,
};

/// Width of each component's layer.
const WIDTH: usize = 8;
/// Rows that are computed at once.
const ROWS_AT_ONCE: usize = 16_384;
/// Gap of two quantiles of a scale before training, before it is made positive.
const GAP_FIRST: f32 = -1.0;
/// Scale before training, before it is made positive.
const SCALE_FIRST: f32 = 1.0;

/// What training changes.
pub(super) const PARAMETERS: &[ParameterSpec] = &[
    spec("inner_bias", &[COMPONENTS, 1, WIDTH]),
    spec("inner_weight", &[COMPONENTS, INPUTS, WIDTH]),
    spec("outer_weight", &[COMPONENTS, 1, WIDTH]),
    spec("scale_gaps", &[COMPONENTS, LEVELS.len() - 1]),
    spec("scale_middle", &[COMPONENTS, 1]),
];

const fn spec(name: &'static str, shape: &'static [usize]) -> ParameterSpec {
    ParameterSpec { name, shape }
}

/// Why weights of a reaction cannot be used.
pub type ReactionWeightsError = WeightsError;

/// Tensors with their names.
pub(super) type Tensors = Vec<(&'static ParameterSpec, Tensor)>;

/// Draws first parameters.
pub(super) fn initial(rng: &mut ChaCha8Rng) -> Values {
    let values = |spec: &ParameterSpec, rng: &mut ChaCha8Rng| match spec.name {
        "scale_gaps" => vec![GAP_FIRST; spec.len()],
        "scale_middle" => vec![SCALE_FIRST; spec.len()],
        "outer_weight" => (0..spec.len())
            .map(|_| rng.random_range(-0.3..0.3))
            .collect(),
        _ => (0..spec.len())
            .map(|_| rng.random_range(-0.7..0.7))
            .collect(),
    };
    let named = PARAMETERS.iter().map(|spec| (spec.name, values(spec, rng)));
    named.collect()
}

/// Makes tensors of named values.
pub(super) fn tensors(values: &Values) -> Result<Tensors, WeightsError> {
    let tensor = |spec: &'static ParameterSpec| {
        let values = values.get(spec.name).map_or(&[][..], Vec::as_slice);
        Ok((spec, to_tensor(spec, values)?))
    };
    PARAMETERS.iter().map(tensor).collect()
}

fn get<'a>(tensors: &'a Tensors, name: &'static str) -> Result<&'a Tensor, TchError> {
    let found = tensors.iter().find(|(spec, _)| spec.name == name);
    let found = found.map(|(_, tensor)| tensor);
    found.ok_or_else(|| TchError::TensorNameNotFound(name.to_owned(), "reaction".to_owned()))
}

/// 1 for components that may only fall, 0 for the others. Shape `[COMPONENTS, 1, 1]`.
fn falling() -> Result<Tensor, TchError> {
    let of = Component::ALL.map(|one| f32::from(u8::from(one.sign() == Sign::Falling)));
    Tensor::f_from_slice(&of)?.f_reshape([dim(COMPONENTS), 1, 1])
}

/// Positive where `falling` is 1, as it is elsewhere.
fn positive_where(falling: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    values.f_lerp_tensor(&values.f_softplus()?, falling)
}

/// Rows as a tensor. Shape `[COMPONENTS, rows, INPUTS]`.
pub(super) fn inputs(rows: &[Features]) -> Result<Tensor, TchError> {
    let values: Vec<f32> = rows
        .iter()
        .flatten()
        .flatten()
        .copied()
        .map(narrow)
        .collect();
    Tensor::f_from_slice(&values)?
        .f_reshape([dim(rows.len()), dim(COMPONENTS), dim(INPUTS)])?
        .f_permute([1, 0, 2])?
        .f_contiguous()
}

/// Profiles of rows. Shape `[COMPONENTS, rows]`.
pub(super) fn profiles(tensors: &Tensors, inputs: &Tensor) -> Result<Tensor, TchError> {
    let falling = falling()?;
    let inner = positive_where(&falling, get(tensors, "inner_weight")?)?;
    let outer = positive_where(&falling, get(tensors, "outer_weight")?)?;
    let bias = get(tensors, "inner_bias")?;
    let sign = falling
        .f_mul_scalar(-2.0)?
        .f_add_scalar(1.0)?
        .f_squeeze_dim(-1)?;
    let most = EFFECT_MAX;
    let said = inputs.f_bmm(&inner)?.f_add(bias)?.f_tanh()?;
    let bounded = said
        .f_sub(&bias.f_tanh()?)?
        .f_mul(&outer)?
        .f_sum_dim_intlist([-1].as_slice(), false, Kind::Float)?
        .f_mul(&sign)?
        .f_div_scalar(most)?
        .f_tanh()?
        .f_mul_scalar(most)?;
    let is_off = inputs.f_abs()?.f_amax([-1].as_slice(), false)?.f_gt(0.0)?;
    bounded.f_mul(&is_off.f_to_kind(Kind::Float)?)
}

/// Quantiles of the scales. Shape `[COMPONENTS, LEVELS]`.
pub(super) fn scales(tensors: &Tensors) -> Result<Tensor, TchError> {
    let falling = falling()?.f_squeeze_dim(-1)?;
    let middle = positive_where(&falling, get(tensors, "scale_middle")?)?;
    let gaps = get(tensors, "scale_gaps")?.f_softplus()?;
    let half = dim(MIDDLE);
    let below = gaps
        .f_narrow(1, 0, half)?
        .f_flip([1])?
        .f_cumsum(1, Kind::Float)?;
    let below = below.f_flip([1])?.f_neg()?;
    let above = gaps.f_narrow(1, half, half)?.f_cumsum(1, Kind::Float)?;
    let nothing = middle.f_mul_scalar(0.0)?;
    let apart = Tensor::f_cat(&[below, nothing, above], 1)?;
    let added = middle.f_add(&apart)?;
    added.f_lerp_tensor(&middle.f_mul(&apart.f_exp()?)?, &falling)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

/// A trained model of reactions.
#[derive(Debug)]
pub struct ReactionNetwork {
    parameters: Tensors,
    values: Values,
    scales: [Scale; COMPONENTS],
}

impl ReactionNetwork {
    pub(super) fn of(values: Values) -> Result<Self, WeightsError> {
        use_one_thread();
        let parameters = tensors(&values)?;
        let failed = |error: TchError| WeightsError::library("build a reaction", &error);
        let found = no_grad(|| {
            let scales = scales(&parameters)?.f_contiguous()?.f_view([-1])?;
            Vec::<f32>::try_from(&scales)
        });
        let found = found.map_err(failed)?;
        let mut scales = [Scale([0.0; LEVELS.len()]); COMPONENTS];
        for (scale, found) in scales.iter_mut().zip(found.chunks_exact(LEVELS.len())) {
            for (level, found) in scale.0.iter_mut().zip(found) {
                *level = f64::from(*found);
            }
            if !scale.0.iter().all(|level| level.is_finite()) {
                return Err(WeightsError::NotFinite { name: "scale_gaps" });
            }
        }
        Ok(Self {
            parameters,
            values,
            scales,
        })
    }

    /// Reads the bytes of a weights file.
    ///
    /// # Errors
    /// [`ReactionWeightsError`] when they are corrupt, cut off or of another network.
    pub fn read(bytes: &[u8]) -> Result<Self, ReactionWeightsError> {
        Self::of(read_values(bytes, PARAMETERS.iter())?)
    }

    /// The bytes of a weights file; the same weights give the same bytes.
    ///
    /// # Errors
    /// [`ReactionWeightsError`], never in practice.
    pub fn write(&self) -> Result<Vec<u8>, ReactionWeightsError> {
        write_values(&self.values, PARAMETERS.iter())
    }

    fn infer(&self, rows: &[Features]) -> Result<Vec<f32>, TchError> {
        // Thread settings and gradient mode belong to the calling thread.
        use_one_thread();
        no_grad(|| {
            let found = profiles(&self.parameters, &inputs(rows)?)?;
            Vec::<f32>::try_from(&found.f_transpose(0, 1)?.f_contiguous()?.f_view([-1])?)
        })
    }
}

impl SharedEffect for ReactionNetwork {
    fn profiles(&self, rows: &[Features]) -> Result<Vec<Profiles>, EffectError> {
        let mut all = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let found = self.infer(rows).map_err(|error| EffectError {
                cause: first_line(&error),
            })?;
            for row in found.chunks_exact(COMPONENTS) {
                let mut profiles = [0.0; COMPONENTS];
                for (profile, found) in profiles.iter_mut().zip(row) {
                    *profile = f64::from(*found);
                }
                if !profiles.iter().all(|one| one.is_finite()) {
                    return Err(EffectError {
                        cause: "a profile is not finite".to_owned(),
                    });
                }
                all.push(profiles);
            }
        }
        Ok(all)
    }

    fn scales(&self) -> &[Scale; COMPONENTS] {
        &self.scales
    }
}
