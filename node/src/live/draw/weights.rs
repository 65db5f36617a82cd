//! What forecasts are made with, in one line: the active weights, nodes that serve others, and the trial under way.

use super::look::Look;
use crate::report::format::moment;
use crate::service::api::{
    WeightsInService, WeightsMeasuredView, WeightsTrialView, WeightsWantedView,
};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use twinscale_protocol::DomainTime;

/// Digits of an id that tell it from others at a glance; commands take four or more.
const DIGITS: usize = 8;

/// A part of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) struct WeightsWord {
    pub(in crate::live) text: String,
    /// Whether somebody should look.
    pub(in crate::live) is_bad: bool,
}

pub(super) fn line(weights: &WeightsInService, look: Look) -> Line<'static> {
    let spans = weights_words(weights).into_iter().map(|word| {
        let style = if word.is_bad {
            look.warn()
        } else {
            Style::new()
        };
        Span::styled(word.text, style)
    });
    std::iter::once(Span::raw(" ")).chain(spans).collect()
}

/// The line in parts, the weightiest first: a narrow terminal cuts its end off.
pub(in crate::live) fn weights_words(weights: &WeightsInService) -> Vec<WeightsWord> {
    let calm = |text: String| WeightsWord {
        text,
        is_bad: false,
    };
    let mut words = vec![calm(active(weights))];
    words.extend(steps(weights));
    words.extend(weights.trial.as_ref().map(|trial| calm(in_trial(trial))));
    words
}

fn active(weights: &WeightsInService) -> String {
    let shipped = if weights.is_shipped { " (shipped)" } else { "" };
    let since = weights.active_since.map_or_else(String::new, |since| {
        format!(" since {}", moment(DomainTime(since), "%m-%d %H:%M"))
    });
    format!("weights {}{shipped}{since}", short(&weights.active))
}

/// Whether all nodes serve them; nothing of a node alone.
fn steps(weights: &WeightsInService) -> Option<WeightsWord> {
    let apart = weights.nodes.iter().filter(|node| !node.in_step);
    let apart: Vec<&str> = apart.map(|node| node.name.as_str()).collect();
    let silent = weights.silent.len();
    let count = weights.nodes.len();
    let text = match (apart.as_slice(), silent) {
        ([], 0) if count < 2 => return None,
        ([], 0) => format!(", {count} in step"),
        ([], _) => format!(", {silent} of {} silent", count + silent),
        (names, _) => format!(", OUT OF STEP: {}", names.join(" ")),
    };
    Some(WeightsWord {
        text,
        is_bad: !apart.is_empty() || silent > 0,
    })
}

fn in_trial(trial: &WeightsTrialView) -> String {
    let what = if trial.is_watch { "watch" } else { "shadow" };
    let head = format!("; {what} {}", short(&trial.challenger));
    let Some(found) = &trial.measured else {
        return format!("{head} 0 %, {} requests", trial.requests);
    };
    let wanted = &trial.wanted;
    let hours = |seconds: u64| seconds / 3_600;
    format!(
        "{head} {} %, loss x{:.2} ({:.2} to {:.2}), {}/{} series, {}/{} forecasts, {}/{} h",
        percent(found, wanted),
        found.loss_ratio,
        found.loss_ratio_low,
        found.loss_ratio_high,
        found.series,
        wanted.series,
        found.forecasts,
        wanted.forecasts,
        hours(found.span_s),
        hours(wanted.span_s),
    )
}

/// How far a trial is towards what may be decided: as far as what it has least of.
fn percent(found: &WeightsMeasuredView, wanted: &WeightsWantedView) -> u64 {
    let parts = [
        (found.series, wanted.series),
        (found.forecasts, wanted.forecasts),
        (found.span_s, wanted.span_s),
    ];
    let shares = parts.map(|(has, needs)| has.saturating_mul(100) / needs.max(1));
    shares.into_iter().min().unwrap_or_default().min(100)
}

fn short(id: &str) -> String {
    id.chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::api::{NodeWeightsView, SilentView};

    fn node(number: u64, in_step: bool) -> NodeWeightsView {
        NodeWeightsView {
            node: number,
            name: format!("node-{number}"),
            serves: "6778b52560123456".to_owned(),
            in_step,
            note: None,
        }
    }

    fn alone() -> WeightsInService {
        WeightsInService {
            active: "6778b52560123456".to_owned(),
            is_shipped: true,
            active_since: None,
            bytes: 5,
            sha256: String::new(),
            trial: None,
            nodes: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn check(weights: &WeightsInService, expected: &str, is_bad: bool) {
        let words = weights_words(weights);
        let text: String = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(text, expected);
        assert_eq!(words.iter().any(|word| word.is_bad), is_bad, "{text}");
    }

    #[test]
    fn nodes_that_serve_others_are_named() {
        let mut weights = alone();
        check(&weights, "weights 6778b525 (shipped)", false);
        weights.nodes = vec![node(1, true), node(2, true), node(3, true)];
        check(&weights, "weights 6778b525 (shipped), 3 in step", false);
        weights.nodes[1].in_step = false;
        weights.nodes[2].in_step = false;
        let apart = "weights 6778b525 (shipped), OUT OF STEP: node-2 node-3";
        check(&weights, apart, true);
        weights.nodes = vec![node(1, true), node(2, true)];
        weights.silent = vec![SilentView {
            node: 3,
            reason: "it is not heard".to_owned(),
        }];
        check(&weights, "weights 6778b525 (shipped), 1 of 3 silent", true);
    }

    #[test]
    fn a_trial_is_as_far_as_what_it_has_least_of() {
        let mut weights = alone();
        weights.is_shipped = false;
        weights.active_since = Some(1_705_320_000);
        let mut trial = WeightsTrialView {
            number: 3,
            challenger: "0123456789abcdef".to_owned(),
            is_watch: false,
            since: 1_705_330_000,
            requests: 17,
            measured: None,
            wanted: WeightsWantedView {
                series: 12,
                forecasts: 200,
                span_s: 86_400,
            },
        };
        weights.trial = Some(trial.clone());
        let head = "weights 6778b525 since 01-15 12:00; ";
        check(
            &weights,
            &format!("{head}shadow 01234567 0 %, 17 requests"),
            false,
        );
        trial.is_watch = true;
        let measured = |series, forecasts, span_s| WeightsMeasuredView {
            series,
            forecasts,
            span_s,
            loss_ratio: 0.96,
            loss_ratio_low: 0.93,
            loss_ratio_high: 0.99,
        };
        for (found, part) in [
            (
                measured(9, 200, 86_400),
                "75 %, loss x0.96 (0.93 to 0.99), 9/12 series, 200/200 forecasts, 24/24 h",
            ),
            (
                measured(40, 900, 21_600),
                "25 %, loss x0.96 (0.93 to 0.99), 40/12 series, 900/200 forecasts, 6/24 h",
            ),
            (
                measured(40, 900, 172_800),
                "100 %, loss x0.96 (0.93 to 0.99), 40/12 series, 900/200 forecasts, 48/24 h",
            ),
        ] {
            trial.measured = Some(found);
            weights.trial = Some(trial.clone());
            check(&weights, &format!("{head}watch 01234567 {part}"), false);
        }
    }
}
