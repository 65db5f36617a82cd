use super::split::{Moment, UnitWorth, split, worth};
use super::*;
use crate::fixtures::{
    HOUR, START, config, customer, hours, plan, record, samples, series, store_forecast, tier_name,
    vms,
};
use crate::state::ApplyResult;
use crate::stored::v1::TwinCommand;
use proptest::prelude::*;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::provisioner::{
    Held, HeldRule, IntentOutcome, ObservedAllocation, ObservedVm, Operation, OutcomeResult,
};
use twinscale_protocol::twin::{ByCause, GuardRule, Miss, MissCause};
use twinscale_protocol::{
    FixedValue, MicroDollars, PlanNumber, SeriesKey, VmCount, VmId, VmTypeId,
};

fn key() -> SeriesKey {
    series("typeA", "vm_count")
}

fn configured() -> TwinState {
    let mut state = TwinState::new(customer("acme"));
    state.apply(TwinCommand::Configure(config()));
    state
}

fn vm(number: u64, serving_since: Option<DomainTime>) -> ObservedVm {
    ObservedVm {
        vm: VmId(number),
        tier: tier_name("web"),
        vm_type: VmTypeId::new("typeA").expect("an id"),
        requested_at: serving_since.map_or(START, |since| since.minus(Seconds(300))),
        serving_since,
    }
}

fn observe(state: &mut TwinState, at: DomainTime, vms: Vec<ObservedVm>) {
    state.apply(TwinCommand::ObserveAllocation {
        at,
        allocation: ObservedAllocation {
            vms,
            ..ObservedAllocation::default()
        },
        start_up: Vec::new(),
    });
}

/// A turn's decision: the forecast's highest quantile is `level` + 3.
fn decide(state: &mut TwinState, at: DomainTime, level: i64, counts: &[u32]) {
    let found = feedback(state, at, false);
    let mut command = store_forecast(&key(), at, level);
    if let TwinCommand::StoreForecast { feedback, .. } = &mut command {
        *feedback = found;
    }
    assert_eq!(state.apply(command), ApplyResult::ForecastStored);
    let plan = Plan {
        number: state.next_plan_number(),
        parent: state.target_plan().map(|plan| plan.number),
        ..plan(1, at, counts)
    };
    let committed = state.apply(TwinCommand::CommitPlan {
        at,
        config_version: state.config_version(),
        plan,
    });
    assert!(matches!(
        committed,
        ApplyResult::PlanCommitted(PlanNumber(_))
    ));
}

fn demand(state: &mut TwinState, at: DomainTime, units: i64) {
    state.apply(record(at.plus(HOUR), samples(&key(), at, &[units])));
}

/// Old VMs serve, then come the turns of two steps; the second step is [`hours`]`(1)`.
fn two_turns(old: u64, first: (i64, &[u32]), second: (i64, &[u32])) -> TwinState {
    let mut state = configured();
    let old = (1..=old)
        .map(|number| vm(number, Some(hours(-5))))
        .collect();
    observe(&mut state, START, old);
    decide(&mut state, START, first.0, first.1);
    demand(&mut state, START, 0);
    decide(&mut state, hours(1), second.0, second.1);
    state
}

/// The miss of the step at [`hours`]`(1)`, judged an hour later.
fn miss_of(state: &mut TwinState, units: i64) -> Miss {
    demand(state, hours(1), units);
    let found = feedback(state, hours(2), false).expect("a judgement");
    assert_eq!(found.judged_until, hours(2));
    assert_eq!(found.misses.len(), 1, "{found:?}");
    found.misses[0].clone()
}

fn vm_seconds(miss: &Miss) -> ByCause<i64> {
    ByCause::of(|cause| miss.causes.get(cause).vm_seconds.0 / 1_000_000)
}

#[test]
fn demand_above_the_range_is_the_forecasts() {
    // Range up to 6 + 3, planned 8, demand 12, served 5 old ones.
    let mut state = two_turns(5, (6, &[5, 8]), (6, &[8, 8]));
    let miss = miss_of(&mut state, 12);
    assert_eq!(
        vm_seconds(&miss),
        ByCause {
            forecast: 3 * 3_600,
            plan: 3_600,
            start_up: 3 * 3_600,
            ..ByCause::default()
        }
    );
    assert_eq!(miss.short, HOUR);
    assert_eq!((miss.served, miss.demand), (vms(5), vms(12)));
    assert_eq!(
        (miss.forecast_high, miss.planned),
        (Some(vms(9)), Some(vms(8)))
    );
    // 7 VM-hours of a type at 96,000 micro-dollars, three times its price.
    assert_eq!(miss.causes.total().money, MicroDollars(7 * 96_000 * 3));
    assert_eq!(miss.rule, None);
}

