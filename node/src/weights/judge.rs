//! Decides trials, on the node that leads group 0.

use super::gather::{Gather, figures};
use crate::observe::Instruments;
use crate::observe::catalogue::WEIGHTS_DECISIONS;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use twinscale_cluster::meta::MetaWriter;
use twinscale_consensus::GroupRole;
use twinscale_forecaster::shadow::{Purpose, Verdict, judge};
use twinscale_membership::WallClock;
use twinscale_meta::stored::v1::By;
use twinscale_meta::stored::v2::{Figures, Judged, Trial, TrialEnd, TrialMode};
use twinscale_meta::{MetaCommand, Outcome, WeightsCommand};

/// How long a decision may take to be committed.
pub(super) const PROPOSE_LIMIT: Duration = Duration::from_secs(5);

/// Decides trials by what all nodes measured.
pub(super) struct Judge {
    pub(super) gather: Gather,
    pub(super) writer: MetaWriter,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) every: Duration,
    pub(super) instruments: Instruments,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// Whether this node leads group 0.
pub(super) fn leads(writer: &MetaWriter) -> bool {
    let status = writer.status();
    status.is_ok_and(|status| {
        let status = status.borrow();
        status.role == GroupRole::Leader && status.has_quorum
    })
}

/// What a verdict asks of group 0, and the word for it; `None` = the trial goes on.
fn command_of(
    trial: &Trial,
    verdict: Verdict,
    figures: Figures,
) -> Option<(WeightsCommand, &'static str)> {
    let judged = Judged {
        trial: trial.number,
        figures,
    };
    let end = |why| WeightsCommand::EndTrial { judged, why };
    match (trial.mode, verdict) {
        (_, Verdict::GoesOn) => None,
        (TrialMode::Shadow, Verdict::Better) => {
            let weights = trial.challenger.clone();
            let judged = Some(judged);
            Some((WeightsCommand::Promote { weights, judged }, "promoted"))
        }
        (TrialMode::Shadow, Verdict::Worse) => Some((end(TrialEnd::Worse), "worse")),
        (TrialMode::Shadow, Verdict::TimeOver) => Some((end(TrialEnd::Undecided), "undecided")),
        (TrialMode::Watch, Verdict::Better) => {
            let judged = Some(judged);
            Some((WeightsCommand::RollBack { judged }, "rolled_back"))
        }
        (TrialMode::Watch, Verdict::Worse | Verdict::TimeOver) => {
            Some((end(TrialEnd::WatchOver), "watch_over"))
        }
    }
}

impl Judge {
    /// Looks at the trial for ever, while this node leads group 0.
    #[expect(clippy::infinite_loop, reason = "the task is ended with the node")]
    pub(super) async fn run(self) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if leads(&self.writer) {
                self.look().await;
            }
        }
    }

    async fn look(&self) {
        let state = self.gather.shown.state();
        let Some(trial) = state.weights().trial.clone() else {
            return;
        };
        let (nodes, _silent) = self.gather.all().await;
        let comparison = self.gather.comparison(&nodes);
        let purpose = match trial.mode {
            TrialMode::Shadow => Purpose::Promotion,
            TrialMode::Watch => Purpose::Watch,
        };
        let age_s = self.clock.unix_ms().saturating_sub(trial.since.0) / 1_000;
        let verdict = judge(purpose, age_s, comparison.as_ref(), &self.gather.rule);
        let figures = comparison.as_ref().map(figures).unwrap_or_default();
        let Some((command, word)) = command_of(&trial, verdict, figures) else {
            return;
        };
        let command = MetaCommand::Weights(command);
        let proposed = self.writer.propose(By::Planner, command, PROPOSE_LIMIT);
        match proposed.await {
            Ok(Outcome::Applied(_)) => {
                tracing::warn!(
                    challenger = %trial.challenger, trial = trial.number, ?figures, decision = word,
                    "a trial of weights was decided"
                );
                self.instruments.add(&WEIGHTS_DECISIONS, &[word], 1);
            }
            // Another came first, or leads now: what is so is looked at again.
            other => tracing::info!(
                ?other,
                decision = word,
                "a decision on weights did not count"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_meta::UnixMillis;
    use twinscale_meta::stored::v2::WeightsChoice;

    #[test]
    fn verdicts_become_commands_of_the_trial_that_they_are_of() {
        let words = |mode| {
            let trial = Trial {
                number: 7,
                challenger: WeightsChoice::Shipped,
                mode,
                since: UnixMillis(0),
            };
            let all = [
                Verdict::Better,
                Verdict::Worse,
                Verdict::TimeOver,
                Verdict::GoesOn,
            ];
            let found = all.map(|verdict| command_of(&trial, verdict, Figures::default()));
            for (command, _) in found.iter().flatten() {
                let judged = match command {
                    WeightsCommand::Promote { judged, .. }
                    | WeightsCommand::RollBack { judged } => *judged,
                    WeightsCommand::EndTrial { judged, .. } => Some(*judged),
                    other => panic!("{other:?}"),
                };
                assert_eq!(judged.expect("it was judged").trial, 7);
            }
            found.map(|one| one.map(|(_, word)| word))
        };
        let shadow = [Some("promoted"), Some("worse"), Some("undecided"), None];
        assert_eq!(words(TrialMode::Shadow), shadow);
        let watch = [
            Some("rolled_back"),
            Some("watch_over"),
            Some("watch_over"),
            None,
        ];
        assert_eq!(words(TrialMode::Watch), watch);
    }
}
