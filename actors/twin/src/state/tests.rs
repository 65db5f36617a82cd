use super::*;
use crate::fixtures::{
    HOUR, START, config, customer, forecast, hours, plan, record, samples, series, store_forecast,
    tier_name, vms,
};
use crate::stored::v1::TwinCommand;
use proptest::prelude::*;
use twinscale_protocol::provisioner::{
    Action, IntentOutcome, ObservedVm, Operation, OutcomeResult,
};
use twinscale_protocol::{EventKind, VmCount};

fn acme() -> TwinState {
    TwinState::new(customer("acme"))
}

fn configured() -> TwinState {
    let mut state = acme();
    let result = state.apply(TwinCommand::Configure(config()));
    assert_eq!(result, ApplyResult::Configured { config_version: 1 });
    state
}

fn launch(count: u32) -> Operation {
    Operation::Launch {
        tier: tier_name("web"),
        vm_type: VmTypeId::new("typeA").expect("an id"),
        count: VmCount(count),
    }
}

fn intents(state: &mut TwinState, operations: Vec<Operation>) -> Vec<Intent> {
    let at = START;
    match state.apply(TwinCommand::CommitIntents {
        at,
        operations,
        held: Vec::new(),
    }) {
        ApplyResult::IntentsCommitted(intents) => intents,
        other => panic!("{other:?}"),
    }
}

fn outcome(state: &mut TwinState, intent: IntentId, result: OutcomeResult) -> ApplyResult {
    let outcomes = vec![IntentOutcome { intent, result }];
    let at = hours(1);
    state.apply(TwinCommand::CommitOutcomes { at, outcomes })
}

#[test]
fn identities_are_given_once_and_a_retry_keeps_them() {
    let mut state = configured();
    let first = intents(&mut state, vec![launch(2)]);
    let vm_of = |intent: &Intent| match intent.action {
        Action::Launch { vm, .. } => vm,
        _ => panic!("{intent:?}"),
    };
    assert_eq!(
        first.iter().map(vm_of).collect::<Vec<_>>(),
        [VmId(1), VmId(2)]
    );
    let unknown = OutcomeResult::Unknown("time-out".to_owned());
    outcome(&mut state, first[0].id, unknown);
    outcome(&mut state, first[1].id, OutcomeResult::Done);
    let retry = Operation::Retry {
        intent: first[0].id,
    };
    let again = intents(&mut state, vec![retry, launch(1)]);
    assert_eq!(again[0], first[0]);
    assert_eq!(vm_of(&again[1]), VmId(3));
    assert_eq!(state.open_intents().count(), 2);
    outcome(&mut state, first[0].id, OutcomeResult::Done);
    // The same outcome again changes nothing.
    let repeated = outcome(&mut state, first[0].id, OutcomeResult::Done);
    let expected = OutcomesCommitted {
        repeated: 1,
        ..OutcomesCommitted::default()
    };
    assert_eq!(repeated, ApplyResult::OutcomesCommitted(expected));
    assert_eq!(state.counters().launches, 2);
    let running: Vec<VmId> = state.observed().vms.iter().map(|one| one.vm).collect();
    assert_eq!(running, [VmId(1), VmId(2)]);
    assert_eq!(state.tier_changes()[0].out_at, Some(hours(1)));
}

#[test]
fn a_vm_is_ended_by_one_intent() {
    let mut state = configured();
    let launched = intents(&mut state, vec![launch(1)]);
    outcome(&mut state, launched[0].id, OutcomeResult::Done);
    let end = Operation::Terminate { vm: VmId(1) };
    let first = intents(&mut state, vec![end.clone(), end.clone()]);
    assert_eq!(first.len(), 1);
    assert_eq!(intents(&mut state, vec![end]), first);
    outcome(&mut state, first[0].id, OutcomeResult::Done);
    assert!(state.observed().vms.is_empty());
    assert_eq!(state.counters().terminations, 1);
}

