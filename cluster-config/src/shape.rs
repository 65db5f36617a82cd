//! Checks a table's keys, kinds and ranges against the registry, and reports everything at once.

use crate::keys::{self, KeySpec, Kind};
use crate::violation::{Violation, Violations};
use toml::{Table, Value};

/// Most characters of a value that a message repeats.
const SHOWN_MAX: usize = 60;

/// A place in a file: the path as written and the pattern it matches in the registry.
#[derive(Clone, Debug, Default)]
struct Place {
    path: String,
    pattern: String,
}

impl Place {
    fn key(&self, name: &str, pattern: &str) -> Self {
        Self {
            path: join(&self.path, &quoted(name)),
            pattern: join(&self.pattern, pattern),
        }
    }
}

/// Checks every key below `table`; `path` is where the table stands in the file.
pub(crate) fn check_table(
    table: &Table,
    path: &str,
    specs: &[KeySpec],
    violations: &mut Violations,
) {
    let place = Place {
        path: path.to_owned(),
        pattern: String::new(),
    };
    walk(table, &place, specs, violations);
}

/// Reports the keys of a table that are none of `known`, with what was probably meant.
pub(crate) fn check_names(table: &Table, path: &str, known: &[&str], violations: &mut Violations) {
    for (name, value) in table {
        if !known.contains(&name.as_str()) {
            violations.push(unknown(&join(path, &quoted(name)), value, name, known));
        }
    }
}

