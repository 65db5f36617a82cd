//! Checked access to JSON values: every complaint names the key path, the value and the remedy.

use serde_json::{Map, Value};
use std::fmt::Display;

/// A value of a problem that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is {value}: {remedy}")]
pub struct ProblemError {
    /// Key path of the value, such as `tiers.web.delay_steps`.
    pub path: String,
    /// The value as given, shortened.
    pub value: String,
    /// What to do about it.
    pub remedy: String,
}

/// Longest value text in an error, in characters.
const VALUE_CHARS_MAX: usize = 60;

impl ProblemError {
    /// Complains about `value` at `path`.
    pub(crate) fn new(
        path: impl Into<String>,
        value: impl Display,
        remedy: impl Into<String>,
    ) -> Self {
        let value = value.to_string();
        let shown: String = value.chars().take(VALUE_CHARS_MAX).collect();
        let value = if shown.len() < value.len() {
            format!("{shown}...")
        } else {
            shown
        };
        Self {
            path: path.into(),
            value,
            remedy: remedy.into(),
        }
    }
}

/// A JSON value with its key path.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

/// Closed range that a number must lie in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Zero or more; the largest amount keeps sums far from losing digits.
pub(super) const AMOUNT: Bounds = Bounds {
    least: 0.0,
    most: 1e12,
};
/// Above zero.
pub(super) const POSITIVE: Bounds = Bounds {
    least: 1e-9,
    most: 1e12,
};

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    pub(super) fn fail(&self, remedy: impl Into<String>) -> ProblemError {
        ProblemError::new(self.path.clone(), self.value, remedy)
    }

    fn child_path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.as_object()?.get(key)?;
        Some(Node {
            path: self.child_path(key),
            value,
        })
    }

    pub(super) fn get(&self, key: &str) -> Result<Node<'a>, ProblemError> {
        self.object()?;
        self.find(key)
            .ok_or_else(|| ProblemError::new(self.child_path(key), "missing", "add this key"))
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ProblemError> {
        self.value
            .as_object()
            .ok_or_else(|| self.fail("give an object"))
    }

    pub(super) fn members(&self, most: usize) -> Result<Vec<(&'a str, Node<'a>)>, ProblemError> {
        let object = self.object()?;
        if object.len() > most {
            let found = format!("{} members", object.len());
            return Err(ProblemError::new(
                self.path.clone(),
                found,
                format!("give at most {most}"),
            ));
        }
        Ok(object
            .iter()
            .map(|(key, value)| {
                (
                    key.as_str(),
                    Node {
                        path: self.child_path(key),
                        value,
                    },
                )
            })
            .collect())
    }

    pub(super) fn items(&self, count: usize) -> Result<Vec<Node<'a>>, ProblemError> {
        let items = self.list(count)?;
        if items.len() != count {
            let found = format!("{} items", items.len());
            return Err(ProblemError::new(
                self.path.clone(),
                found,
                format!("give {count}"),
            ));
        }
        Ok(items)
    }

    pub(super) fn list(&self, most: usize) -> Result<Vec<Node<'a>>, ProblemError> {
        let array = self
            .value
            .as_array()
            .ok_or_else(|| self.fail("give a list"))?;
        if array.len() > most {
            let found = format!("{} items", array.len());
            return Err(ProblemError::new(
                self.path.clone(),
                found,
                format!("give at most {most}"),
            ));
        }
        Ok(array
            .iter()
            .enumerate()
            .map(|(index, value)| Node {
                path: format!("{}[{index}]", self.path),
                value,
            })
            .collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ProblemError> {
        self.value.as_str().ok_or_else(|| self.fail("give a text"))
    }

    pub(super) fn number(&self, bounds: Bounds) -> Result<f64, ProblemError> {
        let number = self
            .value
            .as_f64()
            .ok_or_else(|| self.fail("give a number"))?;
        if number.is_finite() && number >= bounds.least && number <= bounds.most {
            return Ok(number);
        }
        Err(self.fail(format!(
            "give a number from {} to {}",
            bounds.least, bounds.most
        )))
    }

    pub(super) fn whole(&self, most: u64) -> Result<u64, ProblemError> {
        let whole = self.value.as_u64().filter(|whole| *whole <= most);
        whole.ok_or_else(|| self.fail(format!("give a whole number from 0 to {most}")))
    }

    pub(super) fn count(&self, most: u32) -> Result<u32, ProblemError> {
        let whole = self.whole(u64::from(most))?;
        u32::try_from(whole).map_err(|_above| self.fail("give a smaller number"))
    }

    pub(super) fn size(&self, most: usize) -> Result<usize, ProblemError> {
        let whole = self.whole(most as u64)?;
        usize::try_from(whole).map_err(|_above| self.fail("give a smaller number"))
    }

    pub(super) fn numbers(&self, count: usize) -> Result<Vec<f64>, ProblemError> {
        self.items(count)?
            .iter()
            .map(|item| item.number(AMOUNT))
            .collect()
    }

    /// Reads a list of `rows` lists of `columns` amounts, row-major.
    pub(super) fn table(&self, rows: usize, columns: usize) -> Result<Vec<f64>, ProblemError> {
        let mut table = Vec::with_capacity(rows * columns);
        for row in self.items(rows)? {
            table.extend(row.numbers(columns)?);
        }
        Ok(table)
    }
}
