//! Whom a twin asks, as seen from here: the node adapts the actors to these.
//!
//! Every request is pure or idempotent, so that it may be asked again, also of a restarted actor. An
//! adapter over an address asks the next incarnation by itself within the limit of system time.

use crate::host::{HostError, SharedTwin};
use crate::state::ApplyResult;
use crate::stored::v1::TwinCommand;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::optimizer::{Plan, PlanRequest};
use twinscale_protocol::provisioner::{
    ExecuteReply, ExecuteRequest, ObserveReply, ObserveRequest, ReconcileReply, ReconcileRequest,
};
use twinscale_protocol::{CustomerId, Generation, WireError};

/// An answer that comes later. Dropping it gives up waiting, nothing more.
pub type Answer<R> = Pin<Box<dyn Future<Output = Result<R, WireError>> + Send>>;

/// Forecasts.
pub trait ForecastClient: Debug + Send + Sync {
    /// Forecasts the series of one customer; a function of the request and the weights.
    fn forecast(&self, request: ForecastRequest, limit: Duration) -> Answer<ForecastReply>;
}

/// Plans.
pub trait PlanClient: Debug + Send + Sync {
    /// Plans one customer's allocation; a function of the request.
    ///
    /// An error with the code `invalid` means that no allocation satisfies the request.
    fn plan(&self, request: PlanRequest, limit: Duration) -> Answer<Plan>;
}

/// Provisions.
pub trait ProvisionClient: Debug + Send + Sync {
    /// Says what must change; touches no provider.
    fn reconcile(&self, request: ReconcileRequest, limit: Duration) -> Answer<ReconcileReply>;

    /// Carries out committed intents; the same again does nothing twice. An error means that the
    /// outcomes are unknown.
    fn execute(&self, request: ExecuteRequest, limit: Duration) -> Answer<ExecuteReply>;

    /// Reads what the provider runs.
    fn observe(&self, request: ObserveRequest, limit: Duration) -> Answer<ObserveReply>;
}

/// What comes of a command.
pub type Proposal<'a> = Pin<Box<dyn Future<Output = Result<ApplyResult, HostError>> + Send + 'a>>;

/// The one writer of twins: of all twins of a node, or of a shard whose leader this node is.
pub trait TwinWriter: Debug + Send + Sync {
    /// Has a command committed and applied to a customer's twin; one that does not exist is made.
    ///
    /// But for [`HostError::is_outcome_unknown`] an error means that it was not, and never will be.
    fn commit<'a>(&'a self, customer: &'a CustomerId, command: TwinCommand) -> Proposal<'a>;

    /// Finds a customer's twin.
    fn find(&self, customer: &CustomerId) -> Option<SharedTwin>;

    /// Makes sure that whoever acts under a generation still may: asked before every effect outside.
    ///
    /// An error means that it may not, or that nobody could say so in time: the effect must not happen.
    fn confirm(&self, generation: Generation, limit: Duration) -> Answer<()>;
}
