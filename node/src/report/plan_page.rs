//! A plan of an allocation problem, or a front of plans, as one page to look at.

use super::chart::compact;
use super::svg::{Path, Scale, escaped, put, ticks};
use twinscale_optimizer::{Front, PlannedFile, Problem};

const CSS: &str = include_str!("page.css");

/// Colours of VM types, in turn.
const COLOURS: [&str; 8] = [
    "own",
    "foresight",
    "reactive",
    "predictive",
    "c-plan",
    "c-guardrail",
    "c-start-up",
    "c-provider",
];
const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 220.0;
/// Room for the axes: left, right, top and bottom.
const MARGINS: (f64, f64, f64, f64) = (52.0, 12.0, 12.0, 26.0);
/// Ticks of an axis, about.
const TICKS: f64 = 5.0;
/// Binding constraints that are listed.
const BINDING_SHOWN: usize = 40;

/// Draws a plan: what it costs and how far it is proven, VMs by tier, what binds.
pub fn plan_html(planned: &PlannedFile) -> String {
    let problem = &planned.problem;
    let found = &planned.outcome.evaluation;
    let bound = &planned.solved.bound;
    let mut page = String::new();
    head(&mut page, &problem.id);
    put!(
        &mut page,
        "<h1>${:.2}, proven within <em>{:.2} %</em> of the best there is</h1>",
        found.cost,
        bound.gap(found.cost) * 100.0
    );
    let mut shown = vec![
        ("cost", format!("${:.4}", found.cost)),
        ("proven bound", format!("${:.4}", bound.cost)),
        (
            "best seed",
            format!("${:.4}", planned.outcome.seed_evaluation.cost),
        ),
        ("risk", format!("{:.2} %", found.risk * 100.0)),
    ];
    if let Ok(response) = &planned.response {
        let mean = format!("{:.2} ms", response.mean_s * 1e3);
        shown.push(("mean response, by formula", mean));
    }
    if let Some(checked) = &planned.checked_response {
        let (mean, half_width) = (checked.mean_s * 1e3, checked.half_width_s * 1e3);
        let mean = format!("{mean:.2} ± {half_width:.2} ms");
        shown.push(("mean response, simulated", mean));
    }
    cards(&mut page, &shown);
    parts(&mut page, planned);
    for (tier, counts) in problem.tiers.iter().zip(&planned.outcome.plan.counts) {
        put!(&mut page, "<h2>{}</h2>", escaped(&tier.name));
        let names: Vec<&str> = tier.options.iter().map(|vm| vm.name.as_str()).collect();
        vms(&mut page, &names, counts);
    }
    explained(&mut page, planned);
    page.push_str("</main></body></html>\n");
    page
}

/// Draws a front: spend against risk, a point for each plan with its response time.
pub fn front_html(problem: &Problem, front: &Front) -> String {
    let mut page = String::new();
    head(&mut page, &problem.id);
    put!(
        &mut page,
        "<h1>{} plans between which only {} decide</h1>",
        front.points.len(),
        if front.no_response.is_none() {
            "spend, risk and response time"
        } else {
            "spend and risk"
        }
    );
    let risk = front.points.iter().map(|point| point.risk);
    let spends = || front.points.iter().map(|point| point.spend);
    let (low, high) = (
        spends().fold(f64::INFINITY, f64::min),
        spends().fold(0.0, f64::max),
    );
    let x = across(risk.fold(0.0, f64::max).max(1e-9));
    let room = (high - low).max(1e-9) * 0.08;
    let y = Scale {
        from: low - room,
        to: high + room,
        pixel_from: HEIGHT * 1.6 - MARGINS.3,
        pixel_to: MARGINS.2,
    };
    open_plot(&mut page, HEIGHT * 1.6, "Spend against risk");
    for tick in ticks(x.to, TICKS * 2.0) {
        let label = format!("{:.1} %", tick * 100.0);
        across_tick(&mut page, x.at(tick), HEIGHT * 1.6, &label);
    }
    for part in 0..=5 {
        let spend = y.from + (y.to - y.from) * f64::from(part) / 5.0;
        up_tick(&mut page, y.at(spend), &format!("${spend:.2}"));
    }
    let mut path = Path::default();
    let mut least = f64::INFINITY;
    for point in &front.points {
        // Plans that are only quicker lie above the line of spend and risk.
        if point.spend < least {
            least = point.spend;
            path.line(x.at(point.risk), y.at(point.spend));
        }
    }
    put!(
        &mut page,
        "<path class=\"front own\" d=\"{}\"/>",
        path.data()
    );
    for point in &front.points {
        put!(
            &mut page,
            "<circle class=\"dot own\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{}</title></circle>",
            x.at(point.risk),
            y.at(point.spend),
            escaped(&point.to_string())
        );
    }
    page.push_str("</svg><p class=\"lead\">Spend against the share of traffic-weighted time that is under-provisioned.</p>");
    let quicker = "Plans above the line answer quicker: point at one to see its response time.";
    let why_not = front.no_response.as_ref().map(ToString::to_string);
    let note = escaped(why_not.as_deref().unwrap_or(quicker));
    put!(&mut page, "<p class=\"lead\">{note}</p>");
    page.push_str("</main></body></html>\n");
    page
}

