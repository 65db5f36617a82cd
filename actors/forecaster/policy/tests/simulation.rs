//! The simulation beside the scorer's: `data/scored.json` holds inputs and what the scorer's `sim.py` said
//! of them. It sums shares in another order, hence the tolerance of two of the numbers.

use serde::Deserialize;
use twinscale_policy::simulation::{Score, clairvoyant, score, serving};
use twinscale_policy::trace::Demand;

#[derive(Deserialize)]
struct Case {
    source: String,
    step_s: u32,
    start_up_steps: usize,
    decision_steps: usize,
    minimum_bill_s: u32,
    initial: u32,
    vms: Vec<u32>,
    is_observed: Vec<bool>,
    desired: Vec<u32>,
    serving: Vec<u32>,
    clairvoyant: Vec<u32>,
    expected: Score,
}

fn demand(case: &Case) -> Demand {
    Demand {
        suite: "suite".to_owned(),
        name: case.source.clone(),
        customer: "customer".to_owned(),
        step_s: case.step_s,
        start_up_steps: case.start_up_steps,
        decision_steps: case.decision_steps,
        minimum_bill_s: case.minimum_bill_s,
        start_s: 0,
        initial: case.initial,
        mean_vms: 1.0,
        vms: case.vms.clone(),
        is_observed: case.is_observed.clone(),
    }
}

#[test]
fn the_simulation_says_what_the_scorer_says() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("data/scored.json")).expect("a list of cases");
    assert_eq!(cases.len(), 4);
    for case in &cases {
        let demand = demand(case);
        assert_eq!(
            serving(&case.desired, case.initial, case.start_up_steps),
            case.serving,
            "{}",
            case.source
        );
        assert_eq!(clairvoyant(&demand), case.clairvoyant, "{}", case.source);
        let found = score(&demand, &case.desired).expect("a good case");
        let expected = &case.expected;
        // Sums of whole numbers: equal to the last digit.
        for (found, expected) in [
            (found.tau_under, expected.tau_under),
            (found.tau_over, expected.tau_over),
            (found.instability, expected.instability),
            (found.cost, expected.cost),
            (found.unserved, expected.unserved),
            (found.starts_per_day, expected.starts_per_day),
        ] {
            assert_eq!(found.to_bits(), expected.to_bits(), "{}", case.source);
        }
        for (found, expected) in [
            (found.theta_under, expected.theta_under),
            (found.theta_over, expected.theta_over),
            (found.sigma, expected.sigma),
        ] {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off < 1e-13, "{}: {found} is not {expected}", case.source);
        }
    }
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("data/scored.json")).expect("a list of cases");
    let demand = demand(&cases[0]);
    let text = score(&demand, &[1, 2]).expect_err("too short").to_string();
    assert!(
        text.contains("desired: 2 is not one count per step"),
        "{text}"
    );
    let mut short = demand.clone();
    short.vms.truncate(1);
    assert!(short.check().is_err());
    let mut empty = demand;
    empty.is_observed.fill(false);
    let text = empty.check().expect_err("nothing seen").to_string();
    assert!(text.contains("no observed step"), "{text}");
}
