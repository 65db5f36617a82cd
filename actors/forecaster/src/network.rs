//! What a recurrent quantile network takes and gives, so that nothing here needs `LibTorch`.
//!
//! Invariant: a batch has [`BATCH_ROWS`] rows whatever is asked, unused ones zero. The shape of the
//! arithmetic then never depends on how many requests happen to wait, and neither do its bits.

use twinscale_protocol::{QUANTILES, WeightsId};

/// Rows of a batch: large enough for the matrix kernels, small enough to waste little on a lone request.
pub const BATCH_ROWS: usize = 64;

/// Steps of recent history that the encoder reads.
pub const ENCODER_STEPS: usize = 64;

/// Features of one encoder step.
pub const ENCODER_FEATURES: usize = 10;

/// Features of a row as a whole.
pub const STATIC_FEATURES: usize = 16;

/// Features of one step ahead.
pub const STEP_FEATURES: usize = 33;

/// Simple forecasts of one step ahead among which the network weighs.
pub const CANDIDATES: usize = 13;

/// Longest horizon in steps: fourteen hours of five minutes, a week of hours.
pub const HORIZON_STEPS_MAX: usize = 168;

/// Horizons that a batch may have; a request runs in the smallest that holds it and that there is a network
/// for: a day of hours, four hours of five minutes, a week of hours.
pub const HORIZON_SHAPES: [usize; 3] = [24, 48, HORIZON_STEPS_MAX];

/// Inputs of one run, row-major, in units of each row's own scale.
#[derive(Clone, Debug)]
pub struct FeatureBatch {
    horizon: usize,
    /// Shape `[BATCH_ROWS, ENCODER_STEPS, ENCODER_FEATURES]`.
    pub encoder: Vec<f32>,
    /// Shape `[BATCH_ROWS, STATIC_FEATURES]`.
    pub statics: Vec<f32>,
    /// Shape `[BATCH_ROWS, horizon, STEP_FEATURES]`.
    pub steps: Vec<f32>,
    /// Shape `[BATCH_ROWS, horizon, CANDIDATES]`.
    pub candidates: Vec<f32>,
}

/// One row of a batch, to be filled.
#[derive(Debug)]
pub struct FeatureRow<'batch> {
    /// Shape `[ENCODER_STEPS, ENCODER_FEATURES]`.
    pub encoder: &'batch mut [f32],
    /// Shape `[STATIC_FEATURES]`.
    pub statics: &'batch mut [f32],
    /// Shape `[horizon, STEP_FEATURES]`.
    pub steps: &'batch mut [f32],
    /// Shape `[horizon, CANDIDATES]`.
    pub candidates: &'batch mut [f32],
}

impl FeatureBatch {
    /// Makes an empty batch; `rows` is [`BATCH_ROWS`] except in training.
    pub fn zeroed(rows: usize, horizon: usize) -> Self {
        Self {
            horizon,
            encoder: vec![0.0; rows * ENCODER_STEPS * ENCODER_FEATURES],
            statics: vec![0.0; rows * STATIC_FEATURES],
            steps: vec![0.0; rows * horizon * STEP_FEATURES],
            candidates: vec![0.0; rows * horizon * CANDIDATES],
        }
    }

    /// Steps ahead of every row.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Number of rows, used or not.
    pub fn rows(&self) -> usize {
        self.statics.len() / STATIC_FEATURES
    }

    /// Opens a row for filling.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row_mut(&mut self, row: usize) -> FeatureRow<'_> {
        let horizon = self.horizon;
        FeatureRow {
            encoder: part(&mut self.encoder, row, ENCODER_STEPS * ENCODER_FEATURES),
            statics: part(&mut self.statics, row, STATIC_FEATURES),
            steps: part(&mut self.steps, row, horizon * STEP_FEATURES),
            candidates: part(&mut self.candidates, row, horizon * CANDIDATES),
        }
    }
}

fn part(all: &mut [f32], row: usize, width: usize) -> &mut [f32] {
    &mut all[row * width..(row + 1) * width]
}

/// Why a network gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The library behind the network refused.
    #[error("network failed in {step}: {cause}")]
    Failed {
        /// What was being done.
        step: &'static str,
        /// First line of the library's message.
        cause: String,
    },
    /// The output has numbers that are none.
    #[error("network gave {count} values that are not finite: check the weights file")]
    NotFinite {
        /// How many.
        count: usize,
    },
    /// The output has another size than the batch asks for.
    #[error("network gave {values} values where {expected} belong: check the weights file")]
    Shape {
        /// Values given.
        values: usize,
        /// Values expected.
        expected: usize,
    },
}

/// Which forecasts a network makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// All of them.
    Any,
    /// Those of series with little history: [`crate::young`].
    Young,
}

/// A recurrent network with several quantiles for several steps at once.
pub trait QuantileNetwork: Send {
    /// Names the weights.
    fn weights_id(&self) -> WeightsId;

    /// Tells whether it was trained for horizons of this shape, one of [`HORIZON_SHAPES`].
    fn serves(&self, shape: usize) -> bool;

    /// Tells which forecasts it is for.
    fn purpose(&self) -> Purpose {
        Purpose::Any
    }

    /// Runs a batch of a shape that it serves.
    ///
    /// Shape of the result: `[rows, horizon, QUANTILES]`, ascending along the last axis, in units of each
    /// row's scale above its level. Determinism: a row's bits depend on that row and the horizon alone.
    ///
    /// # Errors
    /// [`NetworkError`] when the library behind it refuses.
    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError>;

    /// Sets all weights to zero, so that tests can see what hangs on them.
    ///
    /// # Errors
    /// [`NetworkError`] when the library behind it refuses.
    fn zero_weights(&mut self) -> Result<(), NetworkError>;
}

/// Runs a batch and checks what comes back.
///
/// # Errors
/// [`NetworkError`] of the network, or for an output of the wrong size or with values that are no numbers.
pub fn infer_checked(
    network: &mut dyn QuantileNetwork,
    batch: &FeatureBatch,
) -> Result<Vec<f32>, NetworkError> {
    let output = network.infer(batch)?;
    let expected = batch.rows() * batch.horizon() * QUANTILES;
    if output.len() != expected {
        return Err(NetworkError::Shape {
            values: output.len(),
            expected,
        });
    }
    let count = output.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(NetworkError::NotFinite { count });
    }
    Ok(output)
}
