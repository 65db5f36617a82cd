//! Values in words, for tables.

use crate::console;
use serde::Serialize;

/// What is not known.
pub(super) const UNKNOWN: &str = "-";

/// The word that stands for a value in JSON, so that tables and programs have the same.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_unwritable) => UNKNOWN.to_owned(),
    }
}

pub(super) fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

/// A list with commas; a sign where there is none.
pub(super) fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() {
        UNKNOWN.to_owned()
    } else {
        values.join(",")
    }
}

/// A moment, such as `2026-11-24T21:03:05Z`.
pub(super) fn moment(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let found = jiff::Timestamp::from_second(seconds);
    found.map_or_else(|_too_far| UNKNOWN.to_owned(), |time| time.to_string())
}

/// A value with the name and version of its form.
#[derive(Serialize)]
struct Form<'a, T> {
    form: &'static str,
    #[serde(flatten)]
    content: &'a T,
}

/// Prints a value for programs.
pub(in crate::cli) fn print_json(
    form: &'static str,
    content: &impl Serialize,
) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&Form { form, content })?;
    console::print(&format!("{text}\n"))?;
    Ok(())
}
