//! The page: one file, no outside assets, dark and light.

use super::chart::{Plot, PlotSize};
use super::compare::{cost_bars, risk_chart};
use super::format::{dollars, grouped, moment, over, percent, quantity, relation};
use super::input::{Contest, CustomerReport, ReportInput, Score, TierReport};
use super::svg::{escaped, put};

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Most customers whose plots are drawn; the table lists all.
const PLOTTED_MAX: usize = 60;

/// Tiers of a customer that are shown at once; the others unfold.
const TIERS_SHOWN: usize = 2;

const TIER_SIZE: PlotSize = PlotSize {
    width: 1_080.0,
    height: 236.0,
    left: 48.0,
    right: 8.0,
    top: 22.0,
    bottom: 40.0,
};

/// Writes the whole page.
pub fn report_html(input: &ReportInput) -> String {
    let scores = input.scores();
    let mut page = String::new();
    put!(
        &mut page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{CSS}</style></head><body><main><header><p class=\"eyebrow\">{0}, seed {1}</p><button id=\"theme\" type=\"button\">dark / light</button></header>\n",
        escaped(&input.title),
        input.seed
    );
    headline(&mut page, input, &scores);
    cards(&mut page, &scores);
    page.push_str(
        "<h2>Cost and risk</h2><div class=\"pair\"><div class=\"card\"><h3>Total cost</h3>",
    );
    cost_bars(&mut page, &scores, 560.0);
    page.push_str("</div><div class=\"card\"><h3>Cheaper is left, safer is down; small dots are customers</h3>");
    risk_chart(&mut page, input, 480.0, 300.0);
    page.push_str("</div></div>\n<h2>Customers</h2>");
    table(&mut page, input, &scores);
    page.push_str("<h2>Demand, forecast and supply</h2><div class=\"legend\"><span><i class=\"l-demand\"></i>demand</span><span><i class=\"l-band\"></i>forecast, 5 to 95 %</span><span><i class=\"l-own\"></i>Twinscale serves</span><span><i class=\"l-reactive\"></i>reactive serves</span><span><i class=\"l-short\"></i>Twinscale short (orange below: reactive short)</span><span><i class=\"l-event\"></i>event</span><span><i class=\"l-restart\"></i>actor restarted</span></div>\n");
    for customer in input.customers.iter().take(PLOTTED_MAX) {
        section(&mut page, customer);
    }
    footer(&mut page, input);
    put!(
        &mut page,
        "</main><div id=\"tip\"></div><script>{SCRIPT}</script></body></html>\n"
    );
    page
}

/// Says in one sentence what came of it, whichever way it went.
pub(super) fn verdict(scores: &Contest<Score>) -> [String; 2] {
    let Contest {
        twinscale,
        reactive,
        static_peak,
        foresight,
    } = scores;
    let first = format!(
        "{} of demand served for {}, {} perfect foresight.",
        percent(1.0 - twinscale.unserved_share()),
        dollars(twinscale.cost),
        relation(twinscale, foresight, ["above", "below"])
    );
    let mut second = format!(
        "A reactive autoscaler costs {} and leaves ",
        relation(reactive, twinscale, ["more", "less"])
    );
    let (own, rival) = (twinscale.unserved_vm_hours, reactive.unserved_vm_hours);
    if rival > own && own > 0.0 {
        put!(
            &mut second,
            "{} times as much demand unserved",
            quantity(rival / own)
        );
    } else {
        put!(
            &mut second,
            "{} of demand unserved",
            percent(reactive.unserved_share())
        );
    }
    put!(
        &mut second,
        "; a fleet for the past peak costs {} and leaves {} unserved.",
        relation(static_peak, twinscale, ["more", "less"]),
        percent(static_peak.unserved_share())
    );
    [first, second]
}

