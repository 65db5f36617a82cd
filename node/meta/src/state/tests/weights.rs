//! The register of weights: what is refused, what is repeated without harm, what decisions come to.

use super::*;
use crate::limits::{DECISIONS_MAX, WEIGHTS_BYTES_MAX, WEIGHTS_KNOWN_MAX};
use crate::stored::v2::samples::{
    choice, commands as all_commands, entry, id, judged, notice, opened, refusals,
};
use crate::stored::v2::{
    DecisionKind, RetrainingEnd, TrialEnd, TrialMode, WeightsChoice, WeightsCommand, WeightsNotice,
};
use std::mem::{Discriminant, discriminant};

fn done(state: &mut MetaState, command: WeightsCommand) {
    let outcome = state.apply(&entry(command.clone()));
    assert!(
        matches!(outcome, Outcome::Applied(_)),
        "{command:?}: {outcome:?}"
    );
}

fn same(state: &mut MetaState, command: WeightsCommand) {
    let before = state.weights().clone();
    let outcome = state.apply(&entry(command.clone()));
    assert!(
        matches!(outcome, Outcome::Unchanged(_)),
        "{command:?}: {outcome:?}"
    );
    assert_eq!(*state.weights(), before);
}

fn refused(state: &mut MetaState, command: WeightsCommand, text: &str) -> Discriminant<Refusal> {
    let before = state.weights().clone();
    let Outcome::Refused(refusal) = state.apply(&entry(command.clone())) else {
        panic!("{command:?} is not refused");
    };
    let told = refusal.to_string();
    assert!(told.contains(text), "`{told}` does not name `{text}`");
    assert!(told.contains(": "), "`{told}` names no remedy");
    assert_eq!(*state.weights(), before, "refused and changed something");
    let audited = state.audit().last().expect("audited");
    assert_eq!(audited.outcome, AuditOutcome::Refused(refusal.clone()));
    discriminant(&refusal)
}

fn shadow(weights: WeightsChoice) -> WeightsCommand {
    WeightsCommand::Shadow { weights }
}

fn promote(weights: WeightsChoice, trial: Option<u64>) -> WeightsCommand {
    let judged = trial.map(judged);
    WeightsCommand::Promote { weights, judged }
}

fn end(trial: u64, why: TrialEnd) -> WeightsCommand {
    WeightsCommand::EndTrial {
        judged: judged(trial),
        why,
    }
}

fn roll_back(trial: Option<u64>) -> WeightsCommand {
    WeightsCommand::RollBack {
        judged: trial.map(judged),
    }
}

/// Two sets of weights are known, and none was promoted.
fn base() -> MetaState {
    let mut state = opened();
    done(&mut state, WeightsCommand::Register(notice(1)));
    done(&mut state, WeightsCommand::Register(notice(2)));
    state
}

#[test]
fn below_the_gate_nothing_of_it_is_taken_and_bytes_stay_those_of_schema_1() {
    let mut state = cluster(1, 1, &["zone-1"]);
    let register = WeightsCommand::Register(notice(1));
    assert_eq!(MetaCommand::Weights(register.clone()).schema(), 2);
    let refusal = Refusal::BeyondGate { schema: 2, gate: 1 };
    let outcome = state.apply(&entry(register.clone()));
    assert_eq!(outcome, Outcome::Refused(refusal));
    let kind = |state: &MetaState| envelope::peek_kind(&state.encode().expect("fits"));
    assert_eq!(kind(&state).expect("a kind"), SNAPSHOT);
    state.apply(&operator(MetaCommand::RaiseSchema { to: 2 }));
    assert_eq!(kind(&state).expect("a kind"), SNAPSHOT);
    done(&mut state, register);
    assert_eq!(
        kind(&state).expect("a kind"),
        crate::stored::v2::SNAPSHOT,
        "by what it holds"
    );
}

