use super::*;
use crate::fixtures::{
    HOUR, START, config, customer, forecast, hours, link, mapping, plan, policy, series, stack,
    tier, vm_type, vms, volume,
};
use crate::state::{ApplyResult, TwinState};
use crate::stored::v1::{TwinCommand, TwinConfig};
use twinscale_protocol::forecaster::SeriesForecast;
use twinscale_protocol::optimizer::{PlanRequest, PlanTrigger};
use twinscale_protocol::provisioner::{IntentOutcome, Operation, OutcomeResult};
use twinscale_protocol::{Gib, MicroDollars, PlanNumber, VmCount};

const BASIS: PlanBasis = PlanBasis {
    trigger: PlanTrigger::First,
    root_seed: 1,
};

fn planned(state: &TwinState) -> PlanRequest {
    plan_request(state, BASIS).expect("a request")
}

fn state_with(config: TwinConfig, forecasts: Vec<SeriesForecast>) -> TwinState {
    let mut state = TwinState::new(customer("acme"));
    let configured = state.apply(TwinCommand::Configure(config));
    assert!(
        matches!(configured, ApplyResult::Configured { .. }),
        "{configured:?}"
    );
    let calibrations = vec![Vec::new(); forecasts.len()];
    let stored = state.apply(TwinCommand::StoreForecast {
        issued_at: START,
        surprised: false,
        forecasts,
        calibrations,
        feedback: None,
    });
    assert_eq!(stored, ApplyResult::ForecastStored);
    state
}

#[test]
fn a_vm_count_is_served_vm_by_vm() {
    let key = series("typeA", "vm_count");
    let state = state_with(config(), vec![forecast(&key, START, 10, 24)]);
    let request = planned(&state);
    assert_eq!((request.steps, request.first_step_at), (24, START));
    let tier = &request.tiers[0];
    let option = &tier.options[0];
    assert_eq!(option.capacity, vms(1));
    assert_eq!(tier.demand[0][3], vms(10));
    // 300 s of start-up fit into an hour: started that much early, and that much is the start's cost.
    assert_eq!((tier.delay_steps, tier.min_up_steps), (0, 1));
    assert_eq!(option.start_cost, MicroDollars(96_000 * 300 / 3_600));
    // Three times what a VM costs.
    assert_eq!(tier.unserved_price_per_unit_hour, MicroDollars(288_000));
}

#[test]
fn requests_need_a_capacity_and_a_target() {
    let mut policy = policy();
    let mut stack = stack();
    stack.tiers[0].demand = series("typeA", "requests");
    let error = check(&policy, &stack).expect_err("no capacity").to_string();
    assert!(
        error.contains("metrics.requests.capacity_per_vm"),
        "{error}"
    );
    stack.tiers[0].vm_types[0].capacity_per_vm = Some(vms(50));
    let error = check(&policy, &stack).expect_err("no target").to_string();
    assert!(
        error.contains("metrics.requests.target_utilisation"),
        "{error}"
    );
    policy
        .metrics
        .insert(series("typeA", "requests").metric, mapping());
    check(&policy, &stack).expect("complete");
    let tier = &stack.tiers[0];
    // The VM type's own capacity counts; the target is the policy's.
    assert_eq!(vm_capacity(&policy, tier, &tier.vm_types[0]), Ok(vms(40)));
    let plain = vm_type("typeB", 1);
    assert_eq!(vm_capacity(&policy, tier, &plain), Ok(vms(80)));
}

#[test]
fn metrics_that_do_not_fit_are_named() {
    let mut stack = stack();
    stack.tiers[0].demand = series("typeA", "net_in_mbps");
    let error = check(&policy(), &stack).expect_err("no VMs").to_string();
    assert!(
        error.contains("net_in_mbps") && error.contains("vm_count"),
        "{error}"
    );
    let mut stack = self::stack();
    stack.volumes.push(volume());
    stack.volumes[0].demand = series("typeA", "storage_iops");
    let error = check(&policy(), &stack).expect_err("no GiB").to_string();
    assert!(error.contains("storage_gib"), "{error}");
    let mut stack = self::stack();
    stack.link = Some(link("net_in"));
    let error = check(&policy(), &stack)
        .expect_err("no bandwidth")
        .to_string();
    assert!(error.contains("net_in_mbps"), "{error}");
}

#[test]
fn a_start_longer_than_a_step_delays_by_whole_steps() {
    let mut config = config();
    config.interval = Seconds(120);
    config.stack.tiers[0].min_up = HOUR;
    let key = series("typeA", "vm_count");
    let mut short = forecast(&key, START, 10, 24);
    short.interval = config.interval;
    let request = planned(&state_with(config, vec![short]));
    let tier = &request.tiers[0];
    assert_eq!((tier.delay_steps, tier.min_up_steps), (3, 30));
    assert_eq!(tier.options[0].start_cost, MicroDollars(0));
}

