//! Samples for tests.

use super::*;
use crate::state::{MetaState, Refusal, id_of_digest};
use crate::stored::v1::samples::{cluster, operator};
use crate::stored::v1::{MetaCommand, MetaEntry};
use twinscale_protocol::WeightsId;

pub(crate) fn id(first: u8) -> WeightsId {
    id_of_digest(&[first; 32]).expect("an id")
}

pub(crate) fn choice(first: u8) -> WeightsChoice {
    WeightsChoice::Registered(id(first))
}

pub(crate) fn notice(first: u8) -> WeightsNotice {
    WeightsNotice {
        id: id(first),
        digest: [first; 32],
        bytes: 2_199_796,
        summary: CardSummary {
            digest: [9; 32],
            bytes: 300,
            parent: Some(id(200)),
            networks: 3,
            series: 40,
            validation_loss: Some(168_210),
            origin: "cluster prod".to_owned(),
        },
    }
}

pub(crate) fn judged(trial: u64) -> Judged {
    Judged {
        trial,
        figures: Figures {
            series: 40,
            forecasts: 900,
            steps: 20_000,
            span_s: 86_400,
            ratio: 900_000,
            ratio_low: 850_000,
            ratio_high: 950_000,
            coverage: [810_000, 905_000],
            coverage_active: [790_000, 880_000],
        },
    }
}

pub(crate) fn entry(command: WeightsCommand) -> MetaEntry {
    MetaEntry {
        schema: SCHEMA,
        ..operator(MetaCommand::Weights(command))
    }
}

/// A cluster whose gate is open for the register.
pub(crate) fn opened() -> MetaState {
    let mut state = cluster(1, 1, &["zone-1"]);
    let raised = state.apply(&operator(MetaCommand::RaiseSchema { to: SCHEMA }));
    assert!(matches!(raised, crate::Outcome::Applied(_)), "{raised:?}");
    state
}

/// One of each command, and of each part that has variants.
pub(crate) fn commands() -> Vec<(&'static str, WeightsCommand)> {
    let end = |trial, why| WeightsCommand::EndTrial {
        judged: judged(trial),
        why,
    };
    let trained = |end| {
        WeightsCommand::NoteRetraining(Retraining {
            parent: choice(1),
            end,
        })
    };
    let promote = |weights, judged| WeightsCommand::Promote { weights, judged };
    vec![
        ("register", WeightsCommand::Register(notice(1))),
        ("register_other", WeightsCommand::Register(notice(2))),
        ("shadow", WeightsCommand::Shadow { weights: choice(1) }),
        ("promote_judged", promote(choice(1), Some(judged(1)))),
        ("promote", promote(choice(2), None)),
        ("promote_shipped", promote(WeightsChoice::Shipped, None)),
        ("roll_back", WeightsCommand::RollBack { judged: None }),
        (
            "roll_back_judged",
            WeightsCommand::RollBack {
                judged: Some(judged(2)),
            },
        ),
        ("end_worse", end(1, TrialEnd::Worse)),
        ("end_undecided", end(3, TrialEnd::Undecided)),
        ("end_watch", end(2, TrialEnd::WatchOver)),
        ("drop", WeightsCommand::Drop { weights: choice(1) }),
        ("trained_submitted", trained(RetrainingEnd::Submitted)),
        ("trained_not_better", trained(RetrainingEnd::NotBetter)),
        ("trained_failed", trained(RetrainingEnd::Failed)),
        ("trained_timed_out", trained(RetrainingEnd::TimedOut)),
    ]
}

/// One of each refusal, in the order in which they are stored.
pub(crate) fn refusals() -> Vec<Refusal> {
    let weights = choice(1);
    vec![
        Refusal::WeightsNotice { id: id(1) },
        Refusal::TooManyWeights,
        Refusal::UnknownWeights { id: id(1) },
        Refusal::WeightsActive {
            weights: weights.clone(),
        },
        Refusal::TrialUnderWay { number: 3, weights },
        Refusal::NoSuchTrial { number: 3 },
        Refusal::NothingBefore,
    ]
}

/// A state whose register has something of everything.
pub(crate) fn full() -> MetaState {
    let mut state = opened();
    for (_, command) in commands().into_iter().take(4) {
        let outcome = state.apply(&entry(command.clone()));
        assert!(
            matches!(outcome, crate::Outcome::Applied(_)),
            "{command:?}: {outcome:?}"
        );
    }
    state
}
