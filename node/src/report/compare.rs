//! Contenders side by side: cost bars.

use super::contest::{Contender, Contest, Score};
use super::format::{dollars, over, percent};
use super::svg::{Scale, put};

/// The contenders in the order in which they are shown.
const ORDER: [Contender; 6] = [
    Contender::Foresight,
    Contender::Twinscale,
    Contender::Reactive,
    Contender::Predictive,
    Contender::Autopilot,
    Contender::StaticPeak,
];

/// Height of the bars' picture in pixels.
pub(super) const BARS_HEIGHT: f64 = 282.0;

/// Draws one bar per contender: what it cost, and what it left unserved.
pub(super) fn cost_bars(page: &mut String, scores: &Contest<Score>, width: f64) {
    let most = ORDER
        .iter()
        .map(|contender| scores.get(*contender).cost.dollars())
        .fold(0.0, f64::max);
    let x = Scale {
        from: 0.0,
        to: most.max(1e-9),
        pixel_from: 172.0,
        pixel_to: width - 178.0,
    };
    put!(
        page,
        "<svg class=\"bars\" viewBox=\"0 0 {width:.0} {BARS_HEIGHT:.0}\" role=\"img\" aria-label=\"Total cost per contender\">"
    );
    for (index, contender) in ORDER.into_iter().enumerate() {
        let (class, name) = (contender.class(), contender.name());
        let score = scores.get(contender);
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