fn head(page: &mut String, id: &str) {
    put!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{CSS}</style></head><body><main><header><p class=\"eyebrow\">{0}</p></header>\n",
        escaped(id)
    );
}

fn cards(page: &mut String, cards: &[(&str, String)]) {
    page.push_str("<div class=\"cards\">");
    for (name, value) in cards {
        put!(
            page,
            "<div class=\"card\"><b>{value}</b><span>{name}</span></div>"
        );
    }
    page.push_str("</div>");
}

fn parts(page: &mut String, planned: &PlannedFile) {
    let parts = planned.outcome.evaluation.parts;
    page.push_str("<h2>Cost by part</h2><div class=\"scroll\"><table><thead><tr><th>part</th><th>$</th></tr></thead><tbody>");
    for (name, value) in [
        ("VMs", parts.vm),
        ("starts", parts.start),
        ("storage", parts.storage),
        ("link", parts.link),
        ("expected penalty", parts.penalty),
    ] {
        put!(page, "<tr><th>{name}</th><td>{value:.4}</td></tr>");
    }
    page.push_str("</tbody></table></div>");
}

fn across(most: f64) -> Scale {
    Scale {
        from: 0.0,
        to: most,
        pixel_from: MARGINS.0,
        pixel_to: WIDTH - MARGINS.1,
    }
}

fn open_plot(page: &mut String, height: f64, title: &str) {
    put!(
        page,
        "<svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>",
        escaped(title)
    );
}

fn across_tick(page: &mut String, x: f64, height: f64, label: &str) {
    put!(
        page,
        "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
        height - 6.0
    );
}

fn up_tick(page: &mut String, y: f64, label: &str) {
    put!(
        page,
        "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        MARGINS.0,
        WIDTH - MARGINS.1,
        MARGINS.0 - 6.0,
        y + 4.0
    );
}

/// VMs of each type over the steps, one upon the other. Shape of counts: `[type][step]`.
fn vms(page: &mut String, names: &[&str], counts: &[Vec<u32>]) {
    let steps = counts.first().map_or(0, Vec::len);
    let sum = |step: usize| -> u32 { counts.iter().map(|series| series[step]).sum() };
    let most = (0..steps).map(sum).max().unwrap_or(0);
    let x = across(steps as f64);
    let y = Scale {
        from: 0.0,
        to: f64::from(most.max(1)),
        pixel_from: HEIGHT - MARGINS.3,
        pixel_to: MARGINS.2,
    };
    open_plot(page, HEIGHT, "VMs by type over the steps");
    for tick in ticks(y.to, TICKS) {
        up_tick(page, y.at(tick), &compact(tick));
    }
    for tick in ticks(x.to, TICKS * 2.0) {
        across_tick(page, x.at(tick), HEIGHT, &compact(tick));
    }
    let mut below = vec![0_u32; steps];
    for (place, series) in counts.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        for (step, count) in series.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (low, high) = (f64::from(below[step]), f64::from(below[step] + count));
            let (left, right) = (x.at(step as f64), x.at(step as f64 + 1.0));
            put!(
                page,
                "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" style=\"fill:var(--{colour})\"><title>step {step}: {count} x {}</title></rect>",
                y.at(high),
                (right - left - 0.4).max(0.4),
                y.at(low) - y.at(high),
                escaped(names.get(place).copied().unwrap_or_default())
            );
            below[step] += count;
        }
    }
    page.push_str("</svg><p class=\"names\">");
    for (place, name) in names.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let used = counts
            .get(place)
            .is_some_and(|series| series.iter().any(|count| *count > 0));
        if used {
            put!(
                page,
                "<span><i class=\"key\" style=\"background:var(--{colour})\"></i>{}</span>",
                escaped(name)
            );
        }
    }
    page.push_str("</p>");
}

