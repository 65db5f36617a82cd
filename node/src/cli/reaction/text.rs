//! What a model says, for people.

use super::super::table::Table;
use std::fmt::Write as _;
use twinscale_forecast_model::reaction::ReactionCard;
use twinscale_protocol::EventKind;
use twinscale_reaction::drivers::{Memory, Span};
use twinscale_reaction::effect::{LEVELS, MIDDLE, SharedEffect};
use twinscale_reaction::estimate::Estimate;
use twinscale_reaction::response::{Effect, effects};
use twinscale_reaction::study::Worth;
use twinscale_reaction::supposed::{Supposed, What, paths};

const INTERVAL_S: u32 = 300;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// A common question: in words, what is supposed, for how many seconds, and when its effect is looked at.
type Question = (&'static str, What, i64, i64);

const SERVICE: [Question; 6] = [
    (
        "latency x2 for an hour, at its end",
        What::Latency(2.0),
        HOUR_S,
        HOUR_S,
    ),
    (
        "latency x4 for an hour, at its end",
        What::Latency(4.0),
        HOUR_S,
        HOUR_S,
    ),
    (
        "latency x4 for an hour, a day later",
        What::Latency(4.0),
        HOUR_S,
        DAY_S,
    ),
    (
        "latency x2 for a week, at its end",
        What::Latency(2.0),
        7 * DAY_S,
        7 * DAY_S,
    ),
    (
        "20 % throttled for an hour, at its end",
        What::Throttled(0.2),
        HOUR_S,
        HOUR_S,
    ),
    (
        "20 % throttled for an hour, 6 hours later",
        What::Throttled(0.2),
        HOUR_S,
        6 * HOUR_S,
    ),
];

const PRICES: [Question; 4] = [
    (
        "price +10 %, an hour after",
        What::Price(1.1),
        i64::MAX,
        HOUR_S,
    ),
    (
        "price +10 %, a day after",
        What::Price(1.1),
        i64::MAX,
        DAY_S,
    ),
    (
        "price +10 %, two weeks after",
        What::Price(1.1),
        i64::MAX,
        14 * DAY_S,
    ),
    (
        "price -10 %, two weeks after",
        What::Price(0.9),
        i64::MAX,
        14 * DAY_S,
    ),
];

const EVENTS: [Question; 4] = [
    event("holiday, while it lasts", EventKind::Holiday),
    event("campaign, while it lasts", EventKind::Campaign),
    event("release, while it lasts", EventKind::Release),
    event("earnings, while it lasts", EventKind::Earnings),
];

const fn event(words: &'static str, kind: EventKind) -> Question {
    let span = Span {
        kind,
        start_s: 0,
        end_s: 4 * HOUR_S,
    };
    (words, What::Event(span), 4 * HOUR_S, 2 * HOUR_S)
}

/// Answers to common questions by the shared model alone.
pub(super) fn questions(shared: &dyn SharedEffect) -> anyhow::Result<String> {
    let unknown = Estimate::unknown(shared.scales(), INTERVAL_S);
    let mut table = Table::new(&["A CUSTOMER WITHOUT HISTORY", "DEMAND", "90 % RANGE"]);
    for (words, what, end_s, at_s) in SERVICE.into_iter().chain(PRICES).chain(EVENTS) {
        let supposed = [Supposed {
            what,
            start_s: 0,
            end_s,
        }];
        let steps = usize::try_from(at_s / i64::from(INTERVAL_S)).unwrap_or(0) + 1;
        let (today, then) = paths(
            &Memory::new(INTERVAL_S),
            1.0,
            (0, INTERVAL_S, steps),
            &[],
            &supposed,
        );
        let found = effects(shared, &unknown, &today, &then)?;
        if let Some(effect) = found.last() {
            table.row(vec![
                words.to_owned(),
                factor(effect, MIDDLE),
                range(effect),
            ]);
        }
    }
    Ok(table.text())
}

fn factor(effect: &Effect, level: usize) -> String {
    format!("x {:.3}", effect.get(level).copied().unwrap_or(0.0).exp())
}

fn range(effect: &Effect) -> String {
    format!(
        "{} to {}",
        factor(effect, 0),
        factor(effect, LEVELS.len() - 1)
    )
}

/// What a model is worth, beside a linear one.
pub(super) fn worth(card: &ReactionCard) -> String {
    let population = card.made_of.population;
    let days = population.steps as f64 * f64::from(population.interval_s) / 86_400.0;
    let mut text = format!(
        "\nweights {}, seed {}, {} steps; {} simulated customers of {days:.0} days, {} kept back; gate: {}\n",
        card.weights_id,
        card.seed,
        card.steps,
        card.made_of.trained_on,
        card.made_of.kept_back,
        serde_json::to_string(&card.verdict)
            .unwrap_or_default()
            .trim_matches('"'),
    );
    let mut table = Table::new(&[
        "MODEL",
        "ERROR LESS AN HOUR AHEAD",
        "SHARED ALONE",
        "EFFECT MISSED",
        "SHARED",
        "NONE",
        "IN 90 % RANGE",
    ]);
    for (name, worth) in [("network", &card.worth), ("linear", &card.linear)] {
        table.row(row(name, worth));
    }
    text.push_str(&table.text());
    for limit in &card.limits {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "- {limit}");
    }
    text
}

fn row(name: &str, worth: &Worth) -> Vec<String> {
    let share = |found: twinscale_reaction::evaluate::Interval| {
        format!(
            "{:.1} % ({:.1} to {:.1})",
            100.0 * found.point,
            100.0 * found.low,
            100.0 * found.high
        )
    };
    let [own, shared, none] = worth.effect_missed.map(|missed| format!("{missed:.4}"));
    vec![
        name.to_owned(),
        share(worth.own),
        share(worth.shared),
        own,
        shared,
        none,
        format!("{:.1} %", 100.0 * worth.inside),
    ]
}
