//! Fault injection, workloads and checkers.
//!
//! The durability scenarios run a real ingesting process, end it the hard way (SIGKILL, or the
//! power of its disk), and compare what it had acknowledged with what is there afterwards. Every
//! acknowledged sequence must be there exactly once and unaltered.
//!
//! The scenario `actors` fells actors of a node that replays sample customers, and compares what came
//! of it with the undisturbed replay.
//!
//! The scenario `service` does the same to a whole daemon under load, with faults of its disk and of its
//! actors besides.
//!
//! [`cluster`] has what scenarios on a cluster are made of: histories, checkers, faults, networks.
//!
//! A scenario is a function of its seed up to the timing of the machine: the seed picks after how
//! many acknowledgements and how much later each blow falls.

mod actors;
mod audit;
pub mod cluster;
mod error;
mod filler;
mod kill9;
mod log_disk;
mod log_workload;
mod loop_disk;
mod node_audit;
mod power_cut;
mod replayed;
mod rounds;
mod service;
mod strike;
mod twin_workload;
mod verdict;
mod worker;
mod worker_process;
mod workload;

pub use actors::{ActorKind, ActorsOptions, ActorsVerdict, differences, run_actors};
pub use audit::{Audit, Ledger};
pub use error::ChaosError;
pub use kill9::run_kill9;
pub use power_cut::run_power_cut;
pub use replayed::{ReplayCase, ReplayOutcome, short_samples};
pub use rounds::ScenarioOptions;
pub use service::{
    ActorsUnderLoad, ServiceFault, ServiceOptions, ServiceVerdict, StrikeOptions, StruckKind,
    TurnTally, run_service,
};
pub use strike::{Blow, Decision, Felt, Strike, Victim};
pub use verdict::Verdict;
pub use worker::run_worker;
pub use workload::{Ingest, Workload, WorkloadKind, workload};