#[test]
fn a_launch_of_an_unknown_vm_type_is_refused() {
    let mut state = configured();
    let operation = Operation::Launch {
        tier: tier_name("web"),
        vm_type: VmTypeId::new("typeX").expect("an id"),
        count: VmCount(1),
    };
    let operations = vec![operation];
    let result = state.apply(TwinCommand::CommitIntents {
        at: START,
        operations,
        held: Vec::new(),
    });
    let ApplyResult::Refused(refusal) = result else {
        panic!("{result:?}");
    };
    assert!(refusal.to_string().contains("typeX"), "{refusal}");
    assert_eq!(state.open_intents().count(), 0);
}

#[test]
fn open_intents_are_bounded() {
    let mut state = configured();
    let operations = vec![launch(u32::MAX)];
    let result = state.apply(TwinCommand::CommitIntents {
        at: START,
        operations,
        held: Vec::new(),
    });
    assert!(
        matches!(result, ApplyResult::Refused(Refusal::TooManyIntents { .. })),
        "{result:?}"
    );
}

#[test]
fn a_plan_needs_its_parent_and_its_configuration() {
    let mut state = configured();
    let commit = |state: &mut TwinState, number, config_version| {
        state.apply(TwinCommand::CommitPlan {
            at: START,
            config_version,
            plan: plan(number, START, &[3, 4]),
        })
    };
    assert_eq!(
        commit(&mut state, 1, 1),
        ApplyResult::PlanCommitted(PlanNumber(1))
    );
    for (number, version) in [(1, 1), (3, 1), (2, 2)] {
        let result = commit(&mut state, number, version);
        assert!(
            matches!(result, ApplyResult::Refused(Refusal::PlanConflict { .. })),
            "{result:?}"
        );
    }
    assert_eq!(state.counters().plan_conflicts, 3);
    for number in 2..40 {
        let result = commit(&mut state, number, 1);
        assert_eq!(result, ApplyResult::PlanCommitted(PlanNumber(number)));
    }
    assert_eq!(state.plans().count(), crate::limits::PLANS_KEPT);
    assert_eq!(
        state.target_plan().map(|plan| plan.number),
        Some(PlanNumber(39))
    );
}

#[test]
fn forecasts_are_checked_and_counted() {
    let key = series("typeA", "vm_count");
    let mut state = configured();
    assert_eq!(
        state.apply(store_forecast(&key, START, 10)),
        ApplyResult::ForecastStored
    );
    assert_eq!(state.calibration(&key), [1, 2, 3]);
    let mut crossing = forecast(&key, START, 10, 2);
    crossing.quantiles[1][3] = vms(99);
    let bad = TwinCommand::StoreForecast {
        issued_at: START,
        surprised: false,
        forecasts: vec![crossing],
        calibrations: vec![Vec::new()],
        feedback: None,
    };
    let result = state.apply(bad);
    let ApplyResult::Refused(refusal) = result else {
        panic!("{result:?}");
    };
    assert!(refusal.to_string().contains("step 1"), "{refusal}");
    let stale = TwinCommand::NoteStaleTurn {
        at: hours(1),
        surprised: false,
        forecasts: vec![forecast(&key, hours(1), 10, 23)],
        feedback: None,
    };
    assert_eq!(state.apply(stale), ApplyResult::TurnNoted);
    let counters = state.counters();
    assert_eq!((counters.forecasts, counters.stale_turns), (1, 1));
    assert_eq!(state.forecast().map(|one| one.issued_at), Some(hours(1)));
}

#[test]
fn the_learned_start_up_time_replaces_the_stacks() {
    let mut state = configured();
    let tier = config().stack.tiers[0].clone();
    let observe = |count, p95| TwinCommand::ObserveAllocation {
        at: START,
        allocation: ObservedAllocation::default(),
        start_up: vec![StartUpTime {
            vm_type: VmTypeId::new("typeA").expect("an id"),
            count,
            p95: Seconds(p95),
            failed: twinscale_protocol::PartsPerMillion(0),
        }],
    };
    state.apply(observe(1, 90));
    assert_eq!(state.lead(&tier), Seconds(300));
    state.apply(observe(3, 90));
    assert_eq!(state.lead(&tier), Seconds(90));
}

