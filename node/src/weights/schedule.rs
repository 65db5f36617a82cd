//! Retrains on a schedule: the node that leads group 0 runs the command as a child when it is due.
//!
//! Invariants: one training at a time, at low priority, bounded in time; how it ended is committed in group 0,
//! and when the next one is due follows from that alone, whoever leads then.

use super::gather::Gather;
use super::judge::{PROPOSE_LIMIT, leads};
use super::local::LocalWeights;
use super::notice::notice_of;
use crate::assembly::ForecastWeights;
use crate::observe::Instruments;
use crate::observe::catalogue::RETRAININGS;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use twinscale_cluster::meta::MetaWriter;
use twinscale_membership::WallClock;
use twinscale_meta::stored::v1::By;
use twinscale_meta::stored::v2::{
    DecisionKind, Retraining, RetrainingEnd, SCHEMA, WeightsChoice, WeightsRecord,
};
use twinscale_meta::{MetaCommand, WeightsCommand};
use twinscale_protocol::{WeightsId, WireError, WireErrorCode};

/// How often it is looked whether a training is due, and how the child is.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Folder of the training in the data directory.
pub const RETRAIN_FOLDER: &str = "retrain";

/// The weights that a training writes there.
const OUT: &str = "weights.safetensors";

/// Priority of the child, as `nice` has it: what serves goes first.
const NICE: i32 = 19;

/// How the command is started.
#[derive(Clone, Debug)]
pub struct RetrainOptions {
    /// Time from the end of a training to the next one.
    pub every: Duration,
    /// Time after which a training is ended.
    pub limit: Duration,
    /// Optimiser steps of each network.
    pub steps: u64,
    /// The program.
    pub program: PathBuf,
    /// The API of this node.
    pub server: String,
    /// The data directory.
    pub data_dir: PathBuf,
}

/// What the command says at its end, beside the weights that it wrote.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RetrainOutcome {
    /// Whether the validation loss is lower than that of the weights that it began from.
    pub improved: bool,
}

/// Retrains when it is due.
pub(super) struct Retrainer {
    pub(super) options: RetrainOptions,
    pub(super) local: Arc<LocalWeights>,
    pub(super) gather: Gather,
    pub(super) writer: MetaWriter,
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) instruments: Instruments,
}

impl fmt::Debug for Retrainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrainer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether a training is due: the last one ended long enough ago, nothing is compared now, and there is room
/// for one more set of weights.
fn is_due(register: &WeightsRecord, now_ms: u64, every: Duration) -> bool {
    let mut newest = register.decisions.iter().rev();
    let last = newest.find(|one| matches!(one.what, DecisionKind::Retrained(_)));
    let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    let is_time = last.is_none_or(|last| now_ms.saturating_sub(last.at.0) >= every_ms);
    is_time && register.trial.is_none()
}

