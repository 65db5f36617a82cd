//! Digital Twin Environment: plans VMs, storage and bandwidth of a customer over the coming steps.
//!
//! A forecast and a policy become an allocation [`problem`]; the [`search`] (a genetic algorithm with
//! analytic queueing inside) or the [`exact`] path finds a [`mod@plan`], [`evaluate`] has the last word on
//! it, and the discrete-event engine ([`simulate`]) tells what requests would meet under it. All of that
//! is pure: same input and seed, same plan, on any number of threads.

pub mod actor;
pub mod bench;
pub mod bound;
pub mod command;
pub mod demand;
mod diagnose;
pub mod evaluate;
pub mod exact;
pub mod explain;
pub mod front;
pub mod islands;
mod linear;
pub mod pace;
pub mod pieces;
pub mod plan;
mod polish;
pub mod problem;
mod program;
pub mod queueing;
pub mod request;
pub mod response;
pub mod score;
pub mod search;
pub mod simulate;
pub mod solve;

pub use actor::{
    Optimizer, OptimizerArguments, OptimizerFault, OptimizerRequest, PlanAnswer, WorkerPolicy,
};
pub use command::{PlanLimit, PlanOptions, PlanStart, PlannedFile, plan_file, plan_file_from};
pub use front::{Front, FrontPoint, front};
pub use problem::{Problem, ProblemError};
pub use request::{PlanError, plan};
