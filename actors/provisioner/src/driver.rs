//! What a provider must be able to do, behind one trait.
//!
//! Contract, tested for every driver by [`crate::conformance`]:
//! - (customer, [`VmId`]) is the idempotency key: a call under a known key changes nothing and succeeds;
//!   the same key with another tier or type is refused;
//! - a VM that has ended under a key never comes back under it;
//! - a driver whose provider checks tokens refuses a generation below the highest it has seen, and changes
//!   nothing; a driver whose provider checks none says so ([`ProviderDriver::checks_generations`]);
//! - [`DriverError::Unknown`] means that the change may or may not have happened, every other error that it
//!   has not;
//! - volumes grow and never shrink.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use twinscale_protocol::provisioner::{LinkSize, ObservedAllocation, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};

/// What a driver's call resolves to; boxed, so that the trait has objects.
pub type DriverFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// Whose call it is, with which right and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Whose resources.
    pub customer: CustomerId,
    /// The fencing token.
    pub generation: Generation,
    /// Domain time of the call.
    pub now: DomainTime,
}

/// A VM to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSpec {
    /// Its identity: the idempotency key.
    pub vm: VmId,
    /// Its tier.
    pub tier: TierName,
    /// Its type.
    pub vm_type: VmTypeId,
    /// What one hour of it costs, for the ledger.
    pub price_per_hour: MicroDollars,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
}

/// What a provider lists for a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What runs or starts; VMs ascend by identity.
    pub allocation: ObservedAllocation,
    /// VMs that ended lately, as far as the provider still tells; ascending by identity.
    pub ended: Vec<EndedVm>,
}

/// A VM that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedVm {
    /// Which.
    pub vm: VmId,
    /// When.
    pub at: DomainTime,
    /// Whether its start failed.
    pub start_failed: bool,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The provider refuses for good; nothing happened.
    #[error("provider refused: {reason}")]
    Refused {
        /// Why, in the provider's words.
        reason: String,
    },
    /// Another owner has called since; nothing happened.
    #[error("stale generation {sent}: the provider has seen {highest}; let the present owner act")]
    StaleGeneration {
        /// The generation of this call.
        sent: Generation,
        /// The highest one seen.
        highest: Generation,
    },
    /// Too many calls; nothing happened, later it may work.
    #[error("provider throttled the call: try again later")]
    Throttled,
    /// No clear answer: it may or may not have happened.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// What came instead of an answer.
        reason: String,
    },
}

/// A provider of VMs, volumes and links.
pub trait ProviderDriver: fmt::Debug + Send + Sync + 'static {
    /// Names the provider, for logs and errors.
    fn name(&self) -> &str;

    /// Whether the provider itself refuses stale generations.
    fn checks_generations(&self) -> bool;

    /// Starts a VM; done when the provider has accepted it, not when it serves.
    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()>;

    /// Ends a VM; one that is unknown or has ended counts as done.
    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()>;

    /// Grows a volume to so many blocks, making it if it is new; fewer blocks than it has change nothing.
    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()>;

    /// Sets the link's size.
    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()>;

    /// Lists what runs for a customer; the answer may be out of date.
    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing>;

    /// Tells what each customer's resources cost until a time, in the order of the customers; `None` where
    /// the provider does not tell. Changes nothing, and nothing hangs on it but what people are shown.
    #[expect(
        unused_variables,
        reason = "a provider that does not tell asks for no time"
    )]
    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        Box::pin(async move { Ok(vec![None; customers.len()]) })
    }
}

impl DriverError {
    /// Whether the same call may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Throttled | Self::Unknown { .. } => true,
            Self::Refused { .. } | Self::StaleGeneration { .. } => false,
        }
    }
}
