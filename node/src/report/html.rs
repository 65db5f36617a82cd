//! The pages: no outside assets, dark and light.

use super::blame::{cause_bar, cause_table};
use super::compare::cost_bars;
use super::contest::{Contender, Contest, Score};
use super::customer::section;
use super::format::{dollars, grouped, over, percent, quantity, relation};
use super::frontier::{Risk, frontier_chart};
use super::input::{CustomerReport, ReportInput};
use super::svg::{escaped, put};
use super::tally::Blame;

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Most customers whose sections stand on the first page; with more of them each has a page of its own.
const SECTIONS_MAX: usize = 20;

/// Folder of the customers' pages.
const FOLDER: &str = "customers";

/// A file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its place, relative to the report's folder.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Where the customers' sections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sections {
    Here,
    Apart,
}

/// Writes the report as one page that stands alone, whatever the number of customers.
pub fn report_html(input: &ReportInput) -> String {
    first_page(input, Sections::Here)
}

/// Writes the report for a folder: one page, or a page for each customer where there are many.
pub fn report_pages(input: &ReportInput) -> Vec<Page> {
    let is_small = input.customers.len() <= SECTIONS_MAX;
    let sections = if is_small {
        Sections::Here
    } else {
        Sections::Apart
    };
    let first = Page {
        path: "report.html".to_owned(),
        text: first_page(input, sections),
    };
    let customers = input.customers.iter().filter(|_| !is_small);
    let others = customers.map(|customer| Page {
        path: format!("{FOLDER}/{}.html", customer.customer),
        text: customer_page(input, customer),
    });
    std::iter::once(first).chain(others).collect()
}

fn first_page(input: &ReportInput, sections: Sections) -> String {
    let scores = input.scores();
    let mut page = String::new();
    head(&mut page, input, &input.title);
    headline(&mut page, input, &scores);
    cards(&mut page, &scores);
    page.push_str("<h2 id=\"risk\">Cost and risk</h2><div class=\"pair\"><div class=\"card\"><h3>Cheaper is left, safer is down: time short</h3>");
    frontier_chart(&mut page, input, Risk::TimeShort, (520.0, 330.0));
    page.push_str("</div><div class=\"card\"><h3>The same for unserved demand</h3>");
    frontier_chart(&mut page, input, Risk::Unserved, (520.0, 330.0));
    page.push_str("</div></div>");
    contender_legend(&mut page);
    page.push_str("<div class=\"card wide\"><h3>Total cost</h3>");
    cost_bars(&mut page, &scores, 1_040.0);
    page.push_str("</div>\n<h2 id=\"causes\">Why demand went unserved</h2>");
    causes(&mut page, input);
    page.push_str("<h2 id=\"customers\">Customers</h2>");
    table(&mut page, input, &scores, sections);
    if sections == Sections::Here {
        page.push_str("<h2>Demand, forecast and supply</h2>");
        plot_legend(&mut page);
        for customer in &input.customers {
            section(&mut page, customer);
        }
    }
    footer(&mut page, input);
    tail(&mut page);
    page
}

fn customer_page(input: &ReportInput, customer: &CustomerReport) -> String {
    let mut page = String::new();
    let name = customer.customer.as_str();
    head(&mut page, input, &format!("{name}, {}", input.title));
    put!(
        &mut page,
        "<p><a href=\"../report.html\">all customers</a></p><h1>{}</h1>",
        escaped(name)
    );
    cards(&mut page, &customer.scores());
    plot_legend(&mut page);
    section(&mut page, customer);
    tail(&mut page);
    page
}

fn head(page: &mut String, input: &ReportInput, title: &str) {
    put!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{}</title><style>{CSS}</style></head><body><main><header><p class=\"eyebrow\">{}, seed {}</p><button id=\"theme\" type=\"button\">dark / light</button></header>\n",
        escaped(title),
        escaped(&input.title),
        input.seed
    );
}

fn tail(page: &mut String) {
    put!(
        page,
        "</main><div id=\"tip\"></div><script>{SCRIPT}</script></body></html>\n"
    );
}

fn plot_legend(page: &mut String) {
    page.push_str("<div class=\"legend\"><span><i class=\"l-demand\"></i>demand</span><span><i class=\"l-band\"></i>forecast, 5 to 95 %</span><span><i class=\"l-own\"></i>Twinscale serves</span><span><i class=\"l-reactive\"></i>reactive serves</span><span><i class=\"l-short\"></i>Twinscale short (orange below: reactive short)</span><span><i class=\"l-event\"></i>event</span><span><i class=\"l-restart\"></i>actor restarted</span></div>\n");
}

