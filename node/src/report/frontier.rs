//! Cost against risk: what each contender's knob trades, and where the customers lie.

use super::chart::compact;
use super::contest::{Contender, Score};
use super::format::{over, percent};
use super::input::{FrontierPoint, ReportInput};
use super::svg::{Path, Scale, escaped, put, ticks};

/// Dearest point on a chart, relative to perfect foresight; dearer ones are not drawn.
const COST_MAX: f64 = 3.0;

/// Most customers that are drawn as dots of their own.
const DOTS_MAX: usize = 200;

/// What is drawn upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Risk {
    /// Share of time in which less served than was wanted.
    TimeShort,
    /// Share of demand that was not served.
    Unserved,
}

impl Risk {
    const fn title(self) -> &'static str {
        match self {
            Self::TimeShort => "time short",
            Self::Unserved => "unserved demand",
        }
    }

    const fn of_point(self, point: &FrontierPoint) -> f64 {
        match self {
            Self::TimeShort => point.under_share,
            Self::Unserved => point.unserved_share,
        }
    }

    fn of_score(self, score: &Score) -> f64 {
        match self {
            Self::TimeShort => score.under_share(),
            Self::Unserved => score.unserved_share(),
        }
    }
}

/// Draws the frontiers with the settings shown elsewhere as large points, and Twinscale's customers as
/// small ones.
pub(super) fn frontier_chart(
    page: &mut String,
    input: &ReportInput,
    risk: Risk,
    (width, height): (f64, f64),
) {
    let (x, y) = scales(input, risk, width, height);
    let title = risk.title();
    put!(
        page,
        "<svg class=\"risk\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Cost against {title}, by contender\"><title>Cost against {title}</title>"
    );
    axes(page, title, x, y);
    for customer in input.customers.iter().take(DOTS_MAX) {
        let scores = customer.scores();
        let Some(cost) = scores.twinscale.cost_ratio(&scores.foresight) else {
            continue;
        };
        let share = risk.of_score(&scores.twinscale);
        put!(
            page,
            "<circle class=\"dot small own\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}: {}, {} {title}</title></circle>",
            x.at(cost.clamp(x.from, x.to)),
            y.at(share.max(0.0).sqrt().min(y.to)),
            escaped(customer.customer.as_str()),
            over(&scores.twinscale, &scores.foresight),
            percent(share)
        );
    }
    for contender in Contender::ALL.into_iter().rev() {
        line(page, input, contender, risk, (x, y));
    }
    foresight(page, x, y);
    page.push_str("</svg>");
}

/// Perfect foresight is where the axes meet.
fn foresight(page: &mut String, x: Scale, y: Scale) {
    let (cx, cy) = (x.at(1.0), y.at(0.0));
    put!(
        page,
        "<circle class=\"dot foresight\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"6\"><title>perfect foresight</title></circle>"
    );
}

/// One contender's frontier, its settings as dots, and the one that is shown elsewhere.
fn line(
    page: &mut String,
    input: &ReportInput,
    contender: Contender,
    risk: Risk,
    (x, y): (Scale, Scale),
) {
    let class = contender.class();
    let mut points: Vec<&FrontierPoint> = input
        .frontier
        .iter()
        .filter(|point| point.contender == contender && point.cost_ratio <= x.to)
        // Riskier ones lie above the chart.
        .filter(|point| risk.of_point(point).max(0.0).sqrt() <= y.to)
        .collect();
    points.sort_by(|one, other| one.cost_ratio.total_cmp(&other.cost_ratio));
    let place = |point: &FrontierPoint| {
        let share = risk.of_point(point).max(0.0);
        (x.at(point.cost_ratio.max(x.from)), y.at(share.sqrt()))
    };
    let mut path = Path::default();
    for point in &points {
        let (cx, cy) = place(point);
        path.line(cx, cy);
    }
    put!(
        page,
        "<path class=\"front {class}\" d=\"{}\"/>",
        path.data()
    );
    for point in &points {
        let (cx, cy) = place(point);
        let (dot, radius) = if point.is_shown {
            ("dot", 6.5)
        } else {
            ("dot knob", 2.4)
        };
        let knob = point
            .knob
            .map_or_else(|| "own policy".to_owned(), |knob| format!("knob {knob}"));
        put!(
            page,
            "<circle class=\"{dot} {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\"><title>{}, {knob}: {:.0} % of perfect foresight\'s cost, {} {}</title></circle>",
            contender.name(),
            point.cost_ratio * 100.0,
            percent(risk.of_point(point)),
            risk.title()
        );
    }
}

/// Both axes hold the shown settings, and as much of the frontiers as stays readable beside them.
fn scales(input: &ReportInput, risk: Risk, width: f64, height: f64) -> (Scale, Scale) {
    let shown = || input.frontier.iter().filter(|point| point.is_shown);
    let of_own = || {
        let own = input.frontier.iter();
        own.filter(|point| point.contender == Contender::Twinscale)
    };
    let dearest = shown()
        .map(|point| point.cost_ratio)
        .filter(|cost| *cost <= COST_MAX)
        .fold(1.8, f64::max);
    let cheapest = of_own().map(|point| point.cost_ratio).fold(0.9, f64::min);
    let riskiest = shown()
        .chain(of_own())
        .map(|point| risk.of_point(point))
        .fold(0.01, f64::max);
    let x = Scale {
        from: cheapest.max(0.5) - 0.05,
        to: dearest + 0.1,
        pixel_from: 52.0,
        pixel_to: width - 16.0,
    };
    let y = Scale {
        from: 0.0,
        // The root spreads small risks, where good contenders lie.
        to: (riskiest * 1.3).sqrt(),
        pixel_from: height - 40.0,
        pixel_to: 20.0,
    };
    (x, y)
}

fn axes(page: &mut String, title: &str, x: Scale, y: Scale) {
    for tick in risk_ticks(y.to * y.to) {
        let at = y.at(tick.sqrt());
        put!(
            page,
            "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
            x.pixel_from,
            x.pixel_to
        );
        put!(
            page,
            "<text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{} %</text>",
            x.pixel_from - 6.0,
            at + 3.5,
            compact(tick * 100.0)
        );
    }
    let marks = ticks(x.to - 0.5, 6.0).into_iter().map(|tick| tick + 0.5);
    for tick in marks.filter(|tick| *tick >= x.from) {
        let at = x.at(tick);
        put!(
            page,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            y.pixel_from,
            y.pixel_to
        );
        put!(
            page,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.1}\">{:.0} %</text>",
            y.pixel_from + 15.0,
            tick * 100.0
        );
    }
    put!(
        page,
        "<text class=\"unit\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">cost, perfect foresight = 100 %</text>",
        x.pixel_to,
        y.pixel_from + 33.0
    );
    put!(
        page,
        "<text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\">{title}</text>",
        x.pixel_from,
        y.pixel_to - 7.0
    );
}

/// Round shares for an axis of roots.
fn risk_ticks(most: f64) -> Vec<f64> {
    let candidates = [
        0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0,
    ];
    // Those far below the top would lie upon each other.
    candidates
        .into_iter()
        .filter(|tick| *tick <= most && (*tick <= 0.0 || *tick >= most / 30.0))
        .collect()
}
