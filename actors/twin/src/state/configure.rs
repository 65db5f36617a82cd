//! Policy and stack: checked against their rules, kept in canonical order, counted by version.

use super::apply::{NotApplied, invalid};
use super::{ApplyResult, PartKey, TwinState};
use crate::demand;
use crate::limits::{
    HORIZON_STEPS_MAX, INTERVAL_MAX, LINK_OPTIONS_MAX, TIERS_MAX, VM_TYPES_PER_TIER_MAX,
    VOLUMES_MAX,
};
use crate::stored::v1::TwinConfig;
use std::collections::BTreeSet;
use twinscale_protocol::policy::{Policy, Sla};
use twinscale_protocol::stack::{Link, Stack, Tier};
use twinscale_protocol::{MicroDollars, PartsPerMillion};

/// The levels that a policy may name, in parts per million: those at which penalties are known.
const LEVELS_PPM: [u32; 5] = [500_000, 800_000, 900_000, 950_000, 990_000];

/// Brings a configuration into the one order in which it is kept and compared.
pub(crate) fn canonical(mut config: TwinConfig) -> TwinConfig {
    let stack = &mut config.stack;
    stack.tiers.sort_by(|one, other| one.name.cmp(&other.name));
    for tier in &mut stack.tiers {
        tier.vm_types
            .sort_by(|one, other| one.vm_type.cmp(&other.vm_type));
    }
    stack
        .volumes
        .sort_by(|one, other| one.name.cmp(&other.name));
    config
}

/// Checks a configuration in canonical order.
///
/// # Errors
/// The first rule that it breaks, with key, value and remedy.
pub(crate) fn check_config(config: &TwinConfig) -> Result<(), String> {
    let (interval, horizon) = (config.interval, config.horizon_steps);
    if interval.0 == 0 || interval > INTERVAL_MAX {
        return Err(format!(
            "interval {interval} is not between 1 s and {INTERVAL_MAX}: use the spacing of the demand \
             samples, such as 3600 s"
        ));
    }
    if horizon == 0 || horizon > HORIZON_STEPS_MAX {
        return Err(format!(
            "horizon_steps {horizon} is not between 1 and {HORIZON_STEPS_MAX}: use 48 for two days of \
             hours"
        ));
    }
    check_policy(&config.policy)?;
    check_stack(&config.stack)?;
    let ceiling = config.policy.limits.ceiling;
    for tier in &config.stack.tiers {
        if tier.min_vms > ceiling {
            let (name, min_vms) = (&tier.name, tier.min_vms);
            return Err(format!(
                "tier `{name}`: min_vms {min_vms} is above limits.ceiling {ceiling}: lower the one or \
                 raise the other"
            ));
        }
    }
    demand::check(&config.policy, &config.stack).map_err(|error| error.to_string())
}

fn check_policy(policy: &Policy) -> Result<(), String> {
    check_sla(&policy.sla)?;
    let limits = &policy.limits;
    if limits.floor > limits.ceiling {
        let (floor, ceiling) = (limits.floor, limits.ceiling);
        return Err(format!(
            "limits.floor {floor} is above limits.ceiling {ceiling}: lower the floor or raise the \
             ceiling"
        ));
    }
    if let Some(budget) = policy.budget_per_day.filter(|budget| budget.0 < 0) {
        return Err(format!(
            "budget_per_day {budget} is negative: use a positive amount or leave it out"
        ));
    }
    if policy.retention.raw.0 == 0 {
        return Err(
            "retention.raw 0 s keeps nothing: use at least the context of a forecast, such \
                    as six weeks"
                .to_owned(),
        );
    }
    for (name, mapping) in &policy.metrics {
        if mapping.capacity_per_vm.0 <= 0 {
            let value = mapping.capacity_per_vm;
            return Err(format!(
                "metrics.{name}.capacity_per_vm {value} is not positive: say what one VM can do when \
                 fully used"
            ));
        }
        let share = mapping.target_utilisation;
        if share.0 == 0 || share > PartsPerMillion::ONE {
            return Err(format!(
                "metrics.{name}.target_utilisation {share} is not within 1 to 1000000 ppm: use 0.8"
            ));
        }
    }
    Ok(())
}