#[test]
fn volumes_and_links_are_asked_for_in_gib_and_mbps() {
    let mut config = config();
    config.stack.volumes.push(volume());
    config.stack.link = Some(link("net_rx_kbps"));
    config.policy.budget_per_day = Some(MicroDollars(24_000));
    let demands = demand_series(&config.stack);
    assert_eq!(demands.len(), 3);
    let forecasts = demands.iter().map(|key| forecast(key, START, 1_000, 12));
    let request = planned(&state_with(config, forecasts.collect()));
    assert_eq!(request.steps, 12);
    let disk = &request.volumes[0];
    assert_eq!(
        (disk.block, disk.initial, disk.cooldown_steps),
        (Gib(100), 2, 6)
    );
    assert_eq!(disk.demand[0][3], vms(1_000));
    let link = request.link.expect("a link");
    // 1000 kB/s are 8 Mbps.
    assert_eq!(link.demand[0][3], vms(8));
    assert_eq!(
        (link.hold_steps, link.initial, link.steps_since_change),
        (2, 0, None)
    );
    assert_eq!(request.rules.budget, Some(MicroDollars(12_000)));
}

#[test]
fn a_series_without_forecast_is_named() {
    let mut config = config();
    config.stack.volumes.push(volume());
    let key = series("typeA", "vm_count");
    let state = state_with(config, vec![forecast(&key, START, 10, 24)]);
    let error = plan_request(&state, BASIS)
        .expect_err("no forecast")
        .to_string();
    assert!(
        error.contains("disk") && error.contains("storage_gib"),
        "{error}"
    );
}

#[test]
fn what_runs_and_what_comes_is_on() {
    let key = series("typeA", "vm_count");
    let mut state = state_with(config(), vec![forecast(&key, START, 10, 24)]);
    let launch = Operation::Launch {
        tier: crate::fixtures::tier_name("web"),
        vm_type: VmTypeId::new("typeA").expect("an id"),
        count: VmCount(4),
    };
    let operations = vec![launch];
    let result = state.apply(TwinCommand::CommitIntents {
        at: START,
        operations,
        held: Vec::new(),
    });
    let ApplyResult::IntentsCommitted(intents) = result else {
        panic!("{result:?}");
    };
    let initial = |state: &TwinState| planned(state).tiers[0].options[0].initial;
    assert_eq!(initial(&state), VmCount(4));
    let results = [
        OutcomeResult::Done,
        OutcomeResult::Done,
        OutcomeResult::Refused("capacity".to_owned()),
        OutcomeResult::Unknown("time-out".to_owned()),
    ];
    let outcomes = intents
        .iter()
        .zip(results)
        .map(|(intent, result)| IntentOutcome {
            intent: intent.id,
            result,
        });
    state.apply(TwinCommand::CommitOutcomes {
        at: START,
        outcomes: outcomes.collect(),
    });
    assert_eq!(initial(&state), VmCount(3));
    let operations = vec![Operation::Terminate {
        vm: twinscale_protocol::VmId(1),
    }];
    state.apply(TwinCommand::CommitIntents {
        at: START,
        operations,
        held: Vec::new(),
    });
    assert_eq!(initial(&state), VmCount(2));
}

#[test]
fn the_parents_counts_are_shifted_to_the_new_steps() {
    let key = series("typeA", "vm_count");
    let mut state = state_with(config(), vec![forecast(&key, START, 10, 24)]);
    let counts: Vec<u32> = (0..24).collect();
    state.apply(TwinCommand::CommitPlan {
        at: START,
        config_version: 1,
        plan: plan(1, START, &counts),
    });
    let later = TwinCommand::StoreForecast {
        issued_at: hours(20),
        surprised: false,
        forecasts: vec![forecast(&key, hours(20), 10, 8)],
        calibrations: vec![Vec::new()],
        feedback: None,
    };
    state.apply(later);
    let request = planned(&state);
    assert_eq!(
        (request.number, request.parent),
        (PlanNumber(2), Some(PlanNumber(1)))
    );
    let seed = request.last_plan.expect("a parent");
    let shifted: Vec<u32> = seed.vms[0].counts.iter().map(|count| count.0).collect();
    assert_eq!(shifted, [20, 21, 22, 23, 23, 23, 23, 23]);
}

#[test]
fn a_seed_depends_on_root_customer_and_number_alone() {
    let seed = |root, name, number| plan_seed(root, &customer(name), PlanNumber(number));
    assert_eq!(seed(1, "acme", 7), seed(1, "acme", 7));
    let others = [seed(2, "acme", 7), seed(1, "acmf", 7), seed(1, "acme", 8)];
    assert!(others.iter().all(|other| *other != seed(1, "acme", 7)));
}

#[test]
fn the_exact_path_is_for_one_type_and_nothing_that_couples() {
    let exact = |change: fn(&mut TwinConfig)| {
        let mut config = config();
        change(&mut config);
        is_exact(&config.policy, &config.stack)
    };
    assert!(exact(|_| {}));
    assert!(!exact(|config| {
        config.stack.tiers[0].vm_types.push(vm_type("typeB", 1));
    }));
    assert!(!exact(
        |config| config.policy.budget_per_day = Some(MicroDollars(1))
    ));
    assert!(exact(|config| {
        let demand = series("typeB", "vm_count");
        let db = tier("db", demand, vec![vm_type("typeB", 1)]);
        config.stack.tiers.push(db);
    }));
    // Half of the steps may be short at the lowest level, a tenth is allowed: levels must be chosen
    // together.
    assert!(!exact(
        |config| config.policy.sla.level_min = PartsPerMillion(500_000)
    ));
}
