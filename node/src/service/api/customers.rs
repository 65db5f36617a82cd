//! What twins know: lists, reports, forecasts, plans, stored samples.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::configure::customer_id;
use super::error::{ApiError, ErrorCode, ErrorReply};
use super::forward::everywhere;
use super::steps::TwinAround;
use super::views::{
    CustomersReply, ObservationsReply, PlanReply, TwinReply, customer_item, plan_reply, twin_reply,
};
use crate::service::limits::{PAGE_CUSTOMERS_MAX, PAGE_SAMPLES_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use std::sync::Arc;
use twinscale_protocol::{CustomerId, DomainTime, MetricName, ParseIdError, SeriesKey, VmTypeId};
use twinscale_twin::TwinState;
use twinscale_twin::observations::{Resolution, Slot};
use utoipa::IntoParams;

/// Which page of customers.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct CustomersPage {
    /// Only customers behind this name.
    pub after: Option<String>,
    /// Most customers of the page; at most 1,000.
    pub limit: Option<usize>,
    /// Only customers whose shard the asked node leads; all of the cluster when left out.
    #[serde(default)]
    pub led: bool,
}

/// Which samples.
#[derive(Clone, Debug, Deserialize, IntoParams)]
pub struct ObservationsPage {
    /// The VM type.
    pub vm_type: String,
    /// The metric.
    pub metric: String,
    /// From this time on; from the first when left out.
    pub from: Option<i64>,
    /// Up to this time, exclusive; to the last when left out.
    pub until: Option<i64>,
    /// Most samples of the page; at most 50,000.
    pub limit: Option<usize>,
}

/// Lists customers in the order of their names; those without a policy are `unconfigured`. Nodes that lead
/// shards and do not answer are named in `silent`, and their customers are missing.
#[utoipa::path(get, path = "/v1/customers", tag = "customers", params(CustomersPage),
    responses((status = 200, description = "a page", body = CustomersReply)))]
pub(crate) async fn customers(
    State(service): State<Arc<Service>>,
    Query(page): Query<CustomersPage>,
) -> Result<Json<CustomersReply>, ApiError> {
    let _permit = service.begin_read()?;
    let after = page.after.as_deref().map(customer_id).transpose()?;
    let limit = page
        .limit
        .unwrap_or(PAGE_CUSTOMERS_MAX)
        .clamp(1, PAGE_CUSTOMERS_MAX);
    let mut all = service.twins().customers();
    if let Some(forwarder) = service.forwarder() {
        all.retain(|customer| forwarder.leads(customer));
    }
    let start = after.map_or(0, |after| all.partition_point(|one| *one <= after));
    let rest = all.get(start..).unwrap_or_default();
    let chosen = rest.get(..limit).unwrap_or(rest);
    let around = TwinAround::of_kept(&service, chosen).await;
    let items = chosen.iter().zip(&around).filter_map(|(customer, around)| {
        let twins = service.twins();
        twins.glance(customer, |state| customer_item(state, around))
    });
    let is_last = chosen.len() == rest.len();
    let here = CustomersReply {
        customers: items.collect(),
        next_after: chosen.last().filter(|_| !is_last).map(ToString::to_string),
        silent: Vec::new(),
    };
    match service.forwarder().filter(|_| !page.led) {
        Some(forwarder) => Ok(Json(everywhere(forwarder, &page, limit, here).await)),
        None => Ok(Json(here)),
    }
}

/// Shows a twin.
#[utoipa::path(get, path = "/v1/customers/{customer}", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the twin", body = TwinReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn twin(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<Json<TwinReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let glance = service.keeper().glance(&customer);
    read(&service, &customer, |state| {
        twin_reply(state, glance.as_ref())
    })
    .map(Json)
}

/// Shows the target plan of a customer.
#[utoipa::path(get, path = "/v1/customers/{customer}/plan", tag = "customers",
    params(("customer" = String, Path)),
    responses(
        (status = 200, description = "the plan", body = PlanReply),
        (status = 404, description = "no such customer, or no plan yet", body = ErrorReply),
    ))]
pub(crate) async fn plan(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
) -> Result<Json<PlanReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let reply = read(&service, &customer, |state| {
        state.target_plan().map(plan_reply)
    })?;
    reply.map(Json).ok_or_else(|| not_yet(&customer, "plan"))
}

/// Shows stored samples of one series as they came, page by page.
#[utoipa::path(get, path = "/v1/customers/{customer}/observations", tag = "customers",
    params(("customer" = String, Path), ObservationsPage),
    responses(
        (status = 200, description = "a page", body = ObservationsReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn observations(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(page): Query<ObservationsPage>,
) -> Result<Json<ObservationsReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let key = SeriesKey {
        vm_type: VmTypeId::new(page.vm_type).map_err(bad_name)?,
        metric: MetricName::new(page.metric).map_err(bad_name)?,
    };
    let limit = page
        .limit
        .unwrap_or(PAGE_SAMPLES_MAX)
        .clamp(1, PAGE_SAMPLES_MAX);
    let from = DomainTime(page.from.unwrap_or(i64::MIN));
    let until = DomainTime(page.until.unwrap_or(i64::MAX));
    let slots = read(&service, &customer, |state| {
        first_slots(state, &key, (from, until), limit)
    })?;
    let samples = slots
        .iter()
        .filter_map(|slot| Some((slot.at.0, slot.mean()?.units())));
    Ok(Json(ObservationsReply {
        samples: samples.collect(),
        next_from: (slots.len() == limit)
            .then(|| slots.last().map(|slot| slot.at.0.saturating_add(1)))
            .flatten(),
    }))
}

/// The first slots of a span; the writer of all twins waits meanwhile, so no more are read than asked for.
fn first_slots(
    state: &TwinState,
    key: &SeriesKey,
    (from, until): (DomainTime, DomainTime),
    limit: usize,
) -> Vec<Slot> {
    let (Some(first), Some(last)) = (state.oldest_sample_at(key), state.newest_sample_at(key))
    else {
        return Vec::new();
    };
    // Raw samples are a second apart at the least: a span of `limit` seconds holds `limit` at the most.
    let step = i64::try_from(limit).unwrap_or(i64::MAX);
    let until = until.min(DomainTime(last.0.saturating_add(1)));
    let mut from = from.max(first);
    let mut slots = Vec::new();
    let mut width = step;
    while from < until && slots.len() < limit {
        let end = DomainTime(from.0.saturating_add(width)).min(until);
        slots.extend(state.observations(key, Resolution::Raw, from, end));
        from = end;
        width = width.saturating_mul(2);
    }
    slots.truncate(limit);
    slots
}

pub(super) fn read<R>(
    service: &Service,
    customer: &CustomerId,
    look: impl FnOnce(&TwinState) -> R,
) -> Result<R, ApiError> {
    service.twins().read(customer, look).ok_or_else(|| {
        if service.twins().knows(customer) {
            return ApiError::new(
                ErrorCode::Unavailable,
                format!("the state of customer `{customer}` cannot be read from the store now"),
                "ask again; GET /v1/ready says what is wrong",
            );
        }
        ApiError::new(
            ErrorCode::NotFound,
            format!("there is no customer `{customer}`"),
            "GET /v1/customers lists what exists; samples or a stack make one",
        )
    })
}

/// Says that a VM type or a metric is none.
pub(super) fn bad_name(error: ParseIdError) -> ApiError {
    ApiError::invalid(
        error.to_string(),
        "GET the customer for the series it sends",
    )
}

pub(super) fn not_yet(customer: &CustomerId, what: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format!("customer `{customer}` has no {what} yet"),
        "configure it and send samples; each step brings a new one",
    )
}
