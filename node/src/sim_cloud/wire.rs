//! What driver and cloud say to each other, as JSON.
//!
//! Fields are flat and carry units in the types of [`twinscale_protocol`]: times are seconds since 1970, money
//! is millionths of a US dollar. Unknown fields of a request are refused; of an answer they are skipped, so that
//! an older node understands a newer cloud.

use crate::service::api::ApiError;
use serde::{Deserialize, Serialize};
use twinscale_protocol::provisioner::{LinkSize, ObservedAllocation, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::driver::{CallContext, EndedVm, Listing, VmSpec};
use twinscale_twin::limits::{NEWEST_TIME, OLDEST_TIME};

/// Path that starts a VM.
pub const LAUNCH: &str = "/v1/launch";
/// Path that ends a VM.
pub const TERMINATE: &str = "/v1/terminate";
/// Path that grows a volume.
pub const RESIZE_VOLUME: &str = "/v1/resize-volume";
/// Path that sets the link's size.
pub const RESIZE_LINK: &str = "/v1/resize-link";
/// Path that lists what runs; it moves the customer's time, so it is no GET.
pub const LIST: &str = "/v1/list";
/// Path that tells what customers cost.
pub const COSTS: &str = "/v1/costs";
/// Path that shows a customer's ledger.
pub const LEDGER: &str = "/v1/ledger";
/// Path that lists customers.
pub const CUSTOMERS: &str = "/v1/customers";
/// Path that says whether it serves.
pub const HEALTH: &str = "/v1/health";

/// Customers of one question for costs, and of one page of a list.
pub const CUSTOMERS_MAX: usize = 1_000;

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest<C> {
    /// Whose resources.
    pub customer: CustomerId,
    /// The fencing token.
    pub generation: Generation,
    /// Domain time of the caller.
    pub now: DomainTime,
    /// What to change.
    pub change: C,
}

/// Start a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchChange {
    /// Its identity: the idempotency key.
    pub vm: VmId,
    /// Its tier.
    pub tier: TierName,
    /// Its type.
    pub vm_type: VmTypeId,
    /// What one hour of it costs.
    pub price_per_hour: MicroDollars,
    /// Shortest time that is billed.
    pub minimum_bill: Seconds,
}

/// End a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminateChange {
    /// Which.
    pub vm: VmId,
}

/// The answer to a change that happened, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReply {
    /// What came of it.
    pub outcome: ChangeOutcome,
}

/// What came of a change that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOutcome {
    /// It is done, or had been done before.
    Done,
}

/// Asks what runs for a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Whose.
    pub customer: CustomerId,
    /// Domain time of the caller.
    pub now: DomainTime,
}

/// What runs for a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// What runs or starts; VMs ascend by identity.
    pub allocation: ObservedAllocation,
    /// VMs that ended lately, ascending by identity.
    pub ended: Vec<EndedVmView>,
}

/// A VM that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedVmView {
    /// Which.
    pub vm: VmId,
    /// When.
    pub at: DomainTime,
    /// Whether its start failed.
    pub start_failed: bool,
}

/// Asks what customers cost until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostsRequest {
    /// Whose; at most [`CUSTOMERS_MAX`].
    pub customers: Vec<CustomerId>,
    /// Until when.
    pub until: DomainTime,
}

/// What customers cost, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostsReply {
    /// Millionths of a US dollar.
    pub costs: Vec<Option<MicroDollars>>,
}

/// A page of the customers that ever called, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomersPage {
    /// Their names.
    pub customers: Vec<CustomerId>,
    /// Send this as `after` for the next page; none at the end.
    pub next_after: Option<CustomerId>,
}

/// How the cloud is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudHealth {
    /// Its name.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// Root of its randomness.
    pub seed: u64,
    /// Whether it refuses stale generations.
    pub checks_generations: bool,
    /// Customers that ever called.
    pub customers: u64,
    /// Changes that were ever written.
    pub changes: u64,
}