#[test]
fn the_first_lead_of_a_step_rests_on_the_decision_before() {
    // The first turn foresaw at most 5 for this step; the second knows of 20 and plans them, which cannot
    // serve before a lead has passed.
    let mut state = two_turns(2, (2, &[2, 2]), (20, &[12, 12]));
    let at = hours(1).plus(Seconds(300));
    let fresh = (3..=12).map(|number| vm(number, Some(at)));
    let old = [vm(1, Some(hours(-5))), vm(2, Some(hours(-5)))];
    observe(&mut state, hours(2), old.into_iter().chain(fresh).collect());
    let miss = miss_of(&mut state, 12);
    assert_eq!(
        vm_seconds(&miss),
        ByCause {
            forecast: 7 * 300,
            plan: 3 * 300,
            ..ByCause::default()
        }
    );
    assert_eq!(miss.short, Seconds(300));
}

#[test]
fn a_start_that_takes_longer_than_its_lead_is_the_start_ups() {
    let mut state = two_turns(2, (10, &[2, 6]), (10, &[6, 6]));
    let slow = hours(1).plus(Seconds(120));
    let mut seen = vec![vm(1, Some(hours(-5))), vm(2, Some(hours(-5)))];
    seen.extend((3..=6).map(|number| vm(number, Some(slow))));
    observe(&mut state, hours(2), seen);
    let miss = miss_of(&mut state, 6);
    assert_eq!(vm_seconds(&miss).start_up, 4 * 120);
    assert_eq!(miss.causes.largest(), Some(MissCause::StartUp));
    assert_eq!(miss.causes.total(), miss.causes.start_up);
}

#[test]
fn a_plan_at_its_ceiling_is_the_guardrails() {
    let mut state = configured();
    let mut limited = config();
    limited.policy.limits.ceiling = VmCount(4);
    state.apply(TwinCommand::Configure(limited));
    let old = (1..=4).map(|number| vm(number, Some(hours(-5)))).collect();
    observe(&mut state, START, old);
    decide(&mut state, START, 10, &[4, 4]);
    demand(&mut state, START, 4);
    decide(&mut state, hours(1), 10, &[4, 4]);
    let miss = miss_of(&mut state, 6);
    assert_eq!(vm_seconds(&miss).guardrail, 2 * 3_600);
    assert_eq!(miss.rule, Some(GuardRule::Ceiling));
}

#[test]
fn launches_that_a_limit_held_back_are_the_guardrails() {
    let mut state = two_turns(2, (10, &[2, 6]), (10, &[6, 6]));
    let held = vec![Held {
        tier: tier_name("web"),
        rule: HeldRule::Cooldown,
        count: VmCount(3),
    }];
    let at = hours(1).minus(Seconds(300));
    let result = state.apply(TwinCommand::CommitIntents {
        at,
        operations: Vec::new(),
        held: held.clone(),
    });
    assert_eq!(result, ApplyResult::IntentsCommitted(Vec::new()));
    assert!(state.knows_held(&held) && !state.knows_held(&[]));
    let miss = miss_of(&mut state, 6);
    assert_eq!(vm_seconds(&miss).guardrail, 3 * 3_600);
    assert_eq!(vm_seconds(&miss).start_up, 3_600);
    assert_eq!(miss.rule, Some(GuardRule::Cooldown));
}

#[test]
fn refused_lost_and_unanswered_launches_are_the_providers() {
    let mut state = two_turns(2, (10, &[2, 6]), (10, &[6, 6]));
    let launch = Operation::Launch {
        tier: tier_name("web"),
        vm_type: VmTypeId::new("typeA").expect("an id"),
        count: VmCount(2),
    };
    let at = hours(1).minus(Seconds(300));
    let result = state.apply(TwinCommand::CommitIntents {
        at,
        operations: vec![launch],
        held: Vec::new(),
    });
    let ApplyResult::IntentsCommitted(intents) = result else {
        panic!("{result:?}");
    };
    let refused = OutcomeResult::Refused("no capacity".to_owned());
    state.apply(TwinCommand::CommitOutcomes {
        at,
        outcomes: vec![IntentOutcome {
            intent: intents[0].id,
            result: refused,
        }],
    });
    // One refused, one without an answer, and one of the old ones is gone without anybody's wish.
    let until = hours(1).plus(Seconds(1_800));
    observe(&mut state, until, vec![vm(1, Some(hours(-5)))]);
    let miss = miss_of(&mut state, 6);
    let split = vm_seconds(&miss);
    assert_eq!(split.provider, 2 * 1_800 + 3 * 1_800);
    assert_eq!(split.start_up, 2 * 3_600, "{split:?}");
}

