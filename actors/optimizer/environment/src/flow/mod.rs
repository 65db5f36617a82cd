//! What a stack's load does to each of its parts: visits, utilisation, bandwidth, operations.
//!
//! Everything here is a mean at a steady rate, computed exactly from the model: how often a request of a class
//! comes to a tier (cache misses included), what share of a tier's cores that takes, what a link carries, what
//! a volume does. Waiting, retries and refusals are not here; simulators answer for them. Time: the number of
//! classes times the number of calls.

mod error;
mod hit;
mod network;
mod station;
mod storage;
mod total;
mod visits;

#[cfg(test)]
mod tests;

pub use error::FlowError;
pub use hit::hit_ratio;
pub use network::LinkFlow;
pub use station::{Overload, Role, TierFlow, VmGroup};
pub(crate) use station::{ratio, usable_cores, write_share, write_share_of};
pub use storage::VolumeFlow;
pub use total::{Flow, flow, flow_at};
pub use visits::{CallFlow, VISITS_MAX, Visits, call_order, class_rates, visits};
