use super::*;
use crate::demand::DemandCurve;
use twinscale_protocol::optimizer::{
    LinkProblem, PeakProblem, PlanMethod, PlanRules, PlanTrigger, TierProblem, VmOption,
    VolumeProblem,
};
use twinscale_protocol::stack::{LinkOption, ServiceModel};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, Gib, Mbps, MicroDollars, MilliCores, PartsPerMillion,
    PlanNumber, QUANTILES, Quantiles, Seconds, TierName, VmCount, VmTypeId,
};

const ONE: NonZeroUsize = NonZeroUsize::MIN;

fn quantiles(median: f64) -> Quantiles {
    let factors: [f64; QUANTILES] = [0.6, 0.7, 0.85, 1.0, 1.15, 1.35, 1.5, 1.8];
    factors.map(|factor| FixedValue::from_model(median * factor))
}

fn option(name: &str, capacity: f64, price: i64, initial: u32) -> VmOption {
    VmOption {
        vm_type: VmTypeId::new(name).expect("a name"),
        price_per_hour: MicroDollars(price),
        start_cost: MicroDollars(price / 12),
        capacity: FixedValue::from_model(capacity),
        vcpu: MilliCores(2_000),
        initial: VmCount(initial),
    }
}

fn tier(name: &str, steps: u16, options: Vec<VmOption>) -> TierProblem {
    let demand = (0..steps).map(|step| quantiles(4.0 + 3.0 * f64::from(step % 6)));
    TierProblem {
        name: TierName::new(name).expect("a name"),
        demand: demand.collect(),
        options,
        min_vms: VmCount(1),
        max_vms: VmCount(200),
        delay_steps: 0,
        min_up_steps: 1,
        start_max_per_step: VmCount(50),
        stop_max_per_step: VmCount(50),
        service: None,
        unserved_price_per_unit_hour: MicroDollars(400_000),
        peak: None,
    }
}

fn request(tiers: Vec<TierProblem>) -> PlanRequest {
    PlanRequest {
        customer: CustomerId::new("acme").expect("an id"),
        number: PlanNumber(7),
        parent: Some(PlanNumber(6)),
        trigger: PlanTrigger::Periodic,
        first_step_at: DomainTime(7200),
        interval: Seconds(3600),
        steps: 12,
        tiers,
        volumes: Vec::new(),
        link: None,
        rules: PlanRules {
            level_min: PartsPerMillion(800_000),
            level_max: PartsPerMillion(990_000),
            risk_budget: PartsPerMillion(200_000),
            budget: None,
            vcpu_quota: None,
        },
        last_plan: None,
        seed: 1,
        evaluations: 4_000,
    }
}

fn one_type() -> PlanRequest {
    request(vec![tier(
        "app",
        12,
        vec![option("small", 1.0, 100_000, 5)],
    )])
}

fn several_types() -> PlanRequest {
    let options = vec![
        option("large", 4.2, 400_000, 0),
        option("small", 1.0, 100_000, 8),
    ];
    request(vec![
        tier("app", 12, options),
        tier("web", 12, vec![option("small", 1.0, 90_000, 4)]),
    ])
}

#[test]
fn one_type_goes_the_exact_way_and_covers_the_lowest_level() {
    let found = plan(&one_type(), ONE).expect("a plan");
    assert_eq!(found.search.method, PlanMethod::Exact);
    assert_eq!(
        (found.search.evaluations, found.number.0, found.steps),
        (0, 7, 12)
    );
    assert!(found.search.search_cost <= found.search.seed_cost);
    assert_eq!(found.cost.total(), found.search.search_cost);
    for (step, count) in found.allocation.vms[0].counts.iter().enumerate() {
        let curve = DemandCurve::new(&one_type().tiers[0].demand[step]);
        assert!(
            f64::from(count.0) >= curve.quantile(0.8) - 1e-6,
            "step {step}"
        );
        assert!(found.levels[step].0 >= 800_000);
    }
    assert!(found.risk.0 <= 200_000);
}

