//! The hook through which a node exports what its groups do.

use std::fmt::Debug;
use std::time::Duration;

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalOutcome {
    /// It was committed and applied.
    Committed,
    /// It was not taken, and never takes effect.
    Refused,
    /// It may be committed all the same.
    Unknown,
}

impl ProposalOutcome {
    /// Its name, as labels have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of the sending or the taking of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotNews {
    /// A peer has all of it.
    Sent {
        /// Its size.
        bytes: u64,
    },
    /// It was not delivered; it is sent anew.
    NotSent,
    /// It was received, checked and installed here.
    Installed {
        /// Its size.
        bytes: u64,
    },
    /// It was received, and not installed.
    NotInstalled,
}

/// Told of what the groups of a node do: it must be quick and must not call them.
pub trait GroupsObserver: Debug + Send + Sync {
    /// A proposal ended, so long after it was made.
    fn proposed(&self, outcome: ProposalOutcome, took: Duration);

    /// A replica here stood for election.
    fn stood(&self);

    /// A replica here became its group's leader.
    fn led(&self);

    /// A replica here came to know of later terms, so many at once.
    fn terms_passed(&self, terms: u64);

    /// A snapshot was sent or taken.
    fn snapshot(&self, news: SnapshotNews);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoGroupsObserver;

impl GroupsObserver for NoGroupsObserver {
    fn proposed(&self, _outcome: ProposalOutcome, _took: Duration) {}

    fn stood(&self) {}

    fn led(&self) {}

    fn terms_passed(&self, _terms: u64) {}

    fn snapshot(&self, _news: SnapshotNews) {}
}
