//! Results by formula: exact where theory has them, else approximations that say so.
//!
//! Recursions are chosen so that every term is positive, which keeps the digits; quantiles are roots of
//! exact distributions. What stands under an `approximate` name is an approximation from the literature.

pub mod approximate;
pub mod closed;
pub mod finite;
pub mod fork_join;
mod inversion;
pub mod jackson;
pub mod many;
mod poisson;
pub mod priority;
pub mod renewal;
mod root;
pub mod single;

use thiserror::Error;

/// Why a model has no answer.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum AnalyticError {
    /// A parameter is out of its range.
    #[error("{name} is {value}; give {rule}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// Its value.
        value: f64,
        /// What it must be.
        rule: &'static str,
    },
    /// More work arrives than can be served.
    #[error(
        "{name} has a utilisation of {utilisation}, which must be less than 1; give fewer arrivals, faster service or more servers"
    )]
    Unstable {
        /// Name of the station.
        name: String,
        /// Offered work per server.
        utilisation: f64,
    },
    /// The computation would take too long.
    #[error("{name} of {value} asks for more work than the limit of {limit}; give a smaller one")]
    TooLarge {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Largest that is solved.
        limit: f64,
    },
}

impl AnalyticError {
    pub(crate) fn parameter(name: &str, value: f64, rule: &'static str) -> Self {
        Self::Parameter {
            name: name.to_owned(),
            value,
            rule,
        }
    }
}

/// Returns `value` when it is positive and finite.
pub(crate) fn positive(name: &str, value: f64) -> Result<f64, AnalyticError> {
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(AnalyticError::parameter(
            name,
            value,
            "a positive finite number",
        ))
    }
}

/// Returns `utilisation` when it is less than one.
pub(crate) fn stable(name: &str, utilisation: f64) -> Result<f64, AnalyticError> {
    if utilisation < 1.0 {
        Ok(utilisation)
    } else {
        Err(AnalyticError::Unstable {
            name: name.to_owned(),
            utilisation,
        })
    }
}

#[cfg(test)]
mod tests;
