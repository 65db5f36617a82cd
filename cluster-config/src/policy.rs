//! Policies: what each customer wants.

use crate::keys::POLICY_KEYS;
use crate::load::parse_toml;
use crate::read::{Section, merged, subtable};
use crate::shape::{self, join, quoted};
use crate::violation::{ConfigError, Violation, Violations};
use std::collections::BTreeMap;
use toml::Table;
use twinscale_protocol::metric::{self, METRICS};
use twinscale_protocol::policy::{Limits, MetricMapping, Mode, Policy, Retention, Sla};
use twinscale_protocol::{
    CustomerId, FixedValue, MetricName, MicroDollars, PartsPerMillion, Seconds, VmCount,
};

/// Policies of several customers and one for all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    default: Policy,
    customers: BTreeMap<CustomerId, Policy>,
}

impl PolicyFile {
    /// Reads and checks a policy file: `[default]` and `[customer.NAME]`.
    ///
    /// A customer has the default's values wherever it says none itself.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        Self::from_table(&parse_toml(text, file)?, file)
    }

    /// Checks a policy file that is parsed already; `file` names it in messages.
    ///
    /// # Errors
    /// As [`PolicyFile::parse`].
    pub fn from_table(root: &Table, file: &str) -> Result<Self, ConfigError> {
        let mut violations = Violations::default();
        shape::check_names(root, "", &["default", "customer"], &mut violations);
        let empty = Table::new();
        let default = shape::table(root, "default", &mut violations).unwrap_or(&empty);
        let customers = shape::tables(root, "customer", &mut violations);
        check(default, "default", &mut violations);
        let default_policy = build(default, "default", &mut violations);
        let mut policies = BTreeMap::new();
        for (name, table) in customers {
            let path = join("customer", &quoted(name));
            let Some(customer) = customer_id(name, &path, &mut violations) else {
                continue;
            };
            check(table, &path, &mut violations);
            let policy = build(&merged(default, table), &path, &mut violations);
            policies.insert(customer, policy);
        }
        violations.into_result(file)?;
        Ok(Self {
            default: default_policy,
            customers: policies,
        })
    }

    /// Reads a customer's policy; the default's when the file does not name it.
    pub fn policy_of(&self, customer: &CustomerId) -> &Policy {
        self.customers.get(customer).unwrap_or(&self.default)
    }

    /// Lists the customers that the file names.
    pub fn customers(&self) -> impl Iterator<Item = &CustomerId> {
        self.customers.keys()
    }
}

impl Default for PolicyFile {
    /// Every customer has the documented defaults.
    fn default() -> Self {
        Self {
            default: build(&Table::new(), "default", &mut Violations::default()),
            customers: BTreeMap::new(),
        }
    }
}

/// Reads a customer's name, reporting what is none.
pub(crate) fn customer_id(
    name: &str,
    path: &str,
    violations: &mut Violations,
) -> Option<CustomerId> {
    CustomerId::new(name)
        .map_err(|error| {
            violations.push(Violation::new(
                path,
                quoted(name),
                error.to_string(),
                "name the table as the trace names the customer",
            ));
        })
        .ok()
}

