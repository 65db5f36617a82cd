//! Fingerprints, siblings and what a borrowed profile is worth on the sample traces.

mod samples;

use samples::{Trace, traces};
use std::collections::BTreeMap;
use twinscale_patterns::{
    BorrowedProfile, Candidate, Fingerprint, Grid, PROFILE_LEVELS, borrowed_profile, siblings,
};

/// Siblings that lend.
const LENDERS: usize = 5;

/// Hours that are judged after the young history.
const JUDGED: usize = 7 * 24;

/// What names of series have in common that lend nothing to each other.
type Owner = fn(&str) -> &str;

fn customer(name: &str) -> &str {
    name.split('/').next().expect("a customer")
}

/// The data set a customer was cut from.
fn source(name: &str) -> &str {
    let customer = customer(name);
    customer.split('-').next().unwrap_or(customer)
}

fn pinball(level: f64, truth: f64, forecast: f64) -> f64 {
    let away = truth - forecast;
    (level * away).max((level - 1.0) * away)
}

/// wQL of quantiles by hour: twice the mean pinball loss over the mean of what was.
fn loss(truths: &[Option<f64>], forecast: impl Fn(usize) -> Option<[f64; 5]>) -> Option<f64> {
    let mut total = 0.0;
    let mut size = 0.0;
    for (hour, truth) in truths.iter().enumerate() {
        let Some(truth) = *truth else { continue };
        let quantiles = forecast(hour)?;
        for (level, value) in PROFILE_LEVELS.iter().zip(quantiles) {
            total += pinball(*level, truth, value);
        }
        size += truth;
    }
    (size > 0.0).then(|| 2.0 * total / (5.0 * size))
}

/// The value of the same hour of the last day that has one, at all quantiles.
fn naive(history: &[Option<f64>], hour: usize) -> Option<[f64; 5]> {
    let same = (0..history.len()).rev().find(|at| {
        let ahead = history.len() + hour - at;
        ahead.is_multiple_of(24) && history[*at].is_some()
    });
    let last = history.iter().rev().flatten().next().copied();
    same.and_then(|at| history[at])
        .or(last)
        .map(|value| [value; 5])
}

/// What the median alone is worth.
fn only_middle(quantiles: [f64; 5]) -> [f64; 5] {
    [quantiles[2]; 5]
}

/// Losses of one start: borrowed, borrowed median alone, naive.
fn start_losses(
    trace: &Trace,
    from: usize,
    days: usize,
    lenders: &[Candidate],
) -> Option<[f64; 3]> {
    let (first_s, values) = trace.values();
    let end = from + days * 24;
    let history = values.get(from..end)?;
    let truths = values.get(end..end + JUDGED)?;
    let start_s = first_s + 3_600 * i64::try_from(from).expect("small");
    let young = Grid::new(start_s, 3_600, history).ok()?;
    let near = siblings(&Fingerprint::of(&young), lenders, LENDERS);
    let profile: BorrowedProfile = borrowed_profile(&near)?;
    let fitted = profile.fitted_to(&young)?;
    let at_s = |hour: usize| start_s + 3_600 * i64::try_from(days * 24 + hour).expect("small");
    Some([
        loss(truths, |hour| fitted.quantiles(at_s(hour)))?,
        loss(truths, |hour| fitted.quantiles(at_s(hour)).map(only_middle))?,
        loss(truths, |hour| naive(history, hour))?,
    ])
}

/// Mean losses over starts on all weekdays, three weeks and a day apart.
fn trace_losses(trace: &Trace, days: usize, all: &[Candidate], owner: Owner) -> Option<[f64; 3]> {
    let others = all
        .iter()
        .filter(|one| owner(&one.name) != owner(&trace.name));
    let lenders: Vec<Candidate> = others.cloned().collect();
    let (_, values) = trace.values();
    let found: Vec<[f64; 3]> = (0..values.len())
        .step_by(22 * 24)
        .filter_map(|from| start_losses(trace, from, days, &lenders))
        .collect();
    let mean = |at: usize| found.iter().map(|loss| loss[at]).sum::<f64>() / found.len() as f64;
    (!found.is_empty()).then(|| [mean(0), mean(1), mean(2)])
}

