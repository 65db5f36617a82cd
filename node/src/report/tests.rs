use super::example::example;
use super::*;
use std::sync::OnceLock;
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, PlanNumber, SeriesKey, TierName, VmCount,
    VmTypeId,
};

fn input() -> &'static ReportInput {
    static INPUT: OnceLock<ReportInput> = OnceLock::new();
    INPUT.get_or_init(example)
}

#[test]
fn the_table_has_a_row_per_customer_and_totals_that_add_up() {
    let table = report_table(input());
    let lines: Vec<&str> = table.lines().collect();
    // Heads, customers and totals; then all contenders; then the causes.
    assert_eq!(lines.len(), 2 + 1 + 12 + 1 + 1 + 2 + 6 + 2 + 5, "{table}");
    assert!(lines[16].starts_with("total"), "{table}");
    let sum: i64 = input()
        .customers
        .iter()
        .map(|customer| customer.scores().twinscale.cost.0)
        .sum();
    assert_eq!(input().scores().twinscale.cost.0, sum);
    assert!(
        table.lines().all(|line| line.chars().count() <= 120),
        "{table}"
    );
}

#[test]
fn perfect_foresight_is_the_cheapest_that_serves_all() {
    for customer in &input().customers {
        for tier in &customer.tiers {
            let scores = tier.scores();
            let foresight = scores.foresight;
            for other in [scores.twinscale, scores.reactive, scores.static_peak] {
                let serves_more = foresight.unserved_vm_hours <= other.unserved_vm_hours;
                assert!(serves_more, "{} {}", customer.customer, tier.tier);
                if other.unserved_vm_hours <= foresight.unserved_vm_hours {
                    assert!(
                        foresight.cost <= other.cost,
                        "{} {}",
                        customer.customer,
                        tier.tier
                    );
                }
            }
        }
    }
}

#[test]
fn the_json_is_versioned_complete_and_the_same_twice() {
    let text = report_json(input()).expect("JSON");
    assert_eq!(text, report_json(&example()).expect("JSON"));
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["format"], "twinscale-report/2");
    assert_eq!(value["customers"].as_array().map(Vec::len), Some(12));
    let total = &value["total"]["twinscale"];
    assert_eq!(
        total["cost_micro_dollars"],
        input().scores().twinscale.cost.0
    );
    assert!(
        value["assumed_prices"]
            .as_array()
            .is_some_and(|prices| !prices.is_empty())
    );
    let tier = &value["customers"][0]["tiers"][0];
    assert!(tier["scores"]["reactive"]["unserved_share"].is_number());
    assert!(tier["scores"]["predictive"]["cost_micro_dollars"].is_number());
    let misses = &value["customers"][0]["misses"];
    assert_eq!(misses["missed_steps"], 40);
    assert_eq!(
        misses["largest"].as_array().map(Vec::len),
        Some(MISSES_TOLD)
    );
    let parts: f64 = ["forecast", "plan", "guardrail", "provider", "start_up"]
        .iter()
        .map(|cause| {
            misses["causes"][cause]["unserved_vm_hours"]
                .as_f64()
                .expect("a number")
        })
        .sum();
    assert!((parts - misses["unserved_vm_hours"].as_f64().expect("a number")).abs() < 1e-6);
    assert_eq!(value["frontier"].as_array().map(Vec::len), Some(29));
}

