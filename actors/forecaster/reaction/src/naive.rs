//! What a plain regression finds: demand on latency of the same step. Kept to be compared with, and never used.

use crate::drivers::LATENCY_MAX;
use crate::history::History;

/// A slope with its plain interval of 90 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Change of the logarithm of demand for that of latency above its objective.
    pub slope: f64,
    /// Half of the interval.
    pub half: f64,
}

/// Regresses demand on latency of the same step, both less what is usual for the hour; `None` where latency never
/// leaves its objective.
pub fn slope(history: &History) -> Option<Slope> {
    let latency = history.observed().latency.iter();
    let latency = latency.map(|one| one.map(|one| one.max(1.0).ln().min(LATENCY_MAX)));
    let rows = history
        .logarithms()
        .into_iter()
        .zip(latency)
        .zip(history.slots());
    let rows = rows.filter_map(|((y, x), slot)| Some((y?, x?, slot)));
    let mut rows: Vec<(f64, f64, usize)> = rows.collect();
    let count = rows.iter().map(|row| row.2 + 1).max()?;
    let mut sums = vec![(0.0, 0.0, 0.0); count];
    for (y, x, slot) in &rows {
        let sum = &mut sums[*slot];
        *sum = (sum.0 + y, sum.1 + x, sum.2 + 1.0);
    }
    for (y, x, slot) in &mut rows {
        let (y_sum, x_sum, count) = sums[*slot];
        *y -= y_sum / count;
        *x -= x_sum / count;
    }
    let squares: f64 = rows.iter().map(|row| row.1 * row.1).sum();
    if squares < 1e-9 {
        return None;
    }
    let slope = rows.iter().map(|row| row.0 * row.1).sum::<f64>() / squares;
    let left: f64 = rows.iter().map(|row| (row.0 - slope * row.1).powi(2)).sum();
    let variance = left / rows.len() as f64 / squares;
    Some(Slope {
        slope,
        half: crate::estimate::INTERVAL_Z * variance.sqrt(),
    })
}
