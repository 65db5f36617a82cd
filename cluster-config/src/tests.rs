use crate::{
    ConfigError, NodeSettings, PolicyFile, StackFile, assumed_prices, check_customer,
    planned_capacity, reference_markdown,
};
use std::collections::BTreeSet;
use twinscale_protocol::policy::Mode;
use twinscale_protocol::{
    CustomerId, FixedValue, MetricName, MicroDollars, PartsPerMillion, Seconds, SeriesKey, VmCount,
    VmTypeId,
};

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("a customer")
}

fn series(vm_type: &str, metric: &str) -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new(vm_type).expect("a VM type"),
        metric: MetricName::new(metric).expect("a metric"),
    }
}

fn keys_of(error: &ConfigError) -> Vec<&str> {
    match error {
        ConfigError::Invalid { violations, .. } => violations
            .iter()
            .map(|violation| violation.key.as_str())
            .collect(),
        other => panic!("not a list of violations: {other}"),
    }
}

#[test]
fn an_empty_policy_file_has_the_documented_defaults() {
    let file = PolicyFile::parse("", "p.toml").expect("empty is valid");
    assert_eq!(file, PolicyFile::default());
    let policy = file.policy_of(&customer("acme"));
    assert_eq!(policy.mode, Mode::Enforce);
    assert_eq!(policy.sla.level_min, PartsPerMillion(900_000));
    assert_eq!(policy.sla.level_max, PartsPerMillion(990_000));
    assert_eq!(policy.sla.risk_budget, PartsPerMillion(100_000));
    assert_eq!(policy.sla.unserved_price_ratio, FixedValue(20_000_000));
    assert_eq!(policy.sla.under_provisioned_step_price_ratio, FixedValue(0));
    assert_eq!(policy.limits.ceiling, VmCount(10_000));
    assert_eq!(policy.limits.cooldown_in, Seconds(300));
    assert_eq!(policy.retention.raw, Seconds(90 * 86_400));
    assert_eq!(policy.search_evaluations, 20_000);
    assert_eq!(policy.budget_per_day, None);
}

#[test]
fn a_customer_lies_on_top_of_the_default() {
    let text = "
[default]
budget_per_day_usd = 10
[default.sla]
level_min = 0.8
[default.metrics.requests]
capacity_per_vm = 1000
[customer.acme.sla]
level_max = 0.95
[customer.acme.metrics.requests]
target_utilisation = 0.5
";
    let file = PolicyFile::parse(text, "p.toml").expect("valid");
    let policy = file.policy_of(&customer("acme"));
    assert_eq!(policy.sla.level_min, PartsPerMillion(800_000));
    assert_eq!(policy.sla.level_max, PartsPerMillion(950_000));
    assert_eq!(policy.budget_per_day, Some(MicroDollars(10_000_000)));
    let mapping = policy.metrics.values().next().expect("a metric");
    assert_eq!(mapping.capacity_per_vm, FixedValue(1_000_000_000));
    assert_eq!(mapping.target_utilisation, PartsPerMillion(500_000));
    let other = file.policy_of(&customer("globex"));
    assert_eq!(other.sla.level_max, PartsPerMillion(990_000));
}

