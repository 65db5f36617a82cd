use super::*;
use crate::fixtures::{
    START, config, customer, forecast, hours, plan, record, samples, series, store_forecast, tier,
    vm_type,
};
use twinscale_protocol::forecaster::ForecastSource;
use twinscale_protocol::provisioner::DesiredVms;
use twinscale_protocol::{Seconds, SeriesKey, VmCount};

fn key() -> SeriesKey {
    series("typeA", "vm_count")
}

/// A twin with a plan of 3, 8 and 5 VMs from [`START`] on, and a fresh forecast at [`START`].
fn planned() -> TwinState {
    let mut state = TwinState::new(customer("acme"));
    state.apply(TwinCommand::Configure(config()));
    state.apply(store_forecast(&key(), START, 6));
    let committed = state.apply(TwinCommand::CommitPlan {
        at: START,
        config_version: 1,
        plan: plan(1, START, &[3, 8, 5]),
    });
    assert_eq!(committed, ApplyResult::PlanCommitted(PlanNumber(1)));
    state
}

fn wanted(state: &TwinState, now: DomainTime) -> (u32, u32, bool) {
    let request = reconcile_request(state, now, false).expect("a plan");
    let DesiredVms {
        count, count_next, ..
    } = &request.desired.vms[0];
    (count.0, count_next.0, request.desired.blind)
}

#[test]
fn the_next_step_is_wanted_from_its_lead_on() {
    let state = planned();
    let before = DomainTime(hours(1).0 - 301);
    let lead = DomainTime(hours(1).0 - 300);
    assert_eq!(wanted(&state, START), (3, 3, false));
    assert_eq!(wanted(&state, before), (3, 3, false));
    assert_eq!(wanted(&state, lead), (3, 8, false));
    assert_eq!(next_wake_up(&state, START), Some(lead));
    assert_eq!(next_wake_up(&state, before), Some(lead));
    // The next one belongs to the step after.
    assert_eq!(next_wake_up(&state, lead), Some(lead.plus(Seconds(3_600))));
}

#[test]
fn each_tier_has_its_own_lead() {
    let mut state = planned();
    let mut config = config();
    let mut slow = tier("db", series("typeB", "vm_count"), vec![vm_type("typeB", 1)]);
    slow.start_up = Seconds(1_200);
    config.stack.tiers.push(slow);
    state.apply(TwinCommand::Configure(config));
    let slow_lead = DomainTime(hours(1).0 - 1_200);
    let fast_lead = DomainTime(hours(1).0 - 300);
    assert_eq!(next_wake_up(&state, START), Some(slow_lead));
    assert_eq!(next_wake_up(&state, slow_lead), Some(fast_lead));
    assert_eq!(wanted(&state, slow_lead).1, 3, "the fast tier waits");
}

#[test]
fn nothing_scales_in_on_old_knowledge() {
    let mut state = planned();
    // The forecast was for the first step; nobody made one for the second.
    assert_eq!(wanted(&state, hours(1)), (8, 8, true));
    // Behind the end, the last step stays.
    assert_eq!(wanted(&state, hours(9)), (5, 5, true));
    let unseen = reconcile_request(&state, START, true).expect("a plan");
    assert!(unseen.desired.blind);
    let mut changed = config();
    changed.policy.limits.ceiling = VmCount(50);
    state.apply(TwinCommand::Configure(changed));
    assert!(
        wanted(&state, START).2,
        "the plan is of an older configuration"
    );
}

#[test]
fn a_plan_may_name_what_the_stack_no_longer_has() {
    let mut state = planned();
    let mut changed = config();
    changed.stack.tiers[0].vm_types = vec![vm_type("typeC", 1)];
    state.apply(TwinCommand::Configure(changed));
    let request = reconcile_request(&state, START, false).expect("a plan");
    assert!(request.desired.vms.is_empty() && request.desired.blind);
}

