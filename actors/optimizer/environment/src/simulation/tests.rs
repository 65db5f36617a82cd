use super::{AllocationChange, Load, Options, Outcome, Precision, SimulationError, simulate};
use crate::model::StackModel;

const VM_TYPES: &str = r"
    [vm_type.one]
    vcpu = 1
    memory_gib = 1
    price_per_hour_usd = 0.05
    [vm_type.four]
    vcpu = 4
    memory_gib = 4
    price_per_hour_usd = 0.2
    [vm_type.eight]
    vcpu = 8
    memory_gib = 8
    price_per_hour_usd = 0.4
";

fn model(text: &str) -> StackModel {
    toml::from_str(&format!("customer = \"acme\"\n{text}\n{VM_TYPES}")).expect("a model")
}

fn one_tier(vm_type: &str, count: u32, more: &str, demand: &str) -> StackModel {
    model(&format!(
        "[class.get]\nentry = \"app\"\nrate_per_s = 1\nsla = {{ p99_s = 10.0 }}\n\
         [tier.app]\nvm = [{{ type = \"{vm_type}\", count = {count} }}]\n{more}\n\
         [tier.app.demand.get]\n{demand}\n"
    ))
}

fn options(seed: u64) -> Options {
    Options {
        seed,
        threads: 2,
        replications: 8,
        warm_up_s: 0.0,
        stop: None,
    }
}

/// Simulates a steady rate for some requests in all.
fn steady(model: &StackModel, rate: f64, requests: f64) -> Outcome {
    let seconds = requests / rate / 8.0;
    let load = Load::steady(vec![("get".parse().expect("a name"), rate)], seconds);
    let options = Options {
        warm_up_s: 0.1 * seconds,
        ..options(3)
    };
    simulate(model, &load, &[], &options, &|_| true).expect("an outcome")
}

#[track_caller]
fn near(found: f64, expected: f64, share: f64) {
    assert!(
        (found - expected).abs() <= share * expected.abs(),
        "{found} is not within {share} of {expected}"
    );
}

#[test]
fn one_worker_on_one_core_is_a_single_server() {
    let model = one_tier("one", 1, "", "mean_s = 1.0");
    let found = steady(&model, 0.7, 800_000.0);
    let class = &found.classes[0];
    near(class.mean_response_s.value, 1.0 / 0.3, 0.02);
    near(class.p95_response_s.value, 20.0_f64.ln() / 0.3, 0.03);
    near(class.p99_response_s.value, 100.0_f64.ln() / 0.3, 0.04);
    near(
        class.missed_p99.expect("a promise").value,
        (-3.0_f64).exp(),
        0.05,
    );
    near(found.tiers[0].utilisation.value, 0.7, 0.01);
    near(class.availability.value, 1.0, 0.0);
}

#[test]
fn a_vm_of_eight_cores_is_eight_servers_before_one_line() {
    // M/M/8 at 0.85: mean response 1.4771.
    let found = steady(&one_tier("eight", 1, "", "mean_s = 1.0"), 6.8, 1_500_000.0);
    near(found.classes[0].mean_response_s.value, 1.477_140_8, 0.015);
    near(found.classes[0].p99_response_s.value, 5.685_117, 0.03);
}

#[test]
fn workers_that_share_a_core_wait_the_same_whatever_the_law() {
    // Processor sharing: the mean is that of M/M/1, 1 / (1 - 0.7), for any law of the same mean.
    for law in [
        "distribution = \"deterministic\"",
        "distribution = \"lognormal\"\nscv = 4.0",
    ] {
        let demand = format!("mean_s = 1.0\n{law}");
        let model = one_tier("one", 1, "workers_per_vm = 100000", &demand);
        let found = steady(&model, 0.7, 1_500_000.0);
        near(found.classes[0].mean_response_s.value, 1.0 / 0.3, 0.03);
    }
}

