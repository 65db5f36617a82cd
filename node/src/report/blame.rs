//! What is to blame for unserved demand: as a bar, as a table, and miss by miss.

use super::format::{dollars, grouped, moment, percent, quantity};
use super::input::CustomerReport;
use super::svg::{escaped, put};
use super::tally::reason;
use twinscale_protocol::twin::{ByCause, MissCause, Unserved};

/// Narrowest part of a bar that has its name written into it, in pixels.
const NAMED_FROM: f64 = 120.0;

const fn class(cause: MissCause) -> &'static str {
    match cause {
        MissCause::Forecast => "c-forecast",
        MissCause::Plan => "c-plan",
        MissCause::Guardrail => "c-guardrail",
        MissCause::Provider => "c-provider",
        MissCause::StartUp => "c-start-up",
    }
}

/// What a cause means, for the table.
const fn meaning(cause: MissCause) -> &'static str {
    match cause {
        MissCause::Forecast => "demand was above the forecast's highest quantile",
        MissCause::Plan => "within the forecast; covering it was not worth its price",
        MissCause::Guardrail => "a limit of the policy held it down",
        MissCause::Provider => "VMs were refused, lost or without an answer",
        MissCause::StartUp => "planned, but VMs were still starting",
    }
}

fn share(part: Unserved, total: Unserved) -> f64 {
    part.vm_seconds.units() / total.vm_seconds.units().max(1e-9)
}

/// Draws the shares of the causes as one bar.
pub(super) fn cause_bar(page: &mut String, causes: &ByCause<Unserved>, width: f64) {
    let total = causes.total();
    if total.vm_seconds.0 <= 0 {
        return;
    }
    put!(
        page,
        "<svg class=\"causes\" viewBox=\"0 0 {width:.0} 26\" role=\"img\" aria-label=\"Unserved demand by cause\"><title>Unserved demand by cause</title>"
    );
    let mut x = 0.0;
    for (cause, part) in causes.iter() {
        let share = share(*part, total);
        let length = share * width;
        if length < 0.05 {
            continue;
        }
        let name = cause.name();
        put!(
            page,
            "<g><title>{name}: {} of the unserved demand, {} VM-hours</title><rect class=\"{}\" x=\"{x:.1}\" y=\"2\" width=\"{length:.1}\" height=\"20\"/>",
            percent(share),
            quantity(part.vm_seconds.units() / 3_600.0),
            class(cause)
        );
        if length >= NAMED_FROM {
            put!(
                page,
                "<text class=\"on\" x=\"{:.1}\" y=\"16.5\">{name} {}</text>",
                x + 8.0,
                percent(share)
            );
        }
        page.push_str("</g>");
        x += length;
    }
    page.push_str("</svg>");
}

/// Writes the causes as a table.
pub(super) fn cause_table(page: &mut String, causes: &ByCause<Unserved>, steps: &ByCause<u64>) {
    page.push_str("<table class=\"plain\"><caption>Unserved demand by cause</caption><thead><tr><th scope=\"col\">cause</th><th scope=\"col\">VM-hours</th><th scope=\"col\">share</th><th scope=\"col\">by the policy's price</th><th scope=\"col\">steps</th><th scope=\"col\" class=\"words\">what it means</th></tr></thead><tbody>");
    let total = causes.total();
    for (cause, part) in causes.iter() {
        put!(
            page,
            "<tr><th scope=\"row\"><i class=\"key {}\"></i>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"words\">{}</td></tr>",
            class(cause),
            cause.name(),
            quantity(part.vm_seconds.units() / 3_600.0),
            percent(share(*part, total)),
            dollars(part.money),
            grouped(*steps.get(cause) as f64),
            meaning(cause)
        );
    }
    page.push_str("</tbody></table>");
}

/// Writes the largest misses of a customer, each with its reason.
pub(super) fn miss_table(page: &mut String, customer: &CustomerReport) {
    page.push_str("<table class=\"plain\"><caption>The largest misses</caption><thead><tr><th scope=\"col\">when (UTC)</th><th scope=\"col\" class=\"words\">tier</th><th scope=\"col\">wanted</th><th scope=\"col\">served,<br>mean</th><th scope=\"col\">VM-hours</th><th scope=\"col\">price</th><th scope=\"col\" class=\"words\">why</th></tr></thead><tbody>");
    for miss in customer.misses.largest() {
        let total = miss.causes.total();
        let key = miss.causes.largest().map_or("", class);
        let event = customer
            .events
            .iter()
            .find(|event| event.start <= miss.step_at && miss.step_at < event.end);
        let event = event
            .map(|event| format!("; during {}", escaped(&event.name)))
            .unwrap_or_default();
        put!(
            page,
            "<tr><th scope=\"row\">{}</th><td class=\"words\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"words\"><i class=\"key {key}\"></i>{}{event}</td></tr>",
            moment(miss.step_at, "%b %-d %H:%M"),
            escaped(miss.tier.as_str()),
            quantity(miss.demand.units()),
            quantity(miss.served.units()),
            quantity(total.vm_seconds.units() / 3_600.0),
            dollars(total.money),
            escaped(&reason(miss))
        );
    }
    page.push_str("</tbody></table>");
}
