//! What the twins blame adds up to what the provider's ledger says was not served.

use serde_json::Value;
use twinscale_chaos::{ReplayCase, short_samples};

const CAUSES: [&str; 5] = ["forecast", "plan", "guardrail", "provider", "start_up"];

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn misses_are_what_the_ledger_says_was_unserved() {
    let customers = short_samples(4, 96).expect("the samples load");
    let case = ReplayCase {
        kill_forecaster_at: Some(50),
        ..ReplayCase::undisturbed(1).expect("the weights load")
    };
    let outcome = case.run(&customers).expect("it replays");
    let report: Value = serde_json::from_str(&outcome.json).expect("JSON");
    let mut steps = 0.0;
    for customer in report["customers"].as_array().expect("customers") {
        let misses = &customer["misses"];
        let by_twin = number(&misses["unserved_vm_hours"]);
        // Judged by the twin from what it observed and committed; priced here from the ledger, where the
        // lives of VMs are.
        let by_ledger = number(&customer["total"]["twinscale"]["unserved_vm_hours"]);
        let name = &customer["customer"];
        // Each tier is rounded to a millionth of an hour.
        assert!(
            (by_twin - by_ledger).abs() < 1e-5,
            "{name}: {by_twin} {by_ledger}"
        );
        let causes = CAUSES.map(|cause| &misses["causes"][cause]);
        let hours: f64 = causes
            .iter()
            .map(|one| number(&one["unserved_vm_hours"]))
            .sum();
        assert!((hours - by_twin).abs() < 1e-5, "{name}: {misses}");
        let money: f64 = causes
            .iter()
            .map(|one| number(&one["money_micro_dollars"]))
            .sum();
        assert!(
            (money - number(&misses["money_micro_dollars"])).abs() < 0.5,
            "{name}"
        );
        steps += number(&misses["missed_steps"]);
    }
    assert!(steps > 0.0, "a run without a miss shows nothing");
}