#[test]
fn balancers_differ_as_queueing_theory_has_it() {
    let mean = |balancer: &str| {
        let more = format!("balancer = \"{balancer}\"");
        let found = steady(&one_tier("one", 10, &more, "mean_s = 1.0"), 9.0, 600_000.0);
        found.classes[0].mean_response_s.value
    };
    // At random each VM is M/M/1 at 0.9; of two choices the mean is 2.987 (simulated, 16 million requests).
    near(mean("random"), 10.0, 0.1);
    near(mean("two-choices"), 2.987, 0.03);
    let (turns, shortest) = (mean("round-robin"), mean("join-shortest-queue"));
    assert!(shortest < 2.987 && shortest > 1.6, "{shortest}");
    assert!(turns < 10.0 && turns > 4.0, "{turns}");
    near(mean("least-connections"), shortest, 0.03);
}

#[test]
fn a_request_takes_its_way_through_tiers_and_misses() {
    // Four tiers, 100 requests/s: mean 0.10717 s, p99 0.4976 s (simulated, 16 million requests).
    let model = model(
        r#"
        [class.get]
        entry = "web"
        rate_per_s = 100
        [tier.web]
        vm = [{ type = "one", count = 1 }]
        demand.get = { mean_s = 0.004 }
        [tier.app]
        vm = [{ type = "eight", count = 1 }]
        demand.get = { mean_s = 0.06, distribution = "lognormal", scv = 1.0 }
        [tier.cache]
        kind = "cache"
        vm = [{ type = "one", count = 1 }]
        demand.get = { mean_s = 0.0008 }
        cache = { hit = { by = "fixed", ratio = 0.7 } }
        [tier.db]
        kind = "database"
        vm = [{ type = "four", count = 1 }]
        demand.get = { mean_s = 0.08, distribution = "lognormal", scv = 2.0 }
        database = { connections_max = 100000 }
        [[call]]
        from = "web"
        to = "app"
        [[call]]
        from = "app"
        to = "cache"
        [[call]]
        from = "app"
        to = "db"
        on_miss_of = "cache"
        "#,
    );
    let found = steady(&model, 100.0, 1_500_000.0);
    near(found.classes[0].mean_response_s.value, 0.107_17, 0.015);
    near(found.classes[0].p95_response_s.value, 0.289_99, 0.02);
    near(found.classes[0].p99_response_s.value, 0.497_64, 0.03);
    let tiers: Vec<f64> = found
        .tiers
        .iter()
        .map(|tier| tier.utilisation.value)
        .collect();
    // In the order of names: app, cache, db, web.
    for (found, expected) in tiers.iter().zip([0.75, 0.08, 0.6, 0.4]) {
        near(*found, expected, 0.02);
    }
}

#[test]
fn what_finds_no_room_is_refused() {
    // M/M/4/10 at 4.8: 20.55 % are refused, the others take 1.8646.
    let model = one_tier("four", 1, "waiting_max = 6", "mean_s = 1.0");
    let found = steady(&model, 4.8, 800_000.0);
    near(
        1.0 - found.classes[0].availability.value,
        0.205_472_28,
        0.02,
    );
    near(found.classes[0].mean_response_s.value, 1.864_56, 0.01);
    assert!(found.tiers[0].refused > 0);
}

const CALLING: &str = r#"
    [class.get]
    entry = "app"
    rate_per_s = 5
    [tier.app]
    vm = [{ type = "eight", count = 1 }]
    workers_per_vm = 100000
    [tier.db]
    vm = [{ type = "one", count = 1 }]
    demand.get = { mean_s = 0.1 }
    [[call]]
    from = "app"
    to = "db"
"#;

