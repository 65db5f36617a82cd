use crate::flow::{FlowError, Role, call_order, flow, hit_ratio, visits};
use crate::model::tests::{CACHED_SITE, WEB_SHOP, sample};
use crate::model::{Call, HitPoint, HitRatio, StackModel};
use twinscale_protocol::{LinkName, RequestClassName, TierName, VolumeName};

/// Sums of a few products of stated numbers: only rounding may differ.
const ROUNDING: f64 = 1e-9;

fn tier(name: &str) -> TierName {
    TierName::new(name).expect("a name")
}

fn class(name: &str) -> RequestClassName {
    RequestClassName::new(name).expect("a name")
}

#[track_caller]
fn check(value: f64, expected: f64) {
    let near = (value - expected).abs() <= ROUNDING * expected.abs().max(1.0);
    assert!(near, "{value} is not {expected}");
}

#[test]
fn the_web_shop_is_loaded_as_worked_out_by_hand() {
    let model = sample(WEB_SHOP).model;
    let flow = flow(&model).expect("a flow");
    check(flow.rate_per_s(), 120.0);
    check(flow.visits[&tier("db")][&class("browse")], 2.5);
    let app = &flow.tiers[&tier("app")];
    check(app.offered_cores, 96.0 * 0.028 + 24.0 * 0.055);
    check(app.utilisation, 4.008 / 8.0);
    assert_eq!(app.vms_needed, Some(3));
    let db = &flow.tiers[&tier("db")];
    // 240 + 79.2 reads on both VMs, 64.8 writes on the primary.
    let utilisations: Vec<(Role, f64)> =
        db.groups.iter().map(|g| (g.role, g.utilisation)).collect();
    let [(Role::Primary, primary), (Role::Replica, replica)] = utilisations.as_slice() else {
        panic!("a primary and a replica: {utilisations:?}");
    };
    check(*primary, f64::midpoint(2.0736, 2.0 * 0.9072) / 4.0);
    check(*replica, 2.0736 / 2.0 / 4.0);
    check(db.utilisation_max, *primary);
    let volume = &flow.volumes[&VolumeName::new("db-data").expect("a name")];
    check(volume.iops, 159.6 * 0.6 + 64.8 * 4.0);
    check(volume.fill, 202.0 / 500.0);
    check(volume.full_in_days.expect("it grows"), 298.0 / 0.62);
    let internet = &flow.links[&LinkName::new("internet").expect("a name")];
    check(internet.forward_mbps, 0.9984);
    check(internet.backward_mbps, 23.808);
    // A quarter of all calls goes from the first zone to the second, and a quarter back.
    let zones = &flow.links[&LinkName::new("between-zones").expect("a name")];
    check(zones.forward_mbps, 9.1248);
    check(zones.backward_mbps, 9.1248);
}

#[test]
fn only_misses_reach_the_database() {
    let model = sample(CACHED_SITE).model;
    let found = visits(&model).expect("visits");
    let hit = found.hit_ratios[&tier("cache")];
    assert!((0.5..0.95).contains(&hit), "{hit}");
    check(found.of(&tier("cache"), &class("page")), 3.0);
    check(found.of(&tier("db"), &class("page")), 3.0 * (1.0 - hit));
    check(found.of(&tier("db"), &class("publish")), 4.0);
    check(found.of(&tier("recommend"), &class("publish")), 0.0);
}

#[test]
fn a_table_of_hit_ratios_is_joined_by_lines() {
    let hit = HitRatio::Table {
        points: vec![
            HitPoint {
                data_gib: 10.0,
                ratio: 0.9,
            },
            HitPoint {
                data_gib: 30.0,
                ratio: 0.5,
            },
        ],
    };
    for (data_gib, expected) in [
        (1.0, 0.9),
        (10.0, 0.9),
        (20.0, 0.7),
        (30.0, 0.5),
        (99.0, 0.5),
    ] {
        check(hit_ratio(&hit, data_gib, 1.0), expected);
    }
}

#[test]
fn a_uniform_cache_hits_its_share() {
    let hit = HitRatio::Zipf {
        exponent: 0.0,
        object_bytes: 1024.0,
    };
    // All objects alike: the share that fits. 1e-6 is what bins of ranks leave.
    for share in [0.01, 0.25, 0.9] {
        let ratio = hit_ratio(&hit, 10.0, 10.0 * share);
        assert!((ratio - share).abs() < 1e-6, "{ratio} is not {share}");
    }
    check(hit_ratio(&hit, 1.0, 2.0), 1.0);
    check(hit_ratio(&hit, 1.0, 0.0), 0.0);
}

