//! Reads values of a table whose shape has been checked; what is absent or bad has the key's default.

use crate::keys::{self, KeySpec};
use crate::shape::number_of;
use toml::{Table, Value};

/// A table with the registry that describes it and its place in both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) table: Option<&'a Table>,
    pub(crate) pattern: &'a str,
    pub(crate) specs: &'a [KeySpec],
}

impl Section<'_> {
    /// The value that stands there, or the default.
    fn value(&self, name: &str) -> Option<Value> {
        self.table
            .and_then(|table| table.get(name))
            .cloned()
            .or_else(|| self.default(name))
    }

    fn default(&self, name: &str) -> Option<Value> {
        let path = crate::shape::join(self.pattern, name);
        parse(keys::find(self.specs, &path)?.default?)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.as_str().map(str::to_owned)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name)
            .and_then(|value| value.as_bool())
            .unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        number_of(&self.value(name)?)
    }

    pub(crate) fn whole_u32(&self, name: &str) -> u32 {
        u32::try_from(self.whole(name)).unwrap_or(u32::MAX)
    }

    pub(crate) fn whole(&self, name: &str) -> u64 {
        self.value(name)
            .and_then(|value| value.as_integer())
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or_default()
    }
}

/// Parses a TOML value such as `300` or `"text"`.
fn parse(text: &str) -> Option<Value> {
    let table: Table = format!("value = {text}").parse().ok()?;
    table.get("value").cloned()
}

/// Lays `over` on top of `base`: tables are merged key by key, everything else is replaced.
pub(crate) fn merged(base: &Table, over: &Table) -> Table {
    let mut result = base.clone();
    for (name, value) in over {
        let value = match (base.get(name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => Value::Table(merged(below, above)),
            (_, other) => other.clone(),
        };
        result.insert(name.clone(), value);
    }
    result
}

/// Reads a subtable.
pub(crate) fn subtable<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    table.get(name).and_then(Value::as_table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_example_parses_and_fits() {
        for specs in [
            keys::POLICY_KEYS,
            keys::TIER_DEFAULT_KEYS,
            keys::VM_TYPE_KEYS,
            keys::STACK_KEYS,
            keys::NODE_KEYS,
            keys::CLUSTER_KEYS,
            keys::FORECASTER_KEYS,
        ] {
            for spec in specs {
                for text in spec.default.iter().chain([&spec.example]) {
                    let value = parse(text).unwrap_or_else(|| panic!("{}: {text}", spec.path));
                    assert!(
                        crate::shape::fits(&value, spec.kind),
                        "{}: {text}",
                        spec.path
                    );
                }
            }
        }
    }

    #[test]
    fn merging_keeps_what_the_upper_table_does_not_say() {
        let base: Table = "a = 1\n[t]\nx = 1\ny = 2".parse().expect("TOML");
        let over: Table = "[t]\nx = 3".parse().expect("TOML");
        let result = merged(&base, &over);
        assert_eq!(result.get("a"), Some(&Value::Integer(1)));
        let inner = subtable(&result, "t").expect("a table");
        assert_eq!(inner.get("x"), Some(&Value::Integer(3)));
        assert_eq!(inner.get("y"), Some(&Value::Integer(2)));
    }
}