/// An answer that says why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudErrorReply {
    /// Why.
    pub error: CloudErrorBody,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudErrorBody {
    /// What a program can act on: one of [`routes`](super::routes), or a code of the daemon's API for a
    /// request that cannot be read.
    pub code: String,
    /// For people: value and place.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// With a stale generation: the one that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Generation>,
    /// With a stale generation: the highest one seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<Generation>,
}

impl<C> ChangeRequest<C> {
    /// Makes a request of a call.
    pub fn new(context: &CallContext, change: C) -> Self {
        Self {
            customer: context.customer.clone(),
            generation: context.generation,
            now: context.now,
            change,
        }
    }

    /// Checks it and takes it apart.
    ///
    /// # Errors
    /// When its time cannot be that of a call.
    pub(super) fn into_parts(self) -> Result<(CallContext, C), ApiError> {
        let now = checked_time("now", self.now)?;
        let context = CallContext {
            customer: self.customer,
            generation: self.generation,
            now,
        };
        Ok((context, self.change))
    }
}

impl From<&VmSpec> for LaunchChange {
    fn from(spec: &VmSpec) -> Self {
        Self {
            vm: spec.vm,
            tier: spec.tier.clone(),
            vm_type: spec.vm_type.clone(),
            price_per_hour: spec.price_per_hour,
            minimum_bill: spec.minimum_bill,
        }
    }
}

impl LaunchChange {
    /// Checks it.
    ///
    /// # Errors
    /// When its price is below zero.
    pub(super) fn into_spec(self) -> Result<VmSpec, ApiError> {
        Ok(VmSpec {
            vm: self.vm,
            tier: self.tier,
            vm_type: self.vm_type,
            price_per_hour: checked_price("change.price_per_hour", self.price_per_hour)?,
            minimum_bill: self.minimum_bill,
        })
    }
}

/// Checks a volume.
///
/// # Errors
/// When its price is below zero.
pub(super) fn checked_volume(volume: VolumeBlocks) -> Result<VolumeBlocks, ApiError> {
    checked_price("change.price_block_hour", volume.price_block_hour)?;
    Ok(volume)
}

/// Checks a link.
///
/// # Errors
/// When its price is below zero.
pub(super) fn checked_link(link: LinkSize) -> Result<LinkSize, ApiError> {
    checked_price("change.price_per_hour", link.price_per_hour)?;
    Ok(link)
}

/// Checks a time: one that is far ahead would stop the customer's time for ever.
///
/// # Errors
/// When it is before 1970 or after the last time that a twin takes.
pub(super) fn checked_time(key: &str, time: DomainTime) -> Result<DomainTime, ApiError> {
    if (OLDEST_TIME..=NEWEST_TIME).contains(&time) {
        return Ok(time);
    }
    Err(ApiError::invalid(
        format!(
            "`{key}` = {} is not between {} and {}",
            time.0, OLDEST_TIME.0, NEWEST_TIME.0
        ),
        "send seconds since 1970; look at the caller's clock",
    ))
}

fn checked_price(key: &str, price: MicroDollars) -> Result<MicroDollars, ApiError> {
    if price.0 >= 0 {
        return Ok(price);
    }
    Err(ApiError::invalid(
        format!("`{key}` = {} is below zero", price.0),
        "send a price in millionths of a US dollar, zero or more",
    ))
}

impl From<Listing> for ListReply {
    fn from(listing: Listing) -> Self {
        let ended = listing.ended.into_iter().map(|ended| EndedVmView {
            vm: ended.vm,
            at: ended.at,
            start_failed: ended.start_failed,
        });
        Self {
            allocation: listing.allocation,
            ended: ended.collect(),
        }
    }
}

impl From<ListReply> for Listing {
    fn from(reply: ListReply) -> Self {
        let ended = reply.ended.into_iter().map(|ended| EndedVm {
            vm: ended.vm,
            at: ended.at,
            start_failed: ended.start_failed,
        });
        Self {
            allocation: reply.allocation,
            ended: ended.collect(),
        }
    }
}
