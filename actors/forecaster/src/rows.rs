//! Runs any number of (series, origin) rows through the networks in batches of one fixed shape.
//!
//! Invariant: rows keep the order they are given in, and a row's result does not depend on the others.

use crate::features::{RowScale, fill_row};
use crate::network::{
    BATCH_ROWS, CANDIDATES, FeatureBatch, NetworkError, Purpose, QuantileNetwork, infer_checked,
};
use crate::series::Series;
use crate::young;
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
    /// By network that answers for all series.
    pub(crate) networks: Vec<StepQuantiles>,
    /// By network for little history, where there is little.
    pub(crate) young: Vec<StepQuantiles>,
    /// Mean of the quantiles of all networks that answer for all series.
    pub(crate) mean: StepQuantiles,
    /// The simple forecasts of each step, in units of the scale above the level.
    pub(crate) candidates: Vec<[f64; CANDIDATES]>,
}

/// Whether a network answers for all series: the first always does, so that there is one.
pub(crate) fn is_general(number: usize, network: &dyn QuantileNetwork) -> bool {
    number == 0 || network.purpose() == Purpose::Any
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
        let are_young: Vec<bool> = chunk
            .iter()
            .map(|row| young::share(row.series, row.origin) > 0.0)
            .collect();
        let (mut outputs, mut of_young) = (Vec::new(), Vec::new());
        let serving = networks.iter_mut().enumerate();
        for (number, network) in serving.filter(|(_, network)| network.serves(shape)) {
            if is_general(number, network.as_ref()) {
                outputs.push(infer_checked(network.as_mut(), &batch)?);
            } else if are_young.contains(&true) {
                of_young.push(infer_checked(network.as_mut(), &batch)?);
            }
        }
        let told = scales.iter().zip(chunk).enumerate();
        results.extend(told.map(|(number, (scale, row))| {
            let width = shape * QUANTILES;
            let of_row = |output: &Vec<f32>| {
                let values = output.get(number * width..(number + 1) * width)?;
                Some(restore(values, *scale))
            };
            let networks: Vec<StepQuantiles> = outputs.iter().filter_map(of_row).collect();
            let is_young = are_young[number];
            RowForecasts {
                origin: row.origin,
                scale: *scale,
                mean: mean_of(&networks),
                networks,
                young: if is_young {
                    of_young.iter().filter_map(of_row).collect()
                } else {
                    Vec::new()
                },
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
