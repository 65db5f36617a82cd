//! What the forecaster is asked, and what it answers.

use crate::ids::{CustomerId, WeightsId};
use crate::quantile::{PeakQuantiles, Quantiles};
use crate::series::{Event, SeriesKey};
use crate::units::{DomainTime, FixedValue, Seconds};
use serde::{Deserialize, Serialize};

/// Asks for forecasts of several series of one customer.
///
/// The answer is a function of this request and the weights alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastRequest {
    /// Whose series they are.
    pub customer: CustomerId,
    /// End of the last observed interval = start of the first forecast step.
    pub issued_at: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// How many steps ahead.
    pub horizon_steps: u16,
    /// The series, in ascending order of their keys.
    pub series: Vec<SeriesWindow>,
    /// Events that were known at `issued_at`, past and announced.
    pub events: Vec<Event>,
}

/// The context of one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesWindow {
    /// Which series.
    pub key: SeriesKey,
    /// Start of the first interval in `values`.
    pub first_at: DomainTime,
    /// One value per interval up to `issued_at`; `None` = missing.
    pub values: Vec<Option<FixedValue>>,
    /// Steps until what is asked for now serves a whole step: the peak to be forecast is the highest
    /// demand of these steps and of the one behind them.
    pub lead_steps: u16,
    /// The calibration that the last reply returned, empty at first; opaque to all but the forecaster.
    pub calibration: Vec<u8>,
}

/// The forecasts of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastReply {
    /// One per series, in the order of the request.
    pub forecasts: Vec<SeriesForecast>,
    /// One per series: the calibration to store and to send with the next request.
    pub calibrations: Vec<Vec<u8>>,
}

/// The forecast of one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesForecast {
    /// Which series.
    pub key: SeriesKey,
    /// Start of the first step.
    pub first_step_at: DomainTime,
    /// Length of a step.
    pub interval: Seconds,
    /// Shape `[step][quantile]`, ascending in the quantile, in the metric's unit.
    pub quantiles: Vec<Quantiles>,
    /// The highest demand until what is asked for at the next step can serve; none without a history.
    pub peak: Option<PeakForecast>,
    /// What made it.
    pub source: ForecastSource,
    /// What it saw.
    pub context: ForecastContext,
}

/// The forecast of the highest demand of the first steps.
///
/// It is no function of each step's quantiles: demand of neighbouring steps goes together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakForecast {
    /// How many steps it looks at, from the first one on; at least 1.
    pub steps: u16,
    /// Quantiles of the highest demand of these steps, in the metric's unit.
    pub quantiles: PeakQuantiles,
    /// Mean demand of the last weeks: what the customer needs on an ordinary day.
    pub mean: FixedValue,
}

/// What made a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForecastSource {
    /// The recurrent network with these weights.
    Network(WeightsId),
    /// The seasonal fallback, and why.
    SeasonalFallback(String),
    /// The last forecast, shifted and widened, because no fresh one could be had.
    Stale,
}

/// What a forecast saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastContext {
    /// Samples in the context that were there.
    pub samples: u32,
    /// Samples that were missing.
    pub missing: u32,
    /// Names of the events that reach into the horizon.
    pub events: Vec<String>,
}
