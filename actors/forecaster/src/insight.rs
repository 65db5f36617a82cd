//! What the bytes that a twin keeps for the forecaster say, for people and metrics.

use crate::accuracy::{Accuracy, accuracies, rank_share};
use crate::calibration::{LOCAL, bucket_ends};
use crate::mixture::Mixture;
use crate::stored::{decode, v2::Calibration};
use serde::Serialize;
use twinscale_protocol::QUANTILES;
use twinscale_protocol::quantile::MEDIAN;

/// What the forecaster has learnt of one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Insight {
    /// The weights whose forecasts were compared with what came.
    pub weights: String,
    /// The latest origin that was learnt from, epoch seconds.
    pub learnt_until_s: i64,
    /// When the series last changed its ways, so that what was learnt before counts less; epoch seconds.
    pub changed_s: Option<i64>,
    /// Share of each forecaster in the forecast.
    pub trust: Vec<Trust>,
    /// What was issued beside what came, by part of the horizon; parts without a scored forecast are left out.
    pub accuracy: Vec<PartAccuracy>,
    /// How demand ranked within the latest forecasts that were scored, oldest first.
    #[serde(skip)]
    pub ranks: Vec<PastRanks>,
}

/// How demand ranked within a forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRanks {
    /// First second of the forecast's first step.
    pub first_s: i64,
    /// Share of the forecast below the demand of each step; none where it was not observed.
    pub shares: Vec<Option<f64>>,
}

/// Share of one forecaster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trust {
    /// `network-1`, `network-2`, … in the order of the weights file, or `adapter`, `narrower`, `wider`.
    pub forecaster: String,
    /// Share in the median.
    pub median: f64,
    /// Share in the 0.99 quantile.
    pub highest: f64,
}

/// Accuracy of one part of the horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartAccuracy {
    /// First step ahead, from 1.
    pub first_step: usize,
    /// Last step ahead.
    pub last_step: usize,
    /// How good it was.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// Reads what a twin keeps of a series; none before the networks' forecasts were compared with anything.
pub fn insight(bytes: &[u8]) -> Option<Insight> {
    let calibration = decode(bytes).network?;
    Some(Insight {
        changed_s: calibration.regime.changed_s,
        trust: trust(&calibration),
        accuracy: accuracy(&calibration),
        ranks: ranks(&calibration),
        weights: calibration.weights,
        learnt_until_s: calibration.learnt_until_s,
    })
}

fn ranks(calibration: &Calibration) -> Vec<PastRanks> {
    let kept = calibration.scores.ranks.iter();
    kept.map(|kept| PastRanks {
        first_s: kept.first_s,
        shares: kept.ranks.iter().copied().map(rank_share).collect(),
    })
    .collect()
}

fn trust(calibration: &Calibration) -> Vec<Trust> {
    let losses = &calibration.losses;
    let networks = losses.len().saturating_sub(LOCAL.len());
    let mixture = Mixture::restore(Some(losses), losses.len());
    let named = |(number, weights): (usize, [f64; QUANTILES])| Trust {
        forecaster: number
            .checked_sub(networks)
            .and_then(|local| LOCAL.get(local))
            .map_or_else(|| format!("network-{}", number + 1), ToString::to_string),
        median: weights[MEDIAN],
        highest: weights[QUANTILES - 1],
    };
    mixture
        .weights()
        .into_iter()
        .enumerate()
        .map(named)
        .collect()
}

fn accuracy(calibration: &Calibration) -> Vec<PartAccuracy> {
    let ends = bucket_ends(usize::from(calibration.shape));
    let mut first_step = 1;
    let mut parts = Vec::new();
    for (accuracy, end) in accuracies(&calibration.scores).into_iter().zip(ends) {
        if let Some(accuracy) = accuracy {
            parts.push(PartAccuracy {
                first_step,
                last_step: end,
                accuracy,
            });
        }
        first_step = end + 1;
    }
    parts
}
