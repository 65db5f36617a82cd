//! The register of weights for people: as a picture, and changed by their orders.

use super::answers::Admin;
use super::command::{Carried, done};
use super::message::{Outcome, Routed, WeightsOrder};
use super::picture::SeenBy;
use super::words::by_words;
use serde::{Deserialize, Serialize};
use twinscale_meta::stored::v2::{
    Decision, DecisionKind, Figures, KnownWeights, RetrainingEnd, SCHEMA, Trial, TrialEnd,
    TrialMode, WeightsChoice,
};
use twinscale_meta::{MetaCommand, MetaState, WeightsCommand};
use twinscale_protocol::{AccountName, WeightsId, WireError, WireErrorCode};

/// The fewest digits of an id that name weights.
const DIGITS_MIN: usize = 4;

/// How those that a program was started with are named.
const SHIPPED: &str = "shipped";

/// The register of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsReply {
    /// Who says so.
    pub seen_by: SeenBy,
    /// The schema gate, which must be 2 at least.
    pub gate: u32,
    /// What nodes are to serve: an id, or `shipped`.
    pub active: String,
    /// Since when, in milliseconds since 1970; 0 = since the beginning.
    pub active_since_unix_ms: u64,
    /// What they served before, while that can be gone back to.
    pub previous: Option<String>,
    /// The comparison under way.
    pub trial: Option<TrialLine>,
    /// Weights that are known.
    pub known: Vec<WeightsLine>,
    /// Decisions that were ever taken.
    pub decided: u64,
    /// The newest of them, oldest first.
    pub decisions: Vec<DecisionLine>,
}

/// A comparison under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialLine {
    /// Its number.
    pub number: u64,
    /// Who forecasts in the shadow.
    pub challenger: String,
    /// `shadow`, or `watch` after a promotion.
    pub mode: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// Weights that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsLine {
    /// Their id.
    pub id: WeightsId,
    /// `active`, `challenger`, `previous` or `known`.
    pub part: String,
    /// Length of the file.
    pub bytes: u64,
    /// When they were made known, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By whom.
    pub by: String,
    /// Networks in the file.
    pub networks: u16,
    /// The weights that these were trained further from.
    pub parent: Option<WeightsId>,
    /// Series that were trained on.
    pub series: u32,
    /// The lowest validation loss of its networks, in millionths.
    pub validation_loss_millionths: Option<u32>,
    /// Where the data came from, in short.
    pub origin: String,
}

/// Something that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionLine {
    /// Its number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// By whom; `planner` is the leader of group 0, by what was measured.
    pub by: String,
    /// What, in a word.
    pub what: String,
    /// About which weights.
    pub weights: String,
    /// What was measured, where that decided.
    pub figures: Option<FiguresLine>,
}

/// What a comparison measured; shares and ratios in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiguresLine {
    /// Series with forecasts of both.
    pub series: u32,
    /// Forecasts that were compared.
    pub forecasts: u64,
    /// Steps of these whose truth is known.
    pub steps: u64,
    /// Time from the first to the last of these, in seconds.
    pub span_s: u64,
    /// The challenger's loss over that of the active weights: the mean over series.
    pub ratio_millionths: u32,
    /// Its 95 % interval.
    pub interval_millionths: [u32; 2],
    /// Share of truths within the challenger's 80 % and 90 % intervals.
    pub coverage_millionths: [u32; 2],
    /// The same of the active weights.
    pub coverage_active_millionths: [u32; 2],
}

impl From<Figures> for FiguresLine {
    fn from(figures: Figures) -> Self {
        Self {
            series: figures.series,
            forecasts: figures.forecasts,
            steps: figures.steps,
            span_s: figures.span_s,
            ratio_millionths: figures.ratio,
            interval_millionths: [figures.ratio_low, figures.ratio_high],
            coverage_millionths: figures.coverage,
            coverage_active_millionths: figures.coverage_active,
        }
    }
}

/// Shows the register of a state.
pub fn weights_picture(seen_by: SeenBy, state: &MetaState) -> WeightsReply {
    let register = state.weights();
    WeightsReply {
        seen_by,
        gate: state.schema(),
        active: register.active.to_string(),
        active_since_unix_ms: register.active_since.0,
        previous: register.previous.as_ref().map(ToString::to_string),
        trial: register.trial.as_ref().map(trial_line),
        known: register
            .known
            .iter()
            .map(|one| known_line(state, one))
            .collect(),
        decided: register.decided,
        decisions: register.decisions.iter().map(decision_line).collect(),
    }
}

fn trial_line(trial: &Trial) -> TrialLine {
    let mode = match trial.mode {
        TrialMode::Shadow => "shadow",
        TrialMode::Watch => "watch",
    };
    TrialLine {
        number: trial.number,
        challenger: trial.challenger.to_string(),
        mode: mode.to_owned(),
        since_unix_ms: trial.since.0,
    }
}

