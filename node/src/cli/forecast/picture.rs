//! A forecast as a fan, behind the samples that it follows.

use super::{Past, maker, moment, number};
use crate::report::svg::{escaped, put, ticks};
use crate::service::api::SeriesForecastView;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 44.0;
/// Lines across, about.
const LINES: f64 = 4.0;
/// Room above the highest value, as a share of it.
const HEADROOM: f64 = 0.06;
/// Ranges, the widest first: places of their levels among those of a reply.
const RANGES: [(usize, usize); 3] = [(0, 6), (1, 5), (2, 4)];
const MEDIAN: usize = 3;

const STYLE: &str = ":root{color-scheme:light dark}\
.back{fill:#fcfbf9}.name{fill:#1b1f24;font-weight:600;font-size:15px}.text{fill:#57606a;font-size:12px}\
.axis{stroke:#e4e1da;stroke-width:1}.now{stroke:#8c959f;stroke-width:1;stroke-dasharray:3 3}\
.past{fill:none;stroke:#1b1f24;stroke-width:1.3;stroke-linejoin:round}\
.median{fill:none;stroke:#0b7a6f;stroke-width:2;stroke-linejoin:round}.range{fill:#0b7a6f;fill-opacity:.17}\
@media (prefers-color-scheme:dark){.back{fill:#0d1117}.name{fill:#e6edf3}.text{fill:#9198a1}\
.axis{stroke:#2a313b}.now{stroke:#6e7681}.past{stroke:#e8ebef}.median{stroke:#38c7b4}.range{fill:#38c7b4}}";

/// Where steps and values lie.
struct Scale {
    steps: usize,
    high: f64,
}

impl Scale {
    fn x(&self, step: usize) -> f64 {
        let last = self.steps.saturating_sub(1).max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / last
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.high
    }

    fn point(&self, step: usize, value: f64) -> String {
        format!("{:.1},{:.1}", self.x(step), self.y(value))
    }
}

/// Draws a forecast with the samples before it; the same forecast gives the same bytes.
pub(super) fn svg(series: &SeriesForecastView, past: &Past, levels: &[f64]) -> String {
    let ahead = past.values.len();
    let seen = past.values.iter().flatten().copied();
    let expected = series
        .quantiles
        .iter()
        .filter_map(|step| step.get(RANGES[0].1));
    let high = seen.chain(expected.copied()).fold(0.0, f64::max);
    let scale = Scale {
        steps: ahead + series.quantiles.len(),
        high: if high > 0.0 {
            high * (1.0 + HEADROOM)
        } else {
            1.0
        },
    };
    let mut page = head(series, past, levels);
    axes(&mut page, series, &scale, ahead);
    for line in lines(&past.values) {
        let points: Vec<String> = line.map(|(step, value)| scale.point(step, value)).collect();
        let points = points.join(" ");
        put!(&mut page, "<polyline class=\"past\" points=\"{points}\"/>");
    }
    for (low, high) in RANGES {
        let edge = |place: usize| {
            let steps = series.quantiles.iter().enumerate();
            steps.filter_map(move |(step, values)| Some((ahead + step, *values.get(place)?)))
        };
        let lower: Vec<(usize, f64)> = edge(low).collect();
        let points = edge(high).chain(lower.into_iter().rev());
        let points: Vec<String> = points
            .map(|(step, value)| scale.point(step, value))
            .collect();
        let points = points.join(" ");
        put!(&mut page, "<polygon class=\"range\" points=\"{points}\"/>");
    }
    let medians = series.quantiles.iter().enumerate();
    let medians = medians.filter_map(|(step, values)| Some((ahead + step, *values.get(MEDIAN)?)));
    let points: Vec<String> = medians
        .map(|(step, value)| scale.point(step, value))
        .collect();
    let points = points.join(" ");
    put!(
        &mut page,
        "<polyline class=\"median\" points=\"{points}\"/>"
    );
    page.push_str("</svg>\n");
    page
}

fn head(series: &SeriesForecastView, past: &Past, levels: &[f64]) -> String {
    let name = escaped(&past.name);
    let share = |(low, high): (usize, usize)| match (levels.get(low), levels.get(high)) {
        (Some(low), Some(high)) => format!("{:.0} %", 100.0 * (high - low)),
        _ => String::new(),
    };
    let ranges = RANGES.map(share).join(", ");
    let made = escaped(&maker(&series.source));
    let mut page = String::new();
    put!(
        &mut page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" width=\"{WIDTH:.0}\" height=\"{HEIGHT:.0}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\" role=\"img\"><title>Forecast of {name}</title><style>{STYLE}</style><rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"10\"/>"
    );
    put!(
        &mut page,
        "<text class=\"name\" x=\"24\" y=\"32\">{name}</text><text class=\"text\" x=\"24\" y=\"52\">from {}: median, and the ranges that hold {ranges}; made by {made}</text>",
        moment(series.first_step_at)
    );
    page
}

fn axes(page: &mut String, series: &SeriesForecastView, scale: &Scale, ahead: usize) {
    for value in ticks(scale.high, LINES) {
        let y = scale.y(value);
        put!(
            page,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"text\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            label(value)
        );
    }
    let x = scale.x(ahead);
    put!(
        page,
        "<line class=\"now\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>",
        HEIGHT - BOTTOM
    );
    let time = |step: usize| {
        let steps = i64::try_from(step).unwrap_or(0) - i64::try_from(ahead).unwrap_or(0);
        let since_s = steps.saturating_mul(i64::from(series.interval_s));
        moment(series.first_step_at.saturating_add(since_s))
    };
    let last = scale.steps.saturating_sub(1);
    let mut labels = vec![(last, "end")];
    if ahead > 0 {
        labels.push((0, "start"));
    }
    // The moment of the forecast has its label unless it would run into another.
    if ahead * 4 > last && ahead * 4 < last * 3 {
        labels.push((ahead, "middle"));
    }
    for (step, anchor) in labels {
        put!(
            page,
            "<text class=\"text\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            scale.x(step),
            HEIGHT - BOTTOM + 20.0,
            time(step)
        );
    }
}

/// Runs of samples without a gap, each with its step.
fn lines(values: &[Option<f64>]) -> impl Iterator<Item = impl Iterator<Item = (usize, f64)>> {
    let steps: Vec<(usize, Option<f64>)> = values.iter().copied().enumerate().collect();
    let runs: Vec<Vec<(usize, f64)>> = steps
        .split(|(_, value)| value.is_none())
        .filter(|run| !run.is_empty())
        .map(|run| {
            let known = run.iter();
            known
                .filter_map(|(step, value)| Some((*step, (*value)?)))
                .collect()
        })
        .collect();
    runs.into_iter().map(Vec::into_iter)
}

/// A round number, without zeros that say nothing.
fn label(value: f64) -> String {
    let text = number(value);
    let bare = text.trim_end_matches('0').trim_end_matches('.');
    let whole = !text.contains('.');
    if whole || bare.is_empty() {
        text
    } else {
        bare.to_owned()
    }
}
