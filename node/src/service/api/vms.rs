//! `GET /v1/customers/{customer}/vms`: each VM of a customer by its identity, beside what is wanted.

use super::configure::customer_id;
use super::customers::read;
use super::error::{ApiError, ErrorReply};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_protocol::DomainTime;
use twinscale_protocol::provisioner::ObservedVm;
use twinscale_twin::TwinState;
use twinscale_twin::cycle::reconcile_request;
use utoipa::ToSchema;

/// What runs of a customer, VM by VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmsReply {
    /// Whose.
    pub customer: String,
    /// Identities that committed intents ever allocated: 1 up to this; 0 = none.
    pub allocated: u64,
    /// VMs that the step that runs now wants; none without a plan.
    pub wanted: Option<u64>,
    /// Calls whose outcome is not known yet.
    pub open_intents: u64,
    /// What runs, as last observed, ascending by identity.
    pub vms: Vec<VmView>,
}

/// One VM, as last observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmView {
    /// Its identity, under which the provider was asked for it.
    pub vm: u64,
    /// Its tier.
    pub tier: String,
    /// Its type.
    pub vm_type: String,
    /// When it was asked for.
    pub requested_at: i64,
    /// Since when it serves; none = it starts.
    pub serving_since: Option<i64>,
}

/// Shows each VM of a customer.
#[utoipa::path(get, path = "/v1/customers/{customer}/vms", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the VMs", body = VmsReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn vms(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<Json<VmsReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let now = service.now();
    read(&service, &customer, |state| vms_reply(state, now)).map(Json)
}

fn vms_reply(state: &TwinState, now: DomainTime) -> VmsReply {
    let wanted = reconcile_request(state, now, false).map(|request| {
        let counts = request.desired.vms.iter().map(|vms| u64::from(vms.count.0));
        counts.sum()
    });
    VmsReply {
        customer: state.customer().to_string(),
        allocated: state.next_vm().0.saturating_sub(1),
        wanted,
        open_intents: state.open_intents().count() as u64,
        vms: state.observed().vms.iter().map(view).collect(),
    }
}

fn view(vm: &ObservedVm) -> VmView {
    VmView {
        vm: vm.vm.0,
        tier: vm.tier.to_string(),
        vm_type: vm.vm_type.to_string(),
        requested_at: vm.requested_at.0,
        serving_since: vm.serving_since.map(|at| at.0),
    }
}
