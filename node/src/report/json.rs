//! The report for programs: versioned, and the same bytes for the same run.

use super::contest::{Contender, Contest, Score};
use super::input::{CustomerReport, FrontierPoint, ReportInput, TierReport};
use super::tally::{Blame, MissTally, reason};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use twinscale_protocol::twin::{ByCause, Miss, MissCause, Unserved};

/// Name and version of the format.
pub const REPORT_FORMAT: &str = "twinscale-report/2";

#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    title: &'a str,
    seed: u64,
    total: Scores,
    misses: Misses<'a>,
    frontier: Vec<Point>,
    customers: Vec<CustomerEntry<'a>>,
    assumed_prices: Vec<Price<'a>>,
    sources: Vec<Source<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct CustomerEntry<'a> {
    customer: &'a str,
    start: i64,
    interval_s: u32,
    steps: usize,
    total: Scores,
    misses: Misses<'a>,
    tiers: Vec<TierEntry<'a>>,
    events: usize,
    restarts: Vec<RestartRow<'a>>,
}

#[derive(Serialize)]
struct TierEntry<'a> {
    tier: &'a str,
    demand: String,
    unit: &'a str,
    scores: Scores,
}

/// One row per contender, under its key.
struct Scores(Contest<Row>);

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Contender::ALL.len()))?;
        for contender in Contender::ALL {
            map.serialize_entry(contender.key(), self.0.get(contender))?;
        }
        map.end()
    }
}

/// What Twinscale left unserved, by cause.
#[derive(Serialize)]
struct Misses<'a> {
    missed_steps: u64,
    unserved_vm_hours: f64,
    money_micro_dollars: i64,
    causes: ByCause<CauseRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    largest: Vec<MissRow<'a>>,
}

#[derive(Serialize)]
struct CauseRow {
    unserved_vm_hours: f64,
    money_micro_dollars: i64,
    /// Missed steps in which it has the largest part.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
}

#[derive(Serialize)]
struct MissRow<'a> {
    tier: &'a str,
    step_at: i64,
    demand: f64,
    served: f64,
    short_seconds: u32,
    unserved_vm_hours: f64,
    money_micro_dollars: i64,
    causes: ByCause<CauseRow>,
    reason: String,
}

/// A setting of a contender's knob.
#[derive(Serialize)]
struct Point {
    contender: &'static str,
    knob: Option<f64>,
    shown: bool,
    cost_ratio: f64,
    under_share: f64,
    unserved_share: f64,
}

/// Money and time are whole numbers; shares and VM-hours are rounded to millionths.
#[derive(Serialize)]
struct Row {
    cost_micro_dollars: i64,
    storage_and_link_micro_dollars: i64,
    billed_vm_hours: f64,
    demand_vm_hours: f64,
    unserved_vm_hours: f64,
    unserved_share: f64,
    observed_seconds: u64,
    under_seconds: u64,
    under_share: f64,
    starts: u64,
}

#[derive(Serialize)]
struct RestartRow<'a> {
    at: i64,
    actor: &'a str,
}

#[derive(Serialize)]
struct Price<'a> {
    vm_type: &'a str,
    price_per_hour_micro_dollars: i64,
}

#[derive(Serialize)]
struct Source<'a> {
    dataset: &'a str,
    attribution: &'a str,
    licence: &'a str,
}

/// Writes the report as JSON: no wall times, paths, thread counts or memory in it.
///
/// # Errors
/// What the JSON writer says; with finite numbers it says nothing.
pub fn report_json(input: &ReportInput) -> Result<String, serde_json::Error> {
    let report = Report {
        format: REPORT_FORMAT,
        title: &input.title,
        seed: input.seed,
        total: scores(&input.scores()),
        misses: sums(&input.blame(), Vec::new()),
        frontier: input.frontier.iter().map(point).collect(),
        customers: input.customers.iter().map(customer).collect(),
        assumed_prices: input
            .assumed_prices()
            .into_iter()
            .map(|price| Price {
                vm_type: price.vm_type.as_str(),
                price_per_hour_micro_dollars: price.price_per_hour.0,
            })
            .collect(),
        sources: input
            .sources
            .iter()
            .map(|source| Source {
                dataset: &source.dataset,
                attribution: &source.attribution,
                licence: &source.licence,
            })
            .collect(),
        notes: &input.notes,
    };
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    Ok(text)
}

