//! Learns from telemetry what requests cost and how long they wait.
//!
//! Three steps, each on what the one before leaves: the *utilisation law* gives the service demands of each
//! class in each tier, by non-negative least squares over the first intervals; a *Kalman filter* follows them
//! from there, interval by interval, also when they drift or jump; and a *maximum likelihood fit* of means and
//! quantiles of response times gives what utilisation does not show: how much longer requests wait than in an
//! M/M/c queue, how variable service times are, and what time passes outside of the tiers.
//!
//! Invariants: memory is bounded whatever comes in; equal observations give equal results; the whole state can
//! be stored. It knows what it does not know: each value has a standard error, and a question about more than
//! 1.3 times the highest load seen is refused.
//!
//! Not here: calls in parallel (taken one after another), retries and refusals (telemetry with many of them
//! describes another system), and reading telemetry.

mod calibrator;
mod estimate;
mod filter;
mod least_squares;
mod observation;
mod predict;
mod refine;
mod shape;
mod transform;
mod waiting;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use calibrator::{CalibrateError, Calibrator};
pub use estimate::{Calibration, Confidence, Estimate};
pub use observation::{Observation, ResponseTimes};
pub use predict::{EXTRAPOLATION_MAX, Load, PredictError, Prediction};
