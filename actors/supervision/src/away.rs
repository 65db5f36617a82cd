//! Whether a child takes messages at all, as others than its supervisor may look at and wait for.

use crate::pause::Pause;
use crate::supervisor::{ChildReport, ChildState};
use std::fmt;
use tokio::sync::watch;

/// Why a child takes no message, for longer than a restart lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Away {
    /// It is paused.
    Paused,
    /// Its supervisor gave up.
    GivenUp {
        /// Why it ended the last time.
        reason: String,
    },
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("it is paused"),
            Self::GivenUp { reason } => write!(f, "it was given up: {reason}"),
        }
    }
}

/// Looks at a child from elsewhere; it keeps neither child nor supervisor alive.
#[derive(Clone, Debug)]
pub struct ChildWatch {
    report: watch::Receiver<ChildReport>,
    pause: Pause,
}

impl ChildWatch {
    pub(crate) fn new(report: watch::Receiver<ChildReport>, pause: Pause) -> Self {
        Self { report, pause }
    }

    /// Why the child takes no message; `None` while it does, or comes back after its back-off.
    pub fn away(&self) -> Option<Away> {
        if let ChildState::GivenUp { reason } = &self.report.borrow().state {
            let reason = reason.clone();
            return Some(Away::GivenUp { reason });
        }
        self.pause.left().map(|_left| Away::Paused)
    }

    /// Waits until the child takes no message. A child that is stopped on purpose is paused no more.
    pub async fn goes_away(&self) -> Away {
        let mut report = self.report.clone();
        let given_up = async {
            let is_given_up = |one: &ChildReport| matches!(one.state, ChildState::GivenUp { .. });
            let found = report.wait_for(is_given_up).await;
            found.ok().map(|one| one.state.clone())
        };
        tokio::select! {
            Some(ChildState::GivenUp { reason }) = given_up => Away::GivenUp { reason },
            () = self.pause.begun() => Away::Paused,
        }
    }
}
