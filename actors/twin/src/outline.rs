//! What stays in memory of a twin whose state is put away: enough to count it, and to say when it is due.
//!
//! Pure: a function of the committed state. A node that takes a shard over reads the same outline as the
//! one before it, so that no timer is lost with the memory of an actor.

use crate::cycle::next_wake_up;
use crate::state::TwinState;
use twinscale_protocol::forecaster::ForecastSource;
use twinscale_protocol::{DomainTime, Seconds};

/// What stays in memory of a twin whose state is put away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TwinOutline {
    /// Counts the changes of policy and stack; 0 = it was never configured.
    pub config_version: u64,
    /// Length of its steps; `None` = it is not configured.
    pub interval: Option<Seconds>,
    /// End of the newest interval that a forecast was made for, fresh or not.
    pub issued_at: Option<DomainTime>,
    /// The first moment after its newest turn at which it must look again before its next one.
    pub wake_up: Option<DomainTime>,
    /// Series that it was sent.
    pub series: u32,
    /// Calls whose outcome is not known.
    pub open_intents: u32,
    /// Whether it is quarantined.
    pub is_quarantined: bool,
    /// Whether its newest turn had to do without a fresh forecast.
    pub is_stale: bool,
}

impl TwinOutline {
    /// Reads it off a state.
    #[must_use]
    pub fn of(state: &TwinState) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let issued_at = state.forecast().map(|record| record.issued_at);
        let planned_at = state.target_basis().map(|(at, _)| at);
        let is_stale = state.forecast().is_some_and(|record| {
            let mut sources = record.forecasts.iter().map(|forecast| &forecast.source);
            sources.any(|source| matches!(source, ForecastSource::Stale))
        });
        Self {
            config_version: state.config_version(),
            interval: state.config().map(|config| config.interval),
            issued_at,
            wake_up: issued_at
                .max(planned_at)
                .and_then(|looked_at| next_wake_up(state, looked_at)),
            series: count(state.series().count()),
            open_intents: count(state.open_intents().count()),
            is_quarantined: state.quarantine().is_some(),
            is_stale,
        }
    }

    /// Whether it has policy and stack, so that turns are taken for it.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.interval.is_some()
    }
}
