//! Runs any number of (series, origin) rows through the network in batches of one fixed shape.
//!
//! Invariant: rows keep the order they are given in, and a row's result does not depend on the others.

use crate::features::{RowScale, fill_row};
use crate::network::{BATCH_ROWS, FeatureBatch, NetworkError, QuantileNetwork, infer_checked};
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

/// Forecasts every row over `shape` steps.
pub(crate) fn run_rows(
    network: &mut dyn QuantileNetwork,
    rows: &[Row<'_>],
    shape: usize,
) -> Result<Vec<StepQuantiles>, NetworkError> {
    let mut results = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(BATCH_ROWS) {
        let mut batch = FeatureBatch::zeroed(BATCH_ROWS, shape);
        let scales: Vec<RowScale> = chunk
            .iter()
            .enumerate()
            .map(|(at, row)| fill_row(row.series, row.origin, &mut batch.row_mut(at)))
            .collect();
        let output = infer_checked(network, &batch)?;
        let by_row = output.chunks_exact(shape * QUANTILES);
        results.extend(
            by_row
                .zip(&scales)
                .map(|(values, scale)| restore(values, *scale)),
        );
    }
    Ok(results)
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