fn headline(page: &mut String, input: &ReportInput, scores: &Contest<Score>) {
    let [first, second] = verdict(scores);
    put!(page, "<h1>{first}</h1><p class=\"lead\">{second}");
    let days = input
        .customers
        .iter()
        .map(|customer| customer.end().seconds_since(customer.start) / 86_400)
        .max()
        .unwrap_or_default();
    put!(
        page,
        " {} customers, up to {days} days each, replayed sample by sample with nothing known ahead of its time.</p>\n",
        input.customers.len()
    );
}

fn cards(page: &mut String, scores: &Contest<Score>) {
    let own = &scores.twinscale;
    page.push_str("<div class=\"cards\">");
    let mut card = |class: &str, value: String, text: String| {
        put!(
            page,
            "<div class=\"card {class}\"><b>{value}</b><span>{text}</span></div>"
        );
    };
    card(
        "own",
        dollars(own.cost),
        format!("for {} VM-hours of demand", grouped(own.demand_vm_hours)),
    );
    card(
        "own",
        over(own, &scores.foresight),
        "against perfect foresight, the least found".to_owned(),
    );
    card(
        "own",
        percent(own.unserved_share()),
        format!(
            "of demand unserved; reactive {}",
            percent(scores.reactive.unserved_share())
        ),
    );
    card(
        "own",
        percent(own.under_share()),
        format!(
            "of time short; reactive {}",
            percent(scores.reactive.under_share())
        ),
    );
    card(
        "",
        over(&scores.static_peak, own),
        "cost of a fleet for the past peak".to_owned(),
    );
    page.push_str("</div>");
}

fn table(page: &mut String, input: &ReportInput, scores: &Contest<Score>) {
    page.push_str("<div class=\"scroll\"><table><thead><tr><th></th><th></th><th class=\"group\" colspan=\"4\">Twinscale</th><th class=\"group\" colspan=\"3\">reactive (HPA)</th><th class=\"group\" colspan=\"2\">static peak</th><th></th></tr><tr><th>customer</th><th>demand<br>VM-hours</th><th>cost</th><th>over<br>foresight</th><th>unserved</th><th>time<br>short</th><th>cost</th><th>unserved</th><th>time<br>short</th><th>cost</th><th>unserved</th><th>foresight<br>cost</th></tr></thead><tbody>");
    for customer in &input.customers {
        let name = escaped(customer.customer.as_str());
        row(
            page,
            "",
            &format!("<a href=\"#c-{name}\">{name}</a>"),
            &customer.scores(),
        );
    }
    row(page, "total", "total", scores);
    page.push_str("</tbody></table></div>\n");
}

fn row(page: &mut String, class: &str, name: &str, scores: &Contest<Score>) {
    let Contest {
        twinscale,
        reactive,
        static_peak,
        foresight,
    } = scores;
    put!(
        page,
        "<tr class=\"{class}\"><td>{name}</td><td>{}</td>",
        grouped(twinscale.demand_vm_hours)
    );
    put!(
        page,
        "<td class=\"own\">{}</td><td class=\"own\">{}</td><td class=\"own\">{}</td><td class=\"own\">{}</td>",
        dollars(twinscale.cost),
        over(twinscale, foresight),
        percent(twinscale.unserved_share()),
        percent(twinscale.under_share())
    );
    put!(
        page,
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        dollars(reactive.cost),
        percent(reactive.unserved_share()),
        percent(reactive.under_share()),
        dollars(static_peak.cost),
        percent(static_peak.unserved_share()),
        dollars(foresight.cost)
    );
}

