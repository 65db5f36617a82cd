//! Checked types back to tables, in the words of the files: what is read from such a table is the same
//! policy or stack again.

use toml::{Table, Value};
use twinscale_protocol::policy::{Mode, Policy};
use twinscale_protocol::stack::{Link, ServiceModel, Stack, Tier, TierVmType, Volume};
use twinscale_protocol::{FixedValue, PartsPerMillion};

/// Writes a policy as the table of a customer in a policy file, every key stated.
pub fn policy_table(policy: &Policy) -> Table {
    let mut table = Table::new();
    let mode = match policy.mode {
        Mode::Observe => "observe",
        Mode::Advise => "advise",
        Mode::Enforce => "enforce",
    };
    put(&mut table, "mode", mode);
    if let Some(budget) = policy.budget_per_day {
        put(&mut table, "budget_per_day_usd", budget.dollars());
    }
    put(
        &mut table,
        "search_evaluations",
        i64::from(policy.search_evaluations),
    );
    let sla = &policy.sla;
    let mut part = Table::new();
    put(&mut part, "level_min", sla.level_min.share());
    put(&mut part, "level_max", sla.level_max.share());
    put(&mut part, "risk_budget", sla.risk_budget.share());
    put(
        &mut part,
        "unserved_price_ratio",
        sla.unserved_price_ratio.units(),
    );
    put(&mut table, "sla", part);
    let limits = &policy.limits;
    let mut part = Table::new();
    for (key, value) in [
        ("floor", limits.floor.0),
        ("ceiling", limits.ceiling.0),
        ("step_out_max", limits.step_out_max.0),
        ("step_in_max", limits.step_in_max.0),
        ("cooldown_out_s", limits.cooldown_out.0),
        ("cooldown_in_s", limits.cooldown_in.0),
    ] {
        put(&mut part, key, i64::from(value));
    }
    put(&mut table, "limits", part);
    let retention = &policy.retention;
    let mut part = Table::new();
    for (key, value) in [
        ("raw_s", retention.raw.0),
        ("five_minutes_s", retention.five_minutes.0),
        ("one_hour_s", retention.one_hour.0),
    ] {
        put(&mut part, key, i64::from(value));
    }
    put(&mut table, "retention", part);
    let mut metrics = Table::new();
    for (metric, mapping) in &policy.metrics {
        let mut part = Table::new();
        put(
            &mut part,
            "capacity_per_vm",
            mapping.capacity_per_vm.units(),
        );
        put(
            &mut part,
            "target_utilisation",
            share(mapping.target_utilisation),
        );
        put(&mut metrics, metric.as_str(), part);
    }
    if !metrics.is_empty() {
        put(&mut table, "metrics", metrics);
    }
    table
}

/// Writes a stack as the table of a customer in a stack file, every key stated.
pub fn stack_table(stack: &Stack) -> Table {
    let mut table = Table::new();
    let mut tiers = Table::new();
    for tier in &stack.tiers {
        put(&mut tiers, tier.name.as_str(), tier_table(tier));
    }
    if !tiers.is_empty() {
        put(&mut table, "tier", tiers);
    }
    let mut volumes = Table::new();
    for volume in &stack.volumes {
        put(&mut volumes, volume.name.as_str(), volume_table(volume));
    }
    if !volumes.is_empty() {
        put(&mut table, "volume", volumes);
    }
    if let Some(link) = &stack.link {
        put(&mut table, "link", link_table(link));
    }
    table
}

fn tier_table(tier: &Tier) -> Table {
    let mut table = Table::new();
    put(&mut table, "demand", tier.demand.to_string());
    put(&mut table, "start_up_s", i64::from(tier.start_up.0));
    put(&mut table, "minimum_bill_s", i64::from(tier.minimum_bill.0));
    put(&mut table, "min_vms", i64::from(tier.min_vms.0));
    put(&mut table, "min_up_s", i64::from(tier.min_up.0));
    let options = tier.vm_types.iter().map(vm_type_table).map(Value::from);
    put(&mut table, "vm_type", options.collect::<Vec<_>>());
    if let Some(ServiceModel {
        service_time_us,
        p99_target_us,
    }) = tier.service
    {
        let mut part = Table::new();
        put(&mut part, "service_time_us", whole(service_time_us));
        put(&mut part, "p99_target_us", whole(p99_target_us));
        put(&mut table, "service", part);
    }
    table
}

fn vm_type_table(option: &TierVmType) -> Table {
    let mut table = Table::new();
    put(&mut table, "name", option.vm_type.as_str());
    put(
        &mut table,
        "price_per_hour_usd",
        option.price_per_hour.dollars(),
    );
    put(&mut table, "price_assumed", option.price_assumed);
    if let Some(capacity) = option.capacity_per_vm {
        put(&mut table, "capacity_per_vm", capacity.units());
    }
    let vcpu = FixedValue(whole(option.vcpu.0).saturating_mul(1_000));
    put(&mut table, "vcpu", vcpu.units());
    put(&mut table, "memory_gib", whole(option.memory.0));
    table
}

fn volume_table(volume: &Volume) -> Table {
    let mut table = Table::new();
    put(&mut table, "demand", volume.demand.to_string());
    put(&mut table, "block_gib", whole(volume.block.0));
    put(
        &mut table,
        "price_block_hour_usd",
        volume.price_block_hour.dollars(),
    );
    put(&mut table, "cooldown_s", i64::from(volume.cooldown.0));
    put(&mut table, "blocks_max", i64::from(volume.blocks_max));
    put(
        &mut table,
        "blocks_initial",
        i64::from(volume.blocks_initial),
    );
    table
}

fn link_table(link: &Link) -> Table {
    let mut table = Table::new();
    put(&mut table, "demand", link.demand.to_string());
    put(&mut table, "hold_s", i64::from(link.hold.0));
    put(&mut table, "option_initial", i64::from(link.option_initial));
    let options = link.options.iter().map(|option| {
        let mut part = Table::new();
        put(&mut part, "bandwidth_mbps", whole(option.bandwidth.0));
        put(
            &mut part,
            "price_per_hour_usd",
            option.price_per_hour.dollars(),
        );
        Value::from(part)
    });
    put(&mut table, "option", options.collect::<Vec<_>>());
    table
}

fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

fn share(share: PartsPerMillion) -> f64 {
    share.share()
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyFile;
    use crate::stack::StackFile;
    use twinscale_protocol::CustomerId;

    fn under(customer: &CustomerId, table: Table) -> Table {
        let mut customers = Table::new();
        put(&mut customers, customer.as_str(), table);
        let mut root = Table::new();
        put(&mut root, "customer", customers);
        root
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let policies = [
            include_str!("../../samples/config/policies.toml"),
            include_str!("../../samples/config/example-policy.toml"),
        ];
        for text in policies {
            let file = PolicyFile::parse(text, "sample").expect("samples are valid");
            for customer in file.customers() {
                let policy = file.policy_of(customer);
                let root = under(customer, policy_table(policy));
                let again = PolicyFile::from_table(&root, "again").expect("valid");
                assert_eq!(again.policy_of(customer), policy, "{customer}");
            }
        }
        let stacks = [
            include_str!("../../samples/config/stacks.toml"),
            include_str!("../../samples/config/example-stack.toml"),
        ];
        for text in stacks {
            let file = StackFile::parse(text, "sample").expect("samples are valid");
            for customer in file.customers() {
                let stack = file.stated(customer).expect("it is named");
                let root = under(customer, stack_table(stack));
                let again = StackFile::from_table(&root, "again").expect("valid");
                assert_eq!(again.stated(customer), Some(stack), "{customer}");
            }
        }
    }
}