/// Reads a key as a table of tables (such as `customer`), reporting what is none.
pub(crate) fn tables<'a>(
    root: &'a Table,
    name: &str,
    violations: &mut Violations,
) -> Vec<(&'a str, &'a Table)> {
    let Some(value) = root.get(name) else {
        return Vec::new();
    };
    let Value::Table(entries) = value else {
        violations.push(wrong_kind(name, value, "a table of names"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (entry, value) in entries {
        match value {
            Value::Table(table) => found.push((entry.as_str(), table)),
            other => violations.push(wrong_kind(&join(name, &quoted(entry)), other, "a table")),
        }
    }
    found
}

/// Reads a key as a table, reporting what is none.
pub(crate) fn table<'a>(
    root: &'a Table,
    name: &str,
    violations: &mut Violations,
) -> Option<&'a Table> {
    match root.get(name) {
        None => None,
        Some(Value::Table(table)) => Some(table),
        Some(other) => {
            violations.push(wrong_kind(name, other, "a table"));
            None
        }
    }
}

/// Joins two parts of a path.
pub fn join(left: &str, right: &str) -> String {
    if left.is_empty() {
        right.to_owned()
    } else {
        format!("{left}.{right}")
    }
}

/// Quotes a name where TOML asks for it.
pub fn quoted(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare {
        name.to_owned()
    } else {
        format!("\"{}\"", shortened(name))
    }
}

/// Shows a value on one short line.
pub fn shown(value: &Value) -> String {
    shortened(&value.to_string().replace('\n', " "))
}

fn walk(table: &Table, place: &Place, specs: &[KeySpec], violations: &mut Violations) {
    let children = children_of(specs, &place.pattern);
    for (name, value) in table {
        let named = if children.contains(&"*") {
            "*"
        } else {
            name.as_str()
        };
        let here = place.key(name, named);
        if let Some(spec) = keys::find(specs, &here.pattern) {
            check_value(value, &here.path, spec, violations);
        } else if children.contains(&named) {
            walk_table(value, &here, specs, violations);
        } else if children.contains(&format!("{named}[]").as_str()) {
            walk_list(value, &here, specs, violations);
        } else {
            let names: Vec<&str> = children.iter().map(|c| c.trim_end_matches("[]")).collect();
            violations.push(unknown(&here.path, value, name, &names));
        }
    }
}

fn walk_table(value: &Value, place: &Place, specs: &[KeySpec], violations: &mut Violations) {
    match value {
        Value::Table(table) => walk(table, place, specs, violations),
        other => violations.push(wrong_kind(&place.path, other, "a table")),
    }
}

fn walk_list(value: &Value, place: &Place, specs: &[KeySpec], violations: &mut Violations) {
    let Value::Array(entries) = value else {
        violations.push(wrong_kind(&place.path, value, "a list of tables"));
        return;
    };
    for (index, entry) in entries.iter().enumerate() {
        let here = Place {
            path: format!("{}[{index}]", place.path),
            pattern: format!("{}[]", place.pattern),
        };
        walk_table(entry, &here, specs, violations);
    }
}

/// The names that may follow a pattern, each once.
fn children_of<'a>(specs: &'a [KeySpec], pattern: &str) -> Vec<&'a str> {
    let mut children: Vec<&str> = specs
        .iter()
        .filter_map(|spec| {
            if pattern.is_empty() {
                Some(spec.path)
            } else {
                spec.path.strip_prefix(pattern)?.strip_prefix('.')
            }
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    children.sort_unstable();
    children.dedup();
    children
}

fn check_value(value: &Value, path: &str, spec: KeySpec, violations: &mut Violations) {
    if !fits(value, spec.kind) {
        violations.push(Violation::new(
            path,
            shown(value),
            format!("must be {}", describe(spec.kind)),
            format!("for example: {}", example_line(path, spec)),
        ));
    }
}

/// Writes the line that a file should have.
pub(crate) fn example_line(path: &str, spec: KeySpec) -> String {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    match table {
        "" => format!("{name} = {}", spec.example),
        table => format!("{name} = {} under [{table}]", spec.example),
    }
}

/// Says in words what a key holds.
pub(crate) fn describe(kind: Kind) -> String {
    match kind {
        Kind::Whole { min, max } if max == i64::MAX => format!("a whole number from {min}"),
        Kind::Whole { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::Word(words) => format!("one of \"{}\"", words.join("\", \"")),
        Kind::OneOf(numbers) => {
            let list: Vec<String> = numbers.iter().map(f64::to_string).collect();
            format!("one of {}", list.join(", "))
        }
        Kind::Text => "a text".to_owned(),
        Kind::Flag => "true or false".to_owned(),
    }
}

pub(crate) fn fits(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Whole { min, max } => value
            .as_integer()
            .is_some_and(|number| (min..=max).contains(&number)),
        Kind::Number { min, max } => {
            number_of(value).is_some_and(|number| (min..=max).contains(&number))
        }
        Kind::OneOf(numbers) => number_of(value)
            .is_some_and(|number| numbers.iter().any(|known| (known - number).abs() < 1e-9)),
        Kind::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Kind::Text => value.is_str(),
        Kind::Flag => value.is_bool(),
    }
}

/// Reads a number, whole or not.
pub(crate) fn number_of(value: &Value) -> Option<f64> {
    value
        .as_float()
        .or_else(|| value.as_integer().map(|whole| whole as f64))
}

fn unknown(path: &str, value: &Value, name: &str, known: &[&str]) -> Violation {
    let hint = match closest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Violation::new(path, shown(value), "unknown key", hint)
}

fn wrong_kind(path: &str, value: &Value, wanted: &str) -> Violation {
    Violation::new(
        path,
        shown(value),
        format!("must be {wanted}"),
        format!("write it as [{path}] with keys below"),
    )
}

/// The known name nearest to a typo, if one is near.
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(2);
    known
        .iter()
        .filter(|candidate| **candidate != "*")
        .map(|candidate| (edit_distance(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions and replacements between two names (Levenshtein).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // A name longer than any key cannot be near one; the cut bounds the work on hostile input.
    for (i, a) in left.chars().take(128).enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            *cell = replaced.min(*cell + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_MAX).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn a_far_name_has_no_nearest() {
        assert_eq!(
            closest("lvel_min", &["level_min", "level_max"]),
            Some("level_min")
        );
        assert_eq!(closest("colour", &["level_min", "level_max"]), None);
    }

    #[test]
    fn children_follow_names_and_lists() {
        let children = children_of(keys::STACK_KEYS, "tier.*");
        assert_eq!(children, ["demand", "service", "vm_type[]"]);
    }
}