fn section(page: &mut String, customer: &CustomerReport) {
    let scores = customer.scores();
    let name = escaped(customer.customer.as_str());
    put!(
        page,
        "<section class=\"customer\" id=\"c-{name}\"><div class=\"head\"><h3>{name}</h3><div class=\"facts\"><b class=\"o\">{}</b> ({}) · <b class=\"o\">{}</b> unserved &nbsp; reactive <b>{}</b> · <b>{}</b> unserved &nbsp; {} to {}</div></div>",
        dollars(scores.twinscale.cost),
        over(&scores.twinscale, &scores.foresight),
        percent(scores.twinscale.unserved_share()),
        dollars(scores.reactive.cost),
        percent(scores.reactive.unserved_share()),
        moment(customer.start, "%Y-%m-%d"),
        moment(customer.end(), "%Y-%m-%d")
    );
    let mut tiers: Vec<&TierReport> = customer.tiers.iter().collect();
    // The tier that costs most says most.
    tiers.sort_by_key(|tier| std::cmp::Reverse(tier.outcomes.twinscale.cost));
    let (shown, folded) = tiers.split_at(tiers.len().min(TIERS_SHOWN));
    for tier in shown {
        plot(page, customer, tier);
    }
    if !folded.is_empty() {
        let names: Vec<String> = folded
            .iter()
            .map(|tier| escaped(tier.tier.as_str()))
            .collect();
        put!(
            page,
            "<details><summary>{} more: {}</summary>",
            folded.len(),
            names.join(", ")
        );
        for tier in folded {
            plot(page, customer, tier);
        }
        page.push_str("</details>");
    }
    page.push_str("</section>\n");
}

fn plot(page: &mut String, customer: &CustomerReport, tier: &TierReport) {
    let scores = tier.scores();
    let title = escaped(&format!("{}, {}", tier.tier, tier.demand));
    let plot = Plot::new(customer, tier, 0..tier.points.len(), TIER_SIZE);
    put!(
        page,
        "<h4>{} <span>{} · {} · {} unserved, reactive {}</span></h4>",
        escaped(tier.tier.as_str()),
        escaped(&tier.demand.to_string()),
        dollars(scores.twinscale.cost),
        percent(scores.twinscale.unserved_share()),
        percent(scores.reactive.unserved_share())
    );
    put!(
        page,
        "<svg class=\"plot\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"Demand, forecast and supply of {title}\" data-values='{}'>",
        TIER_SIZE.width,
        TIER_SIZE.height,
        plot.data()
    );
    plot.draw(page, customer);
    put!(
        page,
        "<line class=\"cursor\" y1=\"{:.0}\" y2=\"{:.0}\"/></svg>",
        TIER_SIZE.top,
        TIER_SIZE.height - TIER_SIZE.bottom
    );
}

fn footer(page: &mut String, input: &ReportInput) {
    page.push_str("<footer>");
    if input.customers.len() > PLOTTED_MAX {
        put!(
            page,
            "<p>Plots of the first {PLOTTED_MAX} customers; the table lists all.</p>"
        );
    }
    page.push_str("<h2>How to read it</h2><ul><li>VMs are billed by the second, from their request to their end. Demand is in VM-hours of each tier's cheapest type per capacity, and a VM counts for the share of its capacity that may be planned for.</li><li>Perfect foresight knows all demand and covers it at the least cost found. The reactive rival follows the Kubernetes HPA with its defaults and the same start-up time. The static fleet has the size that the largest demand before the window needed.</li></ul>");
    let prices = input.assumed_prices();
    if !prices.is_empty() {
        page.push_str("<h2>Assumed prices</h2><p>Nobody named a price for these VM types: ");
        let list: Vec<String> = prices
            .iter()
            .map(|price| {
                format!(
                    "{} at {} an hour",
                    escaped(price.vm_type.as_str()),
                    escaped(&price.price_per_hour.to_string())
                )
            })
            .collect();
        put!(page, "{}.</p>", list.join(", "));
    }
    list(page, "Notes", input.notes.iter().map(|note| escaped(note)));
    list(
        page,
        "Data",
        input.sources.iter().map(|source| {
            format!(
                "{}: {} ({})",
                escaped(&source.dataset),
                escaped(&source.attribution),
                escaped(&source.licence)
            )
        }),
    );
    page.push_str("</footer>");
}

fn list(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return;
    }
    put!(page, "<h2>{title}</h2><ul>");
    for item in items {
        put!(page, "<li>{item}</li>");
    }
    page.push_str("</ul>");
}
