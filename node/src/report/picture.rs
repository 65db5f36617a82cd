//! One static picture of a run, for a README: a customer's demand above, the contenders' cost below.

use super::chart::{Plot, PlotSize};
use super::compare::{BARS_HEIGHT, cost_bars};
use super::html::verdict;
use super::input::{CustomerReport, ReportInput, TierReport};
use super::svg::{escaped, put};
use twinscale_protocol::CustomerId;

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// Most steps that the picture shows: ten days of hours.
const STEPS_SHOWN: usize = 240;

const WIDTH: f64 = 980.0;

const HEIGHT: f64 = 740.0;

const SIZE: PlotSize = PlotSize {
    width: WIDTH,
    height: 330.0,
    left: 52.0,
    right: 10.0,
    top: 24.0,
    bottom: 40.0,
};

/// Draws the picture of a run around one customer's dearest tier; `None` when that customer is not in it.
///
/// It shows the ten days around the customer's first event, or the last ten days.
pub fn picture_svg(input: &ReportInput, customer: &CustomerId, theme: Theme) -> Option<String> {
    let customer = input
        .customers
        .iter()
        .find(|candidate| candidate.customer == *customer)?;
    let tier = customer
        .tiers
        .iter()
        .max_by_key(|tier| tier.outcomes.twinscale.cost)?;
    let mut page = String::new();
    put!(
        &mut page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\"><style>{}</style>",
        style(theme)
    );
    page.push_str("<rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"10\"/>");
    let [first, _] = verdict(&input.scores());
    put!(
        &mut page,
        "<text class=\"head\" x=\"20\" y=\"38\">{}</text>",
        escaped(&first)
    );
    put!(
        &mut page,
        "<text class=\"tick\" x=\"20\" y=\"60\">{} customers, seed {}; below: {}, {}</text>",
        input.customers.len(),
        input.seed,
        escaped(customer.customer.as_str()),
        escaped(&tier.demand.to_string())
    );
    legend(&mut page);
    page.push_str("<g transform=\"translate(0 104)\">");
    Plot::new(customer, tier, shown(customer, tier), SIZE).draw(&mut page, customer);
    page.push_str("</g><g transform=\"translate(20 452)\">");
    let mut bars = String::new();
    cost_bars(&mut bars, &input.scores(), 940.0);
    // Nested pictures need a size of their own.
    let sized = format!("<svg width=\"940\" height=\"{BARS_HEIGHT:.0}\" ");
    page.push_str(&bars.replacen("<svg ", &sized, 1));
    page.push_str("</g></svg>\n");
    Some(page)
}

fn shown(customer: &CustomerReport, tier: &TierReport) -> std::ops::Range<usize> {
    let steps = tier.points.len();
    let latest_start = steps.saturating_sub(STEPS_SHOWN);
    let interval = i64::from(customer.interval.0.max(1));
    let start = customer
        .events
        .iter()
        .map(|event| event.start.seconds_since(customer.start) / interval)
        .find_map(|step| usize::try_from(step).ok())
        .map_or(latest_start, |step| {
            step.saturating_sub(STEPS_SHOWN / 4).min(latest_start)
        });
    start..steps.min(start + STEPS_SHOWN)
}

fn legend(page: &mut String) {
    let items = [
        ("demand", "demand", 70.0),
        ("band", "forecast, 5 to 95 %", 150.0),
        ("own", "Twinscale serves", 135.0),
        ("reactive", "reactive serves", 125.0),
        ("short", "Twinscale short (orange: reactive short)", 0.0),
    ];
    let mut x = 20.0;
    for (class, text, width) in items {
        let mark = match class {
            "band" | "short" => {
                format!("<rect class=\"{class}\" x=\"{x:.0}\" y=\"79\" width=\"20\" height=\"9\"/>")
            }
            _ => format!("<path class=\"{class}\" d=\"M{x:.0} 84H{:.0}\"/>", x + 20.0),
        };
        put!(
            page,
            "{mark}<text class=\"tick\" x=\"{:.0}\" y=\"88\">{text}</text>",
            x + 26.0
        );
        x += width + 30.0;
    }
}

fn style(theme: Theme) -> String {
    let [
        back,
        ink,
        soft,
        line,
        own,
        reactive,
        foresight,
        band,
        short,
        event,
    ] = match theme {
        Theme::Light => [
            "#fcfbf9", "#1b1f24", "#5b6470", "#e4e1da", "#0b7a6f", "#d9822b", "#3b4f9c", "#7fb3e6",
            "#d43a3a", "#f3e3b3",
        ],
        Theme::Dark => [
            "#11151a", "#e8ebef", "#98a2af", "#2a313b", "#38c7b4", "#f0a04b", "#8fa3ff", "#2f6ea8",
            "#ff6b61", "#4a3f1f",
        ],
    };
    format!(
        "text{{fill:{ink};font-size:12px}}.back{{fill:{back}}}.head{{font-size:20px;font-weight:650}}.tick,.unit,.label{{fill:{soft};font-size:11.5px}}.name{{font-size:13px}}.value{{font-weight:600;font-size:13px}}.grid,.tickline{{stroke:{line}}}path{{fill:none}}.demand{{stroke:{ink};stroke-width:1.3}}.own{{stroke:{own};stroke-width:2}}.reactive{{stroke:{reactive};stroke-width:1.3}}.band{{fill:{band};opacity:.35}}.short,.own-short{{fill:{short}}}.reactive-short{{fill:{reactive}}}.event{{fill:{event};opacity:.65}}.restart line{{stroke:#8a3ffc;stroke-dasharray:3 3}}.restart circle{{fill:#8a3ffc}}.bar{{stroke:none}}.bar.own{{fill:{own}}}.bar.reactive{{fill:{reactive}}}.bar.static{{fill:#8b8f98}}.bar.predictive{{fill:{reactive};opacity:.65}}.bar.autopilot{{fill:#8b8f98;opacity:.7}}.bar.foresight{{fill:{foresight}}}"
    )
}
