//! Twins step by step: what was demanded, what is expected, and what serves it.

#![expect(
    unused_qualifications,
    reason = "in what the macro of utoipa writes for query parameters"
)]

use super::configure::customer_id;
use super::customers::read;
use super::error::{ApiError, ErrorReply};
use crate::assembly::NodeTwin;
use crate::service::limits::{COSTS_LIMIT, PAGE_STEPS_MAX};
use crate::service::state::Service;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use twinscale_cluster_config::planned_capacity;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::stack::{Tier, TierVmType};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MicroDollars, Quantiles, Seconds, SeriesKey, VmTypeId,
};
use twinscale_supervision::ChildState;
use twinscale_twin::TwinConfig;
use twinscale_twin::TwinState;
use twinscale_twin::stored::v1::ForecastRecord;
use utoipa::{IntoParams, ToSchema};

/// Indices of the levels 0.1, 0.5 and 0.9 among the quantiles of a forecast.
const SHOWN: [usize; 3] = [1, 3, 5];

/// Which steps.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct StepsPage {
    /// Most steps that are over; 48 when left out, at most 1,000.
    pub past: Option<usize>,
}

/// A range of demand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RangeView {
    /// The quantile at 0.1.
    pub q10: f64,
    /// The median.
    pub q50: f64,
    /// The quantile at 0.9.
    pub q90: f64,
}

/// How a tier stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TierView {
    /// The tier.
    pub tier: String,
    /// What its demand is measured on.
    pub vm_type: String,
    /// The metric of its demand, which is the unit of all values here.
    pub metric: String,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Start of the newest step that is over and has samples.
    pub observed_at: Option<i64>,
    /// Mean demand of that step.
    pub demand: Option<f64>,
    /// Start of the step that runs now.
    pub step_at: i64,
    /// Demand that is expected of the step that runs now.
    pub forecast: Option<RangeView>,
    /// Demand that what serves now can serve; none where nothing says what a VM can do.
    pub supply: Option<f64>,
    /// VMs that serve.
    pub serving: u64,
    /// VMs that start.
    pub starting: u64,
}

/// One step of one tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its start.
    pub at: i64,
    /// Mean demand, where it was observed.
    pub demand: Option<f64>,
    /// Demand that is expected, where the newest forecast says.
    pub forecast: Option<RangeView>,
    /// Demand that the target plan can serve, where it says.
    pub supply: Option<f64>,
}

/// The steps of one tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TierStepsView {
    /// The tier.
    pub tier: String,
    /// The steps that are over, ascending in time: what was observed.
    pub past: Vec<StepView>,
    /// The step that runs now and those behind it: what is expected and planned.
    pub ahead: Vec<StepView>,
}

/// A twin step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepsReply {
    /// Whose.
    pub customer: String,
    /// The moment that parts past and future.
    pub now: i64,
    /// Its tiers, as in the list of customers.
    pub tiers: Vec<TierStepsView>,
}

/// What a node knows of a twin beside its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwinAround {
    pub(crate) now: DomainTime,
    pub(crate) is_running: bool,
    pub(crate) restarts: u64,
    pub(crate) mailbox: u64,
    /// What it cost so far; `None` = the provider does not tell.
    pub(crate) cost: Option<MicroDollars>,
}

impl TwinAround {
    /// Around twins that the daemon drives, or does not drive yet, in the order of their customers.
    pub(crate) async fn of_kept(service: &Service, customers: &[CustomerId]) -> Vec<Self> {
        let now = service.now();
        let around = customers.iter().zip(costs(service, customers, now).await);
        let around = around.map(|(customer, cost)| {
            let glance = service.keeper().glance(customer);
            Self {
                now,
                is_running: glance.as_ref().is_some_and(|glance| glance.is_driven),
                restarts: glance.as_ref().map_or(0, |glance| glance.restarts),
                mailbox: glance.map_or(0, |glance| glance.mailbox),
                cost,
            }
        });
        around.collect()
    }

    /// Around a twin at a moment of its domain time.
    pub(crate) fn of(twin: Option<&NodeTwin>, now: DomainTime, cost: Option<MicroDollars>) -> Self {
        let report = twin.map(|twin| twin.actor.report().borrow().clone());
        let mailbox = twin.and_then(|twin| twin.actor.address().current());
        Self {
            now,
            is_running: report
                .as_ref()
                .is_some_and(|report| report.state == ChildState::Running),
            restarts: report.map_or(0, |report| report.restarts),
            mailbox: mailbox.map_or(0, |mailbox| mailbox.depth()) as u64,
            cost,
        }
    }
}

