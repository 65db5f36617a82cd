//! The cluster's schema gate, as a node keeps it in its directory.
//!
//! A schema is open on a node once the gate was raised to it and the directory says so: whatever is written
//! under it comes later, so that an older program refuses the directory instead of misreading it. What was
//! kept once holds before group 0 is heard, since the gate never falls.

use super::error::NodeError;
use super::place::NodeFile;
use super::start::NodeSetup;
use crate::meta::MetaShown;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use twinscale_meta::stored::v1::SchemaRange;

/// Pause before the file is written again after that failed.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What a node knows of the gate.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The gate that is open here.
    pub(super) open: watch::Sender<u32>,
    /// Why the node must end: what the others decided, it cannot follow.
    pub(super) expelled: watch::Sender<Option<String>>,
}

impl Gate {
    /// What the directory says is open at once.
    pub(super) fn new(kept: u32) -> Self {
        Self {
            open: watch::Sender::new(kept),
            expelled: watch::Sender::new(None),
        }
    }

    /// Ends the node, with the reason.
    pub(super) fn expel(&self, reason: String) {
        self.expelled.send_replace(Some(reason));
    }

    /// Makes who keeps it in a directory.
    pub(super) fn keeper(&self, file: &NodeFile, setup: &NodeSetup) -> GateKeeper {
        GateKeeper {
            file: file.clone(),
            directory: setup.directory.clone(),
            schemas: setup.schemas,
            gate: self.clone(),
        }
    }
}

/// Keeps the gate of a node.
pub(super) struct GateKeeper {
    file: NodeFile,
    directory: PathBuf,
    schemas: SchemaRange,
    gate: Gate,
}

impl GateKeeper {
    /// Follows what group 0 says, until this program cannot.
    pub(super) async fn run(mut self, shown: Arc<MetaShown>) {
        let mut states = shown.subscribe();
        loop {
            let gate = states.borrow_and_update().schema();
            if gate > self.schemas.newest {
                self.gate.expel(format!(
                    "the cluster's schema was raised to {gate}, and this program knows {} at most: start a newer one",
                    self.schemas.newest
                ));
                return;
            }
            if gate > self.file.schema
                && let Err(error) = self.keep(gate).await
            {
                tracing::warn!(gate, %error, "the raised schema cannot be kept yet: it stays closed here");
                sleep(WRITE_AGAIN).await;
                continue;
            }
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    async fn keep(&mut self, gate: u32) -> Result<(), NodeError> {
        let (known, directory) = (self.file.clone(), self.directory.clone());
        let written = spawn_blocking(move || {
            // As it is now: a founding that ended since has taken its mark away.
            let file = NodeFile {
                schema: gate,
                ..NodeFile::read(&directory)?.unwrap_or(known)
            };
            file.write(&directory).map(|()| file)
        })
        .await;
        self.file = written.unwrap_or_else(|error| {
            Err(NodeError::File {
                path: self.directory.clone(),
                source: error.into(),
            })
        })?;
        self.gate.open.send_replace(gate);
        tracing::info!(gate, "the cluster's schema was raised");
        Ok(())
    }
}
