//! Checks a parsed file against the schema, and repairs it as it goes.
//!
//! A value that breaks its rule is reported and replaced by the key's example, an unknown key is reported and
//! removed. So a file with a wrong number can still be read, and what is wrong with its meaning is reported in
//! the same turn.

use crate::model::name::{LOWER_NAME_PATTERN, NAME_PATTERN};
use crate::model::schema::{self, Node, Shape};
use serde_json::Value as Json;
use toml::{Table, Value};
use twinscale_cluster_config::{Violation, closest, join, quoted, shown};
use twinscale_protocol::{TierName, ZoneName};

/// Most violations that one file is told; more help nobody, and hostile text could have millions.
pub(crate) const VIOLATIONS_MAX: usize = 200;

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    pub(crate) left_off: usize,
    /// A list or table is longer than allowed: what follows from its entries is not looked at.
    pub(crate) is_oversized: bool,
}

impl Findings {
    pub(crate) fn push(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        } else {
            self.left_off += 1;
        }
    }

    /// Says whether a key with this end is reported already.
    pub(crate) fn names_a(&self, end: &str) -> bool {
        let mut reported = self.violations.iter();
        reported.any(|violation| violation.key.ends_with(end))
    }

    /// Says whether a key, or the table that it stands in, is reported already.
    pub(crate) fn covers(&self, key: &str) -> bool {
        self.violations.iter().any(|violation| {
            key.strip_prefix(violation.key.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// Checks the root of a file and repairs it.
pub(crate) fn check_root(table: &mut Table, findings: &mut Findings) {
    walk_table(table, schema::root(), "", None, findings);
}

fn walk(value: &mut Value, schema: &'static Node, path: &str, findings: &mut Findings) {
    match (schema::shape(schema), &mut *value) {
        (Shape::Table, Value::Table(table)) => walk_table(table, schema, path, None, findings),
        (Shape::Names { pattern, entry }, Value::Table(table)) => {
            walk_names(table, pattern, entry, path, findings);
            let most = schema::limit(schema, "maxProperties");
            check_count(table.len(), None, most, path, findings);
        }
        (Shape::Tagged { tag, alternatives }, Value::Table(table)) => {
            let word = table.get(tag).and_then(Value::as_str).unwrap_or_default();
            match schema::alternative(alternatives, Some(tag), word) {
                Some(chosen) => walk_table(table, chosen, path, Some(tag), findings),
                None => repair(value, schema, path, findings),
            }
        }
        (Shape::List { item }, Value::Array(entries)) => {
            for (index, entry) in entries.iter_mut().enumerate() {
                walk(entry, item, &format!("{path}[{index}]"), findings);
            }
            let least = schema::limit(schema, "minItems");
            let most = schema::limit(schema, "maxItems");
            check_count(entries.len(), least, most, path, findings);
        }
        (shape, leaf) => {
            if !fits(leaf, shape) {
                repair(value, schema, path, findings);
            }
        }
    }
}

fn walk_table(
    table: &mut Table,
    schema: &'static Node,
    path: &str,
    tag: Option<&str>,
    findings: &mut Findings,
) {
    let known: Vec<(&str, &Node)> = schema::properties(schema).collect();
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    table.retain(|name, value| {
        let here = join(path, &quoted(name));
        match known.iter().find(|(known, _)| *known == name) {
            Some(_) if tag.is_some_and(|tag| tag == name) => true,
            Some((_, schema)) => {
                walk(value, schema, &here, findings);
                true
            }
            None => {
                findings.push(unknown(&here, value, name, &names));
                false
            }
        }
    });
    for name in schema::required(schema) {
        let Some((_, schema)) = known.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        if !table.contains_key(name) {
            let here = join(path, name);
            let rule = format!("is needed: {}", schema::describe(schema));
            findings.push(Violation::absent(&here, rule, hint(&here, schema)));
            table.insert(name.to_owned(), stand_in(schema));
        }
    }
}

fn walk_names(
    table: &mut Table,
    pattern: &str,
    entry: &'static Node,
    path: &str,
    findings: &mut Findings,
) {
    table.retain(|name, value| {
        let here = join(path, &quoted(name));
        if name_fits(name, pattern) {
            walk(value, entry, &here, findings);
            return true;
        }
        findings.push(Violation::new(
            here,
            shown(value),
            format!("its name must be {}", name_rule(pattern)),
            "choose another name",
        ));
        false
    });
}

fn check_count(
    count: usize,
    least: Option<f64>,
    most: Option<f64>,
    path: &str,
    findings: &mut Findings,
) {
    if most.is_some_and(|most| count as f64 > most) {
        findings.is_oversized = true;
        findings.push(Violation::new(
            path,
            format!("{count} entries"),
            format!("has at most {} entries", most.unwrap_or_default()),
            "describe a part of the stack, or put alike entries together",
        ));
    }
    if least.is_some_and(|least| (count as f64) < least) {
        findings.push(Violation::new(
            path,
            format!("{count} entries"),
            format!("has at least {} entries", least.unwrap_or_default()),
            "add an entry",
        ));
    }
}

/// Reports a value that breaks its rule, and puts the key's example in its place.
fn repair(value: &mut Value, schema: &'static Node, path: &str, findings: &mut Findings) {
    findings.push(Violation::new(
        path,
        shown(value),
        format!("must be {}", schema::describe(schema)),
        hint(path, schema),
    ));
    *value = stand_in(schema);
}

fn hint(path: &str, schema: &'static Node) -> String {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    match (schema::example(schema).and_then(to_toml), table) {
        (Some(example), "") => format!("for example: {name} = {example}"),
        (Some(example), table) => format!("for example: {name} = {example} under [{table}]"),
        (None, _) => format!("write it as [{path}] with keys below"),
    }
}

/// A value that the schema takes: the example, or a table of examples.
fn stand_in(schema: &'static Node) -> Value {
    if let Some(example) = schema::example(schema).and_then(to_toml) {
        return example;
    }
    match schema::shape(schema) {
        Shape::List { .. } => Value::Array(Vec::new()),
        Shape::Names { .. } => Value::Table(Table::new()),
        Shape::Tagged { tag, alternatives } => {
            let mut table = alternatives.first().map(schema::node).map_or_else(
                || Value::Table(Table::new()),
                |alternative| Value::Table(needed(alternative)),
            );
            let word = schema::words(alternatives, Some(tag));
            if let (Value::Table(table), Some(word)) = (&mut table, word.first()) {
                table.insert(tag.to_owned(), Value::String((*word).to_owned()));
            }
            table
        }
        _ => Value::Table(needed(schema)),
    }
}

fn needed(schema: &'static Node) -> Table {
    schema::properties(schema)
        .filter(|(name, _)| schema::required(schema).any(|required| required == *name))
        .map(|(name, schema)| (name.to_owned(), stand_in(schema)))
        .collect()
}

fn to_toml(value: &Json) -> Option<Value> {
    Value::try_from(value).ok()
}

fn fits(value: &Value, shape: Shape) -> bool {
    match shape {
        Shape::Word { alternatives } => value
            .as_str()
            .is_some_and(|word| schema::alternative(alternatives, None, word).is_some()),
        Shape::Name { pattern } => value.as_str().is_some_and(|name| name_fits(name, pattern)),
        Shape::Whole { min, max } => value
            .as_integer()
            .is_some_and(|number| (min..=max).contains(&(number as f64))),
        // Every comparison with NaN is false, so that no limit lets it through.
        Shape::Number { min, max } => value
            .as_float()
            .or_else(|| value.as_integer().map(|whole| whole as f64))
            .is_some_and(|number| (min..=max).contains(&number)),
        Shape::Flag => value.is_bool(),
        Shape::Table | Shape::Names { .. } | Shape::Tagged { .. } | Shape::List { .. } => false,
    }
}

/// The two patterns of the schema are the rules of the protocol's ids; those decide.
fn name_fits(name: &str, pattern: &str) -> bool {
    match pattern {
        NAME_PATTERN => TierName::new(name).is_ok(),
        LOWER_NAME_PATTERN => ZoneName::new(name).is_ok(),
        _ => true,
    }
}

fn name_rule(pattern: &str) -> &'static str {
    match pattern {
        LOWER_NAME_PATTERN => "1 to 63 of a-z, 0-9 and -",
        _ => "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    }
}

fn unknown(path: &str, value: &Value, name: &str, known: &[&str]) -> Violation {
    let hint = match closest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Violation::new(path, shown(value), "unknown key", hint)
}
