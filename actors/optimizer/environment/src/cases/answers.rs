//! Results by formula, with what is approximate.

use serde_json::{Map, Value};

/// Keyed results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    values: Map<String, Value>,
    kinds: Map<String, Value>,
}

impl Answers {
    /// Adds an exact result; one without a value, such as a wait where nobody waits, is left out.
    pub(crate) fn exact(&mut self, key: &str, value: f64) {
        if value.is_finite() {
            self.values.insert(key.to_owned(), Value::from(value));
        }
    }

    /// Adds an exact list.
    pub(crate) fn exact_list(&mut self, key: &str, values: &[f64]) {
        self.values.insert(key.to_owned(), Value::from(values));
    }

    /// Adds a result of an approximation or a numerical method.
    pub(crate) fn other(&mut self, key: &str, value: f64, kind: &str) {
        if value.is_finite() {
            self.exact(key, value);
            self.kinds.insert(key.to_owned(), Value::from(kind));
        }
    }

    pub(crate) fn into_maps(self) -> (Map<String, Value>, Map<String, Value>) {
        (self.values, self.kinds)
    }
}