#[test]
fn the_page_is_one_file_with_everything_named() {
    let page = report_html(input());
    for needed in [
        "snowflake-r1-ab",
        "Assumed prices",
        "typeB",
        "CC BY 4.0",
        "Christmas",
        "forecaster failed and came back",
        "prefers-color-scheme:dark",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
    for outside in ["http://", "https://", "@import", "url(", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    let tiers: usize = input()
        .customers
        .iter()
        .map(|customer| customer.tiers.len())
        .sum();
    assert_eq!(page.matches("class=\"plot\"").count(), tiers);
    assert!(!page.contains("NaN") && !page.contains("inf "));
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert_eq!(page, report_html(&example()));
}

#[test]
fn many_customers_have_pages_of_their_own() {
    assert_eq!(report_pages(input()).len(), 1);
    let mut many = input().clone();
    let first = many.customers[0].clone();
    for number in 0..10 {
        let mut one = first.clone();
        one.customer = CustomerId::new(format!("copy-{number}")).expect("an id");
        many.customers.push(one);
    }
    let pages = report_pages(&many);
    assert_eq!(pages.len(), 23);
    assert!(pages[0].text.contains("href=\"customers/copy-3.html\""));
    assert!(!pages[0].text.contains("class=\"plot\""));
    let one = pages
        .iter()
        .find(|page| page.path == "customers/copy-3.html");
    let one = &one.expect("a page").text;
    assert!(one.contains("class=\"plot\"") && one.contains("href=\"../report.html\""));
}

#[test]
fn every_miss_has_its_reason_in_words() {
    let page = report_html(input());
    assert!(page.contains("demand rose above the forecast&#39;s range, which ended at 11"));
    assert!(page.contains("the step limit held it down"));
    assert!(page.contains("VMs were still starting"));
}

#[test]
fn names_from_outside_cannot_break_the_page() {
    let mut hostile = input().clone();
    hostile.title = "<script>alert(1)</script>".to_owned();
    hostile.notes = vec!["\"><img onerror=x>".to_owned()];
    for event in hostile
        .customers
        .iter_mut()
        .flat_map(|customer| &mut customer.events)
    {
        event.name = "</svg><script>alert(2)</script>".to_owned();
    }
    let page = report_html(&hostile);
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
    assert_eq!(page.matches("<script>").count(), 1);
}

#[test]
fn an_empty_run_and_one_without_forecasts_are_shown_too() {
    let mut empty = input().clone();
    empty.customers.clear();
    assert!(report_html(&empty).contains("</html>"));
    assert!(report_table(&empty).contains("total"));
    report_json(&empty).expect("JSON");
    let mut bare = input().clone();
    bare.customers.truncate(1);
    for point in bare.customers[0]
        .tiers
        .iter_mut()
        .flat_map(|tier| &mut tier.points)
    {
        *point = TierPoint::default();
    }
    let page = report_html(&bare);
    assert!(!page.contains("NaN"), "no value, no number");
}

#[test]
fn long_histories_are_thinned() {
    let mut long = input().clone();
    long.customers.truncate(1);
    let tier = &mut long.customers[0].tiers[0];
    let once = tier.points.clone();
    for _ in 0..20 {
        tier.points.extend_from_slice(&once);
    }
    assert!(report_html(&long).len() < report_html(input()).len());
}

#[test]
fn the_picture_is_drawn_in_both_themes() {
    let customer = CustomerId::new("nyctaxi").expect("a customer");
    let light = picture_svg(input(), &customer, Theme::Light).expect("a picture");
    let dark = picture_svg(input(), &customer, Theme::Dark).expect("a picture");
    assert!(light.contains("#fcfbf9") && dark.contains("#11151a"));
    assert!(light.contains("Christmas"));
    let nobody = CustomerId::new("nobody").expect("a customer");
    assert_eq!(picture_svg(input(), &nobody, Theme::Light), None);
}

#[test]
fn forecasts_and_decisions_become_csv() {
    let customer = CustomerId::new("acme").expect("a customer");
    let series = SeriesKey {
        vm_type: VmTypeId::new("web").expect("a VM type"),
        metric: MetricName::new("requests").expect("a metric"),
    };
    let quantiles = [1, 2, 3, 4, 5, 6, 7, 8].map(|units| FixedValue(units * 500_000));
    let mut out = Vec::new();
    write_forecasts_header(&mut out).expect("memory");
    let row = ForecastRow {
        customer: &customer,
        series: &series,
        issued_at: DomainTime(3_600),
        step_at: DomainTime(7_200),
        quantiles: &quantiles,
    };
    write_forecasts(&mut out, [row]).expect("memory");
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "customer,vm_type,metric,issued_at,step_at,q0.05,q0.1,q0.25,q0.5,q0.75,q0.9,q0.95,q0.99\n\
         acme,web,requests,3600,7200,0.5,1,1.5,2,2.5,3,3.5,4\n"
    );
    let tier = TierName::new("web").expect("a tier");
    let vm_type = VmTypeId::new("m5.large").expect("a VM type");
    let mut out = Vec::new();
    write_decisions_header(&mut out).expect("memory");
    let row = DecisionRow {
        customer: &customer,
        tier: &tier,
        vm_type: &vm_type,
        decided_at: DomainTime(6_900),
        step_at: DomainTime(7_200),
        desired: VmCount(4),
        observed: VmCount(3),
        plan: Some(PlanNumber(2)),
    };
    write_decisions(&mut out, [row.clone(), DecisionRow { plan: None, ..row }]).expect("memory");
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "customer,tier,vm_type,decided_at,step_at,desired,observed,plan\n\
         acme,web,m5.large,6900,7200,4,3,2\nacme,web,m5.large,6900,7200,4,3,\n"
    );
}