/// A child that is ended when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Retrainer {
    /// Retrains whenever it is due, for ever.
    #[expect(clippy::infinite_loop, reason = "the task is ended with the node")]
    pub(super) async fn run(self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let state = self.gather.shown.state();
            let register = state.weights();
            let may = leads(&self.writer) && state.schema() >= SCHEMA;
            if may && is_due(register, self.clock.unix_ms(), self.options.every) {
                self.retrain(register.active.clone()).await;
            }
        }
    }

    async fn retrain(&self, parent: WeightsChoice) {
        tracing::info!(%parent, "a training on the cluster's own history begins");
        let (end, reason) = match self.train(&parent).await {
            Ok(end) => (end, None),
            Err(error) => (RetrainingEnd::Failed, Some(error.message)),
        };
        let word = match end {
            RetrainingEnd::Submitted => "submitted",
            RetrainingEnd::NotBetter => "not_better",
            RetrainingEnd::Failed => "failed",
            RetrainingEnd::TimedOut => "timed_out",
        };
        if let Some(reason) = reason {
            tracing::warn!(reason, "the training failed");
        } else {
            tracing::info!(outcome = word, "the training ended");
        }
        self.instruments.add(&RETRAININGS, &[word], 1);
        let noted = WeightsCommand::NoteRetraining(Retraining { parent, end });
        if let Err(error) = self.propose(noted).await {
            tracing::warn!(%error, "how the training ended is not kept: it is due again");
        }
    }

    async fn propose(&self, command: WeightsCommand) -> Result<(), WireError> {
        let command = MetaCommand::Weights(command);
        let proposed = self
            .writer
            .propose(By::Planner, command, PROPOSE_LIMIT)
            .await;
        match proposed? {
            twinscale_meta::Outcome::Refused(refusal) => {
                Err(WireError::new(WireErrorCode::Conflict, refusal.to_string()))
            }
            _ => Ok(()),
        }
    }

    async fn train(&self, parent: &WeightsChoice) -> Result<RetrainingEnd, WireError> {
        let folder = self.options.data_dir.join(RETRAIN_FOLDER);
        let out = folder.join(OUT);
        let io = |error: std::io::Error| {
            let text = format!("{}: {error}", folder.display());
            WireError::new(WireErrorCode::Unavailable, text)
        };
        std::fs::create_dir_all(&folder).map_err(io)?;
        let mut command = self.command(parent.id(), &out);
        let child = command.spawn().map_err(io)?;
        let mut child = Ended(child);
        let pid = i32::try_from(child.0.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Err(error) = rustix::process::setpriority_process(pid, NICE) {
            tracing::debug!(%error, "the training keeps its priority");
        }
        let until = Instant::now() + self.options.limit;
        let status = loop {
            if let Some(status) = child.0.try_wait().map_err(io)? {
                break status;
            }
            if Instant::now() >= until {
                return Ok(RetrainingEnd::TimedOut);
            }
            sleep(LOOK_EVERY).await;
        };
        if !status.success() {
            let text = format!("the command ended with {status}: its words are in this node's log");
            return Err(WireError::new(WireErrorCode::Internal, text));
        }
        let read = spawn_blocking(move || read_outcome(&out)).await;
        let read =
            read.map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))?;
        let Some((weights, card)) = read.map_err(io)? else {
            return Ok(RetrainingEnd::NotBetter);
        };
        self.submit(weights, card).await?;
        Ok(RetrainingEnd::Submitted)
    }

    fn command(&self, parent: Option<&WeightsId>, out: &Path) -> Command {
        let options = &self.options;
        let mut command = Command::new(&options.program);
        command
            .args(["--quiet", "weights", "retrain", "--server", &options.server])
            .args(["--steps", &options.steps.to_string()])
            .arg("--out")
            .arg(out)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(parent) = parent {
            let folder = options.data_dir.join(super::FOLDER);
            command
                .arg("--from")
                .arg(folder.join(format!("{parent}.safetensors")));
        }
        command
    }

    /// Keeps what was trained, makes it known, and has it compared.
    async fn submit(&self, weights: Vec<u8>, card: Vec<u8>) -> Result<(), WireError> {
        let loaded = ForecastWeights::of_bytes(&weights, &card)?;
        let notice = notice_of(&weights, &card, loaded.card())?;
        let id = notice.id.clone();
        self.local.store(&id, weights, card).await?;
        self.propose(WeightsCommand::Register(notice)).await?;
        let weights = WeightsChoice::Registered(id);
        self.propose(WeightsCommand::Shadow { weights }).await
    }
}

/// The weights and the card that a training wrote, where they are better than those before.
fn read_outcome(out: &Path) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let outcome = std::fs::read(out.with_extension("outcome.json"))?;
    let outcome: RetrainOutcome = serde_json::from_slice(&outcome)?;
    if !outcome.improved {
        return Ok(None);
    }
    let card = std::fs::read(out.with_extension("json"))?;
    Ok(Some((std::fs::read(out)?, card)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use twinscale_meta::UnixMillis;
    use twinscale_meta::stored::v2::{Decision, Trial, TrialMode};

    #[test]
    fn when_a_training_is_due_follows_from_the_register() {
        let hour = Duration::from_hours(1);
        let mut register = WeightsRecord::default();
        assert!(is_due(&register, 0, hour), "there was none yet");
        let decision = |what, at| Decision {
            number: 1,
            at: UnixMillis(at),
            by: By::Planner,
            what,
            weights: WeightsChoice::Shipped,
            figures: None,
        };
        let retrained = DecisionKind::Retrained(RetrainingEnd::NotBetter);
        register.decisions = VecDeque::from([
            decision(retrained, 1_000),
            decision(DecisionKind::Registered, 9_000_000),
        ]);
        assert!(!is_due(&register, 3_600_000, hour));
        assert!(is_due(&register, 3_601_000, hour));
        register.trial = Some(Trial {
            number: 1,
            challenger: WeightsChoice::Shipped,
            mode: TrialMode::Watch,
            since: UnixMillis(0),
        });
        assert!(!is_due(&register, u64::MAX, hour), "a trial is under way");
    }
}