#[test]
fn an_event_announced_again_replaces_the_older() {
    let event = |end| Event {
        kind: EventKind::Campaign,
        name: "spring sale".to_owned(),
        start: START,
        end,
        known_from: START,
        series: None,
    };
    let announce = |state: &mut TwinState, end| {
        let events = vec![event(end)];
        match state.apply(TwinCommand::RecordEvents { events }) {
            ApplyResult::EventsRecorded(recorded) => recorded,
            other => panic!("{other:?}"),
        }
    };
    let mut state = acme();
    assert_eq!(announce(&mut state, hours(5)).stored, 1);
    assert_eq!(announce(&mut state, hours(5)).duplicates, 1);
    assert_eq!(announce(&mut state, hours(9)).replaced, 1);
    assert_eq!(state.events(), [event(hours(9))]);
    let result = state.apply(TwinCommand::RecordEvents {
        events: vec![event(START)],
    });
    let ApplyResult::Refused(refusal) = result else {
        panic!("{result:?}");
    };
    assert!(refusal.to_string().contains("spring sale"), "{refusal}");
}

#[test]
fn a_reason_is_cut_between_characters() {
    let mut state = acme();
    state.set_quarantine(&"ä".repeat(1_000));
    assert!(state.quarantine().is_some_and(|reason| reason.len() <= 512));
}

#[test]
fn only_touched_parts_are_rewritten() {
    let key = series("typeA", "vm_count");
    let mut state = configured();
    state.apply(record(hours(600), samples(&key, START, &[1; 600])));
    state.take_changes().expect("encodes");
    state.apply(record(hours(601), samples(&key, hours(600), &[2])));
    let parts: Vec<PartKey> = state
        .take_changes()
        .expect("encodes")
        .into_iter()
        .map(|(part, _)| part)
        .collect();
    // Counters, the floors that moved with the newest sample, and one block of each resolution.
    assert_eq!(parts.len(), 5, "{parts:?}");
    assert!(parts.contains(&PartKey::Meta));
}

/// Commands that reach every branch, with identities and numbers that often fit and often do not.
fn command() -> impl Strategy<Value = TwinCommand> {
    prop_oneof![told_command(), provisioned_command()]
}

fn told_command() -> impl Strategy<Value = TwinCommand> {
    let key = || prop_oneof![Just("typeA"), Just("typeB")].prop_map(|one| series(one, "vm_count"));
    let group = (
        key(),
        proptest::collection::vec((-40_i64..200, 0_i64..50), 0..40),
    );
    prop_oneof![
        Just(TwinCommand::Configure(config())),
        (1_u16..30).prop_map(|horizon_steps| {
            TwinCommand::Configure(TwinConfig {
                horizon_steps,
                ..config()
            })
        }),
        (group, 0_i64..150).prop_map(|((series, values), now)| {
            let samples = values
                .into_iter()
                .map(|(hour, value)| (hours(hour), vms(value)))
                .collect();
            let groups = vec![crate::SampleGroup { series, samples }];
            TwinCommand::RecordSamples {
                now: hours(now),
                groups,
            }
        }),
        (key(), 0_i64..100, 0_i64..30).prop_map(|(key, hour, level)| store_forecast(
            &key,
            hours(hour),
            level
        )),
        (key(), 0_i64..100).prop_map(|(key, hour)| TwinCommand::NoteStaleTurn {
            at: hours(hour),
            surprised: hour % 2 == 0,
            forecasts: vec![forecast(&key, hours(hour), 3, 5)],
            feedback: None,
        }),
        (1_u64..6, 0_u64..3).prop_map(|(number, config_version)| TwinCommand::CommitPlan {
            at: START,
            config_version,
            plan: plan(number, START, &[1, 2, 3]),
        }),
    ]
}

