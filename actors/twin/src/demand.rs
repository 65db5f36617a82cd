//! From metric to demand: what a forecast, a stack and a policy ask of the optimizer.
//!
//! Pure and in integers: the same committed state gives the same request. What a VM can do comes from the
//! stack's VM type or the policy; where neither says it, the error names the key to set.

mod request;

pub use request::{PlanBasis, plan_request, plan_request_under, plan_seed};
pub(crate) use request::{prices_peak, unserved_price};

use twinscale_protocol::metric::{self, MetricRole, UnknownMetricError, VmDemand};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::{Stack, Tier, TierVmType};
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{
    FixedValue, MetricName, PartsPerMillion, Seconds, SeriesKey, TierName, VmTypeId,
};

/// Why no demand can be made of what is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// A metric that is not in the registry.
    #[error("`{name}` is served from series {series}")]
    Metric {
        /// The tier, volume or `link`.
        name: String,
        /// Its series.
        series: SeriesKey,
        /// Which names exist.
        #[source]
        source: UnknownMetricError,
    },
    /// A metric that says nothing of that kind.
    #[error(
        "`{name}` is served from metric `{metric}`, which says nothing of {wanted}: use {remedy}"
    )]
    Role {
        /// The tier, volume or `link`.
        name: String,
        /// Its metric.
        metric: MetricName,
        /// What is needed.
        wanted: &'static str,
        /// Metrics that fit.
        remedy: &'static str,
    },
    /// The policy does not say what one VM can do.
    #[error(
        "tier `{tier}`, VM type `{vm_type}`: nothing says how much `{metric}` one VM can serve: set \
         `metrics.{metric}.{key}` in the policy"
    )]
    MissingKey {
        /// The tier.
        tier: TierName,
        /// The VM type.
        vm_type: VmTypeId,
        /// The metric.
        metric: MetricName,
        /// The key that is missing.
        key: &'static str,
    },
    /// What is left of a capacity is nothing.
    #[error(
        "tier `{tier}`, VM type `{vm_type}`: capacity_per_vm {capacity} at a target utilisation of \
         {target} serves nothing: raise one of them"
    )]
    NoCapacity {
        /// The tier.
        tier: TierName,
        /// The VM type.
        vm_type: VmTypeId,
        /// Its capacity.
        capacity: FixedValue,
        /// The share that may be planned for.
        target: PartsPerMillion,
    },
    /// The twin is not configured.
    #[error("twin has no policy and stack yet: configure it first")]
    NotConfigured,
    /// A series without a forecast.
    #[error(
        "`{name}` has no forecast of series {series}: send samples and ask for a forecast first"
    )]
    NoForecast {
        /// The tier, volume or `link`.
        name: String,
        /// Its series.
        series: SeriesKey,
    },
}

/// Checks that every tier, volume and link of a stack is served from a metric that fits.
///
/// # Errors
/// [`DemandError`] for the first that does not.
pub fn check(policy: &Policy, stack: &Stack) -> Result<(), DemandError> {
    for tier in &stack.tiers {
        for option in &tier.vm_types {
            vm_capacity(policy, tier, option)?;
        }
    }
    for volume in &stack.volumes {
        let spec = spec_of(volume.name.as_str(), &volume.demand)?;
        if spec.name != "storage_gib" {
            return Err(DemandError::Role {
                name: volume.name.to_string(),
                metric: volume.demand.metric.clone(),
                wanted: "GiB to store",
                remedy: "storage_gib",
            });
        }
    }
    if let Some(link) = &stack.link {
        let (numerator, _) = mbps_factor(&link.demand, Seconds(1))?;
        debug_assert!(numerator > 0, "every factor is positive");
    }
    Ok(())
}

