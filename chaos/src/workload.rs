//! What a worker ingests, and how its traces are found again.

use std::fmt::Debug;
use std::path::Path;

use crate::audit::{Audit, Ledger};
use crate::error::ChaosError;
use crate::log_workload::LogWorkload;
use crate::twin_workload::TwinWorkload;

/// A product path that acknowledges sequences.
pub trait Ingest {
    /// Ingests sequences and returns once all of them are acknowledged.
    ///
    /// # Errors
    /// When any is refused or its outcome is unknown; none of them counts as acknowledged then.
    fn ingest(&mut self, sequences: &[u64]) -> Result<(), ChaosError>;
}

/// One way to write sequences and to find them again.
pub trait Workload: Debug {
    /// Opens the product path in a directory, as a restarted node does.
    ///
    /// # Errors
    /// When the product does not open.
    fn open(&self, directory: &Path) -> Result<Box<dyn Ingest>, ChaosError>;

    /// Opens what is there, checks all of it and closes it.
    ///
    /// # Errors
    /// When the product does not open.
    fn audit(&self, directory: &Path) -> Result<Audit, ChaosError>;

    /// Returns the sequence that the next worker begins with.
    fn next_sequence(&self, ledger: &Ledger, audit: &Audit) -> u64;
}

/// The workloads by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WorkloadKind {
    /// Samples through the twin host, as a node ingests them.
    TwinSamples,
    /// Commands through the log into the store.
    LogStore,
    /// The same on a disk that never syncs: it must lose acknowledged entries at a power cut.
    Unsynced,
}

impl WorkloadKind {
    /// Returns the name as the command line spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwinSamples => "twin-samples",
            Self::LogStore => "log-store",
            Self::Unsynced => "unsynced",
        }
    }
}

/// Makes a workload; the seed picks the content of what it writes.
pub fn workload(kind: WorkloadKind, seed: u64) -> Box<dyn Workload> {
    match kind {
        WorkloadKind::TwinSamples => Box::new(TwinWorkload::new(seed)),
        WorkloadKind::LogStore => Box::new(LogWorkload::new(seed)),
        WorkloadKind::Unsynced => Box::new(LogWorkload::without_sync(seed)),
    }
}
