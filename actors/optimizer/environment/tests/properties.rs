//! Properties of models: they read back, flow is conserved, circles are refused, no text panics.

use proptest::prelude::*;
use std::collections::BTreeMap;
use twinscale_environment::draw::{stack_dot, stack_mermaid, stack_svg, stack_text};
use twinscale_environment::flow::{FlowError, call_order, flow, flow_at};
use twinscale_environment::import::{import_compose, import_kubernetes};
use twinscale_environment::model::{
    Balancer, Cache, Call, CallOrder, Database, Distribution, HitPoint, HitRatio, RequestClass,
    ServiceDemand, ServiceLevel, StackModel, Tier, TierKind, TierVms, VmType, read_model,
};
use twinscale_protocol::{CustomerId, RequestClassName, TierName, VmTypeId};

const SAMPLES: [&str; 4] = [
    include_str!("../../../../samples/models/web-shop.toml"),
    include_str!("../../../../samples/models/cached-site.toml"),
    include_str!("data/shop.compose.yaml"),
    include_str!("data/shop.kubernetes.yaml"),
];

/// Sums of products of up to a few dozen stated numbers.
const ROUNDING: f64 = 1e-9;

fn tier_name(index: usize) -> TierName {
    TierName::new(format!("tier.{index}")).expect("a name")
}

fn class_name(index: usize) -> RequestClassName {
    RequestClassName::new(format!("class-{index}")).expect("a name")
}

fn is_near(left: f64, right: f64) -> bool {
    (left - right).abs() <= ROUNDING * left.abs().max(right.abs()).max(1.0)
}

fn demand() -> impl Strategy<Value = (f64, Distribution, Option<f64>)> {
    let shape = prop_oneof![
        Just((Distribution::Exponential, None)),
        Just((Distribution::Deterministic, Some(0.0))),
        (0.001..1.0_f64).prop_map(|scv| (Distribution::Erlang, Some(scv))),
        (1.0..50.0_f64).prop_map(|scv| (Distribution::Hyperexponential, Some(scv))),
        (0.01..50.0_f64).prop_map(|scv| (Distribution::Lognormal, Some(scv))),
    ];
    (0.0..0.5_f64, shape).prop_map(|(mean_s, (distribution, scv))| (mean_s, distribution, scv))
}

fn hit() -> impl Strategy<Value = HitRatio> {
    prop_oneof![
        (0.0..=1.0_f64).prop_map(|ratio| HitRatio::Fixed { ratio }),
        (0.0..=1.0_f64, 0.0..=1.0_f64).prop_map(|(small, large)| HitRatio::Table {
            points: vec![
                HitPoint {
                    data_gib: 1.0,
                    ratio: small
                },
                HitPoint {
                    data_gib: 9.5,
                    ratio: large
                },
            ],
        }),
    ]
}

fn kind() -> impl Strategy<Value = TierKind> {
    prop_oneof![
        Just(TierKind::Service),
        Just(TierKind::Cache),
        Just(TierKind::Database),
        Just(TierKind::Queue),
    ]
}

fn balancer() -> impl Strategy<Value = Balancer> {
    prop_oneof![
        Just(Balancer::Random),
        Just(Balancer::RoundRobin),
        Just(Balancer::LeastConnections),
        Just(Balancer::TwoChoices),
    ]
}

type RawTier = (
    TierKind,
    Balancer,
    HitRatio,
    (f64, Distribution, Option<f64>),
    (u32, u32, u32),
);

fn tier(classes: usize, raw: &RawTier) -> Tier {
    let (kind, balancer, hit, (mean_s, distribution, scv), (small, large, replicas)) = raw;
    let is_database = *kind == TierKind::Database;
    let demand = ServiceDemand {
        mean_s: *mean_s,
        distribution: *distribution,
        scv: *scv,
        read_share: is_database.then_some(0.75),
        write_mean_s: is_database.then_some(mean_s * 3.0),
    };
    let vms = |name: &str, count: u32| TierVms {
        vm_type: VmTypeId::new(name).expect("a name"),
        count,
    };
    Tier {
        kind: *kind,
        vms: vec![vms("small.2", small + 1), vms("large", *large)],
        zones: Vec::new(),
        workers_per_vm: (*small > 3).then_some(*large + 1),
        waiting_max: (*large > 2).then_some(*small),
        holds_worker: *large > 1,
        overflow: Default::default(),
        balancer: *balancer,
        demands: (0..classes)
            .map(|class| (class_name(class), demand.clone()))
            .collect(),
        start_up_s: f64::from(*small),
        warm_up_s: f64::from(*large) * 0.1,
        warm_up_slowdown: 1.0 + f64::from(*replicas),
        // A table needs data, which this generator leaves out: its cache names none.
        cache: (*kind == TierKind::Cache).then(|| Cache {
            hit: match hit {
                HitRatio::Table { .. } => HitRatio::Fixed { ratio: 0.3 },
                other => other.clone(),
            },
            data_sets: Vec::new(),
            memory_share: 0.5,
        }),
        database: is_database.then(|| Database {
            connections_max: 100,
            read_replicas: (*replicas).min(small + large),
            ios_per_read: 0.3,
            ios_per_write: 2.0,
            io_bytes: 4096.0,
        }),
    }
}