#[test]
fn a_call_that_takes_too_long_is_tried_again_and_its_work_goes_on() {
    let calm = steady(&model(CALLING), 3.0, 200_000.0);
    near(calm.classes[0].mean_response_s.value, 0.1 / 0.7, 0.03);
    let limited = format!("{CALLING}timeout_s = 0.5\nretries_max = 1\nretry_backoff_s = 0.01");
    let found = steady(&model(&limited), 3.0, 200_000.0);
    let given_up = found.calls[0].timed_out;
    assert!(given_up > 0);
    // About exp(-3.5) of the tries take longer; their work is done all the same.
    assert!(found.tiers[1].utilisation.value > calm.tiers[1].utilisation.value * 1.02);
    let class = &found.classes[0];
    assert!(class.availability.value < 1.0 && class.availability.value > 0.7);
    assert!(class.p99_response_s.value <= 0.5 + 0.01 + 0.5 + 1e-3);
}

#[test]
fn a_pool_of_one_connection_makes_calls_wait_in_the_caller() {
    // The database is fast enough for eight at once; through one connection it is a single server.
    let text = CALLING.replace("type = \"one\", count = 1", "type = \"eight\", count = 1");
    let wide = steady(&model(&text), 5.0, 200_000.0);
    near(wide.classes[0].mean_response_s.value, 0.1, 0.02);
    let narrow = steady(&model(&format!("{text}pool_size = 1")), 5.0, 200_000.0);
    near(narrow.classes[0].mean_response_s.value, 0.2, 0.03);
}

#[test]
fn a_worker_that_waits_for_its_calls_serves_nobody_else() {
    let held = CALLING.replace(
        "workers_per_vm = 100000",
        "workers_per_vm = 1\nholds_worker = true",
    );
    // Without a line at the database, the single worker of the caller is the single server.
    let found = steady(&model(&held), 5.0, 200_000.0);
    near(found.classes[0].mean_response_s.value, 0.2, 0.03);
    let free = CALLING.replace("workers_per_vm = 100000", "workers_per_vm = 1");
    let free = steady(&model(&free), 5.0, 200_000.0);
    near(free.classes[0].mean_response_s.value, 0.2, 0.03);
    let two = held.replace("rate_per_s = 5", "rate_per_s = 8");
    let two = two.replace(
        "[[call]]",
        "[tier.other]\nvm = [{ type = \"eight\", count = 1 }]\n\
        demand.get = { mean_s = 0.1 }\n[[call]]\nfrom = \"app\"\nto = \"other\"\n[[call]]",
    );
    // Two calls of 0.1 s each hold the worker for 0.2 s: at 5 requests/s it is always taken.
    let found = steady(&model(&two), 5.0, 40_000.0);
    assert!(found.classes[0].mean_response_s.value > 2.0);
}

#[test]
fn parallel_calls_take_as_long_as_the_slowest_and_others_add_up() {
    let calls = |order: &str| {
        format!(
            "[class.get]\nentry = \"app\"\nrate_per_s = 1\n\
             [tier.app]\nvm = [{{ type = \"eight\", count = 1 }}]\n\
             [tier.a]\nvm = [{{ type = \"eight\", count = 4 }}]\n\
             demand.get = {{ mean_s = 0.1, distribution = \"deterministic\" }}\n\
             [tier.b]\nvm = [{{ type = \"eight\", count = 4 }}]\n\
             demand.get = {{ mean_s = 0.3, distribution = \"deterministic\" }}\n\
             [[call]]\nfrom = \"app\"\nto = \"a\"\nper_request = 2\norder = \"{order}\"\n\
             [[call]]\nfrom = \"app\"\nto = \"b\"\norder = \"{order}\"\n"
        )
    };
    let mean = |order: &str| {
        let found = steady(&model(&calls(order)), 1.0, 4_000.0);
        found.classes[0].mean_response_s.value
    };
    near(mean("sequential"), 0.5, 1e-3);
    near(mean("parallel"), 0.3, 1e-3);
}