#[test]
fn a_surprise_is_a_value_outside_the_range() {
    // The range around 6 goes from 4 to 9.
    for (value, surprised) in [(3, true), (4, false), (9, false), (10, true)] {
        let mut state = planned();
        state.apply(record(hours(1), samples(&key(), START, &[value])));
        assert_eq!(is_surprised(&state, hours(1)), surprised, "{value}");
    }
    assert!(!is_surprised(&planned(), hours(1)), "nothing was observed");
}

#[test]
fn a_turn_cut_short_behind_its_forecast_is_still_surprised() {
    let mut state = planned();
    state.apply(record(hours(1), samples(&key(), START, &[10])));
    let settings = CycleSettings {
        root_seed: 1,
        generation: Generation(1),
    };
    let (mut turn, _) = Turn::begin(TurnKind::Step, hours(1), settings, &state).expect("begins");
    let seen = TurnEvent::Observe(Ok(ObserveReply {
        allocation: state.observed().clone(),
        start_up: state.start_up().to_vec(),
    }));
    let Effect::Forecast(_) = turn.on(&state, seen) else {
        panic!("no forecast was asked for");
    };
    let fresh = TurnEvent::Forecast(Ok(ForecastReply {
        forecasts: vec![forecast(&key(), hours(1), 6, 24)],
        calibrations: vec![Vec::new()],
    }));
    let Effect::Commit(command) = turn.on(&state, fresh) else {
        panic!("no forecast was committed");
    };
    assert_eq!(state.apply(*command), ApplyResult::ForecastStored);
    // Killed here. The next incarnation has the new forecast alone, in which the value is no surprise.
    assert!(is_surprised(&state, hours(1)));
    assert!(!is_surprised(&state, hours(2)), "it is over with its step");
}

#[test]
fn windows_end_where_the_forecast_begins() {
    let mut state = planned();
    state.apply(record(hours(5), samples(&key(), START, &[1, 2, 3])));
    let request = forecast_request(&state, hours(5).plus(Seconds(90))).expect("a series");
    assert_eq!(request.issued_at, hours(5));
    let window = &request.series[0];
    assert_eq!((window.first_at, window.values.len()), (START, 5));
    assert_eq!(window.values.iter().flatten().count(), 3);
    assert_eq!(window.calibration, [1, 2, 3]);
    // Six weeks at most.
    let late = forecast_request(&state, hours(2_000)).expect("a series");
    assert_eq!(late.series[0].values.len(), 42 * 24);
    // Before the first sample there is nothing to send.
    let fresh = planned();
    let empty = forecast_request(&fresh, hours(5)).expect("a series");
    assert_eq!(
        (empty.series[0].first_at, empty.series[0].values.len()),
        (hours(5), 0)
    );
}

#[test]
fn a_stale_forecast_is_shifted_and_keeps_its_order() {
    let state = planned();
    let moved = shifted_and_widened(&state, hours(2));
    assert_eq!(
        (moved[0].first_step_at, &moved[0].source),
        (hours(2), &ForecastSource::Stale)
    );
    assert_eq!(moved[0].quantiles.len(), 24);
    let fresh = &state.forecast().expect("a forecast").forecasts[0].quantiles[0];
    let wide = &moved[0].quantiles[0];
    assert!(wide.is_sorted());
    assert!(wide[0] < fresh[0] && wide[7] > fresh[7] && wide[3] == fresh[3]);
}

#[test]
fn a_turn_that_was_cut_short_makes_nothing_twice() {
    let settings = CycleSettings {
        root_seed: 1,
        generation: Generation(1),
    };
    let state = planned();
    let (mut turn, effect) =
        Turn::begin(TurnKind::Step, START, settings, &state).expect("configured");
    assert!(matches!(effect, Effect::Observe(_)));
    let seen = ObserveReply::default();
    let effect = turn.on(&state, TurnEvent::Observe(Ok(seen)));
    // Forecast and plan of this step are committed: on to what must change.
    assert!(matches!(effect, Effect::Reconcile(_)), "{effect:?}");
    // An answer that nobody asked for ends the turn and is told.
    let effect = turn.on(&state, TurnEvent::Observe(Ok(ObserveReply::default())));
    assert_eq!(effect, Effect::End);
    assert!(turn.summary().failures[0].contains("unexpected"));
}
