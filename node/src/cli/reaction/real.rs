//! Real traces with dated events: what a reaction learns before a cut, and what it predicts behind it.

use super::super::table::Table;
use super::CheckArguments;
use crate::error::ExpectedError;
use crate::progress::Progress;
use serde::Serialize;
use std::collections::BTreeMap;
use twinscale_forecaster::bench::files::{LoadedSeries, events_of, read_known_events, read_series};
use twinscale_forecaster::bench::protocol::read_protocol;
use twinscale_patterns::{Detail, Grid, KnownEvent, SAMPLES_MAX, find};
use twinscale_protocol::{Event, EventKind};
use twinscale_reaction::drivers::Span;
use twinscale_reaction::effect::SharedEffect;
use twinscale_reaction::evaluate::{
    Interval, Score, advantage, cut_of, learned_effects, score, shared_effects,
};
use twinscale_reaction::history::{History, Observed, STEPS_MAX};

/// Predictions are made a day ahead: what an event does is asked before it comes.
const AHEAD_S: u32 = 86_400;

/// One series' scores on steps of events behind the cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    dataset: String,
    series: String,
    /// Events behind the cut.
    events: usize,
    /// With the customer's own scales.
    own: Score,
    /// By the shared model alone.
    shared: Score,
    /// By what patterns have learned before the cut.
    patterns: Score,
}

/// All scores, by set and together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    rows: Vec<Row>,
    /// By set, and of all sets: share of the error that goes away, own, shared, patterns.
    sets: BTreeMap<String, [Option<Interval>; 3]>,
}

pub(super) fn rows(
    arguments: &CheckArguments,
    shared: &dyn SharedEffect,
    quiet: bool,
) -> anyhow::Result<Vec<Row>> {
    let unusable = |error: &dyn std::fmt::Display| {
        ExpectedError::input_hint(error.to_string(), "check --data")
    };
    let protocol = read_protocol(&arguments.data).map_err(|error| unusable(&error))?;
    let events = read_known_events(&arguments.data.join("events.csv"));
    let events = events.map_err(|error| unusable(&error))?;
    let wanted = |name: &String| {
        let is_named = arguments.dataset.is_empty() || arguments.dataset.contains(name);
        is_named && events.iter().any(|event| event.dataset == *name)
    };
    let names: Vec<&String> = protocol.keys().filter(|name| wanted(name)).collect();
    let progress = Progress::start("checking", names.len() as u64, quiet);
    let mut rows = Vec::new();
    for (done, name) in names.into_iter().enumerate() {
        progress.at(done as u64);
        progress.note(name.clone());
        let interval_s = protocol[name].interval_s;
        let file = arguments
            .data
            .join(&arguments.split)
            .join(format!("{name}.csv.gz"));
        for series in read_series(&file, interval_s).map_err(|error| unusable(&error))? {
            let events = events_of(&events, name, &series.id);
            rows.extend(row(name, &series, &events, shared)?);
        }
    }
    Ok(rows)
}

