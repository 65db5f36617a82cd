//! Builds tiers, volumes and links from merged tables.

use crate::keys::{self, KeySpec, STACK_KEYS, TIER_DEFAULT_KEYS, VM_TYPE_KEYS};
use crate::read::{Section, merged, subtable};
use crate::shape::{self, join, quoted};
use crate::stack::ASSUMED_USD_PER_VCPU_HOUR;
use crate::violation::{Violation, Violations};
use toml::{Table, Value};
use twinscale_protocol::stack::{Link, LinkOption, ServiceModel, Stack, Tier, TierVmType, Volume};
use twinscale_protocol::{
    FixedValue, Gib, Mbps, MetricName, MicroDollars, MilliCores, Seconds, SeriesKey, TierName,
    VmCount, VmTypeId,
};

/// What holds in every tier: defaults of tiers and facts about VM types.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    tier_defaults: Table,
    vm_types: Table,
}

impl Facts {
    /// Takes `[tier_defaults]` and `[vm_type]` of a stack file.
    pub(crate) fn new(root: &Table, violations: &mut Violations) -> Self {
        let vm_types = subtable(root, "vm_type").cloned().unwrap_or_default();
        for name in vm_types.keys() {
            vm_type_id(name, &join("vm_type", &quoted(name)), violations);
        }
        Self {
            tier_defaults: subtable(root, "tier_defaults").cloned().unwrap_or_default(),
            vm_types,
        }
    }

    /// Makes a tier with the defaults.
    pub(crate) fn tier(
        &self,
        name: TierName,
        demand: SeriesKey,
        vm_types: Vec<TierVmType>,
    ) -> Tier {
        tier_with(&self.tier_defaults, name, demand, vm_types)
    }

    /// Makes a VM type from what the file says about it, with an assumed price if it names none.
    pub(crate) fn vm_type(&self, vm_type: VmTypeId) -> TierVmType {
        self.option(&Table::new(), vm_type)
    }

    /// Makes a VM type of one tier: what the tier says goes before what holds everywhere.
    fn option(&self, entry: &Table, vm_type: VmTypeId) -> TierVmType {
        let empty = Table::new();
        let known = subtable(&self.vm_types, vm_type.as_str()).unwrap_or(&empty);
        let facts = merged(known, entry);
        let facts = Section {
            table: Some(&facts),
            pattern: "",
            specs: VM_TYPE_KEYS,
        };
        let vcpu = facts.number("vcpu").unwrap_or_default();
        let price = facts.number("price_per_hour_usd");
        let capacity = entry.get("capacity_per_vm").and_then(shape::number_of);
        TierVmType {
            vm_type,
            price_per_hour: MicroDollars::from_dollars(
                price.unwrap_or(vcpu * ASSUMED_USD_PER_VCPU_HOUR),
            )
            .unwrap_or_default(),
            price_assumed: price.is_none() || facts.flag("price_assumed"),
            capacity_per_vm: capacity.map(FixedValue::from_model),
            vcpu: MilliCores(FixedValue::from_model(vcpu).0.unsigned_abs() / 1_000),
            memory: Gib(facts.whole("memory_gib")),
        }
    }
}

/// Makes a stack of a merged table, reporting what is missing.
pub(crate) fn build_stack(
    table: &Table,
    path: &str,
    facts: &Facts,
    violations: &mut Violations,
) -> Stack {
    let mut stack = Stack {
        tiers: Vec::new(),
        volumes: Vec::new(),
        link: None,
    };
    for (name, entry) in entries(table, "tier") {
        let path = join(&join(path, "tier"), &quoted(name));
        stack
            .tiers
            .extend(tier(name, entry, &path, facts, violations));
    }
    for (name, entry) in entries(table, "volume") {
        let path = join(&join(path, "volume"), &quoted(name));
        stack.volumes.extend(volume(name, entry, &path, violations));
    }
    if let Some(entry) = subtable(table, "link") {
        stack.link = link(entry, &join(path, "link"), violations);
    }
    stack
}

