//! Predicted beside measured. Pure.

use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_environment::flow::{FlowError, class_rates, flow_at};
use twinscale_environment::model::StackModel;
use twinscale_environment::simulation::{Measured, Outcome};
use twinscale_protocol::{RequestClassName, TierName};

/// A figure from both engines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What the discrete-event engine predicts.
    pub predicted: f64,
    /// How far a single run of this length may be from that by chance: half of an interval of 99 %, from the
    /// simulation's own runs.
    pub spread_99: f64,
    /// What was measured on the containers.
    pub measured: f64,
    /// Predicted less measured, over measured.
    pub relative_error: f64,
}

impl Figure {
    /// Sets a prediction over `runs` runs beside a measurement.
    pub fn new(predicted: Measured, runs: u32, measured: f64) -> Self {
        Self {
            predicted: predicted.value,
            spread_99: predicted.half_width_99 * f64::from(runs).sqrt(),
            measured,
            relative_error: (predicted.value - measured) / measured,
        }
    }

    /// Says whether chance alone may explain the difference.
    pub fn is_within_spread(&self) -> bool {
        (self.predicted - self.measured).abs() <= self.spread_99
    }
}

/// What a class met at one load; times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassRow {
    /// The class.
    pub class: RequestClassName,
    /// Requests per second that were planned.
    pub rate_per_s: f64,
    /// Requests that were counted.
    pub requests: u64,
    /// Those that failed or were refused.
    pub failed: u64,
    /// Share that is served.
    pub availability: Figure,
    /// Mean response time.
    pub mean: Figure,
    /// Response time of a half.
    pub p50: Figure,
    /// Response time of 95 %.
    pub p95: Figure,
    /// Response time of 99 %.
    pub p99: Figure,
}

/// What a tier did at one load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TierRow {
    /// The tier.
    pub tier: TierName,
    /// Share of its cores' time.
    pub utilisation: Figure,
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadRow {
    /// Utilisation of the bottleneck that was asked for.
    pub load: f64,
    /// How late requests were sent: the 99th percentile, in seconds.
    pub lag_p99_s: f64,
    /// Load average of the machine over the last minute, when the run ended.
    pub load_average: f64,
    /// Share of the machine's CPU time that went to others than the containers and idleness.
    pub other_share: f64,
    /// By class.
    pub classes: Vec<ClassRow>,
    /// By tier.
    pub tiers: Vec<TierRow>,
    /// Look-ups that found their answer over all look-ups; absent without any.
    pub hit_ratio: Option<f64>,
}

impl LoadRow {
    /// Says whether the generator was so late that the figures tell of the machine and not of the stack: one request
    /// in a hundred by more than half of the requests of some class take.
    pub fn is_late(&self) -> bool {
        let p50s = self.classes.iter().map(|class| class.p50.measured);
        self.lag_p99_s > p50s.fold(f64::INFINITY, f64::min)
    }
}

/// Scales the stated rates so that the most used tier is used to `load`.
///
/// # Errors
/// When the model has no flow.
pub fn rates_at(
    model: &StackModel,
    load: f64,
) -> Result<BTreeMap<RequestClassName, f64>, FlowError> {
    let rates = class_rates(model)?;
    let flow = flow_at(model, rates.clone())?;
    let used = flow.tiers.values().map(|tier| tier.utilisation_max);
    let factor = load / used.fold(f64::MIN_POSITIVE, f64::max);
    Ok(rates
        .into_iter()
        .map(|(class, rate)| (class, rate * factor))
        .collect())
}

/// What was measured at a load, before it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) load: f64,
    pub(crate) rates: BTreeMap<RequestClassName, f64>,
    pub(crate) outcome: crate::load::LoadOutcome,
    /// By tier: share of its cores' time.
    pub(crate) utilisations: BTreeMap<TierName, f64>,
    pub(crate) load_average: f64,
    pub(crate) other_share: f64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Seen {
    /// Sets it beside a prediction.
    pub(crate) fn beside(&self, predicted: &Outcome) -> LoadRow {
        let runs = predicted.replications;
        let classes = predicted.classes.iter().filter_map(|class| {
            let seen = self
                .outcome
                .classes
                .iter()
                .find(|seen| seen.class == class.class)?;
            let figure = |predicted, measured| Figure::new(predicted, runs, measured);
            let quantile = |level| seen.responses.quantile(level);
            Some(ClassRow {
                class: class.class.clone(),
                rate_per_s: self.rates.get(&class.class).copied().unwrap_or(0.0),
                requests: seen.sent,
                failed: seen.failed,
                availability: figure(class.availability, seen.served as f64 / seen.sent as f64),
                mean: figure(class.mean_response_s, seen.sum_s / seen.served as f64),
                p50: figure(class.p50_response_s, quantile(0.5)),
                p95: figure(class.p95_response_s, quantile(0.95)),
                p99: figure(class.p99_response_s, quantile(0.99)),
            })
        });
        let tiers = predicted.tiers.iter().filter_map(|tier| {
            let measured = self.utilisations.get(&tier.tier)?;
            Some(TierRow {
                tier: tier.tier.clone(),
                utilisation: Figure::new(tier.utilisation, runs, *measured),
            })
        });
        let looked_up = self.hits + self.misses;
        LoadRow {
            load: self.load,
            lag_p99_s: self.outcome.lag.quantile(0.99),
            load_average: self.load_average,
            other_share: self.other_share,
            classes: classes.collect(),
            tiers: tiers.collect(),
            hit_ratio: (looked_up > 0).then(|| self.hits as f64 / looked_up as f64),
        }
    }
}
