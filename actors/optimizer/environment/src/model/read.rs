//! Reads a model file: everything that is wrong with it at once.

use crate::model::StackModel;
use crate::model::check::{self, SHARES};
use crate::model::shape::{Findings, VIOLATIONS_MAX, check_root};
use serde::Deserialize as _;
use toml::Value;
use twinscale_cluster_config::{ConfigError, Violation, parse_toml};

/// A model that keeps every rule, and what may still surprise.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedModel {
    /// The model.
    pub model: StackModel,
    /// What is allowed and probably not meant, or does not serve the stated load: in the order of the keys.
    pub warnings: Vec<Violation>,
}

/// Reads and checks the TOML text of one customer's stack; `file` names it in messages.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong at once, at most the first 200 violations.
pub fn read_model(text: &str, file: &str) -> Result<CheckedModel, ConfigError> {
    let mut table = parse_toml(text, file)?;
    let mut findings = Findings::default();
    check_root(&mut table, &mut findings);
    if findings.is_oversized {
        return Err(invalid(file, findings));
    }
    let model = StackModel::deserialize(Value::Table(table)).map_err(|error| {
        // What the repaired table cannot be read for was reported before; else the schema has a gap.
        if findings.violations.is_empty() {
            ConfigError::Syntax {
                file: file.to_owned(),
                message: error.to_string().trim_end().to_owned(),
            }
        } else {
            invalid(file, std::mem::take(&mut findings))
        }
    })?;
    let is_clean = findings.violations.is_empty();
    let checked = check::check(&model);
    for violation in checked.violations {
        // A sum of shares says nothing when an example stands in for one of them.
        let is_sum_of_wrong = violation.key == SHARES && findings.names_a(".share");
        if !is_sum_of_wrong && !findings.covers(&violation.key) {
            findings.push(violation);
        }
    }
    if !findings.violations.is_empty() {
        return Err(invalid(file, findings));
    }
    debug_assert!(is_clean, "a reported violation does not vanish");
    Ok(CheckedModel {
        model,
        warnings: checked.warnings,
    })
}

impl StackModel {
    /// Checks a model that was not read from a file.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every rule that its meaning breaks; ranges of single values are those of
    /// the file and are checked there.
    pub fn check(self, origin: &str) -> Result<CheckedModel, ConfigError> {
        let checked = check::check(&self);
        if checked.violations.is_empty() {
            return Ok(CheckedModel {
                model: self,
                warnings: checked.warnings,
            });
        }
        let mut findings = Findings::default();
        for violation in checked.violations {
            findings.push(violation);
        }
        Err(invalid(origin, findings))
    }

    /// Writes the model as the TOML text of a file; reading it gives the same model.
    #[expect(
        clippy::missing_panics_doc,
        reason = "every value of a model has a TOML form"
    )]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a model is made of tables, lists, texts, numbers and flags")
    }
}

fn invalid(file: &str, findings: Findings) -> ConfigError {
    let Findings {
        mut violations,
        left_off,
        ..
    } = findings;
    violations.sort();
    violations.dedup();
    if left_off > 0 {
        violations.push(Violation::new(
            "(more)",
            format!("{left_off} further violations"),
            format!("only the first {VIOLATIONS_MAX} are listed"),
            "mend these first",
        ));
    }
    ConfigError::Invalid {
        file: file.to_owned(),
        violations,
    }
}