#[test]
fn volumes_and_links_limit_what_passes() {
    let text = r#"
        [class.get]
        entry = "db"
        rate_per_s = 50
        response_bytes = 100000
        [tier.db]
        kind = "database"
        vm = [{ type = "eight", count = 1 }]
        demand.get = { mean_s = 0.001, read_share = 1.0 }
        database = { connections_max = 100000, ios_per_read = 10 }
        [volume.data]
        tier = "db"
        capacity_gib = 10
        iops_baseline = 1000
        price_per_hour_usd = 0.01
        [link.out]
        from = "clients"
        to = "db"
        bandwidth_mbps = 100
        latency_s = 0.02
    "#;
    let found = steady(&model(text), 50.0, 100_000.0);
    near(found.tiers[0].storage_utilisation, 0.5, 0.02);
    // 40 Mbps of answers.
    near(found.links[0].utilisation, 0.4, 0.02);
    // 10 ms of operations each, twice 20 ms on the way, 8 ms of answer, and the lines before both.
    let mean = found.classes[0].mean_response_s.value;
    assert!(mean > 0.059 && mean < 0.075, "{mean}");
}

#[test]
fn reads_go_to_replicas_and_writes_to_the_primary_alone() {
    let text = r#"
        [class.get]
        entry = "db"
        rate_per_s = 10
        [tier.db]
        kind = "database"
        vm = [{ type = "one", count = 3 }]
        demand.get = { mean_s = 0.05, read_share = 0.5, write_mean_s = 0.1 }
        database = { connections_max = 100000, read_replicas = 2 }
    "#;
    let found = steady(&model(text), 10.0, 100_000.0);
    // 5 writes of 0.1 s and 5 reads of 0.05 s per second, on three VMs.
    near(found.tiers[0].utilisation.value, 0.25, 0.02);
    let alone = text
        .replace("count = 3", "count = 1")
        .replace("read_replicas = 2", "read_replicas = 0");
    let alone = steady(&model(&alone), 10.0, 100_000.0);
    near(alone.tiers[0].utilisation.value, 0.75, 0.02);
}

fn step_up(changes: &[AllocationChange]) -> Outcome {
    let model = one_tier(
        "one",
        2,
        "start_up_s = 120\nwarm_up_s = 60\nwarm_up_slowdown = 2.0",
        "mean_s = 0.1",
    );
    let load = Load {
        step_s: 600.0,
        rates: vec![("get".parse().expect("a name"), vec![10.0, 30.0])],
    };
    simulate(&model, &load, changes, &options(5), &|_| true).expect("an outcome")
}

fn to(count: u32, at_s: f64) -> AllocationChange {
    AllocationChange {
        at_s,
        tier: "app".parse().expect("a name"),
        vm_type: "one".parse().expect("a name"),
        count,
    }
}

#[test]
fn vms_that_are_asked_for_ahead_spare_the_step_that_needs_them() {
    let late = step_up(&[to(5, 600.0)]);
    let ahead = step_up(&[to(5, 420.0)]);
    let (late, ahead) = (&late.classes[0].steps, &ahead.classes[0].steps);
    // The same requests came.
    assert_eq!(
        late.iter().map(|step| step.requests).collect::<Vec<_>>(),
        ahead.iter().map(|step| step.requests).collect::<Vec<_>>()
    );
    assert!(late[1].missed_p99 > 0.1, "{:?}", late[1]);
    assert!(ahead[1].missed_p99 < 0.01, "{:?}", ahead[1]);
    assert!(ahead[0].failed <= 0.0);
}

#[test]
fn a_tier_without_vms_fails_what_comes_and_what_it_has_is_finished() {
    let found = step_up(&[to(0, 600.0)]);
    let steps = &found.classes[0].steps;
    assert!(steps[0].failed <= 0.0);
    assert!(steps[1].failed >= 1.0);
}

#[test]
fn the_outcome_depends_on_the_seed_and_not_on_the_threads() {
    let model = model(CALLING);
    let load = Load::steady(vec![("get".parse().expect("a name"), 5.0)], 200.0);
    let run = |seed, threads| {
        let options = Options {
            threads,
            ..options(seed)
        };
        simulate(&model, &load, &[], &options, &|_| true).expect("an outcome")
    };
    assert_eq!(run(1, 1), run(1, 3));
    assert_ne!(run(1, 1), run(2, 1));
}