fn tier(
    name: &str,
    entry: &Table,
    path: &str,
    facts: &Facts,
    violations: &mut Violations,
) -> Option<Tier> {
    let tier_name = tier_name(name, path, violations);
    let demand = series(entry, path, "tier.*.demand", violations);
    let vm_types = vm_types(entry, path, facts, violations);
    let service = subtable(entry, "service")
        .and_then(|service| service_model(service, &join(path, "service"), violations));
    let mut tier = tier_with(
        &merged(&facts.tier_defaults, entry),
        tier_name?,
        demand?,
        vm_types,
    );
    tier.service = service;
    Some(tier)
}

fn tier_with(table: &Table, name: TierName, demand: SeriesKey, vm_types: Vec<TierVmType>) -> Tier {
    let values = Section {
        table: Some(table),
        pattern: "",
        specs: TIER_DEFAULT_KEYS,
    };
    Tier {
        name,
        demand,
        vm_types,
        start_up: Seconds(values.whole_u32("start_up_s")),
        minimum_bill: Seconds(values.whole_u32("minimum_bill_s")),
        min_vms: VmCount(values.whole_u32("min_vms")),
        min_up: Seconds(values.whole_u32("min_up_s")),
        service: None,
    }
}

fn vm_types(
    entry: &Table,
    path: &str,
    facts: &Facts,
    violations: &mut Violations,
) -> Vec<TierVmType> {
    let list = list(entry, "vm_type");
    if list.is_empty() {
        violations.push(Violation::absent(
            format!("{path}.vm_type"),
            "a tier needs at least one VM type",
            format!("write: [[{path}.vm_type]] with name = \"c7g.large\" below"),
        ));
    }
    let mut found: Vec<TierVmType> = Vec::new();
    for (index, option) in list.into_iter().enumerate() {
        let path = format!("{path}.vm_type[{index}]");
        let Some(name) = needed_text(option, "name", &path, "tier.*.vm_type[].name", violations)
        else {
            continue;
        };
        let Some(vm_type) = vm_type_id(name, &format!("{path}.name"), violations) else {
            continue;
        };
        if found.iter().any(|other| other.vm_type == vm_type) {
            violations.push(Violation::new(
                format!("{path}.name"),
                format!("{name:?}"),
                "names a VM type that the tier has already",
                "remove one of the two",
            ));
        } else {
            found.push(facts.option(option, vm_type));
        }
    }
    found
}

fn service_model(entry: &Table, path: &str, violations: &mut Violations) -> Option<ServiceModel> {
    let mut read = |name: &str| {
        let pattern = format!("tier.*.service.{name}");
        needed(entry, name, path, &pattern, violations)?
            .as_integer()
            .and_then(|value| u64::try_from(value).ok())
    };
    let service_time_us = read("service_time_us");
    let p99_target_us = read("p99_target_us");
    Some(ServiceModel {
        service_time_us: service_time_us?,
        p99_target_us: p99_target_us?,
    })
}

fn volume(name: &str, entry: &Table, path: &str, violations: &mut Violations) -> Option<Volume> {
    let values = Section {
        table: Some(entry),
        pattern: "volume.*",
        specs: STACK_KEYS,
    };
    let name = tier_name(name, path, violations);
    let demand = series(entry, path, "volume.*.demand", violations);
    let price = needed(
        entry,
        "price_block_hour_usd",
        path,
        "volume.*.price_block_hour_usd",
        violations,
    )
    .and_then(shape::number_of);
    let (initial, most) = (
        values.whole_u32("blocks_initial"),
        values.whole_u32("blocks_max"),
    );
    if initial > most {
        violations.push(Violation::new(
            format!("{path}.blocks_initial"),
            initial,
            format!("is above blocks_max = {most}"),
            "raise blocks_max",
        ));
    }
    Some(Volume {
        name: name?,
        demand: demand?,
        block: Gib(values.whole("block_gib")),
        price_block_hour: MicroDollars::from_dollars(price?)?,
        cooldown: Seconds(values.whole_u32("cooldown_s")),
        blocks_max: most,
        blocks_initial: initial,
    })
}