/// A series' row; none without an event on either side of the cut.
fn row(
    dataset: &str,
    series: &LoadedSeries,
    events: &[Event],
    shared: &dyn SharedEffect,
) -> anyhow::Result<Option<Row>> {
    let surplus = series
        .values
        .len()
        .saturating_sub(STEPS_MAX.min(SAMPLES_MAX));
    let moved_s = i64::try_from(surplus)? * i64::from(series.interval_s);
    let known = events
        .iter()
        .filter(|event| event.kind != EventKind::Incident);
    let history = History::new(Observed {
        start_s: series.start_s + moved_s,
        interval_s: series.interval_s,
        demand: series.values[surplus..].to_vec(),
        events: known.clone().map(Span::from).collect(),
        ..Observed::default()
    });
    // An idle or negative series has no logarithm to learn from.
    let Ok(history) = history else {
        return Ok(None);
    };
    let cut = cut_of(&history);
    let cut_s = history.time_s(cut);
    let end_s = history.time_s(history.steps());
    let behind = known
        .clone()
        .filter(|event| event.start.0 >= cut_s && event.start.0 < end_s);
    let before = known
        .clone()
        .any(|event| event.end.0 <= cut_s && event.end.0 > series.start_s);
    let behind: Vec<Span> = behind.map(Span::from).collect();
    if behind.is_empty() || !before {
        return Ok(None);
    }
    let is_judged = |step: usize| {
        let at = history.time_s(step);
        behind
            .iter()
            .any(|event| event.start_s <= at && event.end_s > at)
    };
    let ahead = (AHEAD_S / series.interval_s.max(1)).max(1) as usize;
    let scored = |effects: &[f64]| score(&history, effects, (cut, ahead), &is_judged);
    let found = Row {
        dataset: dataset.to_owned(),
        series: series.id.clone(),
        events: behind.len(),
        own: scored(&learned_effects(&history, shared, cut)?),
        shared: scored(&shared_effects(&history, shared)?),
        patterns: scored(&by_patterns(&history, events, cut)),
    };
    Ok((found.own.steps > 0).then_some(found))
}

/// What patterns found before the cut makes of each step.
fn by_patterns(history: &History, events: &[Event], cut: usize) -> Vec<f64> {
    let cut_s = history.time_s(cut);
    let before = history.observed().demand.get(..cut).unwrap_or_default();
    let grid = Grid::new(history.time_s(0), history.interval_s(), before);
    let seen = events.iter().filter(|event| event.start.0 < cut_s);
    let mut factors: Vec<(EventKind, f64)> = Vec::new();
    if let Ok(grid) = grid {
        let grid = grid.with_events(seen.map(KnownEvent::from));
        for pattern in find(&grid).patterns {
            if let Detail::EventResponse { event, factor, .. } = pattern.detail {
                factors.push((event, factor.ln()));
            }
        }
    }
    let effect = |step: usize| {
        let at = history.time_s(step);
        let lasting = history.observed().events.iter();
        let lasting = lasting.filter(|event| event.start_s <= at && event.end_s > at);
        let of = |event: &Span| factors.iter().find(|(kind, _)| *kind == event.kind);
        lasting.filter_map(of).map(|(_, effect)| effect).sum()
    };
    (0..history.steps()).map(effect).collect()
}

pub(super) fn summary(rows: Vec<Row>) -> Summary {
    let mut sets: BTreeMap<String, [Option<Interval>; 3]> = BTreeMap::new();
    let names = rows.iter().map(|row| row.dataset.clone());
    for name in names.chain(std::iter::once("all".to_owned())) {
        let members = || {
            rows.iter()
                .filter(|row| name == "all" || row.dataset == name)
        };
        let gain = |of: &dyn Fn(&Row) -> Score| {
            let scores: Vec<Score> = members().map(of).collect();
            advantage(&scores, 1)
        };
        let gains = [
            gain(&|row| row.own),
            gain(&|row| row.shared),
            gain(&|row| row.patterns),
        ];
        sets.insert(name, gains);
    }
    Summary { rows, sets }
}

pub(super) fn text(found: &Summary) -> String {
    let mut table = Table::new(&["SET", "SERIES", "EVENTS", "OWN", "SHARED ALONE", "PATTERNS"]);
    for (name, gains) in &found.sets {
        let members = || {
            found
                .rows
                .iter()
                .filter(|row| name == "all" || row.dataset == *name)
        };
        let mut row = vec![
            name.clone(),
            members().count().to_string(),
            members().map(|row| row.events).sum::<usize>().to_string(),
        ];
        row.extend(gains.iter().map(|gain| match gain {
            Some(gain) => format!(
                "{:.1} % ({:.1} to {:.1})",
                100.0 * gain.point,
                100.0 * gain.low,
                100.0 * gain.high
            ),
            None => "-".to_owned(),
        }));
        table.row(row);
    }
    format!(
        "{}Error less than without a reaction, a day ahead, in steps of events behind the cut; 90 % over series.\n",
        table.text()
    )
}
