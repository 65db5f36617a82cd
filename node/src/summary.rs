//! From a replay to the report's input.

use crate::replay::{Replayed, ReplayedCustomer, StepRecord, StepSink};
use crate::report::{
    AssumedPrice, Contender, Contest, CustomerReport, FrontierPoint, MissTally, ReportInput,
    Restart, SourceNote, TierPoint, TierReport,
};
use crate::rivals::{Outcome, ReactiveSettings};
use crate::score::{
    KnobScore, MeanPoint, TierScores, add_sweep, score_extras, score_own, score_tier,
};
use crate::workload::ReplayCustomer;
use std::collections::BTreeSet;
use twinscale_cluster_config::assumed_prices;
use twinscale_protocol::metric;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::twin::Miss;
use twinscale_protocol::{FixedValue, Quantiles, Seconds};

/// Indices of the quantiles .05, .5 and .95 that a report draws.
const DRAWN: [usize; 3] = [0, 3, 6];

/// What a report needs of each step: the range of the first step of each forecast, and the misses.
#[derive(Clone, Debug, Default)]
pub struct FirstSteps {
    by_customer: Vec<CustomerSteps>,
}

#[derive(Clone, Debug, Default)]
struct CustomerSteps {
    /// By step and tier.
    ranges: Vec<Vec<Option<[FixedValue; 3]>>>,
    misses: MissTally,
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
        if self.by_customer.len() <= index {
            self.by_customer.resize(index + 1, CustomerSteps::default());
        }
        let Some(steps) = self.by_customer.get_mut(index) else {
            return Ok(());
        };
        add_scored(&mut steps.misses, customer, &record.misses);
        if step >= customer.scored_from {
            let tiers = customer.stack.tiers.iter();
            steps
                .ranges
                .push(tiers.map(|tier| drawn(tier, record)).collect());
        }
        Ok(())
    }
}

/// Adds the misses that lie in the scored part.
fn add_scored(tally: &mut MissTally, customer: &ReplayCustomer, misses: &[Miss]) {
    let start = customer.scored_start();
    for miss in misses.iter().filter(|miss| miss.step_at >= start) {
        tally.add(miss);
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
    let mut notes = frame.notes.clone();
    let mut points = Frontier::default();
    let mut reports = Vec::with_capacity(customers.len());
    for (index, (one, outcome)) in customers.iter().zip(&replayed.customers).enumerate() {
        for (failure, turns) in &outcome.failures {
            notes.push(format!("{}: {failure} ({turns} turns)", one.customer));
        }
        let steps = first_steps.by_customer.get(index);
        let (report, sweep) = customer_report(one, outcome, steps, frame);
        points.add(&report, &sweep);
        reports.push(report);
    }
    ReportInput {
        title: frame.title.to_owned(),
        seed: frame.seed,
        customers: reports,
        frontier: points.into_points(),
        sources: sources(customers),
        notes,
    }
}

/// Makes a further point of Twinscale's frontier: a replay under another price, beside the report of the
/// first.
#[must_use]
pub fn price_point(
    customers: &[ReplayCustomer],
    replayed: &Replayed,
    report: &ReportInput,
    price: f64,
) -> Option<FrontierPoint> {
    let mut mean = MeanPoint::default();
    let found = customers.iter().zip(&replayed.customers);
    for ((one, outcome), shown) in found.zip(&report.customers) {
        let own = score_own(one, &outcome.vms).with_extras(outcome.storage_and_link);
        mean.add(&own, &shown.scores().foresight);
    }
    mean.point(Contender::Twinscale, Some(price), false)
}

/// The points of all contenders while the customers are added.
#[derive(Debug, Default)]
struct Frontier {
    own: MeanPoint,
    rivals: Vec<(Contender, f64, MeanPoint)>,
}

impl Frontier {
    fn add(&mut self, report: &CustomerReport, sweep: &[KnobScore]) {
        let scores = report.scores();
        self.own.add(&scores.twinscale, &scores.foresight);
        if self.rivals.is_empty() {
            let knobs = sweep.iter();
            self.rivals = knobs
                .map(|one| (one.contender, one.knob, MeanPoint::default()))
                .collect();
        }
        for ((contender, _, mean), one) in self.rivals.iter_mut().zip(sweep) {
            let extras = *report.extras.get(*contender);
            mean.add(&one.score.with_extras(extras), &scores.foresight);
        }
    }

    fn into_points(self) -> Vec<FrontierPoint> {
        let own = self.own.point(Contender::Twinscale, None, true);
        let target = ReactiveSettings::default().target;
        let rivals = self
            .rivals
            .into_iter()
            .filter_map(|(contender, knob, mean)| {
                let shown = if contender == Contender::StaticPeak {
                    1.0
                } else {
                    target
                };
                mean.point(contender, Some(knob), (knob - shown).abs() < 1e-9)
            });
        own.into_iter().chain(rivals).collect()
    }
}

fn customer_report(
    one: &ReplayCustomer,
    outcome: &ReplayedCustomer,
    steps: Option<&CustomerSteps>,
    frame: &ReportFrame<'_>,
) -> (CustomerReport, Vec<KnobScore>) {
    let mut sweep: Vec<KnobScore> = Vec::new();
    let mut tiers = Vec::with_capacity(one.stack.tiers.len());
    for (tier, spec) in one.stack.tiers.iter().enumerate() {
        let range = |step: usize| *steps?.ranges.get(step)?.get(tier)?;
        let scores = score_tier(one, spec, &outcome.vms, frame.rival_start_up);
        let TierScores {
            outcomes,
            sweep: of_tier,
        } = scores;
        add_sweep(&mut sweep, of_tier);
        tiers.push(tier_report(one, spec, outcomes, range));
    }
    let mut misses = steps.map(|steps| steps.misses.clone()).unwrap_or_default();
    add_scored(&mut misses, one, &outcome.last_misses);
    let report = CustomerReport {
        customer: one.customer.clone(),
        start: one.scored_start(),
        interval: one.interval,
        tiers,
        extras: score_extras(one, outcome),
        misses,
        events: events_within(one),
        restarts: restarts(one, frame),
        assumed_prices: assumed(one),
    };
    (report, sweep)
}

fn tier_report(
    one: &ReplayCustomer,
    tier: &Tier,
    mut outcomes: Contest<Outcome>,
    range: impl Fn(usize) -> Option<[FixedValue; 3]>,
) -> TierReport {
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
        })
        .collect();
    // The points hold what is drawn of them.
    outcomes = outcomes.map(|outcome| Outcome {
        serving: Vec::new(),
        ..outcome.clone()
    });
    TierReport {
        tier: tier.name.clone(),
        demand: tier.demand.clone(),
        unit: metric::find(&tier.demand.metric)
            .map(|spec| spec.unit.to_owned())
            .unwrap_or_default(),
        points,
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
