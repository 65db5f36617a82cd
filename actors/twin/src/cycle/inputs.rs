//! What a turn asks the forecaster, and when it asks for a new plan.

use crate::demand;
use crate::limits::{
    CONTEXT_LONG, CONTEXT_LONG_FROM, CONTEXT_SHORT, CONTEXT_STEPS_FIRST, CONTEXT_STEPS_MAX,
    PLAN_PERIOD,
};
use crate::state::TwinState;
use crate::stored::v1::TwinConfig;
use twinscale_protocol::forecaster::{
    ForecastRequest, ForecastSource, SeriesForecast, SeriesWindow,
};
use twinscale_protocol::optimizer::PlanTrigger;
use twinscale_protocol::policy::Mode;
use twinscale_protocol::provisioner::ObserveReply;
use twinscale_protocol::{DomainTime, Seconds, SeriesKey};

/// The start of the step that a moment lies in: the end of the last observed interval.
pub(super) fn issued_at(state: &TwinState, now: DomainTime) -> DomainTime {
    state
        .config()
        .map_or(now, |config| now.floor_to(config.interval))
}

/// Makes the request for fresh forecasts; `None` when the stack is served from no series.
pub fn forecast_request(state: &TwinState, now: DomainTime) -> Option<ForecastRequest> {
    let config = state.config()?;
    let issued_at = now.floor_to(config.interval);
    let series: Vec<SeriesWindow> = demand::demand_series(&config.stack)
        .into_iter()
        .map(|key| window(state, config, key, issued_at))
        .collect();
    let events = state
        .events()
        .iter()
        .filter(|event| event.known_from <= issued_at)
        .cloned()
        .collect();
    (!series.is_empty()).then(|| ForecastRequest {
        customer: state.customer().clone(),
        issued_at,
        interval: config.interval,
        horizon_steps: config.horizon_steps,
        series,
        events,
    })
}

/// Whether a fresh forecast of every series is committed for this moment already.
pub(super) fn has_fresh_forecast(state: &TwinState, now: DomainTime) -> bool {
    let (Some(config), Some(record)) = (state.config(), state.forecast()) else {
        return false;
    };
    record.issued_at == now.floor_to(config.interval)
        && demand::demand_series(&config.stack).iter().all(|key| {
            record.forecasts.iter().any(|forecast| {
                forecast.key == *key
                    && forecast.interval == config.interval
                    && forecast.source != ForecastSource::Stale
            })
        })
}

/// Whether the demand of the last interval lies outside the range from the lowest to the highest quantile
/// that was forecast for it, for any series that the stack is served from. Where a turn that was cut short
/// has stored the forecast of this moment already, it said so there.
pub fn is_surprised(state: &TwinState, now: DomainTime) -> bool {
    let (Some(config), Some(record)) = (state.config(), state.forecast()) else {
        return false;
    };
    let step = now.floor_to(config.interval);
    if record.issued_at == step {
        return record.surprised;
    }
    let last = step.minus(config.interval);
    demand::demand_series(&config.stack).iter().any(|key| {
        let forecast = record.forecasts.iter().find(|one| one.key == *key);
        forecast.is_some_and(|forecast| is_outside(state, forecast, last, config.interval))
    })
}

fn is_outside(
    state: &TwinState,
    forecast: &SeriesForecast,
    at: DomainTime,
    interval: Seconds,
) -> bool {
    let passed = at.seconds_since(forecast.first_step_at);
    let step = passed / i64::from(forecast.interval.0.max(1));
    let (Ok(step), true) = (usize::try_from(step), passed >= 0) else {
        return false;
    };
    let observed = state.interval_means(&forecast.key, at, interval, 1);
    let (Some(quantiles), Some(Some(value))) = (forecast.quantiles.get(step), observed.first())
    else {
        return false;
    };
    quantiles.first().is_some_and(|lowest| value < lowest)
        || quantiles.last().is_some_and(|highest| value > highest)
}

