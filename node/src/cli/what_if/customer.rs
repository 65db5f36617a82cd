//! `twinscale what-if --customer`: a customer of a running node, with events, growth, other prices and service.

use super::super::{runtime, standing};
use crate::console;
use crate::service::api::{
    Moment, PlanCostView, SupposedEvent, WhatIfReply, WhatIfRequest, WhatIfSeries,
};
use crate::service::client::ApiClient;
use axum::body::Bytes;
use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;
use twinscale_protocol::{CustomerId, EventKind};

/// Where 0.1, 0.5 and 0.9 are among the levels.
const SHOWN: [usize; 3] = [1, 3, 5];
/// Lines of steps of one series at most; of longer horizons each stride shows the step that changes most.
const LINES_MAX: usize = 24;

/// Reads `KIND@START[..END][,xFACTOR]`.
pub(super) fn parse_event(text: &str) -> Result<SupposedEvent, String> {
    let form = "KIND@START[..END][,xFACTOR], such as campaign@2026-11-27T09:00Z,x3";
    let (kind, rest) = text
        .split_once('@')
        .ok_or_else(|| format!("`{text}` is no event: write {form}"))?;
    let kind: EventKind = serde_json::from_value(serde_json::Value::String(kind.to_owned()))
        .map_err(|error| format!("`{kind}` is no kind of event: {error}"))?;
    let (span, factor) = match rest.rsplit_once(",x") {
        Some((span, factor)) => {
            let factor = factor
                .parse::<f64>()
                .ok()
                .filter(|factor| factor.is_finite() && *factor > 0.0)
                .ok_or_else(|| {
                    format!("`x{factor}` is no factor: write a number above 0, such as x3")
                })?;
            (span, Some(factor))
        }
        None => (rest, None),
    };
    let (start, end) = match span.split_once("..") {
        Some((start, end)) => (start, Some(end)),
        None => (span, None),
    };
    let start = moment(start)?;
    Ok(SupposedEvent {
        kind,
        start: Moment(start.as_second()),
        end: end
            .map(|end| until(start, end).map(|end| Moment(end.as_second())))
            .transpose()?,
        factor,
    })
}

/// Reads a time in RFC 3339; seconds may be left out.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let whole = text.parse::<Timestamp>();
    let at = whole.or_else(|error| match text.strip_suffix('Z') {
        Some(rest) => format!("{rest}:00Z").parse().map_err(|_second| error),
        None => Err(error),
    });
    at.map_err(|error| format!("`{text}` is no time: {error}; write 2026-11-27T09:00Z"))
}

/// Reads an end: a time, or a length such as `4h`.
pub(super) fn until(start: Timestamp, text: &str) -> Result<Timestamp, String> {
    match text.parse::<SignedDuration>() {
        Ok(length) => start
            .checked_add(length)
            .map_err(|error| format!("`{text}` is no length: {error}")),
        Err(_no_length) => moment(text),
    }
}

/// Reads a growth: `20%`, `-5%` or a share such as `0.2`.
pub(super) fn parse_growth(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(growth) if growth.is_finite() && growth * unit > -1.0 => Ok(growth * unit),
        _ => Err(format!("`{text}` is no growth: write 20 % as 20% or 0.2")),
    }
}

pub(super) fn run(
    client: &ApiClient,
    customer: &CustomerId,
    question: &WhatIfRequest,
    json: bool,
) -> anyhow::Result<()> {
    let path = format!("/v1/customers/{customer}/what-if");
    let body = Bytes::from(serde_json::to_vec(question)?);
    let answer = runtime(1)?.block_on(client.send(Method::POST, &path, body))?;
    let reply: WhatIfReply = answer.json(&path)?;
    if json {
        return standing::print_json(&reply);
    }
    console::print(&text(&reply))?;
    Ok(())
}

fn text(reply: &WhatIfReply) -> String {
    let mut text = format!("{} WITH {}\n", reply.customer, reply.changes.join(", "));
    // Writing to a string cannot fail.
    for series in &reply.series {
        let _written = writeln!(
            text,
            "\n{}/{}  median (80 % range){:>10}as expected{:>22}then{:>12}",
            series.vm_type, series.metric, "", "", "change"
        );
        for step in shown_steps(series) {
            let (today, then) = (&series.quantiles[step], &series.quantiles_then[step]);
            let ahead = i64::try_from(step).unwrap_or(0) * i64::from(series.interval_s);
            let at = Timestamp::from_second(series.first_step_at.saturating_add(ahead));
            let at = at.map_or_else(|_far| String::new(), |at| at.to_string());
            let change = change(today, then);
            let change =
                change.map_or_else(String::new, |share| format!("{:+.0} %", 100.0 * share));
            let _written = writeln!(
                text,
                "  {at}  {:>30}{:>32}{change:>10}",
                range(today),
                range(then)
            );
        }
    }
    if let (Some(today), Some(then)) = (&reply.plan, &reply.plan_then) {
        text.push_str(&costs(reply, today, then));
    } else {
        let why = reply.note.as_deref().unwrap_or("there is no plan");
        let _written = writeln!(text, "\nno plan on both sides: {why}");
    }
    text
}

