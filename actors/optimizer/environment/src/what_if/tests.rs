use super::{Change, ChangeError, Engine, WhatIfError, compare};
use crate::model::StackModel;

const SHOP: &str = r#"
    customer = "acme"
    rate_per_s = 100
    zones = ["a", "b"]
    [class.browse]
    entry = "app"
    share = 0.9
    sla = { p99_s = 0.5 }
    [class.buy]
    entry = "app"
    share = 0.1
    [vm_type.small]
    vcpu = 2
    memory_gib = 4
    price_per_hour_usd = 0.1
    [vm_type.large]
    vcpu = 8
    memory_gib = 16
    price_per_hour_usd = 0.35
    price_assumed = true
    [tier.app]
    vm = [{ type = "small", count = 4 }]
    balancer = "random"
    demand.browse = { mean_s = 0.03 }
    demand.buy = { mean_s = 0.06 }
    [tier.db]
    kind = "database"
    vm = [{ type = "large", count = 2 }]
    demand.browse = { mean_s = 0.01 }
    database = { connections_max = 100, read_replicas = 1 }
    [volume.data]
    tier = "db"
    capacity_gib = 100
    price_per_hour_usd = 0.05
    [[call]]
    from = "app"
    to = "db"
"#;

fn shop() -> StackModel {
    toml::from_str(SHOP).expect("a model")
}

fn tier(name: &str) -> twinscale_protocol::TierName {
    name.parse().expect("a name")
}

fn changed(change: &Change) -> StackModel {
    let mut model = shop();
    change.apply(&mut model).expect("a change");
    model
}

#[test]
fn more_load_costs_nothing_and_takes_longer() {
    let twice = Change::Load {
        class: None,
        factor: 1.8,
    };
    let found = compare(&shop(), &[twice], Engine::Analytic, &|_| true).expect("an answer");
    assert!((found.today.cost.total_usd - (0.4 + 0.7 + 0.1)).abs() < 1e-9);
    assert!((found.today.cost.assumed_usd - 0.7).abs() < 1e-9);
    assert_eq!(found.then.cost, found.today.cost);
    let mean = |standing: &super::Standing| {
        standing.predicted.as_ref().expect("steady").classes[0].mean_response_s
    };
    assert!(mean(&found.then) > mean(&found.today));
    // 3.3 of 8 cores today.
    assert_eq!(found.today.resources[0].resource, "cores of app");
    assert!((found.today.resources[0].utilisation - 0.4125).abs() < 1e-9);
    assert!((found.then.resources[0].full_at_load - 1.0 / 0.4125 / 1.8).abs() < 1e-9);
}

#[test]
fn load_of_one_class_takes_nothing_from_the_others() {
    let model = changed(&Change::Load {
        class: Some("buy".parse().expect("a name")),
        factor: 3.0,
    });
    let rates = crate::flow::class_rates(&model).expect("rates");
    let rates: Vec<f64> = rates.into_values().collect();
    assert_eq!(rates, [90.0, 30.0]);
}

#[test]
fn what_is_used_up_is_an_answer_and_no_error() {
    let change = Change::Slower {
        tier: tier("app"),
        factor: 3.0,
    };
    let found = compare(&shop(), &[change], Engine::Analytic, &|_| true).expect("an answer");
    assert_eq!(found.then.predicted, None);
    let told = found.then.overloaded.expect("it is used up");
    assert!(
        told.starts_with("cores of app would be used to 124 %"),
        "{told}"
    );
    assert_eq!(found.changes, ["work of app x 3"]);
}

#[test]
fn a_lost_zone_takes_its_vms_and_a_replica_becomes_the_primary() {
    let model = changed(&Change::LostZone {
        zone: "a".parse().expect("a name"),
    });
    assert_eq!(model.tiers[&tier("app")].vms[0].count, 2);
    assert_eq!(model.tiers[&tier("db")].vms[0].count, 1);
    let database = model.tiers[&tier("db")].database.as_ref().expect("stated");
    assert_eq!(database.read_replicas, 0);
    let again = Change::LostZone {
        zone: "b".parse().expect("a name"),
    };
    let mut model = model;
    let refused = again.apply(&mut model).expect_err("nothing is left");
    assert!(
        matches!(refused, ChangeError::NothingLeft { .. }),
        "{refused}"
    );
}

#[test]
fn types_prices_and_counts_change_the_bill() {
    let total = |change: &Change| super::hourly_cost(&changed(change)).total_usd;
    let on_large = Change::VmType {
        tier: tier("app"),
        vm_type: "large".parse().expect("a name"),
    };
    assert!((total(&on_large) - (1.4 + 0.7 + 0.1)).abs() < 1e-9);
    let more = Change::Vms {
        tier: tier("db"),
        count: 3,
    };
    assert!((total(&more) - (0.4 + 1.05 + 0.15)).abs() < 1e-9);
    let dearer = Change::Price {
        vm_type: "small".parse().expect("a name"),
        factor: 2.0,
    };
    assert!((total(&dearer) - (0.8 + 0.7 + 0.1)).abs() < 1e-9);
}

#[test]
fn both_engines_answer_for_the_same_requests() {
    let change = Change::Vms {
        tier: tier("app"),
        count: 3,
    };
    let engine = Engine::Events {
        seed: 1,
        threads: 2,
    };
    let found = compare(&shop(), &[change], engine, &|_| true).expect("an answer");
    for standing in [&found.today, &found.then] {
        let formula = &standing.predicted.as_ref().expect("steady").classes[0];
        let events = &standing.simulated.as_ref().expect("asked for").classes[0];
        let share = formula.mean_response_s / events.mean_response_s.value;
        assert!((share - 1.0).abs() < 0.06, "{share}");
    }
}

#[test]
fn what_the_stack_does_not_have_is_refused_with_what_may_be_meant() {
    let refused = |change: Change| {
        let error = compare(&shop(), &[change], Engine::Analytic, &|_| true);
        error.expect_err("it is wrong").to_string()
    };
    let told = refused(Change::Vms {
        tier: tier("ap"),
        count: 3,
    });
    assert_eq!(told, "the stack has no tier `ap`; do you mean `app`?");
    let told = refused(Change::Load {
        class: Some("buys".parse().expect("a name")),
        factor: 2.0,
    });
    assert!(told.contains("do you mean `buy`?"), "{told}");
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = compare(
            &shop(),
            &[Change::Load {
                class: None,
                factor,
            }],
            Engine::Analytic,
            &|_| true,
        );
        let wrong = matches!(error, Err(WhatIfError::Change(ChangeError::Factor { .. })));
        assert!(wrong, "{factor}");
    }
}
