//! Proposes commands to group 0.

use super::error::MetaError;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use twinscale_consensus::{Group, GroupError, GroupStatus};
use twinscale_membership::WallClock;
use twinscale_meta::stored::v1::{By, COMMAND, OUTCOME};
use twinscale_meta::{MetaCommand, MetaEntry, Outcome, UnixMillis};
use twinscale_protocol::envelope;

/// Proposes commands to group 0, on the node that leads it. Clones share the group.
#[derive(Clone, Debug)]
pub struct MetaWriter {
    group: Group,
    clock: Arc<dyn WallClock>,
}

impl MetaWriter {
    /// Takes the handle of group 0, which need not run here; commands are stamped by the clock.
    pub fn new(group: Group, clock: Arc<dyn WallClock>) -> Self {
        Self { group, clock }
    }

    /// Who leads, with changes.
    ///
    /// # Errors
    /// [`GroupError::NotRunning`]: this node holds no replica of group 0 now.
    pub fn status(&self) -> Result<watch::Receiver<GroupStatus>, GroupError> {
        self.group.status()
    }

    /// Has a command committed and applied, and returns what came of it; a refusal is an outcome.
    ///
    /// # Errors
    /// [`MetaError`]; but for [`MetaError::OutcomeUnknown`] it never takes effect.
    pub async fn propose(
        &self,
        by: By,
        command: MetaCommand,
        deadline: Duration,
    ) -> Result<Outcome, MetaError> {
        let entry = MetaEntry {
            // What the command needs, and not what this program knows: others may know less.
            schema: command.schema(),
            by,
            at: UnixMillis(self.clock.unix_ms()),
            command,
        };
        let sealed = envelope::seal(COMMAND, &entry).map_err(|error| MetaError::Invalid {
            reason: error.to_string(),
        })?;
        let proposed = self.group.propose(Bytes::from(sealed), deadline).await?;
        // It is committed: what cannot be read now is unknown to whoever asked, and not undone.
        envelope::open(OUTCOME, &proposed.response).map_err(|error| MetaError::OutcomeUnknown {
            reason: error.to_string(),
        })
    }

    /// Makes sure that this node leads, and that what it shows holds everything that was acknowledged;
    /// returns its term.
    ///
    /// # Errors
    /// [`MetaError`]; it has no effect.
    pub async fn confirm(&self, deadline: Duration) -> Result<u64, MetaError> {
        Ok(self.group.check_linearizable(deadline).await?.term)
    }
}