fn customer(customer: &CustomerReport) -> CustomerEntry<'_> {
    CustomerEntry {
        customer: customer.customer.as_str(),
        start: customer.start.0,
        interval_s: customer.interval.0,
        steps: customer
            .tiers
            .iter()
            .map(|tier| tier.points.len())
            .max()
            .unwrap_or_default(),
        total: scores(&customer.scores()),
        misses: misses(&customer.misses),
        tiers: customer.tiers.iter().map(tier).collect(),
        events: customer.events.len(),
        restarts: customer
            .restarts
            .iter()
            .map(|restart| RestartRow {
                at: restart.at.0,
                actor: &restart.actor,
            })
            .collect(),
    }
}

fn tier(tier: &TierReport) -> TierEntry<'_> {
    TierEntry {
        tier: tier.tier.as_str(),
        demand: tier.demand.to_string(),
        unit: &tier.unit,
        scores: scores(&tier.scores()),
    }
}

fn scores(contest: &Contest<Score>) -> Scores {
    Scores(contest.map(row))
}

fn row(score: &Score) -> Row {
    Row {
        cost_micro_dollars: score.cost.0,
        storage_and_link_micro_dollars: score.storage_and_link.0,
        billed_vm_hours: rounded(score.billed_vm_hours),
        demand_vm_hours: rounded(score.demand_vm_hours),
        unserved_vm_hours: rounded(score.unserved_vm_hours),
        unserved_share: rounded(score.unserved_share()),
        observed_seconds: score.observed_seconds,
        under_seconds: score.under_seconds,
        under_share: rounded(score.under_share()),
        starts: score.starts,
    }
}

fn misses(tally: &MissTally) -> Misses<'_> {
    let largest = tally.largest().into_iter().map(miss).collect();
    sums(&tally.blame(), largest)
}

fn sums<'a>(blame: &Blame, largest: Vec<MissRow<'a>>) -> Misses<'a> {
    let total = blame.causes.total();
    Misses {
        missed_steps: blame.missed_steps,
        unserved_vm_hours: vm_hours(total),
        money_micro_dollars: total.money.0,
        causes: rows(&blame.causes, |cause| Some(*blame.steps.get(cause))),
        largest,
    }
}

fn rows(causes: &ByCause<Unserved>, steps: impl Fn(MissCause) -> Option<u64>) -> ByCause<CauseRow> {
    ByCause::of(|cause| CauseRow {
        unserved_vm_hours: vm_hours(*causes.get(cause)),
        money_micro_dollars: causes.get(cause).money.0,
        steps: steps(cause),
    })
}

fn miss(miss: &Miss) -> MissRow<'_> {
    let total = miss.causes.total();
    MissRow {
        tier: miss.tier.as_str(),
        step_at: miss.step_at.0,
        demand: miss.demand.units(),
        served: miss.served.units(),
        short_seconds: miss.short.0,
        unserved_vm_hours: vm_hours(total),
        money_micro_dollars: total.money.0,
        causes: rows(&miss.causes, |_| None),
        reason: reason(miss),
    }
}

fn vm_hours(part: Unserved) -> f64 {
    rounded(part.vm_seconds.units() / 3_600.0)
}

fn point(point: &FrontierPoint) -> Point {
    Point {
        contender: point.contender.key(),
        knob: point.knob,
        shown: point.is_shown,
        cost_ratio: rounded(point.cost_ratio),
        under_share: rounded(point.under_share),
        unserved_share: rounded(point.unserved_share),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