fn vm_type(vcpu: f64, speed: f64) -> VmType {
    VmType {
        vcpu,
        memory_gib: 7.25,
        speed,
        network_baseline_mbps: Some(500.5),
        network_burst_mbps: None,
        price_per_hour_usd: 0.1 + vcpu / 3.0,
        price_assumed: false,
        free: false,
    }
}

fn call(from: usize, to: usize, per_request: f64) -> Call {
    Call {
        from: tier_name(from),
        to: tier_name(to),
        classes: Vec::new(),
        per_request,
        on_miss_of: None,
        order: CallOrder::Sequential,
        request_bytes: 123.0,
        response_bytes: 4567.5,
        pool_size: Some(8),
        timeout_s: Some(0.1 + per_request),
        retries_max: 1,
        retry_backoff_s: 0.05,
    }
}

fn class(rate_per_s: f64) -> RequestClass {
    RequestClass {
        entry: tier_name(0),
        share: None,
        rate_per_s: Some(rate_per_s),
        arrival_scv: 1.0,
        request_bytes: 10.0,
        response_bytes: 1e4,
        price_per_request_usd: 0.0,
        sla: ServiceLevel {
            p99_s: Some(rate_per_s),
            ..ServiceLevel::default()
        },
    }
}

/// A model that keeps every rule: each tier but the first is called by one before it.
fn model() -> impl Strategy<Value = StackModel> {
    let raw = (
        kind(),
        balancer(),
        hit(),
        demand(),
        (0..6_u32, 0..5_u32, 0..4_u32),
    );
    let tiers = prop::collection::vec(raw, 1..9);
    let edges = prop::collection::vec((0..64_usize, 0..64_usize, 0.0..4.0_f64), 0..10);
    let callers = prop::collection::vec((0..64_usize, 0.001..3.0_f64, any::<bool>()), 8);
    let rates = prop::collection::vec(0.001..1000.0_f64, 1..4);
    (tiers, edges, callers, rates, 0.1..8.0_f64).prop_map(|(raw, edges, callers, rates, vcpu)| {
        let tiers: BTreeMap<TierName, Tier> = raw
            .iter()
            .enumerate()
            .map(|(index, raw)| (tier_name(index), tier(rates.len(), raw)))
            .collect();
        let mut calls = Vec::new();
        for (to, (caller, per_request, on_miss)) in callers.iter().enumerate() {
            let to = to + 1;
            if to >= raw.len() {
                break;
            }
            let from = caller % to;
            let mut made = call(from, to, *per_request);
            // One that misses of a cache that always hits would leave a tier without requests.
            let misses = tiers[&tier_name(from)].cache.as_ref().is_some_and(
                |cache| !matches!(cache.hit, HitRatio::Fixed { ratio } if ratio > 0.99),
            );
            if *on_miss && misses {
                made.on_miss_of = Some(tier_name(from));
            }
            calls.push(made);
        }
        for (left, right, per_request) in edges {
            let (left, right) = (left % raw.len(), right % raw.len());
            if left != right {
                calls.push(call(left.min(right), left.max(right), per_request));
            }
        }
        StackModel {
            customer: CustomerId::new("acme").expect("a name"),
            rate_per_s: None,
            zones: Vec::new(),
            classes: rates
                .iter()
                .enumerate()
                .map(|(at, rate)| (class_name(at), class(*rate)))
                .collect(),
            vm_types: BTreeMap::from([
                (
                    VmTypeId::new("small.2").expect("a name"),
                    vm_type(vcpu, 1.0),
                ),
                (
                    VmTypeId::new("large").expect("a name"),
                    vm_type(vcpu * 4.0, 1.3),
                ),
            ]),
            tiers,
            calls,
            links: BTreeMap::new(),
            volumes: BTreeMap::new(),
            data_sets: BTreeMap::new(),
        }
    })
}

/// A sample with some of it cut out, doubled, or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..40_usize, "[ -~\n]{0,12}");
    (0..SAMPLES.len(), prop::collection::vec(edit, 1..6)).prop_map(|(sample, edits)| {
        let mut text: Vec<char> = SAMPLES[sample].chars().collect();
        for (at, cut, put) in edits {
            let start = at.index(text.len().max(1)).min(text.len());
            let end = (start + cut).min(text.len());
            text.splice(start..end, put.chars());
        }
        text.into_iter().collect()
    })
}

