//! What a run lost, inside and outside the windows of announced events.
//!
//! The loss is the weighted quantile loss: twice the pinball losses of all quantiles over their number and
//! the sum of the truth. Unlike the scorer it pools the steps of a dataset's series, so that windows of few
//! steps have a figure as well; each series counts in units of its own mean.

use crate::numeric::pinball;
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_protocol::{Event, QUANTILE_LEVELS, QUANTILES, Quantiles};

/// Sums of one kind of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Losses {
    /// Steps whose truth was observed.
    pub steps: u64,
    /// Pinball losses of all quantiles, in units of each series' mean.
    pub pinball: f64,
    /// Truth, in units of each series' mean.
    pub truth: f64,
}

impl Losses {
    /// The weighted quantile loss; none without demand.
    pub fn weighted(&self) -> Option<f64> {
        let scale = QUANTILES as f64 * self.truth;
        (scale > 0.0).then(|| 2.0 * self.pinball / scale)
    }

    fn add(&mut self, truth: f64, quantiles: &Quantiles, unit: f64) {
        let levels = quantiles.iter().zip(QUANTILE_LEVELS);
        let losses = levels.map(|(quantile, level)| pinball(truth, quantile.units(), level));
        self.steps += 1;
        self.pinball += losses.sum::<f64>() / unit;
        self.truth += truth / unit;
    }
}

/// Losses of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Steps that an announced event covers.
    pub in_events: Losses,
    /// All others.
    pub elsewhere: Losses,
}

/// Losses of all datasets.
pub type Tallies = BTreeMap<String, Tally>;

/// One forecast and what came.
pub(crate) struct Outcome<'a> {
    /// First second of the first step.
    pub(crate) first_s: i64,
    pub(crate) interval_s: i64,
    /// Observed values of the steps, as far as they reach.
    pub(crate) truth: &'a [Option<f64>],
    pub(crate) quantiles: &'a [Quantiles],
    /// Mean of the series, above 0.
    pub(crate) unit: f64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: &Outcome<'_>, events: &[Event]) {
        let mut at_s = outcome.first_s;
        for (truth, quantiles) in outcome.truth.iter().zip(outcome.quantiles) {
            let covered = |event: &Event| event.start.0 <= at_s && at_s < event.end.0;
            if let Some(truth) = truth {
                let losses = if events.iter().any(covered) {
                    &mut self.in_events
                } else {
                    &mut self.elsewhere
                };
                losses.add(*truth, quantiles, outcome.unit);
            }
            at_s = at_s.saturating_add(outcome.interval_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::{DomainTime, EventKind, FixedValue};

    #[test]
    fn steps_are_told_apart_by_their_first_second() {
        let event = Event {
            kind: EventKind::Holiday,
            name: "day".to_owned(),
            start: DomainTime(3600),
            end: DomainTime(7200),
            known_from: DomainTime(i64::MIN),
            series: None,
        };
        let quantiles = vec![[FixedValue::from_model(8.0); QUANTILES]; 4];
        let mut tally = Tally::default();
        let outcome = Outcome {
            first_s: 0,
            interval_s: 3600,
            truth: &[Some(10.0), Some(12.0), None],
            quantiles: &quantiles,
            unit: 2.0,
        };
        tally.add(&outcome, &[event]);
        assert_eq!((tally.in_events.steps, tally.elsewhere.steps), (1, 1));
        let levels: f64 = QUANTILE_LEVELS.iter().sum();
        let weighted = tally.in_events.weighted().expect("demand");
        assert!((weighted - 2.0 * 4.0 * levels / (8.0 * 12.0)).abs() < 1e-9);
        assert_eq!(Losses::default().weighted(), None);
    }
}