#[test]
fn a_late_sample_is_waited_for_and_a_gap_is_left_out() {
    let mut state = two_turns(2, (4, &[2, 2]), (4, &[2, 2]));
    // The demand of the step before this turn is not there yet.
    let held = feedback(&state, hours(2), false).expect("covers");
    assert_eq!((held.judged_until, held.judged.len()), (hours(1), 0));
    decide(&mut state, hours(2), 4, &[2, 2]);
    let mut gap = state.clone();
    demand(&mut state, hours(1), 3);
    demand(&mut state, hours(2), 3);
    let both = feedback(&state, hours(3), false).expect("a judgement");
    assert_eq!(both.judged_until, hours(3));
    assert_eq!((both.judged[0].steps, both.misses.len()), (2, 2));
    demand(&mut gap, hours(2), 3);
    let one = feedback(&gap, hours(3), false).expect("a judgement");
    assert_eq!(one.judged_until, hours(3));
    assert_eq!((one.judged[0].steps, one.misses.len()), (1, 1));
    // What runs cannot be seen: nothing is judged on old sight.
    let unseen = feedback(&gap, hours(3), true).expect("covers");
    assert_eq!((unseen.judged_until, unseen.misses.len()), (hours(1), 0));
}

#[test]
fn a_step_is_judged_once_and_survives_a_restart() {
    let mut state = two_turns(2, (4, &[2, 2]), (4, &[2, 2]));
    demand(&mut state, hours(1), 5);
    let found = feedback(&state, hours(2), false);
    decide(&mut state, hours(2), 4, &[2, 2]);
    let report = state.report().misses;
    assert_eq!(report.judged_until, Some(hours(2)));
    assert_eq!(
        (report.tiers[0].judged_steps, report.tiers[0].missed_steps),
        (2, 1)
    );
    assert_eq!(
        report.tiers[0].causes.total(),
        report.latest[0].causes.total()
    );
    // The turn is run again, by an incarnation that does not know how far it came.
    assert_eq!(feedback(&state, hours(2), false), None);
    let mut again = store_forecast(&key(), hours(2), 4);
    if let TwinCommand::StoreForecast { feedback, .. } = &mut again {
        *feedback = found.map(|found| Feedback {
            judged_until: hours(1),
            ..found
        });
    }
    state.apply(again);
    assert_eq!(state.report().misses, report);
    let restored = TwinState::restore(customer("acme"), state.encode_all().expect("encodes"));
    assert_eq!(restored.expect("restores").report().misses, report);
}

#[test]
fn nothing_is_judged_where_nothing_is_provisioned() {
    let mut state = two_turns(2, (4, &[2, 2]), (4, &[2, 2]));
    demand(&mut state, hours(1), 5);
    let mut watching = config();
    watching.policy.mode = Mode::Advise;
    state.apply(TwinCommand::Configure(watching));
    assert_eq!(feedback(&state, hours(2), false), None);
}

fn moment() -> impl Strategy<Value = Moment> {
    let value = || 0_i64..50;
    (
        (value(), value(), value(), value()),
        any::<bool>(),
        (value(), value()),
    )
        .prop_map(
            |((demand, serving, high, planned), is_bound, (held, failed))| Moment {
                demand,
                serving,
                high,
                planned,
                is_bound,
                held,
                failed,
            },
        )
}

/// What happens in one step: level of the forecast, planned VMs, seconds until the VMs of this step serve,
/// VMs that serve, demand, VMs of them that are lost.
type Happening = (i64, u32, i64, u64, Option<i64>, u64);

fn happening() -> impl Strategy<Value = Happening> {
    (
        0_i64..20,
        0_u32..20,
        prop_oneof![Just(-300_i64), -600_i64..3_600],
        0_u64..20,
        prop::option::weighted(0.8, 0_i64..25),
        0_u64..3,
    )
}