fn provisioned_command() -> impl Strategy<Value = TwinCommand> {
    prop_oneof![
        (0_u32..5, 0_u64..9, 0_u64..9).prop_map(|(count, vm, intent)| {
            let operations = vec![
                launch(count),
                Operation::Terminate { vm: VmId(vm) },
                Operation::Retry {
                    intent: IntentId(intent),
                },
            ];
            let count = usize::try_from(intent % 3 + 1).expect("few");
            TwinCommand::CommitIntents {
                at: START,
                operations: operations.into_iter().take(count).collect(),
                held: Vec::new(),
            }
        }),
        (0_u64..12, 0_u8..3).prop_map(|(intent, kind)| {
            let result = match kind {
                0 => OutcomeResult::Done,
                1 => OutcomeResult::Refused("no".to_owned()),
                _ => OutcomeResult::Unknown("late".to_owned()),
            };
            let outcomes = vec![IntentOutcome {
                intent: IntentId(intent),
                result,
            }];
            TwinCommand::CommitOutcomes {
                at: hours(2),
                outcomes,
            }
        }),
        proptest::collection::vec(0_u64..9, 0..5).prop_map(|vms| {
            let vms = vms.into_iter().map(|vm| ObservedVm {
                vm: VmId(vm),
                tier: tier_name("web"),
                vm_type: VmTypeId::new("typeA").expect("an id"),
                requested_at: START,
                serving_since: None,
            });
            TwinCommand::ObserveAllocation {
                at: hours(3),
                allocation: ObservedAllocation {
                    vms: vms.collect(),
                    ..ObservedAllocation::default()
                },
                start_up: Vec::new(),
            }
        }),
        Just(TwinCommand::NoteInfeasibleTurn { at: START }),
        Just(TwinCommand::LiftQuarantine),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any sequence of commands is applied without a panic, twice to the same bytes, and a store that
    /// follows the changes holds the whole state.
    #[test]
    fn apply_is_total_and_repeatable(commands in proptest::collection::vec(command(), 0..60)) {
        let (mut one, mut other) = (acme(), acme());
        let mut stored: BTreeMap<PartKey, Vec<u8>> = BTreeMap::new();
        for command in commands {
            let result = one.apply(command.clone());
            prop_assert_eq!(other.apply(command), result);
            for (part, value) in one.take_changes().expect("encodes") {
                match value {
                    Some(value) => stored.insert(part, value),
                    None => stored.remove(&part),
                };
            }
            // Open intents have numbers that were given, each VM's identity is below the next.
            prop_assert!(one.open_intents().all(|intent| intent.id < one.meta.next_intent));
            prop_assert!(one.open_intents().count() <= crate::limits::OPEN_INTENTS_MAX);
        }
        let bytes = one.encode_all().expect("encodes");
        prop_assert_eq!(&bytes, &other.encode_all().expect("encodes"));
        let restored = TwinState::restore(customer("acme"), stored).expect("restores");
        prop_assert_eq!(restored.encode_all().expect("encodes"), bytes);
        // What continues from the store goes the same way as what never stopped.
        prop_assert_eq!(restored.interval_means(&series("typeA", "vm_count"), START, HOUR, 50),
            one.interval_means(&series("typeA", "vm_count"), START, HOUR, 50));
    }
}

#[test]
fn a_configuration_is_set_only_on_the_version_that_was_read() {
    let mut state = TwinState::new(customer("acme"));
    let on = |config_version| TwinCommand::ConfigureIf {
        config_version,
        config: config(),
    };
    assert_eq!(
        state.apply(on(0)),
        ApplyResult::Configured { config_version: 1 }
    );
    let late = Refusal::ConfigChanged {
        expected: 0,
        current: 1,
    };
    assert_eq!(state.apply(on(0)), ApplyResult::Refused(late));
    let same = ApplyResult::Configured { config_version: 1 };
    assert_eq!(state.apply(on(1)), same, "nothing changes");
    let changed = TwinCommand::ConfigureIf {
        config_version: 1,
        config: TwinConfig {
            horizon_steps: config().horizon_steps + 1,
            ..config()
        },
    };
    assert_eq!(
        state.apply(changed),
        ApplyResult::Configured { config_version: 2 }
    );
}
