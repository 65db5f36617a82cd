//! The report for programs: versioned, and the same bytes for the same run.

use super::input::{Contest, CustomerReport, ReportInput, Score, TierReport};
use serde::Serialize;

/// Name and version of the format.
pub const REPORT_FORMAT: &str = "twinscale-report/1";

#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    title: &'a str,
    seed: u64,
    total: Scores,
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

#[derive(Serialize)]
struct Scores {
    twinscale: Row,
    reactive: Row,
    static_peak: Row,
    perfect_foresight: Row,
}

/// Money and time are whole numbers; shares and VM-hours are rounded to millionths.
#[derive(Serialize)]
struct Row {
    cost_micro_dollars: i64,
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
    Scores {
        twinscale: row(&contest.twinscale),
        reactive: row(&contest.reactive),
        static_peak: row(&contest.static_peak),
        perfect_foresight: row(&contest.foresight),
    }
}

fn row(score: &Score) -> Row {
    Row {
        cost_micro_dollars: score.cost.0,
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

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
