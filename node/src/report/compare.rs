//! Contenders side by side: cost bars, and cost against risk.

use super::chart::compact;
use super::format::{dollars, over, percent};
use super::input::{Contest, ReportInput, Score};
use super::svg::{Scale, escaped, put, ticks};

/// The contenders in the order in which they are shown, with their classes and names.
const ORDER: [(&str, &str); 4] = [
    ("foresight", "perfect foresight"),
    ("own", "Twinscale"),
    ("reactive", "reactive (HPA)"),
    ("static", "static peak"),
];

/// Dearest point on the risk chart, relative to perfect foresight; dearer ones sit on the edge.
const COST_MAX: f64 = 3.0;

/// Scores in the order of [`ORDER`].
fn ordered(scores: &Contest<Score>) -> [Score; 4] {
    [
        scores.foresight,
        scores.twinscale,
        scores.reactive,
        scores.static_peak,
    ]
}

/// Draws one bar per contender: what it cost, and what it left unserved.
pub(super) fn cost_bars(page: &mut String, scores: &Contest<Score>, width: f64) {
    let list = ordered(scores);
    let most = list
        .iter()
        .map(|score| score.cost.dollars())
        .fold(0.0, f64::max);
    let x = Scale {
        from: 0.0,
        to: most.max(1e-9),
        pixel_from: 126.0,
        pixel_to: width - 178.0,
    };
    put!(
        page,
        "<svg class=\"bars\" viewBox=\"0 0 {width:.0} 196\" role=\"img\" aria-label=\"Total cost per contender\">"
    );
    for (index, ((class, name), score)) in ORDER.iter().zip(&list).enumerate() {
        let y = 12.0 + index as f64 * 46.0;
        let end = x.at(score.cost.dollars());
        put!(
            page,
            "<text class=\"name\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            x.pixel_from - 10.0,
            y + 19.0
        );
        put!(
            page,
            "<rect class=\"bar {class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"28\" rx=\"3\"/>",
            x.pixel_from,
            (end - x.pixel_from).max(1.0)
        );
        put!(
            page,
            "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            end + 9.0,
            y + 13.0,
            dollars(score.cost)
        );
        let detail = if index == 0 {
            "the least found with full knowledge".to_owned()
        } else {
            format!(
                "{} · {} unserved",
                over(score, &scores.foresight),
                percent(score.unserved_share())
            )
        };
        put!(
            page,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{detail}</text>",
            end + 9.0,
            y + 27.0
        );
    }
    page.push_str("</svg>");
}

/// Draws cost relative to perfect foresight against unserved demand: totals large, customers small.
pub(super) fn risk_chart(page: &mut String, input: &ReportInput, width: f64, height: f64) {
    let totals = input.scores();
    let customers: Vec<(String, Contest<Score>)> = input
        .customers
        .iter()
        .map(|customer| (customer.customer.to_string(), customer.scores()))
        .collect();
    let (x, y) = risk_scales(&totals, &customers, width, height);
    put!(
        page,
        "<svg class=\"risk\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Cost against unserved demand\">"
    );
    risk_axes(page, x, y);
    for (name, scores) in &customers {
        for (class, score) in [("reactive", &scores.reactive), ("own", &scores.twinscale)] {
            let (cx, cy) = place(score, &scores.foresight, x, y);
            put!(
                page,
                "<circle class=\"dot small {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\"><title>{}: {}, {} unserved</title></circle>",
                escaped(name),
                over(score, &scores.foresight),
                percent(score.unserved_share())
            );
        }
    }
    let list = ordered(&totals);
    let (_, own_y) = place(&totals.twinscale, &totals.foresight, x, y);
    for ((class, name), score) in ORDER.iter().zip(&list) {
        let (cx, cy) = place(score, &totals.foresight, x, y);
        put!(
            page,
            "<circle class=\"dot {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"8\"/>"
        );
        let is_right = cx > x.pixel_to - 110.0;
        let (anchor, shift) = if is_right {
            ("end", -13.0)
        } else {
            ("start", 13.0)
        };
        // The best possible sits in the corner: its name makes way for Twinscale's.
        let rise = if *class == "foresight" && own_y > cy - 16.0 {
            -14.0
        } else {
            4.0
        };
        put!(
            page,
            "<text class=\"name\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            cx + shift,
            cy + rise
        );
    }
    page.push_str("</svg>");
}

fn risk_scales(
    totals: &Contest<Score>,
    customers: &[(String, Contest<Score>)],
    width: f64,
    height: f64,
) -> (Scale, Scale) {
    let contests = || customers.iter().map(|(_, scores)| scores).chain([totals]);
    let dearest = contests()
        .flat_map(|scores| {
            [&scores.twinscale, &scores.reactive]
                .map(|score| score.cost_ratio(&scores.foresight).unwrap_or(1.0))
        })
        .chain([totals
            .static_peak
            .cost_ratio(&totals.foresight)
            .unwrap_or(1.0)])
        .fold(1.2, f64::max);
    let riskiest = contests()
        .flat_map(|scores| {
            [
                scores.twinscale.unserved_share(),
                scores.reactive.unserved_share(),
            ]
        })
        .fold(0.005, f64::max);
    let cheapest = contests()
        .filter_map(|scores| scores.reactive.cost_ratio(&scores.foresight))
        .fold(0.95, f64::min);
    let x = Scale {
        from: cheapest.max(0.5) - 0.02,
        to: dearest.min(COST_MAX) + 0.05,
        pixel_from: 52.0,
        pixel_to: width - 16.0,
    };
    let y = Scale {
        from: 0.0,
        // The root spreads small risks, where good contenders lie.
        to: (riskiest * 1.1).sqrt(),
        pixel_from: height - 40.0,
        pixel_to: 18.0,
    };
    (x, y)
}

fn risk_axes(page: &mut String, x: Scale, y: Scale) {
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
    for tick in ticks(x.to - 0.5, 6.0).into_iter().map(|tick| tick + 0.5) {
        if tick >= x.from {
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
    }
    put!(
        page,
        "<text class=\"unit\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">cost, perfect foresight = 100 %</text>",
        x.pixel_to,
        y.pixel_from + 33.0
    );
    put!(
        page,
        "<text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\">unserved demand</text>",
        x.pixel_from,
        y.pixel_to - 6.0
    );
}

/// Round shares for an axis of roots.
fn risk_ticks(most: f64) -> Vec<f64> {
    let candidates = [
        0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0,
    ];
    let within: Vec<f64> = candidates
        .into_iter()
        .filter(|tick| *tick <= most)
        .collect();
    // Those far below the top would lie upon each other.
    within
        .iter()
        .copied()
        .filter(|tick| *tick == 0.0 || *tick >= most / 30.0)
        .collect()
}

fn place(score: &Score, base: &Score, x: Scale, y: Scale) -> (f64, f64) {
    let cost = score.cost_ratio(base).unwrap_or(1.0).clamp(x.from, x.to);
    let risk = score.unserved_share().max(0.0).sqrt().min(y.to);
    (x.at(cost), y.at(risk))
}