proptest! {
    /// The parts of a moment are never negative and add up to what is missing.
    #[test]
    fn the_parts_of_a_moment_add_up(moment in moment()) {
        let parts = split(&moment);
        prop_assert!(parts.iter().all(|(_, part)| *part >= 0), "{parts:?}");
        let sum: i64 = parts.iter().map(|(_, part)| *part).sum();
        prop_assert_eq!(sum, (moment.demand - moment.serving).max(0));
    }

    /// Rounding loses nothing between the parts and the whole.
    #[test]
    fn parts_in_money_add_up_to_the_whole(
        sums in prop::array::uniform5(0_i64..9_000_000_000_000),
        capacity in 1_i64..50_000_000,
        price in 0_i64..9_000_000,
    ) {
        let [forecast, plan, guardrail, provider, start_up] = sums.map(i128::from);
        let sums = ByCause { forecast, plan, guardrail, provider, start_up };
        let unit = UnitWorth {
            capacity: FixedValue(capacity),
            price_per_unit_hour: MicroDollars(price),
        };
        let parts = worth(&sums, unit);
        let whole: i128 = sums.iter().map(|(_, sum)| *sum).sum();
        let together = ByCause { forecast: whole, ..ByCause::default() };
        prop_assert_eq!(parts.total(), worth(&together, unit).forecast);
    }

    /// Whatever happens, the misses are what a second-by-second look finds, the totals are their sums, and
    /// no step is judged twice.
    #[test]
    fn misses_are_what_was_missing(happenings in prop::collection::vec(happening(), 1..8)) {
        let mut state = configured();
        let mut expected = Vec::new();
        let mut next_vm = 1;
        let mut running: Vec<ObservedVm> = Vec::new();
        let mut seen_misses = Vec::new();
        for (step, (level, planned, after, count, wanted, lost)) in (0_i64..).zip(&happenings) {
            let at = hours(step);
            observe(&mut state, at, running.clone());
            decide(&mut state, at, *level, &[*planned, *planned]);
            let judged_from = expected.len();
            // As many VMs as are to serve: new ones serve at their time, surplus ones end in mid-step.
            let mut lives: Vec<(DomainTime, DomainTime)> = Vec::new();
            let half = at.plus(Seconds(1_800));
            while running.len() as u64 > *count {
                let ended = running.pop().expect("one is there");
                lives.push((ended.serving_since.expect("all serve"), half));
            }
            observe(&mut state, half, running.clone());
            for _ in 0..*lost {
                if let Some(ended) = running.pop() {
                    lives.push((ended.serving_since.expect("all serve"), half));
                }
            }
            observe(&mut state, half, running.clone());
            while (running.len() as u64) < *count {
                running.push(vm(next_vm, Some(DomainTime(at.0 + after))));
                next_vm += 1;
            }
            lives.extend(running.iter().map(|vm| (vm.serving_since.expect("all serve"), hours(step + 1))));
            if let Some(wanted) = wanted {
                demand(&mut state, at, *wanted);
                let missing: i64 = (0..3_600)
                    .map(|second| {
                        let now = DomainTime(at.0 + second);
                        let serving = lives.iter().filter(|(from, until)| (*from..*until).contains(&now));
                        (wanted - i64::try_from(serving.count()).expect("few")).max(0)
                    })
                    .sum();
                expected.push((at, missing));
            }
            prop_assert!(judged_from <= expected.len());
        }
        // Two more turns judge what a gap held up.
        for step in 0..2 {
            let at = hours(i64::try_from(happenings.len()).expect("few") + step);
            observe(&mut state, at, running.clone());
            decide(&mut state, at, 5, &[5, 5]);
        }
        seen_misses.extend(state.report().misses.latest);
        let found: Vec<(DomainTime, i64)> = seen_misses
            .iter()
            .map(|miss| (miss.step_at, miss.causes.total().vm_seconds.0 / 1_000_000))
            .collect();
        let missed: Vec<(DomainTime, i64)> =
            expected.iter().copied().filter(|(_, missing)| *missing > 0).collect();
        prop_assert_eq!(found, missed);
        if let Some(totals) = state.report().misses.tiers.first() {
            prop_assert_eq!(totals.judged_steps, expected.len() as u64);
            let sum = seen_misses.iter().fold(ByCause::default(), |sum, miss| miss.causes.plus(&sum));
            prop_assert_eq!(totals.causes, sum);
        }
    }
}