fn link(entry: &Table, path: &str, violations: &mut Violations) -> Option<Link> {
    let values = Section {
        table: Some(entry),
        pattern: "link",
        specs: STACK_KEYS,
    };
    let demand = series(entry, path, "link.demand", violations);
    let mut options: Vec<LinkOption> = Vec::new();
    for (index, option) in list(entry, "option").into_iter().enumerate() {
        let path = format!("{path}.option[{index}]");
        let mut read = |name: &str| {
            let pattern = format!("link.option[].{name}");
            needed(option, name, &path, &pattern, violations).and_then(shape::number_of)
        };
        let (bandwidth, price) = (read("bandwidth_mbps"), read("price_per_hour_usd"));
        if let (Some(bandwidth), Some(price)) = (bandwidth, price) {
            options.push(LinkOption {
                bandwidth: Mbps(FixedValue::from_model(bandwidth).ceil_units()),
                price_per_hour: MicroDollars::from_dollars(price).unwrap_or_default(),
            });
        }
    }
    if options.is_empty() {
        violations.push(Violation::absent(
            format!("{path}.option"),
            "a link needs at least one option",
            format!("write: [[{path}.option]] with bandwidth_mbps and price_per_hour_usd below"),
        ));
    }
    let ascending = options
        .windows(2)
        .all(|pair| matches!(pair, [left, right] if left.bandwidth < right.bandwidth));
    let option_initial = values.whole_u32("option_initial");
    if !ascending || option_initial as usize >= options.len().max(1) {
        violations.push(Violation::new(
            format!("{path}.option"),
            format!("{} options, initial {option_initial}", options.len()),
            "must ascend in bandwidth, and option_initial must be one of them",
            "sort the options and count option_initial from 0",
        ));
    }
    Some(Link {
        demand: demand?,
        options,
        hold: Seconds(values.whole_u32("hold_s")),
        option_initial,
    })
}

/// Reads `VM type/metric`.
fn series(
    entry: &Table,
    path: &str,
    pattern: &str,
    violations: &mut Violations,
) -> Option<SeriesKey> {
    let text = needed_text(entry, "demand", path, pattern, violations)?;
    let parsed = text.rsplit_once('/').and_then(|(vm_type, metric)| {
        Some(SeriesKey {
            vm_type: VmTypeId::new(vm_type).ok()?,
            metric: MetricName::new(metric).ok()?,
        })
    });
    if parsed.is_none() {
        violations.push(Violation::new(
            format!("{path}.demand"),
            format!("{text:?}"),
            "must be `VM type/metric` as the trace names them",
            "for example: demand = \"web/requests\"",
        ));
    }
    parsed
}

fn needed<'a>(
    entry: &'a Table,
    name: &str,
    path: &str,
    pattern: &str,
    violations: &mut Violations,
) -> Option<&'a Value> {
    let value = entry.get(name);
    if value.is_none() {
        let key = join(path, name);
        let hint = keys::find(STACK_KEYS, pattern)
            .map(|spec: KeySpec| format!("write: {}", shape::example_line(&key, spec)))
            .unwrap_or_default();
        violations.push(Violation::absent(key, "is needed", hint));
    }
    value
}

fn needed_text<'a>(
    entry: &'a Table,
    name: &str,
    path: &str,
    pattern: &str,
    violations: &mut Violations,
) -> Option<&'a str> {
    needed(entry, name, path, pattern, violations).and_then(Value::as_str)
}

fn vm_type_id(name: &str, path: &str, violations: &mut Violations) -> Option<VmTypeId> {
    match VmTypeId::new(name) {
        Ok(id) => Some(id),
        Err(error) => {
            violations.push(Violation::new(
                path,
                quoted(name),
                error.to_string(),
                "for example: \"c7g.large\"",
            ));
            None
        }
    }
}

fn tier_name(name: &str, path: &str, violations: &mut Violations) -> Option<TierName> {
    match TierName::new(name) {
        Ok(id) => Some(id),
        Err(error) => {
            violations.push(Violation::new(
                path,
                quoted(name),
                error.to_string(),
                "rename the table",
            ));
            None
        }
    }
}

fn entries<'a>(table: &'a Table, name: &str) -> Vec<(&'a str, &'a Table)> {
    subtable(table, name)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_table()?)))
        .collect()
}

fn list<'a>(table: &'a Table, name: &str) -> Vec<&'a Table> {
    table
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table)
        .collect()
}
