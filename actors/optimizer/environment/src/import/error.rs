//! Why a file cannot be imported.

use twinscale_cluster_config::ConfigError;

/// Why a file gives no model.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is no YAML.
    #[error("{file}:{line}: not valid YAML: {message}")]
    Syntax {
        /// Which file.
        file: String,
        /// Its line, counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// It is larger, deeper or wider than any deployment, aliases counted as what they stand for.
    #[error("{file}:{line}: more than {limit} {what}: import a part of it")]
    TooMuch {
        /// Which file.
        file: String,
        /// Where the limit is passed.
        line: usize,
        /// The limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A value is not what its key holds.
    #[error("{file}:{line}: {path} is {found}, and must be {wanted}")]
    Wrong {
        /// Which file.
        file: String,
        /// Its line, counted from 1.
        line: usize,
        /// The key.
        path: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// Nothing in it is a tier.
    #[error("{file} has nothing to model: {hint}")]
    Empty {
        /// Which file.
        file: String,
        /// What would be.
        hint: &'static str,
    },
    /// What was made of it breaks a rule of models.
    #[error(transparent)]
    Model(#[from] ConfigError),
}