/// Reads a text as everything that it could be; what reads must be drawn, too.
fn read_as_anything(text: &str) {
    let acme = CustomerId::new("acme").expect("a name");
    let mut models = Vec::new();
    models.extend(read_model(text, "m.toml").ok().map(|checked| checked.model));
    for imported in [
        import_compose(text, "c", &acme),
        import_kubernetes(text, "k", &acme),
    ] {
        let Ok(imported) = imported else {
            continue;
        };
        let read = read_model(&imported.toml, "i.toml").expect("what an import writes reads back");
        assert_eq!(read.model, imported.checked.model);
        models.push(imported.checked.model);
    }
    for model in models {
        stack_text(&model).expect("a checked model is drawn");
        stack_svg(&model).expect("a checked model is drawn");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn models_read_back(model in model()) {
        let text = model.to_toml();
        let read = read_model(&text, "m.toml").map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read.model, model);
    }

    #[test]
    fn flow_is_conserved(model in model(), factor in 0.1..10.0_f64) {
        let found = flow(&model).expect("a flow");
        let mut sent = 0.0;
        let mut got = 0.0;
        for (name, tier) in &found.tiers {
            let entered: f64 = model.classes.iter().filter(|(_, class)| class.entry == *name).map(|(class, _)| found.rates_per_s[class]).sum();
            let calls = model.calls.iter().zip(&found.calls);
            let called: f64 = calls.filter(|(call, _)| call.to == *name).map(|(_, flow)| flow.per_s).sum();
            let arrivals: f64 = tier.arrivals_per_s.values().sum();
            prop_assert!(is_near(arrivals, entered + called), "{name}: {arrivals} of {entered} + {called}");
            let spread: f64 = tier.groups.iter().map(|group| f64::from(group.count) * group.arrivals_per_s).sum();
            prop_assert!(is_near(arrivals, spread), "{name}: {arrivals} spread as {spread}");
            let busy: f64 = tier.groups.iter().map(|group| f64::from(group.count) * group.cores * group.utilisation).sum();
            prop_assert!(is_near(tier.offered_cores, busy), "{name}: {} busy as {busy}", tier.offered_cores);
            sent += tier.network_out_mbps;
            got += tier.network_in_mbps;
        }
        // What tiers get and send between themselves is the same; the rest is with clients.
        let rate = found.rate_per_s();
        let clients = rate * (1e4 - 10.0) * 8e-6;
        prop_assert!(is_near(sent - got, clients), "{sent} - {got} is not {clients}");
        let more = found.rates_per_s.iter().map(|(class, rate)| (class.clone(), rate * factor)).collect();
        let more = flow_at(&model, more).expect("a flow");
        for (name, tier) in &more.tiers {
            prop_assert!(is_near(tier.utilisation, found.tiers[name].utilisation * factor));
        }
    }

    #[test]
    fn enough_vms_are_enough(model in model()) {
        let found = flow(&model).expect("a flow");
        for (name, tier) in &found.tiers {
            let Some(needed) = tier.vms_needed.filter(|needed| *needed < 100_000) else {
                continue;
            };
            let mut changed = model.clone();
            let spec = changed.tiers.get_mut(name).expect("a tier");
            // Only of one type the number alone decides.
            if spec.vms.iter().filter(|vms| vms.count > 0).count() > 1 {
                continue;
            }
            let before: u32 = spec.vms.iter().map(|vms| vms.count).sum();
            let count = u32::try_from(needed).expect("below 100,000");
            let primaries = spec.database.as_ref().map_or(1, |database| before - database.read_replicas);
            let count = count.max(primaries);
            if let Some(database) = &mut spec.database {
                database.read_replicas = count - primaries;
            }
            spec.vms.retain(|vms| vms.count > 0);
            spec.vms[0].count = count;
            let after = flow(&changed).expect("a flow").tiers[name].utilisation_max;
            prop_assert!(after < 1.0 + ROUNDING, "{name}: {after} with {count}");
        }
    }

    #[test]
    fn circles_are_refused(model in model(), back in any::<prop::sample::Index>()) {
        prop_assume!(!model.calls.is_empty());
        let mut model = model;
        let forth = model.calls[back.index(model.calls.len())].clone();
        model.calls.push(Call { from: forth.to.clone(), to: forth.from.clone(), on_miss_of: None, ..forth });
        let Err(FlowError::Cycle { tiers }) = call_order(&model) else {
            return Err(TestCaseError::fail("not refused"));
        };
        let next = tiers.iter().cycle().skip(1);
        for (from, to) in tiers.iter().zip(next) {
            prop_assert!(model.calls.iter().any(|call| call.from == *from && call.to == *to), "{from} does not call {to}");
        }
        let error = read_model(&model.to_toml(), "m.toml").expect_err("refused").to_string();
        prop_assert!(error.contains("the calls go in a circle"), "{}", error);
    }

    #[test]
    fn pictures_are_drawn_of_every_model(model in model()) {
        for picture in [stack_text(&model), stack_svg(&model), stack_dot(&model), stack_mermaid(&model)] {
            let picture = picture.expect("drawn");
            prop_assert!(!picture.contains("NaN"), "{}", picture);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        read_as_anything(&text);
    }

    #[test]
    fn no_damage_panics(text in damaged()) {
        read_as_anything(&text);
    }
}
