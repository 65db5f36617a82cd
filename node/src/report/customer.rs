//! One customer's section: what it cost, what went unserved and why, and its tiers over time.

use super::blame::{cause_bar, miss_table};
use super::chart::{Plot, PlotSize};
use super::format::{dollars, grouped, moment, over, percent, quantity};
use super::input::{CustomerReport, TierReport};
use super::svg::{escaped, put};

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

/// Writes a customer's section.
pub(super) fn section(page: &mut String, customer: &CustomerReport) {
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
    causes(page, customer);
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
        "<svg class=\"plot\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"Demand, forecast and supply of {title}\" data-values='{}'><title>Demand, forecast and supply of {title}</title>",
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

/// What went unserved by cause, and the largest misses in words.
fn causes(page: &mut String, customer: &CustomerReport) {
    let blame = customer.misses.blame();
    if blame.missed_steps == 0 {
        page.push_str("<p class=\"facts\">All demand of every step was served.</p>");
        return;
    }
    cause_bar(page, &blame.causes, 1_080.0);
    let total = blame.causes.total();
    put!(
        page,
        "<details class=\"misses\"><summary>{} steps fell short, {} VM-hours, {} by the policy's price: the largest, explained</summary>",
        grouped(blame.missed_steps as f64),
        quantity(total.vm_seconds.units() / 3_600.0),
        dollars(total.money)
    );
    miss_table(page, customer);
    page.push_str("</details>");
}
