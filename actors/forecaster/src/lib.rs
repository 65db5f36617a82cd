//! Behavioral Pattern Engine: forecasts of a customer's demand as quantiles.
//!
//! Purpose: turns a window of samples, the calendar and announced events into quantiles for the steps
//! ahead. Invariants: the answer is a function of the request and the weights alone; it never depends on
//! what else waits, on the order of arrival or on the number of threads. The network itself stands behind
//! [`network::QuantileNetwork`], so that this crate builds without `LibTorch`.

pub mod accuracy;
pub mod actor;
mod adapter;
pub mod bench;
mod calibration;
pub mod card;
pub mod engine;
mod fallback;
pub mod features;
#[cfg(test)]
mod fixtures;
pub mod insight;
mod mixture;
pub mod network;
mod numeric;
mod peak;
mod regime;
mod regression;
mod rows;
pub mod series;
pub mod serving;
pub mod shadow;
pub mod stored;
pub mod training;
pub mod young;