#[test]
fn a_trial_ends_in_a_promotion_a_watch_and_a_way_back() {
    let mut state = base();
    same(&mut state, WeightsCommand::Register(notice(1)));
    done(&mut state, shadow(choice(1)));
    same(&mut state, shadow(choice(1)));
    done(&mut state, promote(choice(1), Some(1)));
    let register = state.weights();
    assert_eq!(register.active, choice(1));
    assert_eq!(register.previous, Some(WeightsChoice::Shipped));
    let trial = register.trial.as_ref().expect("a watch");
    assert_eq!(
        (trial.number, trial.mode, &trial.challenger),
        (2, TrialMode::Watch, &WeightsChoice::Shipped)
    );
    let last = register.decisions.back().expect("a decision");
    assert_eq!(last.what, DecisionKind::Promoted);
    assert_eq!(last.figures, Some(judged(1).figures));
    done(&mut state, roll_back(Some(2)));
    let register = state.weights();
    assert_eq!(register.active, WeightsChoice::Shipped);
    assert_eq!((&register.trial, &register.previous), (&None, &None));
    done(&mut state, promote(choice(2), None));
    same(&mut state, promote(choice(2), None));
    done(&mut state, end(3, TrialEnd::WatchOver));
    done(&mut state, shadow(choice(1)));
    done(&mut state, end(4, TrialEnd::Worse));
    done(&mut state, WeightsCommand::Drop { weights: choice(1) });
    assert!(!state.weights().knows(&id(1)));
    done(&mut state, roll_back(None));
    assert_eq!(state.weights().active, WeightsChoice::Shipped);
    let verbs = state
        .audit()
        .filter(|one| one.what.value == Some(0x0101_0101_0101_0101));
    assert!(verbs.count() >= 4, "the audit names the weights");
}

#[test]
fn weights_that_are_dropped_end_their_trial() {
    let mut state = base();
    done(&mut state, shadow(choice(1)));
    done(&mut state, WeightsCommand::Drop { weights: choice(1) });
    assert_eq!(state.weights().trial, None);
    done(&mut state, promote(choice(2), None));
    let shipped = WeightsChoice::Shipped;
    done(
        &mut state,
        WeightsCommand::Drop {
            weights: shipped.clone(),
        },
    );
    assert_eq!(state.weights().trial, None, "the watch is over");
    same(&mut state, WeightsCommand::Drop { weights: shipped });
    done(&mut state, roll_back(None));
}

#[test]
fn each_refusal_is_provoked_and_without_effect() {
    let spoilt = |spoil: fn(&mut WeightsNotice)| {
        let mut one = notice(3);
        spoil(&mut one);
        WeightsCommand::Register(one)
    };
    let mut seen = Vec::new();
    for spoil in [
        |one: &mut WeightsNotice| one.id = id(4),
        |one: &mut WeightsNotice| one.bytes = 0,
        |one: &mut WeightsNotice| one.bytes = WEIGHTS_BYTES_MAX + 1,
        |one: &mut WeightsNotice| one.summary.bytes = u64::MAX,
        |one: &mut WeightsNotice| one.summary.origin = "o".repeat(129),
        // The same first digits, and another file behind them.
        |one: &mut WeightsNotice| {
            *one = notice(1);
            one.digest[31] ^= 1;
        },
    ] {
        let text = "are not as they were made known";
        seen.push(refused(&mut base(), spoilt(spoil), text));
    }
    let mut full = base();
    for first in 3..=u8::try_from(WEIGHTS_KNOWN_MAX).expect("few") {
        done(&mut full, WeightsCommand::Register(notice(first)));
    }
    let more = WeightsCommand::Register(notice(9));
    seen.push(refused(&mut full, more, "8 weights are known"));
    for command in [
        shadow(choice(7)),
        promote(choice(7), None),
        WeightsCommand::Drop { weights: choice(7) },
    ] {
        seen.push(refused(
            &mut base(),
            command,
            "0707070707070707 are unknown",
        ));
    }
    let mut promoted = base();
    done(&mut promoted, promote(choice(1), None));
    for command in [
        WeightsCommand::Drop { weights: choice(1) },
        shadow(choice(1)),
    ] {
        seen.push(refused(&mut promoted, command, "are the active ones"));
    }
    seen.push(refused(
        &mut promoted,
        shadow(choice(2)),
        "trial 1 of weights shipped",
    ));
    for command in [
        promote(choice(2), Some(1)),
        roll_back(Some(2)),
        end(1, TrialEnd::Worse),
        end(2, TrialEnd::WatchOver),
    ] {
        seen.push(refused(&mut promoted, command, "is not the one under way"));
    }
    seen.push(refused(
        &mut base(),
        roll_back(None),
        "no weights were active before",
    ));
    for refusal in refusals() {
        assert!(
            seen.contains(&discriminant(&refusal)),
            "{refusal:?} is never provoked"
        );
    }
}