#[test]
fn all_violations_of_a_policy_come_together() {
    let text = "
colour = 1
[default]
mode = \"enforced\"
[default.sla]
lvel_min = 0.9
level_max = 0.97
[customer.acme.limits]
floor = 9
ceiling = 3
step_out_max = 0
[customer.acme.metrics.reqests]
capacity_per_vm = -1
[customer.\"Bad Name\"]
mode = \"observe\"
[customer.globex.sla]
level_max = 0.9
risk_budget = 0.01
";
    let error = PolicyFile::parse(text, "p.toml").expect_err("broken");
    assert_eq!(
        keys_of(&error),
        [
            "colour",
            "customer.\"Bad Name\"",
            "customer.acme.limits.floor",
            "customer.acme.limits.step_out_max",
            "customer.acme.metrics.reqests",
            "customer.acme.metrics.reqests.capacity_per_vm",
            "customer.globex.sla.risk_budget",
            "default.mode",
            "default.sla.level_max",
            "default.sla.lvel_min",
        ]
    );
    let text = error.to_string();
    assert!(text.contains("p.toml breaks 10 rules"), "{text}");
    assert!(text.contains("did you mean `level_min`?"), "{text}");
    assert!(text.contains("did you mean `requests`?"), "{text}");
    assert!(text.contains("nothing satisfies it"), "{text}");
}

#[test]
fn a_syntax_error_names_its_line() {
    let error = PolicyFile::parse("[default\n", "p.toml").expect_err("no TOML");
    let text = error.to_string();
    assert!(text.contains("p.toml") && text.contains("line 1"), "{text}");
}

#[test]
fn values_of_the_wrong_kind_are_named_and_never_panic() {
    let text = "default = 3\ncustomer = [1]";
    let error = PolicyFile::parse(text, "p.toml").expect_err("broken");
    assert_eq!(keys_of(&error), ["customer", "default"]);
    let text = "[default]\nsla = 1\nmetrics = { requests = 5 }\nlimits.floor = nan";
    let error = PolicyFile::parse(text, "p.toml").expect_err("broken");
    assert_eq!(
        keys_of(&error),
        [
            "default.limits.floor",
            "default.metrics.requests",
            "default.metrics.requests.capacity_per_vm",
            "default.sla"
        ]
    );
    let text = "customer = { acme = { sla = { risk_budget = inf } }, globex = 1 }";
    let error = PolicyFile::parse(text, "p.toml").expect_err("broken");
    assert_eq!(
        keys_of(&error),
        ["customer.acme.sla.risk_budget", "customer.globex"]
    );
}

const STACKS: &str = "
[tier_defaults]
start_up_s = 120
[vm_type.\"m5.large\"]
price_per_hour_usd = 0.096
vcpu = 2
memory_gib = 8
[customer.acme.tier.web]
demand = \"web/requests\"
min_vms = 2
[[customer.acme.tier.web.vm_type]]
name = \"m5.large\"
capacity_per_vm = 500
[[customer.acme.tier.web.vm_type]]
name = \"mystery\"
capacity_per_vm = 900
[customer.acme.tier.web.service]
service_time_us = 20000
p99_target_us = 250000
[customer.acme.volume.data]
demand = \"web/storage_gib\"
price_block_hour_usd = 0.01
[customer.acme.link]
demand = \"web/net_out_mbps\"
[[customer.acme.link.option]]
bandwidth_mbps = 100
price_per_hour_usd = 0.1
";

#[test]
fn a_stack_takes_prices_from_the_file_or_assumes_them() {
    let file = StackFile::parse(STACKS, "s.toml").expect("valid");
    let policy = PolicyFile::default();
    let policy = policy.policy_of(&customer("acme"));
    let stack = file.stack_of(&customer("acme"), &BTreeSet::new(), policy);
    let tier = stack.tiers.first().expect("a tier");
    assert_eq!(tier.start_up, Seconds(120));
    assert_eq!(tier.minimum_bill, Seconds(60));
    assert_eq!(tier.min_vms, VmCount(2));
    assert_eq!(tier.vm_types[0].price_per_hour, MicroDollars(96_000));
    assert!(!tier.vm_types[0].price_assumed);
    assert_eq!(tier.vm_types[1].price_per_hour, MicroDollars(192_000));
    let assumed: Vec<&str> = assumed_prices(&stack)
        .into_iter()
        .map(|option| option.vm_type.as_str())
        .collect();
    assert_eq!(assumed, ["mystery"]);
    assert_eq!(stack.volumes.len(), 1);
    assert!(stack.link.is_some());
    assert_eq!(
        planned_capacity(policy, tier, &tier.vm_types[0]),
        Some(FixedValue(400_000_000))
    );
    check_customer(&customer("acme"), policy, &stack).expect("they fit");
}

#[test]
fn a_stack_is_derived_from_the_trace() {
    let file = StackFile::parse("[tier_defaults]\nmin_vms = 0", "s.toml").expect("valid");
    let keys: BTreeSet<SeriesKey> = [
        series("typeB", "vm_count"),
        series("typeB", "requests"),
        series("typeC", "vm_count"),
        series("pool", "cpu_cores"),
        series("pool", "mem_gb"),
        series("db", "net_in_mbps"),
    ]
    .into();
    let policies = PolicyFile::parse("[default.metrics.mem_gb]\ncapacity_per_vm = 32", "p.toml")
        .expect("valid");
    let policy = policies.policy_of(&customer("acme"));
    let stack = file.stack_of(&customer("acme"), &keys, policy);
    let tiers: Vec<String> = stack
        .tiers
        .iter()
        .map(|tier| format!("{} {}", tier.name, tier.demand))
        .collect();
    assert_eq!(
        tiers,
        [
            "pool pool/mem_gb",
            "typeB typeB/vm_count",
            "typeC typeC/vm_count"
        ]
    );
    assert!(stack.tiers.iter().all(|tier| tier.min_vms == VmCount(0)));
    assert!(
        stack
            .tiers
            .iter()
            .all(|tier| tier.vm_types[0].price_assumed)
    );
    check_customer(&customer("acme"), policy, &stack).expect("they fit");
}

#[test]
fn a_metric_without_capacity_names_the_key_and_an_example() {
    let keys: BTreeSet<SeriesKey> = [series("web", "requests")].into();
    let policies = PolicyFile::default();
    let policy = policies.policy_of(&customer("acme"));
    let stack = StackFile::default().stack_of(&customer("acme"), &keys, policy);
    let error = check_customer(&customer("acme"), policy, &stack).expect_err("no capacity");
    assert_eq!(
        keys_of(&error),
        ["customer.acme.metrics.requests.capacity_per_vm"]
    );
    let text = error.to_string();
    assert!(text.contains("capacity_per_vm = 25000.0"), "{text}");
    assert!(text.contains("[customer.acme.metrics.requests]"), "{text}");
}

#[test]
fn a_policy_that_nothing_satisfies_is_refused() {
    let policies = PolicyFile::parse(
        "[default]\nbudget_per_day_usd = 1.0\n[default.limits]\nceiling = 1",
        "p.toml",
    )
    .expect("each key is fine");
    let policy = policies.policy_of(&customer("acme"));
    let stacks = StackFile::parse(STACKS, "s.toml").expect("valid");
    let stack = stacks.stack_of(&customer("acme"), &BTreeSet::new(), policy);
    let error = check_customer(&customer("acme"), policy, &stack).expect_err("unsatisfiable");
    assert_eq!(
        keys_of(&error),
        [
            "customer.acme.budget_per_day_usd",
            "customer.acme.limits.ceiling"
        ]
    );
}

#[test]
fn all_violations_of_a_stack_come_together() {
    let text = "
[vm_type.\"m5.large\"]
pric_per_hour_usd = 1
[customer.acme.tier.web]
demand = \"requests\"
[[customer.acme.tier.web.vm_type]]
capacity_per_vm = 0
[customer.acme.tier.empty]
demand = \"web/requests\"
[customer.acme.tier.twice]
demand = \"web/requests\"
[[customer.acme.tier.twice.vm_type]]
name = \"x\"
[[customer.acme.tier.twice.vm_type]]
name = \"x\"
[customer.acme.volume.data]
blocks_initial = 5
blocks_max = 2
[customer.acme.link]
option_initial = 3
";
    let error = StackFile::parse(text, "s.toml").expect_err("broken");
    assert_eq!(
        keys_of(&error),
        [
            "customer.acme.link.demand",
            "customer.acme.link.option",
            "customer.acme.link.option",
            "customer.acme.tier.empty.vm_type",
            "customer.acme.tier.twice.vm_type[1].name",
            "customer.acme.tier.web.demand",
            "customer.acme.tier.web.vm_type[0].capacity_per_vm",
            "customer.acme.tier.web.vm_type[0].name",
            "customer.acme.volume.data.blocks_initial",
            "customer.acme.volume.data.demand",
            "customer.acme.volume.data.price_block_hour_usd",
            "vm_type.\"m5.large\".pric_per_hour_usd",
        ]
    );
}

#[test]
fn roles_of_metrics_are_checked() {
    let text = "
[default.tier.web]
demand = \"web/disk_kbps\"
[[default.tier.web.vm_type]]
name = \"x\"
[default.volume.data]
demand = \"web/requests\"
price_block_hour_usd = 0.1
";
    let stacks = StackFile::parse(text, "s.toml").expect("the shape is fine");
    let policies = PolicyFile::default();
    let policy = policies.policy_of(&customer("acme"));
    let stack = stacks.stack_of(&customer("acme"), &BTreeSet::new(), policy);
    let error = check_customer(&customer("acme"), policy, &stack).expect_err("wrong roles");
    assert_eq!(
        keys_of(&error),
        [
            "customer.acme.tier.web.demand",
            "customer.acme.volume.data.demand"
        ]
    );
}

#[test]
fn node_settings_have_defaults_and_are_checked() {
    let settings = NodeSettings::parse("", "n.toml").expect("empty is valid");
    assert_eq!(settings.name.as_str(), "node-1");
    assert_eq!(settings.horizon_steps, 24);
    assert_eq!(settings.plan_every, Seconds(21_600));
    let error = NodeSettings::parse("[node]\nname = \"A\"\nsed = 1", "n.toml").expect_err("broken");
    assert_eq!(keys_of(&error), ["node.name", "node.sed"]);
}

#[test]
fn limits_for_hung_work_have_defaults_and_must_fit_together() {
    let watch = |text: &str| NodeSettings::parse(text, "n.toml").map(|settings| settings.watch);
    let defaults = watch("").expect("empty is valid");
    assert_eq!(defaults.forecast_job, Seconds(120));
    assert_eq!(defaults.abandoned_threads_max, 3);
    let short = "[node.watch]\nforecast_job_s = 2\nplan_job_s = 3\nshared_message_s = 4";
    let short = watch(short).expect("they fit");
    assert_eq!(short.plan_job, Seconds(3));
    assert_eq!(short.shared_message, Seconds(4));
    assert_eq!(short.twin_message, defaults.twin_message);
    let error = watch("[node.watch]\nshared_message_s = 120\nfarewel_s = 1").expect_err("broken");
    assert_eq!(
        keys_of(&error),
        ["node.watch.farewel_s", "node.watch.shared_message_s"]
    );
}

#[test]
fn the_reference_page_is_up_to_date() {
    let page = include_str!("../../docs/reference/config.md");
    assert!(
        page == reference_markdown(),
        "run: cargo run -q -p twinscale-cluster-config --example reference > docs/reference/config.md"
    );
}

#[test]
fn the_shipped_examples_are_valid_and_fit_together() {
    for (policies, stacks) in [
        (
            include_str!("../../samples/config/policies.toml"),
            include_str!("../../samples/config/stacks.toml"),
        ),
        (
            include_str!("../../samples/config/example-policy.toml"),
            include_str!("../../samples/config/example-stack.toml"),
        ),
    ] {
        let policies = PolicyFile::parse(policies, "policies").expect("valid policies");
        let stacks = StackFile::parse(stacks, "stacks").expect("valid stacks");
        assert!(stacks.customers().count() > 0);
        for name in policies.customers().chain(stacks.customers()) {
            let policy = policies.policy_of(name);
            let stack = stacks.stated(name).expect("a stack");
            check_customer(name, policy, stack).expect("they fit");
        }
    }
}

#[test]
fn the_example_policy_shows_the_defaults() {
    let text = include_str!("../../samples/config/example-policy.toml");
    let file = PolicyFile::parse(text, "example").expect("valid");
    let mut example = file.policy_of(&customer("other")).clone();
    example.budget_per_day = None;
    example.metrics.clear();
    let defaults = PolicyFile::default();
    assert_eq!(&example, defaults.policy_of(&customer("other")));
}

#[test]
fn a_node_among_others_has_what_others_can_use() {
    let parse = |text: &str| NodeSettings::parse(text, "n.toml");
    assert_eq!(parse("").expect("valid").cluster, None, "alone");
    let plain = parse("[cluster]").expect("valid").cluster.expect("stated");
    assert_eq!((plain.shards, plain.replication), (None, 3));
    let stated = "[cluster]\nlisten = \"10.0.0.7:7979\"\nshards = 8\nreplication = 5\nnodes_expected = 5\n\
                  [cluster.seeds]\nnode-b = \"b.example.com:7979\"";
    let stated = parse(stated).expect("valid").cluster.expect("stated");
    assert_eq!((stated.shards, stated.replication), (Some(8), 5));
    assert_eq!(stated.seeds.len(), 1);
    for (line, key) in [
        ("listen = \"0.0.0.0:7979\"", "cluster.listen"),
        ("listen = \"10.0.0.7:0\"", "cluster.listen"),
        ("replication = 4", "cluster.replication"),
        ("replication = 5", "cluster.nodes_expected"),
        ("zone = \"\"", "cluster.zone"),
        ("seeds.node-b = \"nowhere\"", "cluster.seeds.node-b"),
        ("seeds.Node_B = \"b:1\"", "cluster.seeds.Node_B"),
        ("shards = 0", "cluster.shards"),
    ] {
        let error = parse(&format!("[cluster]\n{line}")).expect_err(line);
        assert!(error.to_string().contains(key), "{line}: {error}");
    }
}
