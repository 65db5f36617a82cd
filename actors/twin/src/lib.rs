//! The digital twin of one customer: its state, its one writer and its feedback loop.
//!
//! Invariants: a twin's state has one writer, [`TwinState::apply`] of committed commands, which the
//! [`host`] calls in the order of the log; commands carry results, applying them only stores. What
//! decides ([`cycle`], [`demand`]) is pure; the actor only receives, asks the core, runs effects and
//! replies. Not here: models (the forecaster), search (the optimizer), providers (the provisioner), and
//! how a node puts them together.

pub mod clients;
pub mod cycle;
pub mod demand;
pub mod feedback;
#[cfg(test)]
mod fixtures;
pub mod host;
pub mod intake;
pub mod limits;
pub mod observations;
pub mod outline;
pub mod shard;
pub mod state;
pub mod stored;
pub mod twin;
pub mod twins;

pub use clients::{Answer, ForecastClient, PlanClient, Proposal, ProvisionClient, TwinWriter};
pub use cycle::{CycleSettings, TurnSummary};
pub use host::{
    HostError, HostMetrics, HostOpenReport, HostOptions, HostStatus, HostSurroundings, OpenError,
    Residency, RoomOptions, SharedTwin, TwinHost,
};
pub use outline::TwinOutline;
pub use state::{ApplyResult, Refusal, TwinState};
pub use stored::v1::{SampleGroup, TwinCommand, TwinConfig};
pub use twin::{PhaseLimits, Twin, TwinArguments, TwinDependencies, TwinFault, TwinMessage};
pub use twins::{Authorities, Authority, Twins};