fn contender_legend(page: &mut String) {
    page.push_str("<p class=\"names\">");
    for contender in Contender::ALL {
        put!(
            page,
            "<span><i class=\"key {}\"></i>{}</span>",
            contender.class(),
            contender.name()
        );
    }
    page.push_str("<span>large: as shown below; small: other settings of its knob; faint: single customers under Twinscale</span></p>");
}

fn causes(page: &mut String, input: &ReportInput) {
    let Blame { causes, steps, .. } = input.blame();
    page.push_str("<div class=\"card wide\">");
    cause_bar(page, &causes, 1_040.0);
    cause_table(page, &causes, &steps);
    page.push_str("</div>");
}

/// Says in one sentence what came of it, whichever way it went.
pub(super) fn verdict(scores: &Contest<Score>) -> [String; 2] {
    let Contest {
        twinscale,
        reactive,
        static_peak,
        foresight,
        ..
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

fn table(page: &mut String, input: &ReportInput, scores: &Contest<Score>, sections: Sections) {
    page.push_str("<div class=\"scroll\"><table><caption>Cost, unserved demand and time short by customer</caption><thead><tr><td></td><td></td><th class=\"group\" colspan=\"4\" scope=\"colgroup\">Twinscale</th><th class=\"group\" colspan=\"2\" scope=\"colgroup\">reactive (HPA)</th><th class=\"group\" colspan=\"2\" scope=\"colgroup\">predictive (AWS-like)</th><th class=\"group\" colspan=\"2\" scope=\"colgroup\">moving window</th><th class=\"group\" colspan=\"2\" scope=\"colgroup\">static peak</th><th class=\"group\" scope=\"colgroup\">foresight</th></tr><tr><th scope=\"col\">customer</th><th scope=\"col\">demand<br>VM-hours</th><th scope=\"col\">cost</th><th scope=\"col\">over<br>foresight</th><th scope=\"col\">unserved</th><th scope=\"col\">time<br>short</th><th scope=\"col\">cost</th><th scope=\"col\">unserved</th><th scope=\"col\">cost</th><th scope=\"col\">unserved</th><th scope=\"col\">cost</th><th scope=\"col\">unserved</th><th scope=\"col\">cost</th><th scope=\"col\">unserved</th><th scope=\"col\">cost</th></tr></thead><tbody>");
    for customer in &input.customers {
        let name = escaped(customer.customer.as_str());
        let target = match sections {
            Sections::Here => format!("#c-{name}"),
            Sections::Apart => format!("{FOLDER}/{name}.html"),
        };
        row(
            page,
            "",
            &format!("<a href=\"{target}\">{name}</a>"),
            &customer.scores(),
        );
    }
    row(page, "total", "total", scores);
    page.push_str("</tbody></table></div>\n");
}

fn row(page: &mut String, class: &str, name: &str, scores: &Contest<Score>) {
    let own = &scores.twinscale;
    put!(
        page,
        "<tr class=\"{class}\"><th scope=\"row\">{name}</th><td>{}</td>",
        grouped(own.demand_vm_hours)
    );
    put!(
        page,
        "<td class=\"own\">{}</td><td class=\"own\">{}</td><td class=\"own\">{}</td><td class=\"own\">{}</td>",
        dollars(own.cost),
        over(own, &scores.foresight),
        percent(own.unserved_share()),
        percent(own.under_share())
    );
    for rival in [
        &scores.reactive,
        &scores.predictive,
        &scores.autopilot,
        &scores.static_peak,
    ] {
        put!(
            page,
            "<td>{}</td><td>{}</td>",
            dollars(rival.cost),
            percent(rival.unserved_share())
        );
    }
    put!(page, "<td>{}</td></tr>", dollars(scores.foresight.cost));
}

fn footer(page: &mut String, input: &ReportInput) {
    page.push_str("<footer>");
    page.push_str("<h2>How to read it</h2><ul><li>VMs are billed by the second, from their request to their end; volumes and links are billed for all contenders where a stack has them. Demand is in VM-hours of each tier's cheapest type per capacity, and a VM counts for the share of its capacity that may be planned for.</li><li>Perfect foresight knows all demand and covers it at the least cost found. All others see completed intervals only, and their VMs take as long to start. The reactive rival follows the Kubernetes HPA with its defaults; the predictive one adds a floor from an hourly forecast, as AWS describes it; the moving window follows Google's Autopilot (95th percentile of three days, scale-down after two); the static fleet has the size that the largest demand before the window needed.</li><li>The curves turn one knob each, the same for all customers, each of which counts the same: target utilisation for the reactive, predictive and moving-window rivals, a multiple of the past peak for the static fleet, the price of unserved demand for Twinscale.</li><li>Unserved demand is cut at two levels, what the plan wanted and the highest quantile of the forecast, both of the newest decision that could still act in time; each stretch has one cause, so the parts add up.</li></ul>");
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
