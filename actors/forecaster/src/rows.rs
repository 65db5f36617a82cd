//! Runs any number of (series, origin) rows through the networks in batches of one fixed shape.
//!
//! Invariant: rows keep the order they are given in, and a row's result does not depend on the others.

use crate::features::{RowScale, fill_row};
use crate::network::{
    BATCH_ROWS, CANDIDATES, FeatureBatch, NetworkError, QuantileNetwork, infer_checked,
};
use crate::series::Series;
use twinscale_protocol::QUANTILES;

/// One forecast to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'series> {
    pub(crate) series: &'series Series,
    pub(crate) origin: usize,
}

/// Quantiles of the steps ahead in the series' own unit, each step's ascending.
pub(crate) type StepQuantiles = Vec<[f64; QUANTILES]>;

/// What the networks say of one row, and what they were told.
#[derive(Clone, Debug)]
pub(crate) struct RowForecasts {
    pub(crate) origin: usize,
    pub(crate) scale: RowScale,
    /// By network.
    pub(crate) networks: Vec<StepQuantiles>,
    /// Mean of all networks' quantiles.
    pub(crate) mean: StepQuantiles,
    /// The simple forecasts of each step, in units of the scale above the level.
    pub(crate) candidates: Vec<[f64; CANDIDATES]>,
}

/// Forecasts every row over `shape` steps, by the networks that serve so many.
pub(crate) fn run_rows(
    networks: &mut [Box<dyn QuantileNetwork>],
    rows: &[Row<'_>],
    shape: usize,
) -> Result<Vec<RowForecasts>, NetworkError> {
    let mut results = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(BATCH_ROWS) {
        let mut batch = FeatureBatch::zeroed(BATCH_ROWS, shape);
        let scales: Vec<RowScale> = chunk
            .iter()
            .enumerate()
            .map(|(at, row)| fill_row(row.series, row.origin, &mut batch.row_mut(at)))
            .collect();
        let outputs = networks
            .iter_mut()
            .filter(|network| network.serves(shape))
            .map(|network| infer_checked(network.as_mut(), &batch))
            .collect::<Result<Vec<_>, _>>()?;
        let told = scales.iter().zip(chunk).enumerate();
        results.extend(told.map(|(number, (scale, row))| {
            let width = shape * QUANTILES;
            let networks = outputs
                .iter()
                .filter_map(|output| output.get(number * width..(number + 1) * width))
                .map(|values| restore(values, *scale));
            let networks: Vec<StepQuantiles> = networks.collect();
            RowForecasts {
                origin: row.origin,
                scale: *scale,
                mean: mean_of(&networks),
                networks,
                candidates: candidates(batch.row_mut(number).candidates),
            }
        }));
    }
    Ok(results)
}

fn candidates(values: &[f32]) -> Vec<[f64; CANDIDATES]> {
    values
        .chunks_exact(CANDIDATES)
        .map(|step| {
            let mut widened = [0.0; CANDIDATES];
            for (wide, value) in widened.iter_mut().zip(step) {
                *wide = f64::from(*value);
            }
            widened
        })
        .collect()
}

/// Mean of all networks' quantiles.
fn mean_of(networks: &[StepQuantiles]) -> StepQuantiles {
    let steps = networks.first().map_or(0, Vec::len);
    let mut mean = vec![[0.0; QUANTILES]; steps];
    let share = 1.0 / networks.len().max(1) as f64;
    for forecast in networks {
        for (mean, quantiles) in mean.iter_mut().zip(forecast) {
            for (sum, value) in mean.iter_mut().zip(quantiles) {
                *sum += share * value;
            }
        }
    }
    mean
}

fn restore(values: &[f32], scale: RowScale) -> StepQuantiles {
    values
        .chunks_exact(QUANTILES)
        .map(|step| {
            let mut quantiles = [0.0; QUANTILES];
            for (quantile, value) in quantiles.iter_mut().zip(step) {
                *quantile = scale.restore(f64::from(*value));
            }
            quantiles
        })
        .collect()
}