#[test]
fn dearer_unserved_demand_buys_more_vms() {
    let mut dear = one_type();
    dear.tiers[0].unserved_price_per_unit_hour = MicroDollars(40_000_000);
    let vms = |request: &PlanRequest| -> u32 {
        let found = plan(request, ONE).expect("a plan");
        found.allocation.vms[0]
            .counts
            .iter()
            .map(|count| count.0)
            .sum()
    };
    assert!(vms(&dear) > vms(&one_type()));
}

#[test]
fn a_priced_peak_is_covered_as_far_as_a_vm_pays() {
    // The peak misses 8 + 2 s with a probability of e^-s: one VM pays while the miss it saves costs more.
    let levels = twinscale_protocol::PEAK_LEVELS;
    let quantiles = levels.map(|level| FixedValue::from_model(8.0 - 2.0 * (1.0 - level).ln()));
    let mut request = one_type();
    request.rules.level_min = PartsPerMillion(500_000);
    request.rules.risk_budget = PartsPerMillion(1_000_000);
    request.tiers[0].unserved_price_per_unit_hour = MicroDollars(0);
    let mut counts = Vec::new();
    for times in [1, 10, 100, 1_000, 100_000] {
        request.tiers[0].peak = Some(PeakProblem {
            steps: 3,
            quantiles,
            missed_step_price: MicroDollars(100_000 * times),
        });
        // Nothing runs yet and starts are free: what is left is the price of a VM against a miss.
        request.tiers[0].options[0].start_cost = MicroDollars(0);
        let found = plan(&request, ONE).expect("a plan");
        let first = &found.allocation.vms[0].counts[..3];
        assert!(first.iter().all(|count| *count == first[0]), "{first:?}");
        counts.push(first[0].0);
    }
    // By hand: the least c with times * (e^-(c-8)/2 - e^-(c-7)/2) < 1, and the median of 9.4 at least.
    assert_eq!(counts, [10, 11, 16, 20, 30]);
}

#[test]
fn several_types_are_searched_the_same_on_any_threads() {
    let request = several_types();
    let found = plan(&request, ONE).expect("a plan");
    assert_eq!(found.search.method, PlanMethod::Genetic);
    assert_eq!(found.search.evaluations, 4_000);
    assert_eq!(found.allocation.vms.len(), 3);
    assert!(found.search.search_cost <= found.search.seed_cost);
    let four = NonZeroUsize::new(4).expect("not zero");
    assert_eq!(plan(&request, four).expect("a plan"), found);
}