/// What customers cost so far. A page must not wait for a provider that does not answer: it shows no cost
/// then.
async fn costs(
    service: &Service,
    customers: &[CustomerId],
    now: DomainTime,
) -> Vec<Option<MicroDollars>> {
    let asked = service.node().provider().costs(customers, now);
    let mut costs = match tokio::time::timeout(COSTS_LIMIT, asked).await {
        Ok(Ok(costs)) => costs,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the provider does not tell what it costs");
            Vec::new()
        }
        Err(_late) => Vec::new(),
    };
    costs.resize(customers.len(), None);
    costs
}

/// Shows a twin step by step: demand that was observed, demand that is expected, and what serves it.
#[utoipa::path(get, path = "/v1/customers/{customer}/steps", tag = "customers",
    params(("customer" = String, Path), StepsPage),
    responses(
        (status = 200, description = "the steps", body = StepsReply),
        (status = 404, description = "no such customer", body = ErrorReply),
    ))]
pub(crate) async fn steps(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    Query(page): Query<StepsPage>,
) -> Result<Json<StepsReply>, ApiError> {
    let _permit = service.begin_read()?;
    let customer = customer_id(&customer)?;
    let past = page.past.unwrap_or(48).min(PAGE_STEPS_MAX);
    let now = service.now();
    read(&service, &customer, |state| steps_reply(state, now, past)).map(Json)
}

/// Whether the newest forecast knows the newest interval that is over, or the one before it: its turn comes
/// a while after the interval's end.
pub(crate) fn is_fresh(state: &TwinState, now: DomainTime) -> Option<bool> {
    let interval = state.config()?.interval;
    let issued_at = state.forecast()?.issued_at;
    Some(issued_at >= now.floor_to(interval).minus(interval))
}

/// What runs costs an hour.
pub(crate) fn rate(state: &TwinState) -> MicroDollars {
    let Some(config) = state.config() else {
        return MicroDollars(0);
    };
    let observed = state.observed();
    let vms = observed.vms.iter().filter_map(|vm| {
        let tier = config
            .stack
            .tiers
            .iter()
            .find(|tier| tier.name == vm.tier)?;
        Some(option(tier, &vm.vm_type)?.price_per_hour)
    });
    let volumes = observed.volumes.iter().map(|volume| {
        let blocks = i64::from(volume.blocks);
        MicroDollars(volume.price_block_hour.0.saturating_mul(blocks))
    });
    let link = observed.link.iter().map(|link| link.price_per_hour);
    vms.chain(volumes)
        .chain(link)
        .fold(MicroDollars(0), MicroDollars::plus)
}

/// How each tier stands.
pub(crate) fn tier_views(state: &TwinState, now: DomainTime) -> Vec<TierView> {
    let Some(config) = state.config() else {
        return Vec::new();
    };
    let tiers = config.stack.tiers.iter();
    tiers
        .map(|tier| tier_view(state, config, tier, now))
        .collect()
}

fn tier_view(state: &TwinState, config: &TwinConfig, tier: &Tier, now: DomainTime) -> TierView {
    let interval = config.interval;
    let step_at = now.floor_to(interval);
    let newest = state.newest_sample_at(&tier.demand);
    let observed_at = newest.map(|at| at.floor_to(interval).min(step_at.minus(interval)));
    let demand = observed_at.and_then(|at| {
        let means = state.interval_means(&tier.demand, at, interval, 1);
        means.first().copied().flatten()
    });
    let vms = state
        .observed()
        .vms
        .iter()
        .filter(|vm| vm.tier == tier.name);
    let (serving, starting): (Vec<_>, Vec<_>) = vms.partition(|vm| vm.serving_since.is_some());
    let counts = serving.iter().map(|vm| (&vm.vm_type, 1));
    TierView {
        tier: tier.name.to_string(),
        vm_type: tier.demand.vm_type.to_string(),
        metric: tier.demand.metric.to_string(),
        interval_s: interval.0,
        observed_at: observed_at.map(|at| at.0),
        demand: demand.map(FixedValue::units),
        step_at: step_at.0,
        forecast: state
            .forecast()
            .and_then(|record| range_at(record, &tier.demand, step_at)),
        supply: supply_of(config, tier, counts),
        serving: serving.len() as u64,
        starting: starting.len() as u64,
    }
}