#[test]
fn a_borrowed_profile_beats_what_a_young_series_has() {
    let traces = traces();
    let all: Vec<Candidate> = traces
        .iter()
        .map(|trace| Candidate::of(trace.name.clone(), &trace.grid()))
        .collect();
    let leave_out: [(&str, Owner); 2] = [("customer", customer), ("source", source)];
    for (days, (what, owner)) in [1, 3]
        .into_iter()
        .flat_map(|days| leave_out.map(|one| (days, one)))
    {
        let losses: Vec<[f64; 3]> = traces
            .iter()
            .filter_map(|trace| trace_losses(trace, days, &all, owner))
            .collect();
        let median = |of: fn(&[f64; 3]) -> f64| {
            let mut list: Vec<f64> = losses.iter().map(of).collect();
            list.sort_unstable_by(f64::total_cmp);
            list[list.len() / 2]
        };
        let ratio = median(|loss| loss[0] / loss[2]);
        println!(
            "{days} days, {what} left out, {} series: wQL borrowed {:.3}, its median alone {:.3}, \
             daily naive {:.3}; ratio {ratio:.3}, better in {}",
            losses.len(),
            median(|loss| loss[0]),
            median(|loss| loss[1]),
            median(|loss| loss[2]),
            losses.iter().filter(|loss| loss[0] < loss[2]).count(),
        );
        assert!(ratio < 1.0, "{days} days, {what} left out: {ratio}");
    }
}

#[test]
fn young_series_find_their_own() {
    let traces = traces();
    let all: Vec<Candidate> = traces
        .iter()
        .map(|trace| Candidate::of(trace.name.clone(), &trace.grid()))
        .collect();
    // A Wednesday of the taxi's finds the taxi's whole history nearest; weekday requests find their like.
    for (name, wanted) in [
        ("nyctaxi/web/requests", &["nyctaxi"][..]),
        ("appserver/cluster4/requests", &["appserver"][..]),
        ("snowflake-r1-ab/typeB/vm_count", &["snowflake"][..]),
    ] {
        let trace = traces
            .iter()
            .find(|trace| trace.name == name)
            .expect("a trace");
        let (start_s, values) = trace.values();
        let from = 30 * 24;
        let young =
            Grid::new(start_s + 30 * 86_400, 3_600, &values[from..from + 24]).expect("a day");
        let near = siblings(&Fingerprint::of(&young), &all, 3);
        let owners: Vec<&str> = near.iter().map(|one| source(&one.candidate.name)).collect();
        for one in &near {
            println!("{name}: {}", one.reason());
            assert!(one.reason().contains("distance"));
        }
        assert!(wanted.contains(&owners[0]), "{name}: {owners:?}");
    }
}

#[test]
fn a_fingerprint_has_no_unit_and_survives_storage() {
    let mut seen: BTreeMap<String, Fingerprint> = BTreeMap::new();
    for trace in traces() {
        let (start_s, values) = trace.values();
        let print = Fingerprint::of(&trace.grid());
        let scaled: Vec<Option<f64>> = values.iter().map(|v| v.map(|v| 1_000.0 * v)).collect();
        let other = Fingerprint::of(&Grid::new(start_s, 3_600, &scaled).expect("a series"));
        let away = print.distance(&other).expect("comparable").distance;
        assert!(away < 1e-9, "{}: {away}", trace.name);
        let text = serde_json::to_string(&print).expect("json");
        let again: Fingerprint = serde_json::from_str(&text).expect("the same form");
        assert_eq!(again, print);
        seen.insert(trace.name, print);
    }
    // Distances are symmetric, and never above 1.
    for one in seen.values() {
        for other in seen.values() {
            let there = one.distance(other).expect("comparable");
            let back = other.distance(one).expect("comparable");
            assert!((there.distance - back.distance).abs() < 1e-12);
            assert!((0.0..=1.0).contains(&there.distance));
        }
    }
    let mut old = seen.values().next().expect("one").clone();
    old.version = 0;
    assert_eq!(seen.values().next().expect("one").distance(&old), None);
}
