//! What all networks share: their inputs, their parameters as tensors, and how outputs become quantiles.
//!
//! Every network ends alike: for each step ahead it weighs the simple candidates, shifts their mean to the
//! median, and gives positive gaps from which the other quantiles follow outwards, so that they cannot
//! cross.

use crate::parameters::{ParameterSpec, Values, to_tensor};
use crate::weights::WeightsError;
use crate::{dense, recurrent};
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};
use twinscale_forecaster::network::{
    CANDIDATES, ENCODER_FEATURES, ENCODER_STEPS, FeatureBatch, Purpose, STATIC_FEATURES,
    STEP_FEATURES,
};
use twinscale_forecaster::training::sampler::BatchKind;
use twinscale_forecaster::young::YOUNG_DAYS;
use twinscale_protocol::QUANTILES;
use twinscale_protocol::quantile::MEDIAN;

/// Kinds of networks. They differ in how they read the past, so that they err differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// A gated recurrent unit reads the recent past step by step.
    Recurrent,
    /// A dense encoder reads the recent past and the steps ahead at once.
    Dense,
    /// A recurrent one that was trained for long horizons and serves them alone.
    RecurrentLong,
    /// A dense one that was trained on the first days of histories alone, and answers for these alone.
    Young,
}

/// What computes; kinds that differ in what they are trained for share one.
#[derive(Clone, Copy, Debug)]
enum Body {
    Recurrent,
    Dense,
}

impl Architecture {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::Recurrent,
        Self::Dense,
        Self::RecurrentLong,
        Self::Young,
    ];

    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recurrent => "recurrent",
            Self::Dense => "dense",
            Self::RecurrentLong => "recurrent_long",
            Self::Young => "young",
        }
    }

    fn body(self) -> Body {
        match self {
            Self::Recurrent | Self::RecurrentLong => Body::Recurrent,
            Self::Dense | Self::Young => Body::Dense,
        }
    }

    /// What it is, for the card.
    pub fn describe(self) -> String {
        let body = match self.body() {
            Body::Recurrent => recurrent::describe(),
            Body::Dense => dense::describe(),
        };
        match self {
            Self::Recurrent | Self::Dense => body,
            Self::RecurrentLong => format!("{body}, for long horizons"),
            Self::Young => format!("{body}, for histories below {YOUNG_DAYS} days"),
        }
    }

    /// Which forecasts it makes, and learns to make.
    pub(crate) fn purpose(self) -> Purpose {
        match self {
            Self::Recurrent | Self::Dense | Self::RecurrentLong => Purpose::Any,
            Self::Young => Purpose::Young,
        }
    }

    /// The batches that it is trained and validated on; they say which horizons it serves.
    pub(crate) fn batch_kinds(self) -> [BatchKind; 2] {
        match self {
            Self::Recurrent | Self::Dense | Self::Young => [BatchKind::Coarse, BatchKind::Fine],
            Self::RecurrentLong => [BatchKind::CoarseLong, BatchKind::FineLong],
        }
    }

    /// Tells whether it is trained for horizons of this shape.
    pub fn serves(self, shape: usize) -> bool {
        let mut kinds = self.batch_kinds().into_iter();
        kinds.any(|kind| kind.horizon() == shape)
    }

    /// All parameters, in the order of their names.
    pub(crate) fn parameters(self) -> &'static [ParameterSpec] {
        match self.body() {
            Body::Recurrent => recurrent::PARAMETERS,
            Body::Dense => dense::PARAMETERS,
        }
    }

    /// Share of a layer's outputs that a step of training leaves out.
    pub(crate) fn dropout(self) -> f64 {
        match self.body() {
            Body::Recurrent => recurrent::DROPOUT,
            Body::Dense => dense::DROPOUT,
        }
    }

    /// Share of the learning rate by which weights shrink in a step of training.
    pub(crate) fn weight_decay(self) -> f64 {
        match self.body() {
            Body::Recurrent => recurrent::WEIGHT_DECAY,
            Body::Dense => dense::WEIGHT_DECAY,
        }
    }

    /// Multiplications with additions of one row.
    pub(crate) fn row_products(self, horizon: usize) -> usize {
        match self.body() {
            Body::Recurrent => recurrent::row_products(horizon),
            Body::Dense => dense::row_products(horizon),
        }
    }
}

/// The inputs of a batch as tensors.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// Shape `[rows, ENCODER_STEPS, ENCODER_FEATURES]`.
    pub(crate) encoder: Tensor,
    /// Shape `[rows, STATIC_FEATURES]`.
    pub(crate) statics: Tensor,
    /// Shape `[rows, horizon, STEP_FEATURES]`.
    pub(crate) steps: Tensor,
    /// Shape `[rows, horizon, CANDIDATES]`.
    pub(crate) candidates: Tensor,
    pub(crate) rows: i64,
    pub(crate) horizon: i64,
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
            rows,
            horizon,
        })
    }
}

/// Whether a pass serves or trains; in training a share of each layer's outputs is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Serve,
    Train,
}

/// The parameters as tensors, in the order of [`Architecture::parameters`].
#[derive(Debug)]
pub(crate) struct Layers {
    architecture: Architecture,
    tensors: Vec<(&'static ParameterSpec, Tensor)>,
}

impl Layers {
    pub(crate) fn of(architecture: Architecture, values: &Values) -> Result<Self, WeightsError> {
        let tensors = architecture
            .parameters()
            .iter()
            .map(|spec| {
                let values = values.get(spec.name).map_or(&[][..], Vec::as_slice);
                Ok((spec, to_tensor(spec, values)?))
            })
            .collect::<Result<_, WeightsError>>()?;
        Ok(Self {
            architecture,
            tensors,
        })
    }

    pub(crate) fn architecture(&self) -> Architecture {
        self.architecture
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static ParameterSpec, Tensor)> {
        self.tensors.iter()
    }

    pub(crate) fn tensors(&self) -> &[(&'static ParameterSpec, Tensor)] {
        &self.tensors
    }

    pub(crate) fn get(&self, name: &'static str) -> Result<&Tensor, TchError> {
        self.tensors
            .iter()
            .find(|(spec, _)| spec.name == name)
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| TchError::TensorNameNotFound(name.to_owned(), "network".to_owned()))
    }

    /// A layer `NAME_weight`, `NAME_bias` applied to the last axis.
    pub(crate) fn linear(
        &self,
        input: &Tensor,
        weight: &'static str,
        bias: &'static str,
    ) -> Result<Tensor, TchError> {
        input.f_linear(self.get(weight)?, Some(self.get(bias)?))
    }

    /// Leaves out a share of the values in training.
    pub(crate) fn drop_some(&self, input: &Tensor, pass: Pass) -> Result<Tensor, TchError> {
        input.f_dropout(self.architecture.dropout(), pass == Pass::Train)
    }

    /// Runs the network. Shape of the result: `[rows, horizon, QUANTILES]`, ascending.
    pub(crate) fn forward(&self, inputs: &Inputs, pass: Pass) -> Result<Tensor, TchError> {
        let outputs = match self.architecture.body() {
            Body::Recurrent => recurrent::forward(self, inputs, pass)?,
            Body::Dense => dense::forward(self, inputs, pass)?,
        };
        quantiles(&outputs, &inputs.candidates)
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