fn explained(page: &mut String, planned: &PlannedFile) {
    let explanation = &planned.solved.explanation;
    if let Some(second) = &explanation.runner_up {
        put!(
            page,
            "<h2>Runner-up</h2><p class=\"lead\">${:.4} by {}: {}</p>",
            second.cost,
            escaped(second.by),
            escaped(&second.why_not)
        );
    }
    if !explanation.without.is_empty() {
        page.push_str("<h2>What rules cost</h2><div class=\"scroll\"><table><thead><tr><th>tier</th><th>without</th><th>saves $</th></tr></thead><tbody>");
        for without in &explanation.without {
            put!(
                page,
                "<tr><th>{}</th><td>{}</td><td>{:.4}</td></tr>",
                escaped(&without.tier),
                escaped(without.rule),
                without.saves
            );
        }
        page.push_str("</tbody></table></div>");
    }
    page.push_str("<h2>What binds</h2><div class=\"scroll\"><table><thead><tr><th>constraint</th><th>step</th><th>left</th><th>one unit is worth $</th></tr></thead><tbody>");
    for binding in explanation.binding.iter().take(BINDING_SHOWN) {
        let step = binding
            .step
            .map_or("all".to_owned(), |step| step.to_string());
        let price = binding
            .price
            .map_or("-".to_owned(), |price| format!("{price:.4}"));
        put!(
            page,
            "<tr><th>{}</th><td>{step}</td><td>{:.4}</td><td>{price}</td></tr>",
            escaped(&binding.constraint),
            binding.slack
        );
    }
    page.push_str("</tbody></table></div>");
    let more = explanation.binding.len().saturating_sub(BINDING_SHOWN);
    if more > 0 {
        put!(
            page,
            "<p class=\"lead\">and {more} more, in the plan's JSON</p>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{front_html, plan_html};
    use twinscale_optimizer::{PlanLimit, PlanOptions, Problem, front, plan_file};

    const TWO_TIERS: &str = include_str!("../../../actors/optimizer/tests/data/two-tiers.json");

    fn options() -> PlanOptions {
        PlanOptions {
            limit: PlanLimit::Evaluations(2_000),
            threads: 1,
            seed: 1,
        }
    }

    #[test]
    fn a_plan_is_drawn_with_its_proof_and_every_tier() {
        let planned = plan_file(TWO_TIERS, &options()).expect("a plan");
        let page = plan_html(&planned);
        assert!(page.contains("proven within"), "{page}");
        for tier in &planned.problem.tiers {
            assert!(page.contains(&format!("<h2>{}</h2>", tier.name)));
        }
        assert!(page.matches("<svg").count() == planned.problem.tiers.len());
        assert!(!page.contains("NaN"), "{page}");
    }

    #[test]
    fn a_front_is_drawn_with_a_point_for_each_plan() {
        let problem = Problem::from_json(TWO_TIERS).expect("a problem");
        let found = front(&problem, &options()).expect("a front");
        let page = front_html(&problem, &found);
        assert_eq!(page.matches("<circle").count(), found.points.len());
        assert!(!page.contains("NaN"), "{page}");
    }
}
