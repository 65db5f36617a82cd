use super::{PredictionError, predict};
use crate::model::StackModel;
use crate::simulation::{Load, Options, simulate};

fn model(text: &str) -> StackModel {
    let types = "[vm_type.one]\nvcpu = 1\nmemory_gib = 1\nprice_per_hour_usd = 0.05\n\
                 [vm_type.eight]\nvcpu = 8\nmemory_gib = 8\nprice_per_hour_usd = 0.4\n";
    toml::from_str(&format!("customer = \"acme\"\n{text}\n{types}")).expect("a model")
}

fn one_tier(tier: &str, rate: f64, demand: &str) -> StackModel {
    model(&format!(
        "[class.get]\nentry = \"app\"\nrate_per_s = {rate}\nsla = {{ p99_s = 10.0 }}\n\
         [tier.app]\n{tier}\n[tier.app.demand.get]\n{demand}\n"
    ))
}

#[track_caller]
fn near(found: f64, expected: f64, share: f64) {
    assert!(
        (found - expected).abs() <= share * expected.abs(),
        "{found} is not within {share} of {expected}"
    );
}

#[test]
fn a_single_server_is_exact_in_every_figure() {
    let found = predict(&one_tier(
        "vm = [{ type = \"one\", count = 1 }]",
        0.7,
        "mean_s = 1.0",
    ));
    let class = &found.expect("a steady state").classes[0];
    near(class.mean_response_s, 1.0 / 0.3, 1e-9);
    near(class.p95_response_s, 20.0_f64.ln() / 0.3, 1e-6);
    near(class.p99_response_s, 100.0_f64.ln() / 0.3, 1e-6);
    near(class.missed_p99.expect("a promise"), (-3.0_f64).exp(), 1e-6);
}

#[test]
fn many_servers_have_the_mean_of_erlang() {
    let found = predict(&one_tier(
        "vm = [{ type = \"eight\", count = 1 }]",
        6.8,
        "mean_s = 1.0",
    ));
    let class = &found.expect("a steady state").classes[0];
    near(class.mean_response_s, 1.477_140_777_512_433_4, 1e-9);
    near(class.p99_response_s, 5.685_117, 0.02);
}

#[test]
fn what_is_used_up_is_named_with_the_load_that_would_do() {
    let refused = predict(&one_tier(
        "vm = [{ type = \"one\", count = 2 }]",
        3.0,
        "mean_s = 1.0",
    ));
    let PredictionError::Overloaded {
        resource,
        utilisation,
    } = refused.expect_err("no steady state")
    else {
        panic!("another error");
    };
    assert_eq!(resource, "cores of app");
    near(utilisation, 1.5, 1e-9);
}

#[test]
fn the_first_to_saturate_stands_first() {
    let text = "[class.get]\nentry = \"app\"\nrate_per_s = 4\n\
        [tier.app]\nvm = [{ type = \"eight\", count = 1 }]\ndemand.get = { mean_s = 0.5 }\n\
        [tier.db]\nvm = [{ type = \"one\", count = 1 }]\ndemand.get = { mean_s = 0.2 }\n\
        [[call]]\nfrom = \"app\"\nto = \"db\"\ntimeout_s = 1.0\n";
    let found = predict(&model(text)).expect("a steady state");
    assert_eq!(found.resources[0].resource, "cores of db");
    near(found.resources[0].full_at_load, 1.25, 1e-9);
    assert_eq!(found.left_out, ["time-out and retries of app -> db"]);
}

/// Both engines, which know nothing of each other, on stacks that the formulas claim to cover.
#[test]
fn formulas_are_near_the_simulation() {
    let calls = |order: &str| {
        format!(
            "[class.get]\nentry = \"app\"\nrate_per_s = 40\n\
             [tier.app]\nvm = [{{ type = \"eight\", count = 1 }}]\n\
             demand.get = {{ mean_s = 0.1, distribution = \"lognormal\", scv = 1.5 }}\n\
             [tier.a]\nvm = [{{ type = \"one\", count = 3 }}]\nbalancer = \"random\"\n\
             demand.get = {{ mean_s = 0.04 }}\n\
             [tier.b]\nvm = [{{ type = \"one\", count = 6 }}]\nbalancer = \"two-choices\"\n\
             demand.get = {{ mean_s = 0.05, distribution = \"erlang\", scv = 0.5 }}\n\
             [[call]]\nfrom = \"app\"\nto = \"a\"\norder = \"{order}\"\n\
             [[call]]\nfrom = \"app\"\nto = \"b\"\norder = \"{order}\"\nper_request = 1.5\n"
        )
    };
    let shared = one_tier(
        "vm = [{ type = \"one\", count = 4 }]\nworkers_per_vm = 1000\nbalancer = \"random\"",
        2.4,
        "mean_s = 1.0\ndistribution = \"lognormal\"\nscv = 3.0",
    );
    for (model, mean_within, p99_within) in [
        (model(&calls("sequential")), 0.06, 0.12),
        (model(&calls("parallel")), 0.10, 0.15),
        (shared, 0.04, 0.25),
    ] {
        let predicted = predict(&model).expect("a steady state");
        let rate = predicted.classes[0].rate_per_s;
        let seconds = 60_000.0 / rate;
        let load = Load::steady(vec![("get".parse().expect("a name"), rate)], seconds);
        let options = Options {
            seed: 11,
            threads: 2,
            replications: 8,
            warm_up_s: 0.1 * seconds,
            stop: None,
        };
        let simulated = simulate(&model, &load, &[], &options, &|_| true).expect("an outcome");
        let (left, right) = (&predicted.classes[0], &simulated.classes[0]);
        near(
            left.mean_response_s,
            right.mean_response_s.value,
            mean_within,
        );
        near(left.p99_response_s, right.p99_response_s.value, p99_within);
        for tier in &simulated.tiers {
            let name = format!("cores of {}", tier.tier);
            let used = predicted
                .resources
                .iter()
                .find(|used| used.resource == name);
            near(
                used.expect("named").utilisation,
                tier.utilisation.value,
                0.04,
            );
        }
    }
}