fn known_line(state: &MetaState, known: &KnownWeights) -> WeightsLine {
    let register = state.weights();
    let (notice, summary) = (&known.notice, &known.notice.summary);
    let is =
        |choice: Option<&WeightsChoice>| choice.and_then(WeightsChoice::id) == Some(&notice.id);
    let part = if is(Some(&register.active)) {
        "active"
    } else if is(register.trial.as_ref().map(|trial| &trial.challenger)) {
        "challenger"
    } else if is(register.previous.as_ref()) {
        "previous"
    } else {
        "known"
    };
    WeightsLine {
        id: notice.id.clone(),
        part: part.to_owned(),
        bytes: notice.bytes,
        at_unix_ms: known.at.0,
        by: by_words(&known.by),
        networks: summary.networks,
        parent: summary.parent.clone(),
        series: summary.series,
        validation_loss_millionths: summary.validation_loss,
        origin: summary.origin.clone(),
    }
}

fn decision_line(decision: &Decision) -> DecisionLine {
    let what = match decision.what {
        DecisionKind::Registered => "registered",
        DecisionKind::Dropped => "dropped",
        DecisionKind::Shadowed => "shadowed",
        DecisionKind::Promoted => "promoted",
        DecisionKind::RolledBack => "rolled-back",
        DecisionKind::TrialEnded(TrialEnd::Worse) => "trial-ended-worse",
        DecisionKind::TrialEnded(TrialEnd::Undecided) => "trial-ended-undecided",
        DecisionKind::TrialEnded(TrialEnd::WatchOver) => "watch-over",
        DecisionKind::Retrained(RetrainingEnd::Submitted) => "retrained",
        DecisionKind::Retrained(RetrainingEnd::NotBetter) => "retrained-not-better",
        DecisionKind::Retrained(RetrainingEnd::Failed) => "retraining-failed",
        DecisionKind::Retrained(RetrainingEnd::TimedOut) => "retraining-timed-out",
    };
    DecisionLine {
        number: decision.number,
        at_unix_ms: decision.at.0,
        by: by_words(&decision.by),
        what: what.to_owned(),
        weights: decision.weights.to_string(),
        figures: decision.figures.map(FiguresLine::from),
    }
}

impl Admin {
    /// Carries an order on weights out; below its schema nothing is proposed.
    pub(super) async fn order_weights(
        &self,
        by: &AccountName,
        state: &MetaState,
        order: &WeightsOrder,
    ) -> Carried {
        let gate = state.schema();
        if gate < SCHEMA {
            let text = format!(
                "weights in service need schema {SCHEMA}, and the cluster's is {gate}: upgrade every node, then \
                 `twinscale schema raise`"
            );
            return Err(WireError::new(WireErrorCode::Conflict, text));
        }
        let (command, note) = match order {
            WeightsOrder::Register(notice) => {
                let note = format!("weights {} are known; nodes fetch them now", notice.id);
                (WeightsCommand::Register(notice.clone()), note)
            }
            WeightsOrder::Drop { weights } => {
                let weights = resolve(state, weights)?;
                let note = format!("weights {weights} are forgotten");
                (WeightsCommand::Drop { weights }, note)
            }
            WeightsOrder::Shadow { weights } => {
                let weights = resolve(state, weights)?;
                let note = format!("weights {weights} forecast in the shadow of the active ones");
                (WeightsCommand::Shadow { weights }, note)
            }
            WeightsOrder::Promote { weights } => {
                let weights = resolve(state, weights)?;
                let note = format!(
                    "weights {weights} are the active ones; those before them are watched beside them"
                );
                let judged = None;
                (WeightsCommand::Promote { weights, judged }, note)
            }
            WeightsOrder::RollBack => {
                let previous = state.weights().previous.as_ref();
                let note = previous.map_or_else(String::new, |previous| {
                    format!("weights {previous} are the active ones again")
                });
                (WeightsCommand::RollBack { judged: None }, note)
            }
        };
        let carried = self.commit(by, MetaCommand::Weights(command), None).await?;
        Ok(match carried {
            Routed::Done(reply) if reply.outcome == Outcome::Applied => {
                Routed::Done(done(reply.outcome, vec![note], None))
            }
            other => other,
        })
    }
}

/// Finds weights by their name: `shipped`, an id, or digits that only one id begins with.
fn resolve(state: &MetaState, text: &str) -> Result<WeightsChoice, WireError> {
    if text == SHIPPED {
        return Ok(WeightsChoice::Shipped);
    }
    let known = || state.weights().known.iter().map(|one| &one.notice.id);
    let mut begun = known().filter(|id| text.len() >= DIGITS_MIN && id.as_str().starts_with(text));
    if let (Some(id), None) = (begun.next(), begun.next()) {
        return Ok(WeightsChoice::Registered(id.clone()));
    }
    let shown: String = text.chars().take(64).collect();
    let mut names: Vec<&str> = known().map(WeightsId::as_str).collect();
    names.push(SHIPPED);
    let text = format!(
        "`{shown}` names no weights: give {DIGITS_MIN} or more digits of one of {}",
        names.join(", ")
    );
    Err(WireError::new(WireErrorCode::NotFound, text))
}
