//! The stack model: what serves one customer, as plain data.
//!
//! Units are SI, or stand at the end of the name. Maps are in the order of their names, so that whatever is
//! made from a model is the same on every run. A model says what *is* there; where requests go and what they
//! load is computed from it.

mod check;
mod class;
mod name;
mod network;
mod read;
mod reference;
mod schema;
mod shape;
mod stack;
mod storage;
mod tier;

#[cfg(test)]
pub(crate) mod tests;

pub use class::{RequestClass, ServiceLevel};
pub use network::{Call, CallOrder, Endpoint, Link};
pub use read::{CheckedModel, read_model};
pub use reference::model_reference;
pub use schema::model_schema;
pub use stack::StackModel;
pub use storage::{DataSet, Volume};
pub use tier::{
    Balancer, Cache, Database, Distribution, HitPoint, HitRatio, Overflow, ServiceDemand, Tier,
    TierKind, TierVms, VmType,
};
