//! Parameters of a case, read with errors that name value and remedy.

use crate::cases::CaseError;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Parameters of a case or of a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Params<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map }
    }

    /// Value under the first of the `names` that is there, with that name.
    pub(crate) fn find(self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names
            .iter()
            .find_map(|name| self.map.get(*name).map(|value| (*name, value)))
    }

    pub(crate) fn has(self, names: &[&'static str]) -> bool {
        self.find(names).is_some()
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.map.iter()
    }

    /// Parameters that are an object under `name`.
    pub(crate) fn part(self, name: &'static str) -> Option<Self> {
        match self.map.get(name) {
            Some(Value::Object(map)) => Some(Self { map }),
            _ => None,
        }
    }

    /// A finite number, when it is there.
    pub(crate) fn number(self, names: &[&'static str]) -> Result<Option<f64>, CaseError> {
        self.find(names)
            .map(|(name, value)| finite(name, value))
            .transpose()
    }

    /// A positive number, when it is there.
    pub(crate) fn positive(self, names: &[&'static str]) -> Result<Option<f64>, CaseError> {
        self.find(names)
            .map(|(name, value)| positive(name, value))
            .transpose()
    }

    /// A positive number that must be there.
    pub(crate) fn need_positive(self, names: &[&'static str]) -> Result<f64, CaseError> {
        self.positive(names)?.ok_or_else(|| missing(names))
    }

    /// A whole number of at least one and at most `most`, when it is there.
    pub(crate) fn count(self, names: &[&'static str], most: u32) -> Result<Option<u32>, CaseError> {
        self.find(names)
            .map(|(name, value)| count(name, value, most))
            .transpose()
    }

    /// Positive numbers: a list, or one number as a list of one.
    pub(crate) fn positives(self, names: &[&'static str]) -> Result<Option<Vec<f64>>, CaseError> {
        self.list(names, positive)
    }

    /// Whole numbers: a list, or one number as a list of one.
    pub(crate) fn counts(
        self,
        names: &[&'static str],
        most: u32,
    ) -> Result<Option<Vec<u32>>, CaseError> {
        self.list(names, |name, value| count(name, value, most))
    }

    /// A list read value by value, or one value as a list of one.
    pub(crate) fn list<T>(
        self,
        names: &[&'static str],
        read: impl Fn(&str, &Value) -> Result<T, CaseError>,
    ) -> Result<Option<Vec<T>>, CaseError> {
        let Some((name, value)) = self.find(names) else {
            return Ok(None);
        };
        let list = match value {
            Value::Array(list) if list.is_empty() || list.len() > LIST_MAX => {
                return Err(CaseError::Value {
                    name: name.to_owned(),
                    value: format!("a list of {}", list.len()),
                    remedy: "a list of 1 to 10,000 numbers",
                });
            }
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let numbered = list.len() > 1;
        (1..)
            .zip(list)
            .map(|(place, value)| {
                if numbered {
                    read(&format!("{name}[{place}]"), value)
                } else {
                    read(name, value)
                }
            })
            .collect::<Result<Vec<T>, CaseError>>()
            .map(Some)
    }
}

/// Longest list of a parameter.
const LIST_MAX: usize = 10_000;

pub(crate) fn missing(names: &[&'static str]) -> CaseError {
    CaseError::Missing {
        name: names.join(" or "),
        remedy: "it in params",
    }
}

pub(crate) fn finite(name: &str, value: &Value) -> Result<f64, CaseError> {
    value
        .as_f64()
        .filter(|number| number.is_finite())
        .ok_or_else(|| CaseError::Value {
            name: name.to_owned(),
            value: shown(value),
            remedy: "a finite number",
        })
}

pub(crate) fn positive(name: &str, value: &Value) -> Result<f64, CaseError> {
    let number = finite(name, value)?;
    if (1e-30..1e30).contains(&number) {
        return Ok(number);
    }
    Err(CaseError::Value {
        name: name.to_owned(),
        value: shown(value),
        remedy: "a positive number from 1e-30 to 1e30",
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number within the bounds"
)]
pub(crate) fn count(name: &str, value: &Value, most: u32) -> Result<u32, CaseError> {
    let number = finite(name, value)?;
    if number >= 1.0 && number <= f64::from(most) && number.fract() <= 0.0 {
        return Ok(number as u32);
    }
    Err(CaseError::Value {
        name: name.to_owned(),
        value: shown(value),
        remedy: match most {
            64 => "a whole number from 1 to 64",
            4_096 => "a whole number from 1 to 4,096",
            100_000 => "a whole number from 1 to 100,000",
            _ => "a whole number from 1 to 1,000,000",
        },
    })
}

/// A value as an error shows it, cut short.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 {
        return text;
    }
    let start: String = text.chars().take(60).collect();
    format!("{start}…")
}

/// Puts the numbers that some writers put into JSON and JSON does not know (`NaN`, `Infinity`) in quotes,
/// so that only the case that holds one fails.
pub(crate) fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    // Quotes split the text into parts outside and inside of strings.
    let (mut inside, mut escaped, mut word) = (false, false, String::new());
    for letter in text.chars() {
        if !inside && (letter.is_ascii_alphabetic() || (letter == '-' && word.is_empty())) {
            word.push(letter);
            continue;
        }
        flush(&mut word, &mut out);
        out.push(letter);
        if letter == '"' && !escaped {
            inside = !inside;
        }
        escaped = letter == '\\' && !escaped;
    }
    flush(&mut word, &mut out);
    Cow::Owned(out)
}

fn flush(word: &mut String, out: &mut String) {
    match word.as_str() {
        "NaN" | "-NaN" | "Infinity" | "-Infinity" => {
            out.push('"');
            out.push_str(word);
            out.push('"');
        }
        _ => out.push_str(word),
    }
    word.clear();
}