/// Che's approximation against a least-recently-used cache that is asked in earnest.
#[test]
fn zipf_hits_as_a_cache_does() {
    const OBJECTS: usize = 2000;
    const PLACES: usize = 200;
    const EXPONENT: f64 = 0.8;
    let mut cumulative = Vec::with_capacity(OBJECTS);
    let mut sum = 0.0;
    for rank in 1..=OBJECTS {
        sum += (rank as f64).powf(-EXPONENT);
        cumulative.push(sum);
    }
    let mut seed = 7_u64;
    let mut draw = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut last_asked = vec![0_u32; OBJECTS];
    let mut order = std::collections::BTreeMap::new();
    let (mut asked, mut hits) = (0_u32, 0_u32);
    for turn in 1..=300_000_u32 {
        let target = draw() * sum;
        let object = cumulative.partition_point(|limit| *limit < target);
        let before = std::mem::replace(&mut last_asked[object], turn);
        let hit = order.remove(&before) == Some(object);
        order.insert(turn, object);
        if order.len() > PLACES {
            order.pop_first();
        }
        if turn > 50_000 {
            asked += 1;
            hits += u32::from(hit);
        }
    }
    let measured = f64::from(hits) / f64::from(asked);
    let gib = |objects: usize| objects as f64 * 4096.0 / 1_073_741_824.0;
    let hit = HitRatio::Zipf {
        exponent: EXPONENT,
        object_bytes: 4096.0,
    };
    let computed = hit_ratio(&hit, gib(OBJECTS), gib(PLACES));
    // 250,000 look-ups have a standard error of 0.001; the approximation itself is as near.
    assert!(
        (computed - measured).abs() < 0.005,
        "{computed} is not {measured}"
    );
}

#[test]
fn large_caches_are_computed_in_bounded_time() {
    let hit = HitRatio::Zipf {
        exponent: 0.99,
        object_bytes: 1.0,
    };
    let ratio = hit_ratio(&hit, 1e9, 1e6);
    assert!((0.5..1.0).contains(&ratio), "{ratio}");
}

fn calls(edges: &[(&str, &str)]) -> StackModel {
    let mut model = sample(WEB_SHOP).model;
    let spare = model.tiers[&tier("web")].clone();
    for (from, to) in edges {
        for name in [from, to] {
            model
                .tiers
                .entry(tier(name))
                .or_insert_with(|| spare.clone());
        }
    }
    let call = model.calls[0].clone();
    model.calls = edges
        .iter()
        .map(|(from, to)| Call {
            from: tier(from),
            to: tier(to),
            ..call.clone()
        })
        .collect();
    model
}

#[test]
fn a_circle_reads_the_same_wherever_it_is_entered() {
    let model = calls(&[("web", "d"), ("d", "c"), ("c", "b"), ("b", "d"), ("b", "x")]);
    let error = call_order(&model).expect_err("a circle");
    assert_eq!(
        error,
        FlowError::Cycle {
            tiers: vec![tier("b"), tier("d"), tier("c")]
        }
    );
    assert_eq!(
        error.to_string(),
        "the calls go in a circle: b -> d -> c -> b"
    );
}

#[test]
fn requests_that_multiply_without_end_are_refused() {
    let names: Vec<String> = (0..12).map(|index| format!("t{index}")).collect();
    let mut edges = vec![("web", "t0")];
    edges.extend(
        names
            .windows(2)
            .map(|pair| (pair[0].as_str(), pair[1].as_str())),
    );
    let mut model = calls(&edges);
    for call in &mut model.calls {
        call.per_request = 1000.0;
    }
    let error = visits(&model).expect_err("too many");
    assert!(matches!(error, FlowError::TooManyVisits { .. }), "{error}");
}

#[test]
fn writes_beyond_the_primary_have_no_remedy_in_replicas() {
    let text = WEB_SHOP.replace("rate_per_s = 120.0", "rate_per_s = 700.0");
    let flow = flow(&sample(&text).model).expect("a flow");
    let db = flow
        .overloads()
        .into_iter()
        .find(|o| o.tier.as_str() == "db");
    let db = db.expect("an overload");
    assert_eq!(db.vms_needed, None);
    assert!(
        db.to_string().ends_with("since replicas take no writes"),
        "{db}"
    );
}
