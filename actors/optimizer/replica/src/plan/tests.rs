use super::{CONTAINERS_MAX, Machine, PERIOD_US, Plan, PlanError, Program, plan, serve_config};
use crate::config::Target;
use crate::engine::{RunSettings, run_arguments};
use std::collections::BTreeMap;
use twinscale_environment::model::{StackModel, read_model};

const SAMPLE: &str = include_str!("../../../../../samples/models/replica-web-redis.toml");
const SHOP: &str = include_str!("../../../../../samples/models/web-shop.toml");
const SITE: &str = include_str!("../../../../../samples/models/cached-site.toml");

fn model(text: &str) -> StackModel {
    read_model(text, "test").expect("the sample is whole").model
}

fn machine(cores: u32) -> Machine {
    Machine {
        cores: (0..cores).collect(),
        memory_mib: 1_000_000,
    }
}

fn planned(model: &StackModel, cores: u32) -> Plan {
    plan(model, &machine(cores), PERIOD_US).expect("it fits")
}

#[test]
fn the_sample_fits_two_cores() {
    let plan = planned(&model(SAMPLE), 2);
    let [cache, web] = &plan.containers[..] else {
        panic!("two containers, not {}", plan.containers.len());
    };
    assert_eq!(
        (cache.name().as_str(), web.name().as_str()),
        ("cache-0", "web-0")
    );
    assert_eq!((&web.cpu.cpuset[..], web.cpu.quota), (&[0][..], None));
    assert_eq!(cache.cpu.cpuset, [1], "beside the generator");
    let quota = cache.cpu.quota.expect("a part of a core is held to it");
    assert_eq!(
        (quota.period_us, quota.quota_us),
        (PERIOD_US, PERIOD_US / 4 * 3)
    );
    assert_eq!(plan.generator_core, 1);
    assert_eq!(
        plan.comparable
            .hit_ratios
            .values()
            .copied()
            .collect::<Vec<_>>(),
        [0.9]
    );
}

#[test]
fn callees_start_before_their_callers_and_whole_cores_are_not_shared() {
    let plan = planned(&model(SHOP), 32);
    let names: Vec<String> = plan
        .containers
        .iter()
        .map(super::ContainerSpec::name)
        .collect();
    assert_eq!(
        names,
        [
            "db-0", "db-1", "app-0", "app-1", "app-2", "app-3", "web-0", "web-1"
        ]
    );
    let mut all: Vec<u32> = plan
        .containers
        .iter()
        .flat_map(|spec| spec.cpu.cpuset.clone())
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "no core is given twice");
    let replicas = plan.containers.iter().map(|spec| match &spec.program {
        Program::Redis(redis) => (redis.is_durable, redis.is_replica),
        Program::Serve { .. } => (false, false),
    });
    assert_eq!(
        replicas.take(3).collect::<Vec<_>>(),
        [(true, false), (true, true), (false, false)]
    );
    assert!(plan.comparable.model.links.is_empty() && plan.comparable.model.volumes.is_empty());
    assert!(
        plan.comparable
            .left_out
            .iter()
            .any(|text| text.contains("link internet"))
    );
}

#[test]
fn what_does_not_fit_is_refused_with_the_number() {
    let mut many = model(SHOP);
    for tier in many.tiers.values_mut() {
        tier.vms[0].count = 20;
    }
    let error = plan(&many, &machine(1000), PERIOD_US).expect_err("sixty are too many");
    assert_eq!(error, PlanError::TooManyContainers { count: 60 });
    assert!(
        error.to_string().contains(&CONTAINERS_MAX.to_string()),
        "{error}"
    );
    let error = plan(&model(SHOP), &machine(4), PERIOD_US).expect_err("too few cores");
    assert!(
        matches!(error, PlanError::TooFewCores { there: 4, .. }),
        "{error}"
    );
    // nginx with 1,024 workers would be 1,024 threads.
    let error = plan(&model(SITE), &machine(64), PERIOD_US).expect_err("too many threads");
    assert!(
        matches!(error, PlanError::TooManyWorkers { workers: 1024, .. }),
        "{error}"
    );
    let small = Machine {
        memory_mib: 100,
        ..machine(2)
    };
    let error = plan(&model(SAMPLE), &small, PERIOD_US).expect_err("too little memory");
    assert!(
        matches!(error, PlanError::TooLittleMemory { there_mib: 100, .. }),
        "{error}"
    );
}

#[test]
fn a_server_is_told_its_classes_stages_and_peers() {
    let mut site = model(SITE);
    for tier in site.tiers.values_mut() {
        tier.workers_per_vm = Some(8);
    }
    let plan = planned(&site, 64);
    let each = plan.containers.iter().map(|spec| {
        let of_tier = plan.of_tier(&spec.tier).map(super::ContainerSpec::name);
        (spec.tier.clone(), of_tier.collect::<Vec<_>>())
    });
    let addresses: BTreeMap<_, _> = each.collect();
    let app = plan
        .containers
        .iter()
        .find(|spec| spec.name() == "app-0")
        .expect("there is one");
    let config = serve_config(&plan, app, &addresses);
    // Cache and recommendations together, then the database for what the cache lacks.
    assert_eq!(config.classes["page"].stages, [vec![0, 1], vec![2]]);
    assert_eq!(config.classes["publish"].stages, [vec![3]]);
    assert_eq!(config.calls[2].on_miss_of.as_deref(), Some("cache"));
    assert_eq!(config.calls[0].peers.len(), 2);
    let Target::Database { write_shares, .. } = &config.calls[3].target else {
        panic!("the database is one");
    };
    assert!((write_shares["publish"] - 0.8).abs() < 1e-12);
    assert!(matches!(config.calls[1].target, Target::Http));
}

#[test]
fn arguments_say_where_how_much_and_whose() {
    let settings = RunSettings {
        run: "run-1".to_owned(),
        image: "image".to_owned(),
        program: "/bin/replica".into(),
        folder: "/tmp/run".into(),
        cgroup_parent: None,
    };
    let plan = planned(&model(SAMPLE), 2);
    let [cache, web] =
        [0, 1].map(|place| run_arguments(&plan.containers[place], &settings).join(" "));
    for part in [
        "--name run-1-cache-0",
        "--network run-1",
        "--label twinscale.replica=run-1",
        "--cpuset-cpus 1 --cpu-period 5000 --cpu-quota 3750",
        "--memory 512m --memory-swap 512m",
        "image redis-server --bind 0.0.0.0 --protected-mode no --port 6379 --save",
    ] {
        assert!(cache.contains(part), "{part} in {cache}");
    }
    assert!(!web.contains("--cpu-quota"), "{web}");
    assert!(
        web.contains("/tmp/run/web-0.json:/config.json:ro image /twinscale-replica serve"),
        "{web}"
    );
    let plan = planned(&model(SHOP), 32);
    let replica = run_arguments(&plan.containers[1], &settings).join(" ");
    assert!(
        replica.contains("--appendonly yes --appendfsync always --dir /data"),
        "{replica}"
    );
    assert!(
        replica.contains("--maxclients 200 --replicaof run-1-db-0 6379"),
        "{replica}"
    );
}