/// Why a new plan is due, if one is. Where planning is exact it is due in every step; where it is
/// searched for, every [`PLAN_PERIOD`], on a surprise, and when the policy or the stack changed.
pub fn plan_trigger(state: &TwinState, now: DomainTime, surprised: bool) -> Option<PlanTrigger> {
    let config = state.config()?;
    if config.policy.mode == Mode::Observe {
        return None;
    }
    let (Some(plan), Some((planned_at, config_version))) =
        (state.target_plan(), state.target_basis())
    else {
        return Some(PlanTrigger::First);
    };
    if config_version != state.config_version() {
        return Some(PlanTrigger::PolicyChange);
    }
    let step = now.floor_to(config.interval);
    if plan.first_step_at >= step {
        // Made for this step already, by a turn that was cut short.
        return None;
    }
    if surprised {
        return Some(PlanTrigger::Surprise);
    }
    let passed = step.seconds_since(plan.first_step_at) / i64::from(config.interval.0.max(1));
    // The step after the next must be planned too: what it needs is started before it begins.
    let runs_out = passed.saturating_add(2) >= i64::from(plan.steps);
    let is_old = now.seconds_since(planned_at) >= i64::from(PLAN_PERIOD.0);
    let is_exact = demand::is_exact(&config.policy, &config.stack);
    (runs_out || is_old || is_exact).then_some(PlanTrigger::Periodic)
}

/// Whether what a provider tells is what is committed already.
pub(super) fn is_known(state: &TwinState, seen: &ObserveReply) -> bool {
    let mut vms: Vec<_> = seen.allocation.vms.iter().collect();
    vms.sort_by_key(|one| one.vm);
    let observed = state.observed();
    let mut start_up: Vec<_> = seen.start_up.iter().collect();
    start_up.sort_by(|one, other| one.vm_type.cmp(&other.vm_type));
    vms.into_iter().eq(observed.vms.iter())
        && seen.allocation.volumes == observed.volumes
        && seen.allocation.link == observed.link
        && start_up.into_iter().eq(state.start_up().iter())
}

/// Steps until what is asked for now serves the series: the longest of the tiers that serve it.
fn lead_steps(state: &TwinState, config: &TwinConfig, key: &SeriesKey) -> u16 {
    let tiers = config.stack.tiers.iter();
    let lead = tiers
        .filter(|tier| tier.demand == *key)
        .map(|tier| state.lead(tier).0)
        .max()
        .unwrap_or(0);
    u16::try_from(lead.div_ceil(config.interval.0.max(1))).unwrap_or(u16::MAX)
}

fn window(
    state: &TwinState,
    config: &TwinConfig,
    key: SeriesKey,
    issued_at: DomainTime,
) -> SeriesWindow {
    let interval = config.interval;
    let length = i64::from(interval.0.max(1));
    let context = if interval >= CONTEXT_LONG_FROM {
        CONTEXT_LONG
    } else {
        CONTEXT_SHORT
    };
    let usual = usize::try_from(context.0 / interval.0.max(1)).unwrap_or(CONTEXT_STEPS_MAX);
    let wanted = if state.calibration(&key).is_empty() {
        CONTEXT_STEPS_FIRST
    } else {
        usual.clamp(1, CONTEXT_STEPS_MAX)
    };
    let wanted = i64::try_from(wanted).unwrap_or(1);
    // Nothing before the first sample is missing: there was nothing yet.
    let known = state.oldest_sample_at(&key).map_or(0, |oldest| {
        let known = issued_at.seconds_since(oldest.floor_to(interval));
        known.div_euclid(length).max(0)
    });
    let steps = wanted.min(known);
    let first_at = DomainTime(issued_at.0.saturating_sub(steps.saturating_mul(length)));
    let steps = usize::try_from(steps).unwrap_or(0);
    SeriesWindow {
        first_at,
        values: state.interval_means(&key, first_at, interval, steps),
        lead_steps: lead_steps(state, config, &key),
        calibration: state.calibration(&key).to_vec(),
        key,
    }
}
