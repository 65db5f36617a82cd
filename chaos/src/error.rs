//! Why a scenario could not run; a broken promise is a verdict, not an error.

use std::io;
use std::path::PathBuf;

use twinscale_log::LogError;
use twinscale_store::{ReplayError, StoreError};

/// Why a scenario or worker stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// The scenario needs rights that the process does not have.
    #[error(
        "scenario {scenario} needs root (it attaches a loop device and mounts it); run it as root"
    )]
    NeedsRoot {
        /// The scenario's name.
        scenario: &'static str,
    },
    /// This machine, or this set-up, does not have what is asked for.
    #[error("{what} cannot be had here: {because}")]
    NotHere {
        /// What was asked for.
        what: String,
        /// Why not, and what to do.
        because: String,
    },
    /// A history, or a file beside it, cannot be checked.
    #[error("{path} cannot be checked")]
    History {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: crate::cluster::history::HistoryError,
    },
    /// What clients do cannot be noted: a run without its history proves nothing.
    #[error("the history of the run cannot be written")]
    NotRecorded(#[from] crate::cluster::history::HistoryError),
    /// A program of the system failed.
    #[error("command {command:?} failed: {reason}; run it by hand to see why")]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        reason: String,
    },
    /// The worker ended or went silent when it should work.
    #[error("worker {reason} in round {round}; run the worker by hand on {directory}")]
    Worker {
        /// The round, from 0.
        round: u32,
        /// What happened.
        reason: String,
        /// The directory it worked on.
        directory: PathBuf,
    },
    /// An operation of the file system failed.
    #[error("failed to {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The log refused.
    #[error("log under test failed")]
    Log(#[from] LogError),
    /// The store refused.
    #[error("store under test failed")]
    Store(#[from] StoreError),
    /// The store could not be brought forward.
    #[error("replay under test failed")]
    Replay(#[from] ReplayError<StoreError>),
    /// Another part of the product under test refused.
    #[error("product under test failed: {reason}")]
    Product {
        /// What it said.
        reason: String,
    },
}

impl ChaosError {
    /// Says whether the product under test failed, rather than the scenario around it.
    pub(crate) fn is_of_product(&self) -> bool {
        matches!(
            self,
            Self::Log(_) | Self::Store(_) | Self::Replay(_) | Self::Product { .. }
        )
    }

    /// Returns the message with those of all its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            text.push_str(": ");
            text.push_str(&source.to_string());
            cause = source.source();
        }
        text
    }

    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.into(),
            source,
        }
    }
}