/// What the error must name, and what spoils a state.
type Spoilt = (&'static str, fn(&mut MetaState));

#[test]
fn history_is_bounded_and_an_unsound_register_is_refused() {
    let mut state = base();
    for _ in 0..=DECISIONS_MAX {
        let trained = WeightsCommand::NoteRetraining(crate::stored::v2::Retraining {
            parent: WeightsChoice::Shipped,
            end: RetrainingEnd::NotBetter,
        });
        done(&mut state, trained);
    }
    let register = state.weights();
    assert_eq!(register.decisions.len(), DECISIONS_MAX);
    let wanted = u64::try_from(DECISIONS_MAX).expect("few") + 3;
    assert_eq!(register.decided, wanted);
    let spoil: [Spoilt; 5] = [
        ("are not known", |one| one.weights.active = choice(9)),
        ("are not known", |one| {
            one.weights.previous = Some(choice(9));
        }),
        ("not in order", |one| one.weights.known.reverse()),
        ("number of the trial", |one| one.weights.trials = 9),
        ("trial of the active", |one| one.weights.active = choice(2)),
    ];
    done(&mut state, shadow(choice(2)));
    for (what, spoil) in spoil {
        let mut state = state.clone();
        spoil(&mut state);
        let bytes = state.encode().expect("encodes");
        let error = MetaState::decode(&bytes).expect_err("unsound").to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn the_largest_register_is_small_beside_the_rest() {
    let mut state = opened();
    for first in 1..=u8::try_from(WEIGHTS_KNOWN_MAX).expect("few") {
        let mut one = notice(first);
        one.summary.origin = "o".repeat(128);
        done(&mut state, WeightsCommand::Register(one));
    }
    for _ in 0..DECISIONS_MAX {
        done(&mut state, promote(choice(1), None));
        done(&mut state, roll_back(None));
    }
    let bytes = state.encode().expect("fits").len();
    assert!(bytes < 128 * 1024, "{bytes} bytes");
}

proptest! {
    /// Whatever comes, in whatever order: no panic, the same bytes everywhere, and what is used is known.
    #[test]
    fn any_commands_replay_to_the_same_bytes(picks in prop::collection::vec((0_usize..40, 1_u64..6), 0..120)) {
        let mut all: Vec<WeightsCommand> = all_commands().into_iter().map(|(_, one)| one).collect();
        all.push(WeightsCommand::Drop { weights: choice(2) });
        all.push(shadow(choice(2)));
        all.push(shadow(WeightsChoice::Shipped));
        let mut one = opened();
        let mut other = one.clone();
        for (pick, trial) in picks {
            let Some(mut command) = all.get(pick).cloned() else { continue };
            if let WeightsCommand::EndTrial { judged, .. }
            | WeightsCommand::Promote { judged: Some(judged), .. }
            | WeightsCommand::RollBack { judged: Some(judged) } = &mut command {
                judged.trial = trial;
            }
            let entry = entry(command.clone());
            let before = one.weights().clone();
            let outcome = one.apply(&entry);
            if !matches!(outcome, Outcome::Applied(_)) {
                prop_assert_eq!(one.weights(), &before);
            }
            let bytes = envelope::seal(COMMAND, &entry).expect("small");
            prop_assert_eq!(other.apply_bytes(&bytes), outcome);
            let stored = one.encode().expect("fits");
            prop_assert_eq!(&other.encode().expect("fits"), &stored);
            // Decoding checks that whatever is used is known.
            other = MetaState::decode(&stored).expect("sound");
            // A repetition never moves what is served.
            let active = one.weights().active.clone();
            let mut again = one.clone();
            again.apply(&entry);
            if !matches!(command, WeightsCommand::RollBack { .. }) {
                prop_assert_eq!(&again.weights().active, &active);
            }
        }
    }
}
