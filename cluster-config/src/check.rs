//! Rules between a policy and a stack, and the capacity that follows from both.

use crate::shape::quoted;
use crate::violation::{ConfigError, Violation, Violations};
use twinscale_protocol::metric::{self, MetricRole, VmDemand};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::{Stack, Tier, TierVmType};
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{CustomerId, FixedValue, MicroDollars, PartsPerMillion, SeriesKey};

/// Share of a VM's capacity that is planned for where a policy says none.
pub const TARGET_UTILISATION: PartsPerMillion = PartsPerMillion(800_000);

/// Computes the demand that one VM of a tier serves, target utilisation taken off.
///
/// `vm_count` demands whole VMs: 1 each, or what the stack says. Every other demand metric needs a
/// `capacity_per_vm` of the stack's VM type or of the policy; `None` without one.
pub fn planned_capacity(policy: &Policy, tier: &Tier, option: &TierVmType) -> Option<FixedValue> {
    let spec = metric::find(&tier.demand.metric).ok()?;
    match spec.vm_demand {
        VmDemand::Direct => Some(option.capacity_per_vm.unwrap_or(FixedValue(MICROS))),
        VmDemand::PerCapacity => {
            let mapping = policy.metrics.get(&tier.demand.metric);
            let full = option
                .capacity_per_vm
                .or_else(|| mapping.map(|mapping| mapping.capacity_per_vm))?;
            let share = mapping.map_or(TARGET_UTILISATION, |mapping| mapping.target_utilisation);
            let planned = i128::from(full.0) * i128::from(share.0) / i128::from(MICROS);
            i64::try_from(planned).ok().map(FixedValue)
        }
        VmDemand::Never => None,
    }
}

/// Checks that a policy and a stack fit together and that something can satisfy them.
///
/// # Errors
/// [`ConfigError::Invalid`] with every key that is missing or cannot be satisfied.
pub fn check_customer(
    customer: &CustomerId,
    policy: &Policy,
    stack: &Stack,
) -> Result<(), ConfigError> {
    let path = format!("customer.{}", quoted(customer.as_str()));
    let mut violations = Violations::default();
    for tier in &stack.tiers {
        check_tier(&path, policy, tier, &mut violations);
    }
    for volume in &stack.volumes {
        let key = format!("{path}.volume.{}.demand", quoted(volume.name.as_str()));
        check_role(&key, &volume.demand, MetricRole::Storage, &mut violations);
    }
    if let Some(link) = &stack.link {
        let key = format!("{path}.link.demand");
        check_role(&key, &link.demand, MetricRole::Link, &mut violations);
    }
    check_budget(&path, policy, stack, &mut violations);
    violations.into_result(&format!("policy and stack of customer `{customer}`"))
}

fn check_tier(path: &str, policy: &Policy, tier: &Tier, violations: &mut Violations) {
    let metric = &tier.demand.metric;
    let tier_path = format!("{path}.tier.{}", quoted(tier.name.as_str()));
    let spec = match metric::find(metric) {
        Ok(spec) => spec,
        Err(error) => {
            violations.push(Violation::new(
                format!("{tier_path}.demand"),
                &tier.demand,
                error.to_string(),
                "name a known demand metric",
            ));
            return;
        }
    };
    if spec.vm_demand == VmDemand::Never {
        violations.push(Violation::new(
            format!("{tier_path}.demand"),
            &tier.demand,
            format!("`{metric}` ({}) is not a demand of VMs", spec.unit),
            "serve it with a volume or a link, or name a demand metric such as vm_count",
        ));
        return;
    }
    let missing = tier.vm_types.iter().any(|option| {
        planned_capacity(policy, tier, option).is_none_or(|capacity| capacity.0 <= 0)
    });
    if missing {
        violations.push(Violation::absent(
            format!("{path}.metrics.{metric}.capacity_per_vm"),
            format!(
                "is needed to turn `{metric}` ({}) of tier `{}` into VMs",
                spec.unit, tier.name
            ),
            format!(
                "write in the policy file: [{path}.metrics.{metric}] (or [default.metrics.{metric}]) \
                 with capacity_per_vm = 25000.0, what one VM can do when fully used"
            ),
        ));
    }
    if tier.min_vms > policy.limits.ceiling {
        violations.push(Violation::new(
            format!("{path}.limits.ceiling"),
            policy.limits.ceiling.0,
            format!(
                "nothing satisfies it: tier `{}` needs at least {}",
                tier.name, tier.min_vms
            ),
            "raise the ceiling or lower the tier's min_vms",
        ));
    }
}

fn check_role(key: &str, demand: &SeriesKey, role: MetricRole, violations: &mut Violations) {
    let fits = metric::find(&demand.metric).is_ok_and(|spec| spec.role == role);
    if !fits {
        let names: Vec<&str> = metric::METRICS
            .iter()
            .filter(|spec| spec.role == role)
            .map(|spec| spec.name)
            .collect();
        violations.push(Violation::new(
            key,
            demand,
            "the metric does not say this",
            format!("name one of {}", names.join(", ")),
        ));
    }
}

/// A budget below the least that must run all day can never be kept.
fn check_budget(path: &str, policy: &Policy, stack: &Stack, violations: &mut Violations) {
    let Some(budget) = policy.budget_per_day else {
        return;
    };
    let least = stack
        .tiers
        .iter()
        .map(|tier| {
            let count = tier.min_vms.max(policy.limits.floor).0;
            let price = tier
                .vm_types
                .iter()
                .map(|option| option.price_per_hour.0)
                .min()
                .unwrap_or_default();
            MicroDollars(price.saturating_mul(24).saturating_mul(i64::from(count)))
        })
        .fold(MicroDollars::default(), MicroDollars::plus);
    if least > budget {
        violations.push(Violation::new(
            format!("{path}.budget_per_day_usd"),
            budget.dollars(),
            format!(
                "nothing satisfies it: the least VMs that must run cost ${:.2} a day",
                least.dollars()
            ),
            "raise the budget, or lower limits.floor or the tiers' min_vms",
        ));
    }
}
