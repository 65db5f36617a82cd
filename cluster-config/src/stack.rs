//! Stacks: which tiers a customer runs and which VM types may serve them.

use crate::keys::{STACK_KEYS, TIER_DEFAULT_KEYS, VM_TYPE_KEYS};
use crate::load::parse_toml;
use crate::policy::customer_id;
use crate::read::merged;
use crate::shape::{self, join, quoted};
use crate::tier::{Facts, build_stack};
use crate::violation::{ConfigError, Violations};
use std::collections::{BTreeMap, BTreeSet};
use toml::Table;
use twinscale_protocol::metric::{self, MetricRole, VmDemand};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::{Stack, Tier, TierVmType};
use twinscale_protocol::{CustomerId, SeriesKey, TierName, VmTypeId};

/// What a VM without a stated price costs, per vCPU and hour: m5 on demand in us-east-1, rounded.
pub const ASSUMED_USD_PER_VCPU_HOUR: f64 = 0.048;

/// Stacks of several customers, one for all others, and facts about VM types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackFile {
    default: Option<Stack>,
    customers: BTreeMap<CustomerId, Stack>,
    facts: Facts,
}

impl StackFile {
    /// Reads and checks a stack file: `[vm_type.NAME]`, `[tier_defaults]`, `[default]`,
    /// `[customer.NAME]`.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        Self::from_table(&parse_toml(text, file)?, file)
    }

    /// Checks a stack file that is parsed already; `file` names it in messages.
    ///
    /// # Errors
    /// As [`StackFile::parse`].
    pub fn from_table(root: &Table, file: &str) -> Result<Self, ConfigError> {
        let mut violations = Violations::default();
        let known = ["default", "customer", "tier_defaults", "vm_type"];
        shape::check_names(root, "", &known, &mut violations);
        let facts = facts_of(root, &mut violations);
        let specs = stack_specs();
        let empty = Table::new();
        let default = shape::table(root, "default", &mut violations).unwrap_or(&empty);
        shape::check_table(default, "default", &specs, &mut violations);
        let default_stack = build_stack(default, "default", &facts, &mut violations);
        let mut customers = BTreeMap::new();
        for (name, table) in shape::tables(root, "customer", &mut violations) {
            let path = join("customer", &quoted(name));
            let Some(customer) = customer_id(name, &path, &mut violations) else {
                continue;
            };
            shape::check_table(table, &path, &specs, &mut violations);
            let stack = build_stack(&merged(default, table), &path, &facts, &mut violations);
            customers.insert(customer, stack);
        }
        violations.into_result(file)?;
        let is_empty = default_stack.tiers.is_empty() && default_stack.volumes.is_empty();
        Ok(Self {
            default: (!is_empty).then_some(default_stack),
            customers,
            facts,
        })
    }

    /// Reads a customer's stack: its own, else the default, else one derived from its series.
    ///
    /// A derived stack has one tier per VM type with a demand metric, served by that VM type alone:
    /// `vm_count` where there is one, else the first demand metric that the policy maps.
    pub fn stack_of(
        &self,
        customer: &CustomerId,
        series: &BTreeSet<SeriesKey>,
        policy: &Policy,
    ) -> Stack {
        self.customers
            .get(customer)
            .or(self.default.as_ref())
            .cloned()
            .unwrap_or_else(|| self.derive(series, policy))
    }

    /// Reads the stack that the file states for a customer, by name or by default.
    pub fn stated(&self, customer: &CustomerId) -> Option<&Stack> {
        self.customers.get(customer).or(self.default.as_ref())
    }

    /// Lists the customers that the file names.
    pub fn customers(&self) -> impl Iterator<Item = &CustomerId> {
        self.customers.keys()
    }

    fn derive(&self, series: &BTreeSet<SeriesKey>, policy: &Policy) -> Stack {
        let mut chosen: BTreeMap<&VmTypeId, &SeriesKey> = BTreeMap::new();
        for key in series.iter().filter(|key| rank(key, policy).is_some()) {
            let best = chosen.entry(&key.vm_type).or_insert(key);
            if rank(key, policy) < rank(best, policy) {
                *best = key;
            }
        }
        let tiers = chosen
            .into_values()
            .enumerate()
            .filter_map(|(index, key)| self.derived_tier(index, key))
            .collect();
        Stack {
            tiers,
            volumes: Vec::new(),
            link: None,
        }
    }

    fn derived_tier(&self, index: usize, key: &SeriesKey) -> Option<Tier> {
        // Both alphabets are the same today; the number keeps this total should they part.
        let name = TierName::new(key.vm_type.as_str())
            .or_else(|_| TierName::new(format!("tier-{index}")))
            .ok()?;
        Some(self.facts.tier(
            name,
            key.clone(),
            vec![self.facts.vm_type(key.vm_type.clone())],
        ))
    }
}

/// How well a series suits as its VM type's demand; lower is better, `None` = not at all.
fn rank(key: &SeriesKey, policy: &Policy) -> Option<u8> {
    let spec = metric::find(&key.metric).ok()?;
    match (spec.role, spec.vm_demand) {
        (MetricRole::Demand, VmDemand::Direct) => Some(0),
        (MetricRole::Demand, VmDemand::PerCapacity) => {
            Some(if policy.metrics.contains_key(&key.metric) {
                1
            } else {
                2
            })
        }
        _ => None,
    }
}

/// Lists the VM types of a stack whose price is assumed, each once.
pub fn assumed_prices(stack: &Stack) -> Vec<&TierVmType> {
    let mut found: BTreeMap<&VmTypeId, &TierVmType> = BTreeMap::new();
    for option in stack.tiers.iter().flat_map(|tier| &tier.vm_types) {
        if option.price_assumed {
            found.entry(&option.vm_type).or_insert(option);
        }
    }
    found.into_values().collect()
}

fn facts_of(root: &Table, violations: &mut Violations) -> Facts {
    if let Some(table) = shape::table(root, "tier_defaults", violations) {
        shape::check_table(table, "tier_defaults", TIER_DEFAULT_KEYS, violations);
    }
    for (name, table) in shape::tables(root, "vm_type", violations) {
        let path = join("vm_type", &quoted(name));
        shape::check_table(table, &path, VM_TYPE_KEYS, violations);
    }
    Facts::new(root, violations)
}

/// All keys of a stack: its own, and those that may override a default in a tier or a tier's VM type.
fn stack_specs() -> Vec<crate::keys::KeySpec> {
    let mut specs = STACK_KEYS.to_vec();
    specs.extend(crate::keys::nested_specs());
    specs
}
