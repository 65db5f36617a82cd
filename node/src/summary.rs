//! From a replay to the report's input.

use crate::replay::{Replayed, StepRecord, StepSink};
use crate::report::{
    AssumedPrice, CustomerReport, ReportInput, Restart, SourceNote, TierPoint, TierReport,
};
use crate::score::score_tier;
use crate::workload::ReplayCustomer;
use std::collections::BTreeSet;
use twinscale_cluster_config::assumed_prices;
use twinscale_protocol::metric;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{FixedValue, Quantiles, Seconds};

/// Indices of the quantiles .05, .5 and .95 that a report draws.
const DRAWN: [usize; 3] = [0, 3, 6];

/// The first step of each forecast, per customer, tier and step: the range that a report draws.
#[derive(Clone, Debug, Default)]
pub struct FirstSteps {
    by_customer: Vec<Vec<Vec<Option<[FixedValue; 3]>>>>,
}

/// What a report says besides the customers.
#[derive(Clone, Debug)]
pub struct ReportFrame<'a> {
    /// Its title.
    pub title: &'a str,
    /// The seed of the run.
    pub seed: u64,
    /// Start-up time of the rivals' VMs: the provider's median, which is kinder to them than the p95
    /// that Twinscale plans with.
    pub rival_start_up: Seconds,
    /// The step at which the forecaster was killed, if it was.
    pub killed_at: Option<usize>,
    /// Further sentences.
    pub notes: Vec<String>,
}

impl StepSink for FirstSteps {
    fn step(
        &mut self,
        index: usize,
        customer: &ReplayCustomer,
        step: usize,
        record: &StepRecord,
    ) -> anyhow::Result<()> {
        if step < customer.scored_from {
            return Ok(());
        }
        if self.by_customer.len() <= index {
            self.by_customer.resize(index + 1, Vec::new());
        }
        if let Some(steps) = self.by_customer.get_mut(index) {
            steps.push(
                customer
                    .stack
                    .tiers
                    .iter()
                    .map(|tier| drawn(tier, record))
                    .collect(),
            );
        }
        Ok(())
    }
}

/// The quantiles of the step at `record.at`, by the newest forecast.
fn drawn(tier: &Tier, record: &StepRecord) -> Option<[FixedValue; 3]> {
    let forecasts = &record.forecast.as_ref()?.forecasts;
    let forecast = forecasts
        .iter()
        .find(|forecast| forecast.key == tier.demand)?;
    let ahead =
        record.at.seconds_since(forecast.first_step_at) / i64::from(forecast.interval.0.max(1));
    let quantiles: &Quantiles = forecast.quantiles.get(usize::try_from(ahead).ok()?)?;
    let [low, median, high] = DRAWN;
    Some([
        *quantiles.get(low)?,
        *quantiles.get(median)?,
        *quantiles.get(high)?,
    ])
}

/// Fills the report's input.
#[must_use]
pub fn report_input(
    customers: &[ReplayCustomer],
    replayed: &Replayed,
    first_steps: &FirstSteps,
    frame: &ReportFrame<'_>,
) -> ReportInput {
    let reports = customers.iter().zip(&replayed.customers).enumerate();
    let mut notes = frame.notes.clone();
    for (one, outcome) in customers.iter().zip(&replayed.customers) {
        for (failure, turns) in &outcome.failures {
            notes.push(format!("{}: {failure} ({turns} turns)", one.customer));
        }
    }
    ReportInput {
        title: frame.title.to_owned(),
        seed: frame.seed,
        customers: reports
            .map(|(index, (one, outcome))| {
                let ranges = first_steps.by_customer.get(index);
                CustomerReport {
                    customer: one.customer.clone(),
                    start: one.scored_start(),
                    interval: one.interval,
                    tiers: one
                        .stack
                        .tiers
                        .iter()
                        .enumerate()
                        .map(|(tier, spec)| {
                            let range = |step: usize| *ranges?.get(step)?.get(tier)?;
                            tier_report(one, spec, &outcome.vms, frame, range)
                        })
                        .collect(),
                    events: events_within(one),
                    restarts: restarts(one, frame),
                    assumed_prices: assumed(one),
                }
            })
            .collect(),
        sources: sources(customers),
        notes,
    }
}

fn tier_report(
    one: &ReplayCustomer,
    tier: &Tier,
    vms: &crate::score::LedgerVms,
    frame: &ReportFrame<'_>,
    range: impl Fn(usize) -> Option<[FixedValue; 3]>,
) -> TierReport {
    let outcomes = score_tier(one, tier, vms, frame.rival_start_up);
    let series = one.trace.series.get(&tier.demand);
    let demand = series
        .map(|series| series.grid(one.scored_start(), one.end()))
        .unwrap_or_default();
    let at = |serving: &[FixedValue], step: usize| serving.get(step).copied().unwrap_or_default();
    let points = demand
        .into_iter()
        .enumerate()
        .map(|(step, demand)| TierPoint {
            demand,
            forecast: range(step),
            supply: at(&outcomes.twinscale.serving, step),
            supply_reactive: at(&outcomes.reactive.serving, step),
        });
    TierReport {
        tier: tier.name.clone(),
        demand: tier.demand.clone(),
        unit: metric::find(&tier.demand.metric)
            .map(|spec| spec.unit.to_owned())
            .unwrap_or_default(),
        points: points.collect(),
        outcomes,
    }
}

fn events_within(one: &ReplayCustomer) -> Vec<twinscale_protocol::Event> {
    let (start, end) = (one.scored_start(), one.end());
    one.events
        .iter()
        .filter(|event| event.start < end && event.end > start)
        .cloned()
        .collect()
}

fn restarts(one: &ReplayCustomer, frame: &ReportFrame<'_>) -> Vec<Restart> {
    let killed = frame
        .killed_at
        .filter(|step| (one.scored_from..one.steps.len()).contains(step));
    killed
        .map(|step| Restart {
            at: one.step_at(step),
            actor: "forecaster".to_owned(),
        })
        .into_iter()
        .collect()
}

fn assumed(one: &ReplayCustomer) -> Vec<AssumedPrice> {
    let assumed = assumed_prices(&one.stack).into_iter();
    assumed
        .map(|option| AssumedPrice {
            vm_type: option.vm_type.clone(),
            price_per_hour: option.price_per_hour,
        })
        .collect()
}

fn sources(customers: &[ReplayCustomer]) -> Vec<SourceNote> {
    let notes: BTreeSet<SourceNote> = customers
        .iter()
        .filter_map(|one| one.origin.as_ref())
        .map(|origin| SourceNote {
            dataset: origin.dataset.clone(),
            attribution: origin.attribution.clone(),
            licence: origin.licence.clone(),
        })
        .collect();
    notes.into_iter().collect()
}
