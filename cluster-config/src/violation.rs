//! What is wrong with a configuration: every violation at once, each with a remedy.

use std::fmt;

/// One rule that a configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path of the key, such as `customer.acme.sla.level_min`.
    pub key: String,
    /// The value that stands there, or `(absent)`.
    pub value: String,
    /// The rule that it breaks, in words.
    pub rule: String,
    /// What to do about it.
    pub hint: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}: check the path and its permissions")]
    Read {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any sensible configuration.
    #[error("{file} has {bytes} bytes, at most {limit} are read: split it by customers")]
    TooLarge {
        /// Which file.
        file: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The text is no TOML.
    #[error("{file} is not valid TOML: {message}")]
    Syntax {
        /// Which file.
        file: String,
        /// Line, column and reason.
        message: String,
    },
    /// Rules are broken; all of them are listed.
    #[error("{}", list(file, violations))]
    Invalid {
        /// Which file, or what the configuration was made from.
        file: String,
        /// Everything that is wrong, in the order of the keys.
        violations: Vec<Violation>,
    },
}

/// Violations on their way to a [`ConfigError`].
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violation {
    /// Describes a value that breaks a rule.
    pub fn new(
        key: impl Into<String>,
        value: impl fmt::Display,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            rule: rule.into(),
            hint: hint.into(),
        }
    }

    /// Describes a key that is needed and not there.
    pub fn absent(
        key: impl Into<String>,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(key, "(absent)", rule, hint)
    }
}

impl Violations {
    pub(crate) fn push(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    pub(crate) fn names(&self, key: &str) -> bool {
        self.0.iter().any(|violation| violation.key == key)
    }

    /// Turns what was collected into an error, if there is any.
    pub(crate) fn into_result(self, file: &str) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut violations = self.0;
        violations.sort();
        violations.dedup();
        Err(ConfigError::Invalid {
            file: file.to_owned(),
            violations,
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            rule,
            hint,
        } = self;
        write!(f, "{key} = {value}: {rule}\n    hint: {hint}")
    }
}

fn list(file: &str, violations: &[Violation]) -> String {
    let mut text = match violations.len() {
        1 => format!("{file} breaks a rule:"),
        count => format!("{file} breaks {count} rules:"),
    };
    for violation in violations {
        text.push_str("\n  ");
        text.push_str(&violation.to_string());
    }
    text
}
