//! Policies and stacks as clients send and see them: the words of the configuration files, as TOML or JSON.

use super::error::{ApiError, ErrorCode};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};
use twinscale_cluster_config::{ConfigError, PolicyFile, StackFile, policy_table, stack_table};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::stack::Stack;
use twinscale_protocol::{CustomerId, Seconds, SeriesKey};
use twinscale_twin::TwinConfig;
use utoipa::ToSchema;

/// Keys of a stack's document that belong to the twin and not to the stack.
const INTERVAL_KEY: &str = "interval_s";
const HORIZON_KEY: &str = "horizon_steps";

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Path of the key.
    pub key: String,
    /// What stood there, as TOML.
    pub from: Option<String>,
    /// What stands there then, as TOML.
    pub to: Option<String>,
}

/// Reads a body as a table: JSON where it says so or begins like an object, else TOML.
pub(crate) fn table_of(body: &[u8], content_type: Option<&str>) -> Result<Table, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        ApiError::invalid(format!("the body is no UTF-8: {error}"), "send text")
    })?;
    let is_json = content_type.is_some_and(|kind| kind.contains("json"))
        || (content_type.is_none_or(|kind| !kind.contains("toml"))
            && text.trim_start().starts_with('{'));
    if is_json {
        let json: Json = serde_json::from_str(text)
            .map_err(|error| ApiError::invalid(format!("the body is no JSON: {error}"), HINT))?;
        return Table::try_from(without_nulls(json))
            .map_err(|error| ApiError::invalid(format!("the body does not fit: {error}"), HINT));
    }
    text.parse::<Table>()
        .map_err(|error| ApiError::invalid(format!("the body is no TOML: {error}"), HINT))
}

const HINT: &str = "send the keys of docs/reference/config.md as TOML or JSON";

/// JSON says `null` where TOML says nothing.
fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Json::Array(values) => Json::Array(values.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Reads a customer's policy.
pub(crate) fn policy_of(customer: &CustomerId, table: Table) -> Result<Policy, ApiError> {
    let root = Table::from_iter([("customer".to_owned(), named(customer, table))]);
    let file = PolicyFile::from_table(&root, "the policy").map_err(|error| broken(&error))?;
    Ok(file.policy_of(customer).clone())
}

/// A stack with what belongs to the twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StackDocument {
    pub(crate) stack: Stack,
    pub(crate) interval: Option<Seconds>,
    pub(crate) horizon_steps: Option<u16>,
}

/// Reads a customer's stack; `[vm_type]` and `[tier_defaults]` may stand beside its tiers.
pub(crate) fn stack_of(customer: &CustomerId, mut table: Table) -> Result<StackDocument, ApiError> {
    let interval = whole(&mut table, INTERVAL_KEY)?.map(Seconds);
    let horizon_steps =
        whole(&mut table, HORIZON_KEY)?.map(|steps| u16::try_from(steps).unwrap_or(u16::MAX));
    let mut root = Table::new();
    for key in ["vm_type", "tier_defaults"] {
        if let Some(value) = table.remove(key) {
            root.insert(key.to_owned(), value);
        }
    }
    root.insert("customer".to_owned(), named(customer, table));
    let file = StackFile::from_table(&root, "the stack").map_err(|error| broken(&error))?;
    let stack = file
        .stated(customer)
        .cloned()
        .ok_or_else(|| ApiError::invalid("the stack has no tier", HINT))?;
    Ok(StackDocument {
        stack,
        interval,
        horizon_steps,
    })
}

/// The stack that follows from what a customer sends: one tier per VM type with a demand metric.
pub(crate) fn derived_stack(
    customer: &CustomerId,
    series: &BTreeSet<SeriesKey>,
    policy: &Policy,
) -> Result<Stack, ApiError> {
    let stack = StackFile::default().stack_of(customer, series, policy);
    if stack.tiers.is_empty() {
        return Err(ApiError::new(
            ErrorCode::Conflict,
            format!(
                "customer `{customer}` has no stack, and has sent no demand that one could be derived from"
            ),
            format!("PUT /v1/customers/{customer}/stack, or send samples of a demand metric first"),
        ));
    }
    Ok(stack)
}

/// The document of a twin's stack.
pub(crate) fn stack_document(config: &TwinConfig) -> Table {
    let mut table = stack_table(&config.stack);
    table.insert(
        INTERVAL_KEY.to_owned(),
        Value::from(i64::from(config.interval.0)),
    );
    table.insert(
        HORIZON_KEY.to_owned(),
        Value::from(i64::from(config.horizon_steps)),
    );
    table
}

/// What differs between two configurations, key by key.
pub(crate) fn changes(before: Option<&TwinConfig>, after: &TwinConfig) -> Vec<Change> {
    let flat = |config: &TwinConfig| {
        let mut keys = BTreeMap::new();
        flatten(
            "policy",
            &Value::from(policy_table(&config.policy)),
            &mut keys,
        );
        flatten("stack", &Value::from(stack_document(config)), &mut keys);
        keys
    };
    let before = before.map(flat).unwrap_or_default();
    let after = flat(after);
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Change {
            key: key.clone(),
            from: before.get(key).cloned(),
            to: after.get(key).cloned(),
        })
        .collect()
}

fn flatten(path: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(&format!("{path}.{name}"), value, keys);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, keys);
            }
        }
        other => {
            keys.insert(path.to_owned(), other.to_string());
        }
    }
}

fn named(customer: &CustomerId, table: Table) -> Value {
    Value::Table(Table::from_iter([(
        customer.to_string(),
        Value::Table(table),
    )]))
}

fn whole(table: &mut Table, key: &str) -> Result<Option<u32>, ApiError> {
    let Some(value) = table.remove(key) else {
        return Ok(None);
    };
    let number = value
        .as_integer()
        .and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        ApiError::invalid(
            format!("{key} = {value} is no whole number of zero or more"),
            "for example: interval_s = 300, horizon_steps = 24",
        )
    })
}

pub(crate) fn broken(error: &ConfigError) -> ApiError {
    ApiError::invalid(error.to_string(), HINT)
}