/// The demand that one VM of a tier's type may be planned to serve: its capacity with the target
/// utilisation taken off, rounded down, in the demand metric's unit.
///
/// # Errors
/// [`DemandError`] when the metric is unknown or nothing says what one VM can do.
pub fn vm_capacity(
    policy: &Policy,
    tier: &Tier,
    option: &TierVmType,
) -> Result<FixedValue, DemandError> {
    let spec = spec_of(tier.name.as_str(), &tier.demand)?;
    let metric = &tier.demand.metric;
    let mapping = policy.metrics.get(metric);
    let missing = |key| DemandError::MissingKey {
        tier: tier.name.clone(),
        vm_type: option.vm_type.clone(),
        metric: metric.clone(),
        key,
    };
    let said = option
        .capacity_per_vm
        .or_else(|| mapping.map(|mapping| mapping.capacity_per_vm));
    let said_target = mapping.map(|mapping| mapping.target_utilisation);
    let (capacity, target) = match spec.vm_demand {
        // One VM of the type serves one VM of demand, wholly, unless the policy says otherwise.
        VmDemand::Direct => (
            said.unwrap_or(FixedValue(MICROS)),
            said_target.unwrap_or(PartsPerMillion::ONE),
        ),
        VmDemand::PerCapacity => (
            said.ok_or_else(|| missing("capacity_per_vm"))?,
            said_target.ok_or_else(|| missing("target_utilisation"))?,
        ),
        VmDemand::Never => {
            return Err(DemandError::Role {
                name: tier.name.to_string(),
                metric: metric.clone(),
                wanted: "VMs",
                remedy: "vm_count, requests, cpu_cores or another demand metric",
            });
        }
    };
    let planned = i128::from(capacity.0) * i128::from(target.0) / i128::from(MICROS);
    match i64::try_from(planned) {
        Ok(planned) if planned > 0 => Ok(FixedValue(planned)),
        _ => Err(DemandError::NoCapacity {
            tier: tier.name.clone(),
            vm_type: option.vm_type.clone(),
            capacity,
            target,
        }),
    }
}

/// The factor, as a fraction, from a link metric to megabits a second.
///
/// # Errors
/// [`DemandError`] when the metric is unknown or says nothing of bandwidth.
pub fn mbps_factor(series: &SeriesKey, interval: Seconds) -> Result<(i64, i64), DemandError> {
    let spec = spec_of("link", series)?;
    match spec.name {
        "net_in_mbps" | "net_out_mbps" => Ok((1, 1)),
        // Kilobytes a second: eight bits a byte, a thousand kilobits a megabit.
        "net_rx_kbps" | "net_tx_kbps" => Ok((8, 1_000)),
        // Bytes in the whole interval.
        "ec2_network_in" => Ok((8, 1_000_000 * i64::from(interval.0.max(1)))),
        _ => Err(DemandError::Role {
            name: "link".to_owned(),
            metric: series.metric.clone(),
            wanted: "bandwidth",
            remedy: "net_in_mbps, net_out_mbps, net_rx_kbps, net_tx_kbps or ec2_network_in",
        }),
    }
}

/// The series that a stack is served from, ascending: those that need forecasts.
pub fn demand_series(stack: &Stack) -> Vec<SeriesKey> {
    let tiers = stack.tiers.iter().map(|tier| &tier.demand);
    let volumes = stack.volumes.iter().map(|volume| &volume.demand);
    let link = stack.link.iter().map(|link| &link.demand);
    let mut keys: Vec<SeriesKey> = tiers.chain(volumes).chain(link).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Whether planning a stack takes the exact path, so that every turn can afford a new plan: one VM type
/// per tier and nothing that couples tiers, neither a budget nor a risk budget that the lowest level
/// alone does not keep.
pub fn is_exact(policy: &Policy, stack: &Stack) -> bool {
    let one_type = stack.tiers.iter().all(|tier| tier.vm_types.len() == 1);
    let uncovered = PartsPerMillion::ONE
        .0
        .saturating_sub(policy.sla.level_min.0);
    one_type && policy.budget_per_day.is_none() && uncovered <= policy.sla.risk_budget.0
}

fn spec_of(name: &str, series: &SeriesKey) -> Result<&'static metric::MetricSpec, DemandError> {
    metric::find(&series.metric).map_err(|source| DemandError::Metric {
        name: name.to_owned(),
        series: series.clone(),
        source,
    })
}

/// Whether a series informs about demand, storage or a link, rather than about utilisation.
pub fn is_planned_for(series: &SeriesKey) -> bool {
    metric::find(&series.metric)
        .is_ok_and(|spec| !matches!(spec.role, MetricRole::Utilisation | MetricRole::Activity))
}

#[cfg(test)]
mod tests;
