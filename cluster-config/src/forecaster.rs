//! How the forecaster's weights are compared and trained further.

use crate::keys::FORECASTER_KEYS;
use crate::read::Section;
use toml::Table;
use twinscale_protocol::Seconds;

/// How the forecaster's weights are compared and trained further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecasterSettings {
    /// Time from the end of a training on the cluster's own history to the next; `None` = there is none.
    pub retrain_every: Option<Seconds>,
    /// Time after which a training is ended.
    pub retrain_limit: Seconds,
    /// Optimiser steps of each network.
    pub retrain_steps: u32,
    /// Series that a trial must compare, at least.
    pub trial_series_min: u32,
    /// Forecasts that a trial must compare, at least.
    pub trial_forecasts_min: u32,
    /// Time from the first compared step to the last, at least.
    pub trial_span_min: Seconds,
    /// Time after which a trial ends without a decision.
    pub trial_max: Seconds,
    /// Time for which former weights are watched after a promotion.
    pub watch: Seconds,
    /// By how many percent a challenger's loss must be lower.
    pub margin_percent: u32,
}

/// Reads `[forecaster]`; the shape was checked before.
pub(crate) fn build(table: Option<&Table>) -> ForecasterSettings {
    let section = Section {
        table,
        pattern: "",
        specs: FORECASTER_KEYS,
    };
    let seconds = |key| Seconds(section.whole_u32(key));
    let retrain_every = seconds("retrain_every_s");
    ForecasterSettings {
        retrain_every: (retrain_every.0 > 0).then_some(retrain_every),
        retrain_limit: seconds("retrain_limit_s"),
        retrain_steps: section.whole_u32("retrain_steps"),
        trial_series_min: section.whole_u32("trial_series_min"),
        trial_forecasts_min: section.whole_u32("trial_forecasts_min"),
        trial_span_min: seconds("trial_span_min_s"),
        trial_max: seconds("trial_max_s"),
        watch: seconds("watch_s"),
        margin_percent: section.whole_u32("margin_percent"),
    }
}