#[test]
fn two_allocations_meet_the_same_work() {
    // Of the difference of two means, the same requests leave a fraction of the noise.
    let mean = |vms: u32, seed: u64| {
        let model = one_tier("one", vms, "", "mean_s = 0.1");
        let load = Load::steady(vec![("get".parse().expect("a name"), 30.0)], 60.0);
        let found = simulate(&model, &load, &[], &options(seed), &|_| true).expect("an outcome");
        found.classes[0].mean_response_s.value
    };
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    };
    let same: Vec<f64> = (0..12).map(|seed| mean(5, seed) - mean(6, seed)).collect();
    let other: Vec<f64> = (0..12)
        .map(|seed| mean(5, seed) - mean(6, seed + 50))
        .collect();
    assert!(
        spread(&same) < 0.8 * spread(&other),
        "{} {}",
        spread(&same),
        spread(&other)
    );
}

#[test]
fn more_runs_are_made_until_the_interval_is_narrow() {
    let model = one_tier("one", 1, "", "mean_s = 0.1");
    let load = Load::steady(vec![("get".parse().expect("a name"), 5.0)], 500.0);
    let stop = |relative_half_width, replications_max| Options {
        stop: Some(Precision {
            relative_half_width,
            replications_max,
        }),
        ..options(1)
    };
    let wide = simulate(&model, &load, &[], &stop(10.0, 80), &|_| true).expect("an outcome");
    assert_eq!(wide.replications, 8);
    let narrow = simulate(&model, &load, &[], &stop(0.08, 400), &|_| true).expect("an outcome");
    assert!(narrow.replications > 8 && narrow.replications < 400);
    assert!(narrow.is_within(0.08));
    let limited = simulate(&model, &load, &[], &stop(1e-9, 24), &|_| true).expect("an outcome");
    assert_eq!(limited.replications, 24);
}

#[test]
fn an_overloaded_stack_ends_in_bounded_time_and_says_what_was_not_served() {
    let model = one_tier("one", 1, "", "mean_s = 1.0");
    let load = Load::steady(vec![("get".parse().expect("a name"), 50.0)], 2_000.0);
    let found = simulate(&model, &load, &[], &options(1), &|_| true).expect("an outcome");
    // 1 of 50 can be served, for twice the time of the load.
    near(found.classes[0].availability.value, 0.04, 0.1);
    assert!(found.tiers[0].utilisation.value > 0.999);
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let model = one_tier("one", 1, "", "mean_s = 1.0");
    let refused = |load: &Load, changes: &[AllocationChange], options: &Options| {
        simulate(&model, load, changes, options, &|_| true)
            .expect_err("nothing to simulate")
            .to_string()
    };
    let load = |rate: f64| Load::steady(vec![("get".parse().expect("a name"), rate)], 10.0);
    assert!(refused(&load(f64::NAN), &[], &options(1)).starts_with("a rate is NaN"));
    assert!(refused(&load(-1.0), &[], &options(1)).starts_with("a rate is -1"));
    assert!(refused(&load(1e12), &[], &options(1)).starts_with("the number of requests"));
    let other = Load::steady(vec![("put".parse().expect("a name"), 1.0)], 10.0);
    assert!(refused(&other, &[], &options(1)).contains("no class `put`"));
    let late = Options {
        warm_up_s: 10.0,
        ..options(1)
    };
    assert!(refused(&load(1.0), &[], &late).starts_with("the warm-up is 10"));
    let change = AllocationChange {
        vm_type: "two".parse().expect("a name"),
        ..to(1, 0.0)
    };
    assert!(refused(&load(1.0), &[change], &options(1)).contains("`two`"));
    let stopped = simulate(&model, &load(1.0), &[], &options(1), &|_| false);
    assert_eq!(stopped, Err(SimulationError::Stopped));
}