/// Changes that differ by less are shown as one, as a share.
const CHANGE_SEEN: f64 = 0.005;

/// Of each stride of steps the first, or one that changes more: none that matters is passed over.
fn shown_steps(series: &WhatIfSeries) -> Vec<usize> {
    let steps = series.quantiles.iter().zip(&series.quantiles_then);
    let changes: Vec<f64> = steps
        .map(|(today, then)| change(today, then).unwrap_or(0.0).abs())
        .collect();
    let stride = changes.len().div_ceil(LINES_MAX).max(1);
    let most = |(number, changes): (usize, &[f64])| {
        let mut most = 0;
        for (place, change) in changes.iter().enumerate() {
            if *change > changes[most] + CHANGE_SEEN {
                most = place;
            }
        }
        number * stride + most
    };
    changes.chunks(stride).enumerate().map(most).collect()
}

/// How much the median changes, as a share; none of nothing.
fn change(today: &[f64], then: &[f64]) -> Option<f64> {
    let (before, after) = (median(today), median(then));
    (before > 0.0).then(|| after / before - 1.0)
}

fn median(quantiles: &[f64]) -> f64 {
    quantiles.get(SHOWN[1]).copied().unwrap_or(0.0)
}

fn range(quantiles: &[f64]) -> String {
    let [low, median, high] = SHOWN.map(|at| quantiles.get(at).copied().unwrap_or(0.0));
    format!("{median:.1} ({low:.1} to {high:.1})")
}

fn costs(reply: &WhatIfReply, today: &PlanCostView, then: &PlanCostView) -> String {
    let rows = [
        ("running VMs", today.vms_usd, then.vms_usd),
        ("starts", today.starts_usd, then.starts_usd),
        ("storage", today.storage_usd, then.storage_usd),
        ("link", today.link_usd, then.link_usd),
        ("unserved demand", today.unserved_usd, then.unserved_usd),
        ("plan in all", today.total_usd, then.total_usd),
    ];
    let steps = reply.series.iter().map(|series| series.quantiles.len());
    let steps = steps.max().unwrap_or(0);
    let mut text = format!("\nplan over the {steps} steps, US dollars\n");
    for (name, before, after) in rows {
        let _written = writeln!(
            text,
            "  {name:<18}{before:>12.2}{after:>12.2}{:>+12.2}",
            after - before
        );
    }
    let _written = writeln!(
        text,
        "  {:<18}{:>11.2}%{:>11.2}%",
        "under-provisioned",
        100.0 * today.risk,
        100.0 * then.risk
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_all_their_forms() {
        let event = parse_event("campaign@2026-11-27T09:00Z,x3").expect("an event");
        assert_eq!(event.kind, EventKind::Campaign);
        assert_eq!(event.start.0, 1_795_770_000);
        assert_eq!((event.end, event.factor), (None, Some(3.0)));
        let event = parse_event("release@2026-11-27T09:00:00Z..4h").expect("an event");
        assert_eq!(event.end.map(|end| end.0 - event.start.0), Some(14_400));
        assert_eq!(event.factor, None);
        let spanned = "price_change@2026-11-27T09:00Z..2026-11-28T09:00Z,x0.5";
        let event = parse_event(spanned).expect("an event");
        assert_eq!(event.end.map(|end| end.0 - event.start.0), Some(86_400));
        for (wrong, named) in [
            ("campaign", "KIND@START"),
            ("sale@2026-11-27T09:00Z", "`sale`"),
            ("campaign@tomorrow", "`tomorrow`"),
            ("campaign@2026-11-27T09:00Z,x0", "`x0`"),
        ] {
            let told = parse_event(wrong).expect_err(wrong);
            assert!(told.contains(named), "{told}");
        }
    }

    #[test]
    fn a_short_event_far_ahead_is_shown() {
        let steps = |event: f64| -> Vec<Vec<f64>> {
            let value = |step: usize| if step == 100 { event } else { 10.0 };
            (0..168).map(|step| vec![value(step); 8]).collect()
        };
        let series = WhatIfSeries {
            vm_type: "web".to_owned(),
            metric: "requests".to_owned(),
            first_step_at: 0,
            interval_s: 3_600,
            quantiles: steps(10.0),
            quantiles_then: steps(30.0),
        };
        let shown = shown_steps(&series);
        assert_eq!(shown.len(), LINES_MAX);
        assert_eq!(shown[13..16], [91, 100, 105]);
    }

    #[test]
    fn growth_is_a_share_or_per_cent() {
        assert!((parse_growth("20%").expect("a growth") - 0.2).abs() < 1e-12);
        assert!((parse_growth("-0.5").expect("a growth") + 0.5).abs() < 1e-12);
        assert!(parse_growth("-100%").is_err());
        assert!(parse_growth("much").expect_err("none").contains("`much`"));
    }
}