#[test]
fn a_shared_limit_is_kept_by_a_joint_search() {
    let mut request = several_types();
    let free = plan(&request, ONE).expect("a plan");
    let spend = free.cost.total().0 - free.cost.unserved.0;
    request.rules.budget = Some(MicroDollars(spend * 99 / 100));
    request.evaluations = 40_000;
    let kept = plan(&request, ONE).expect("a cheaper plan exists");
    assert!(kept.cost.total().0 - kept.cost.unserved.0 <= spend * 99 / 100);
    request.rules.budget = Some(MicroDollars(spend / 10));
    let error = plan(&request, ONE).expect_err("nobody runs on a tenth");
    assert!(
        matches!(
            error,
            PlanError::Unsatisfiable {
                rule: Rule::Budget,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("raise budget"), "{error}");
}

#[test]
fn a_policy_that_nothing_satisfies_is_named() {
    let mut request = one_type();
    request.tiers[0].max_vms = VmCount(3);
    let error = plan(&request, ONE).expect_err("3 VMs are too few");
    assert!(
        matches!(
            error,
            PlanError::Unsatisfiable {
                rule: Rule::VmsMax,
                ..
            }
        ),
        "{error}"
    );
    let wire: WireError = error.into();
    assert_eq!(wire.code, WireErrorCode::Invalid);

    let mut request = one_type();
    request.link = Some(LinkProblem {
        demand: vec![quantiles(500.0); 12],
        options: vec![LinkOption {
            bandwidth: Mbps(100),
            price_per_hour: MicroDollars(1_000),
        }],
        hold_steps: 2,
        steps_since_change: None,
        initial: 0,
    });
    let error = plan(&request, ONE).expect_err("the link is too small");
    assert!(
        matches!(
            error,
            PlanError::Unsatisfiable {
                rule: Rule::LinkOption,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_cannot_start_in_time_ramps_at_full_speed() {
    let mut request = one_type();
    request.tiers[0].options[0].initial = VmCount(1);
    request.tiers[0].start_max_per_step = VmCount(2);
    let found = plan(&request, ONE).expect("a plan");
    let counts: Vec<u32> = found.allocation.vms[0]
        .counts
        .iter()
        .map(|count| count.0)
        .collect();
    assert_eq!(&counts[..4], &[3, 5, 7, 9]);
    assert_eq!(
        found.levels[0].0, 0,
        "the plan says that step 0 is not covered"
    );
}

#[test]
fn volumes_and_link_are_planned_too() {
    let mut request = one_type();
    let growing = (0..12).map(|step| quantiles(100.0 + 20.0 * f64::from(step)));
    request.volumes = vec![VolumeProblem {
        name: TierName::new("disk").expect("a name"),
        demand: growing.collect(),
        block: Gib(50),
        price_block_hour: MicroDollars(5_000),
        cooldown_steps: 4,
        steps_since_change: Some(1),
        blocks_max: 40,
        initial: 4,
    }];
    let found = plan(&request, ONE).expect("a plan");
    let blocks = &found.allocation.volumes[0].blocks;
    assert_eq!(
        &blocks[..3],
        &[4, 4, 4],
        "the cool-down of the last change goes on"
    );
    assert!(f64::from(blocks[11]) * 50.0 >= 320.0 * 1.8);
    assert!(found.cost.storage.0 > 0);
}

#[test]
fn a_service_model_asks_for_more_cores_and_is_simulated() {
    let mut request = one_type();
    request.tiers[0].demand = vec![quantiles(36_000.0); 12];
    request.tiers[0].options[0].capacity = FixedValue::from_model(36_000.0);
    let without = plan(&request, ONE).expect("a plan");
    // 10 requests a second of 0.2 s: more than 2 cores, which one VM has.
    request.tiers[0].service = Some(ServiceModel {
        service_time_us: 200_000,
        p99_target_us: 1_200_000,
    });
    let with = plan(&request, ONE).expect("a plan");
    let vms = |plan: &Plan| plan.allocation.vms[0].counts[5].0;
    assert!(vms(&with) > vms(&without));
    let check = with.search.check.expect("simulated");
    assert!(check.requests > 10_000);
    assert!(check.violation.0 < 60_000, "{check:?}");
    assert!(without.search.check.is_none());
}

#[test]
fn nonsense_is_refused_with_its_path() {
    let mut request = one_type();
    request.tiers[0].demand.pop();
    assert!(
        plan(&request, ONE)
            .expect_err("short")
            .to_string()
            .starts_with("`tiers[0].demand`")
    );
    let mut request = one_type();
    request.rules.level_min = PartsPerMillion(995_000);
    assert!(
        plan(&request, ONE)
            .expect_err("order")
            .to_string()
            .starts_with("`rules.level_min`")
    );
    let mut request = one_type();
    request.tiers[0].options[0].capacity = FixedValue(0);
    assert!(
        plan(&request, ONE)
            .expect_err("zero")
            .to_string()
            .contains("options[0].capacity")
    );
    let mut request = one_type();
    request.steps = 0;
    assert!(
        plan(&request, ONE)
            .expect_err("none")
            .to_string()
            .starts_with("`steps`")
    );
}