/// Shows a twin step by step.
pub(crate) fn steps_reply(state: &TwinState, now: DomainTime, past: usize) -> StepsReply {
    let config = state.config();
    let tiers = config.into_iter().flat_map(|config| {
        let tiers = config.stack.tiers.iter();
        tiers.map(|tier| TierStepsView {
            tier: tier.name.to_string(),
            past: past_steps(state, &tier.demand, (now, config.interval), past),
            ahead: ahead_steps(state, config, tier, now),
        })
    });
    StepsReply {
        customer: state.customer().to_string(),
        now: now.0,
        tiers: tiers.collect(),
    }
}

fn past_steps(
    state: &TwinState,
    demand: &SeriesKey,
    (now, interval): (DomainTime, Seconds),
    past: usize,
) -> Vec<StepView> {
    let count = u32::try_from(past).unwrap_or(u32::MAX);
    let from = now
        .floor_to(interval)
        .minus(Seconds(interval.0.saturating_mul(count)));
    let means = state.interval_means(demand, from, interval, past);
    let steps = (0_i64..).zip(means);
    steps
        .map(|(step, mean)| StepView {
            at: from.0.saturating_add(step * i64::from(interval.0)),
            demand: mean.map(FixedValue::units),
            forecast: None,
            supply: None,
        })
        .collect()
}

fn ahead_steps(
    state: &TwinState,
    config: &TwinConfig,
    tier: &Tier,
    now: DomainTime,
) -> Vec<StepView> {
    let first = now.floor_to(config.interval);
    let steps = 0..i64::from(config.horizon_steps);
    let views = steps.map(|step| {
        let at = DomainTime(first.0.saturating_add(step * i64::from(config.interval.0)));
        StepView {
            at: at.0,
            demand: None,
            forecast: state
                .forecast()
                .and_then(|record| range_at(record, &tier.demand, at)),
            supply: state
                .target_plan()
                .and_then(|plan| planned_supply(config, tier, plan, at)),
        }
    });
    // Behind the end of forecast and plan nothing is known.
    let known = |view: &StepView| view.forecast.is_some() || view.supply.is_some();
    views.filter(known).collect()
}

/// What a forecast says about the step at `at`.
pub(crate) fn range_at(
    record: &ForecastRecord,
    series: &SeriesKey,
    at: DomainTime,
) -> Option<RangeView> {
    let forecasts = &record.forecasts;
    let forecast = forecasts.iter().find(|forecast| forecast.key == *series)?;
    let ahead = at.seconds_since(forecast.first_step_at) / i64::from(forecast.interval.0.max(1));
    let quantiles: &Quantiles = forecast.quantiles.get(usize::try_from(ahead).ok()?)?;
    let [low, median, high] = SHOWN;
    Some(RangeView {
        q10: quantiles.get(low)?.units(),
        q50: quantiles.get(median)?.units(),
        q90: quantiles.get(high)?.units(),
    })
}

fn planned_supply(config: &TwinConfig, tier: &Tier, plan: &Plan, at: DomainTime) -> Option<f64> {
    let ahead = at.seconds_since(plan.first_step_at) / i64::from(plan.interval.0.max(1));
    let step = usize::try_from(ahead).ok()?;
    let vms = plan
        .allocation
        .vms
        .iter()
        .filter(|vms| vms.tier == tier.name);
    let counts: Option<Vec<(&VmTypeId, u32)>> = vms
        .map(|vms| Some((&vms.vm_type, vms.counts.get(step)?.0)))
        .collect();
    supply_of(config, tier, counts?.into_iter())
}

/// Demand that so many VMs can serve; `None` where nothing says what one of them can do.
pub(crate) fn supply_of<'a>(
    config: &TwinConfig,
    tier: &Tier,
    counts: impl Iterator<Item = (&'a VmTypeId, u32)>,
) -> Option<f64> {
    let mut supply = 0.0;
    for (vm_type, count) in counts {
        let capacity = planned_capacity(&config.policy, tier, option(tier, vm_type)?)?;
        supply += capacity.units() * f64::from(count);
    }
    Some(supply)
}

fn option<'a>(tier: &'a Tier, vm_type: &VmTypeId) -> Option<&'a TierVmType> {
    tier.vm_types.iter().find(|one| one.vm_type == *vm_type)
}