/// Checks what stands in one table, and the names of its metrics.
fn check(table: &Table, path: &str, violations: &mut Violations) {
    shape::check_table(table, path, POLICY_KEYS, violations);
    let Some(metrics) = subtable(table, "metrics") else {
        return;
    };
    for name in metrics.keys() {
        let known = MetricName::new(name.as_str())
            .ok()
            .and_then(|metric| metric::find(&metric).ok());
        if known.is_none() {
            let names: Vec<&str> = METRICS.iter().map(|spec| spec.name).collect();
            let hint = shape::closest(name, &names).map_or_else(
                || format!("known are {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let key = join(&join(path, "metrics"), &quoted(name));
            violations.push(Violation::new(key, "(table)", "unknown metric", hint));
        }
    }
}

/// Makes a policy of a merged table and checks the rules between keys.
fn build(table: &Table, path: &str, violations: &mut Violations) -> Policy {
    let section = |name: &'static str| Section {
        table: if name.is_empty() {
            Some(table)
        } else {
            subtable(table, name)
        },
        pattern: name,
        specs: POLICY_KEYS,
    };
    let top = section("");
    let policy = Policy {
        mode: match top.text("mode").as_deref() {
            Some("observe") => Mode::Observe,
            Some("advise") => Mode::Advise,
            _ => Mode::Enforce,
        },
        sla: sla_of(section("sla")),
        budget_per_day: top
            .number("budget_per_day_usd")
            .and_then(MicroDollars::from_dollars),
        limits: limits_of(section("limits")),
        metrics: metrics_of(table, path, violations),
        retention: retention_of(section("retention")),
        search_evaluations: top.whole_u32("search_evaluations"),
    };
    check_between(&policy, path, violations);
    policy
}

fn sla_of(sla: Section<'_>) -> Sla {
    let share = |name| PartsPerMillion::from_share(sla.number(name).unwrap_or_default());
    Sla {
        level_min: share("level_min"),
        level_max: share("level_max"),
        risk_budget: share("risk_budget"),
        unserved_price_ratio: FixedValue::from_model(
            sla.number("unserved_price_ratio").unwrap_or_default(),
        ),
        under_provisioned_step_price_ratio: FixedValue::from_model(
            sla.number("under_provisioned_step_price_ratio")
                .unwrap_or_default(),
        ),
    }
}

fn limits_of(limits: Section<'_>) -> Limits {
    Limits {
        floor: VmCount(limits.whole_u32("floor")),
        ceiling: VmCount(limits.whole_u32("ceiling")),
        step_out_max: VmCount(limits.whole_u32("step_out_max")),
        step_in_max: VmCount(limits.whole_u32("step_in_max")),
        cooldown_out: Seconds(limits.whole_u32("cooldown_out_s")),
        cooldown_in: Seconds(limits.whole_u32("cooldown_in_s")),
    }
}

fn retention_of(retention: Section<'_>) -> Retention {
    Retention {
        raw: Seconds(retention.whole_u32("raw_s")),
        five_minutes: Seconds(retention.whole_u32("five_minutes_s")),
        one_hour: Seconds(retention.whole_u32("one_hour_s")),
    }
}

fn metrics_of(
    table: &Table,
    path: &str,
    violations: &mut Violations,
) -> BTreeMap<MetricName, MetricMapping> {
    let mut mappings = BTreeMap::new();
    let Some(metrics) = subtable(table, "metrics") else {
        return mappings;
    };
    for name in metrics.keys() {
        let Ok(metric) = MetricName::new(name.as_str()) else {
            continue;
        };
        let mapping = Section {
            table: subtable(metrics, name),
            pattern: "metrics.*",
            specs: POLICY_KEYS,
        };
        let Some(capacity) = mapping.number("capacity_per_vm") else {
            violations.push(Violation::absent(
                format!("{path}.metrics.{name}.capacity_per_vm"),
                "is needed where the metric is named",
                format!("write: capacity_per_vm = 25000.0 under [{path}.metrics.{name}]"),
            ));
            continue;
        };
        mappings.insert(
            metric,
            MetricMapping {
                capacity_per_vm: FixedValue::from_model(capacity),
                target_utilisation: PartsPerMillion::from_share(
                    mapping.number("target_utilisation").unwrap_or_default(),
                ),
            },
        );
    }
    mappings
}

/// Rules that take more than one key: what nothing could satisfy.
fn check_between(policy: &Policy, path: &str, violations: &mut Violations) {
    let mut rule = |keys: [&str; 2], value: String, broken: bool, text: String, hint: &str| {
        let [first, second] = keys.map(|key| join(path, key));
        // A key that is wrong by itself has been reported; comparing its default would mislead.
        if broken && !violations.names(&first) && !violations.names(&second) {
            violations.push(Violation::new(first, value, text, hint));
        }
    };
    let sla = &policy.sla;
    rule(
        ["sla.level_min", "sla.level_max"],
        sla.level_min.share().to_string(),
        sla.level_min > sla.level_max,
        format!("is above sla.level_max = {}", sla.level_max.share()),
        "raise level_max or lower level_min",
    );
    let least = PartsPerMillion(PartsPerMillion::ONE.0.saturating_sub(sla.level_max.0));
    rule(
        ["sla.risk_budget", "sla.level_max"],
        sla.risk_budget.share().to_string(),
        sla.risk_budget < least,
        format!(
            "nothing satisfies it: covering level_max = {} everywhere leaves a risk of {}",
            sla.level_max.share(),
            least.share()
        ),
        "raise risk_budget or level_max",
    );
    let limits = &policy.limits;
    rule(
        ["limits.floor", "limits.ceiling"],
        limits.floor.0.to_string(),
        limits.floor > limits.ceiling,
        format!("is above limits.ceiling = {}", limits.ceiling.0),
        "raise the ceiling or lower the floor",
    );
    let retention = &policy.retention;
    rule(
        ["retention.raw_s", "retention.five_minutes_s"],
        retention.raw.0.to_string(),
        retention.raw > retention.five_minutes,
        format!(
            "is longer than retention.five_minutes_s = {}",
            retention.five_minutes.0
        ),
        "keep coarser data at least as long as finer data",
    );
    rule(
        ["retention.five_minutes_s", "retention.one_hour_s"],
        retention.five_minutes.0.to_string(),
        retention.five_minutes > retention.one_hour,
        format!(
            "is longer than retention.one_hour_s = {}",
            retention.one_hour.0
        ),
        "keep coarser data at least as long as finer data",
    );
}
