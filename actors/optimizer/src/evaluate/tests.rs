use super::*;
use crate::problem::VmOption;

/// One tier of one type, two steps, two levels: small enough to price by hand.
fn tiny() -> Problem {
    let option = VmOption {
        name: "small".to_owned(),
        price_per_hour: 2.0,
        start_price: 0.5,
        vcpu: 4.0,
        capacity: vec![10.0],
        initial: 1,
    };
    let tier = Tier {
        name: "app".to_owned(),
        resources: 1,
        requirement: vec![10.0, 20.0, 20.0, 30.0],
        options: vec![option],
        delay_steps: 0,
        min_up_steps: 1,
        vms_min: 1,
        vms_max: 3,
        starts_max: 1,
        stops_max: 1,
        service: None,
    };
    Problem {
        id: "tiny".to_owned(),
        steps: 2,
        step_hours: 0.5,
        levels: vec![0.5, 0.9],
        level_min: 0,
        level_max: 1,
        risk_budget: 0.4,
        step_weight: vec![0.5, 0.5],
        penalty: vec![3.0, 1.0, 3.0, 1.0],
        demand_rps: Vec::new(),
        resources: Vec::new(),
        tiers: vec![tier],
        volumes: Vec::new(),
        link: None,
        vcpu_quota: 12.0,
        step_spend_max: 10.0,
        budget: 10.0,
    }
}

fn plan(counts: [u32; 2]) -> Plan {
    Plan {
        counts: vec![vec![counts.to_vec()]],
        blocks: Vec::new(),
        iops_blocks: Vec::new(),
        link_option: Vec::new(),
    }
}

fn rules(problem: &Problem, plan: &Plan) -> Vec<Rule> {
    evaluate(problem, plan)
        .violations
        .iter()
        .map(|violation| violation.rule)
        .collect()
}

#[test]
fn cost_levels_and_risk_are_those_by_hand() {
    let found = evaluate(&tiny(), &plan([2, 3]));
    assert!(found.feasible(), "{:?}", found.violations);
    // 5 VM-steps of 1 $, two starts, level 0.9 in both steps.
    assert!((found.spend - (5.0 + 1.0)).abs() < 1e-12);
    assert!((found.cost - (6.0 + 2.0)).abs() < 1e-12);
    assert!((found.risk - 0.1).abs() < 1e-12);
    assert_eq!(found.levels, vec![Some(1), Some(1)]);

    let found = evaluate(&tiny(), &plan([1, 2]));
    assert_eq!(found.levels, vec![Some(0), Some(0)]);
    assert!((found.cost - (3.0 + 0.5 + 6.0)).abs() < 1e-12);
    assert_eq!(
        found.violations.len(),
        1,
        "only the risk of 0.5 is too high"
    );
    assert_eq!(found.violations[0].rule, Rule::Risk);
}

#[test]
fn every_limit_is_checked() {
    let mut problem = tiny();
    assert_eq!(rules(&problem, &plan([3, 3])), vec![Rule::Starts]);
    assert_eq!(
        rules(&problem, &plan([2, 4])),
        vec![Rule::Starts, Rule::VmsMax, Rule::VcpuQuota]
    );
    problem.tiers[0].delay_steps = 1;
    problem.tiers[0].min_up_steps = 2;
    // The VM started at step 1 does not serve yet, and one started at step 0 may not stop at step 1.
    let found = evaluate(&problem, &plan([2, 3]));
    assert_eq!(found.levels, vec![Some(0), Some(0)]);
    problem.tiers[0].options[0].initial = 0;
    assert!(rules(&problem, &plan([1, 0])).contains(&Rule::MinUp));
    problem.budget = 1.0;
    problem.step_spend_max = 0.1;
    let broken = rules(&problem, &plan([1, 1]));
    assert!(broken.contains(&Rule::Budget) && broken.contains(&Rule::StepSpend));
    problem.level_min = 1;
    assert!(rules(&problem, &plan([1, 1])).contains(&Rule::LevelMin));
}

#[test]
fn serving_vms_are_past_their_start_up_time() {
    assert_eq!(serving(1, &[1, 3, 3, 2], 0), vec![1, 3, 3, 2]);
    assert_eq!(serving(1, &[1, 3, 3, 2], 1), vec![1, 1, 3, 2]);
    assert_eq!(serving(0, &[2, 2, 2, 2], 2), vec![0, 0, 2, 2]);
}