fn check_sla(sla: &Sla) -> Result<(), String> {
    for (key, level) in [("level_min", sla.level_min), ("level_max", sla.level_max)] {
        if !LEVELS_PPM.contains(&level.0) {
            return Err(format!(
                "sla.{key} {level} is no level: use one of 0.5, 0.8, 0.9, 0.95, 0.99"
            ));
        }
    }
    if sla.level_min > sla.level_max {
        let (level_min, level_max) = (sla.level_min, sla.level_max);
        return Err(format!(
            "sla.level_min {level_min} is above sla.level_max {level_max}: lower the one or raise the \
             other"
        ));
    }
    if sla.risk_budget > PartsPerMillion::ONE {
        let risk_budget = sla.risk_budget;
        return Err(format!(
            "sla.risk_budget {risk_budget} is above 1: it is a probability"
        ));
    }
    if sla.unserved_price_ratio.0 < 0 {
        let ratio = sla.unserved_price_ratio;
        return Err(format!(
            "sla.unserved_price_ratio {ratio} is negative: use 0 or more"
        ));
    }
    if sla.under_provisioned_step_price_ratio.0 < 0 {
        let ratio = sla.under_provisioned_step_price_ratio;
        return Err(format!(
            "sla.under_provisioned_step_price_ratio {ratio} is negative: use 0 or more"
        ));
    }
    Ok(())
}

fn check_stack(stack: &Stack) -> Result<(), String> {
    let bounds = [
        ("tiers", stack.tiers.len(), TIERS_MAX),
        ("volumes", stack.volumes.len(), VOLUMES_MAX),
    ];
    for (key, count, limit) in bounds {
        if count > limit {
            return Err(format!(
                "stack has {count} {key}: at most {limit} are planned; split the customer"
            ));
        }
    }
    let mut names = BTreeSet::new();
    let tiers = stack.tiers.iter().map(|tier| &tier.name);
    for name in tiers.chain(stack.volumes.iter().map(|volume| &volume.name)) {
        if !names.insert(name) {
            return Err(format!(
                "stack names `{name}` twice: names of tiers and volumes are unique"
            ));
        }
    }
    for tier in &stack.tiers {
        check_tier(tier)?;
    }
    for volume in &stack.volumes {
        let name = &volume.name;
        if volume.block.0 == 0 || volume.price_block_hour.0 < 0 {
            return Err(format!(
                "volume `{name}`: block must be at least 1 GiB and price_block_hour 0 or more"
            ));
        }
        if volume.blocks_initial > volume.blocks_max {
            return Err(format!(
                "volume `{name}`: blocks_initial {} is above blocks_max {}",
                volume.blocks_initial, volume.blocks_max
            ));
        }
    }
    stack.link.as_ref().map_or(Ok(()), check_link)
}

fn check_tier(tier: &Tier) -> Result<(), String> {
    let (name, count) = (&tier.name, tier.vm_types.len());
    if count == 0 || count > VM_TYPES_PER_TIER_MAX {
        return Err(format!(
            "tier `{name}` has {count} VM types: give 1 to {VM_TYPES_PER_TIER_MAX}"
        ));
    }
    let mut types = BTreeSet::new();
    for option in &tier.vm_types {
        let vm_type = &option.vm_type;
        if !types.insert(vm_type) {
            return Err(format!("tier `{name}` names VM type `{vm_type}` twice"));
        }
        if option.price_per_hour < MicroDollars(0) {
            let price = option.price_per_hour;
            return Err(format!(
                "tier `{name}`, VM type `{vm_type}`: price_per_hour {price} is negative"
            ));
        }
        if option.capacity_per_vm.is_some_and(|value| value.0 <= 0) {
            return Err(format!(
                "tier `{name}`, VM type `{vm_type}`: capacity_per_vm is not positive: say what one VM \
                 can do when fully used, or leave it out"
            ));
        }
    }
    Ok(())
}

fn check_link(link: &Link) -> Result<(), String> {
    let count = link.options.len();
    if count == 0 || count > LINK_OPTIONS_MAX {
        return Err(format!(
            "link has {count} options: give 1 to {LINK_OPTIONS_MAX}"
        ));
    }
    let ascending = link
        .options
        .iter()
        .zip(link.options.iter().skip(1))
        .all(|(one, next)| one.bandwidth < next.bandwidth);
    if !ascending {
        return Err("link.options do not ascend in bandwidth: sort them".to_owned());
    }
    if usize::try_from(link.option_initial).map_or(true, |initial| initial >= count) {
        let initial = link.option_initial;
        return Err(format!(
            "link.option_initial {initial} is no option: use 0 to {}",
            count.saturating_sub(1)
        ));
    }
    Ok(())
}

impl TwinState {
    pub(super) fn apply_configure(
        &mut self,
        config: TwinConfig,
    ) -> Result<ApplyResult, NotApplied> {
        let config = canonical(config);
        check_config(&config).map_err(invalid)?;
        if self.config.as_ref() != Some(&config) {
            self.forget_changes_outside(&config.stack);
            self.forget_misses_outside(&config.stack);
            self.config = Some(config);
            self.meta.config_version = self.meta.config_version.saturating_add(1);
            self.mark(PartKey::Config);
            self.mark(PartKey::Meta);
        }
        Ok(ApplyResult::Configured {
            config_version: self.meta.config_version,
        })
    }
}
