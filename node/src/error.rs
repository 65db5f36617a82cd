//! Mistakes and mishaps that a person can act on, with stable exit codes and a hint.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The documented exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a defect of this program
  2  the command line is wrong
  3  an input (file, value, policy) is wrong
  4  the environment failed (file system, memory, a missing file)
  5  nothing satisfies the policy or the problem
  6  a benchmark refuses to run, such as weights that have seen the scored samples
  130  ended by Ctrl-C or SIGINT under a live view (143 by SIGTERM)";

/// An error that is shown as what failed, with which value, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    /// An input is wrong.
    #[error("{context}")]
    Input {
        /// What failed, and where.
        context: String,
        /// What to do.
        hint: Option<String>,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A file could not be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The environment does not give what is needed.
    #[error("{context}")]
    Environment {
        /// What failed, and where.
        context: String,
        /// What to do.
        hint: String,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Nothing satisfies what was asked for.
    #[error("{context}")]
    Infeasible {
        /// What cannot be satisfied.
        context: String,
        /// What to do.
        hint: String,
    },
    /// A benchmark refuses to run.
    #[error("{context}")]
    Refused {
        /// Why.
        context: String,
        /// What to do.
        hint: String,
    },
    /// A person or another program ended the command.
    #[error("ended by signal {signal} before it was done")]
    Interrupted {
        /// The signal: 2 for SIGINT and Ctrl-C, 15 for SIGTERM.
        signal: u8,
    },
}

impl ExpectedError {
    /// Makes an input error from its cause.
    pub fn input(
        context: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Input {
            context: context.into(),
            hint: None,
            source: Some(Box::new(source)),
        }
    }

    /// Makes an input error with a hint.
    pub fn input_hint(context: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input {
            context: context.into(),
            hint: Some(hint.into()),
            source: None,
        }
    }

    /// Makes a file error.
    pub fn file(verb: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// Reads the exit code. An input that cannot even be reached is a matter of the environment.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { source, .. } if source.as_deref().is_some_and(is_out_of_reach) => 4,
            Self::Input { .. } => 3,
            Self::File { .. } | Self::Environment { .. } => 4,
            Self::Infeasible { .. } => 5,
            Self::Refused { .. } => 6,
            // As a shell tells of a command that a signal ended.
            Self::Interrupted { signal } => 128_u8.saturating_add(*signal),
        }
    }

    /// Reads the hint, if there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Input { hint, source, .. } => hint
                .as_deref()
                .or_else(|| io_causes(source.as_deref()?).find_map(file_hint)),
            Self::File { source, .. } => file_hint(source),
            Self::Environment { hint, .. }
            | Self::Infeasible { hint, .. }
            | Self::Refused { hint, .. } => Some(hint),
            Self::Interrupted { .. } => None,
        }
    }
}

/// The errors of the system at the root of an error.
fn io_causes<'a>(
    error: &'a (dyn std::error::Error + Send + Sync + 'static),
) -> impl Iterator<Item = &'a std::io::Error> {
    let first: &'a (dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).filter_map(|error| {
        let shared = error.downcast_ref::<Arc<std::io::Error>>();
        shared.map(Arc::as_ref).or_else(|| error.downcast_ref())
    })
}

/// Says whether a file was missing, closed to us, of another kind, or its disk takes nothing.
fn is_out_of_reach(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    use std::io::ErrorKind;
    io_causes(error).any(|error| {
        matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::IsADirectory
                | ErrorKind::NotADirectory
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
        )
    })
}

fn file_hint(source: &std::io::Error) -> Option<&'static str> {
    match source.kind() {
        std::io::ErrorKind::NotFound => Some("check the path; relative paths start where you are"),
        std::io::ErrorKind::PermissionDenied => Some("check who owns it and its mode"),
        std::io::ErrorKind::StorageFull => Some("free some space and run the command again"),
        std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("mount it for writing, or choose another folder")
        }
        _ => None,
    }
}

/// Renders any error with its causes and hint, and finds its exit code.
pub fn render(error: &anyhow::Error) -> (String, u8) {
    let expected = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<ExpectedError>());
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n  caused by: {cause}");
    }
    if let Some(hint) = expected.and_then(ExpectedError::hint) {
        let _written = write!(text, "\nhint: {hint}");
    }
    (text, expected.map_or(1, ExpectedError::exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_cause_hint_and_code() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = anyhow::Error::new(ExpectedError::file("read", Path::new("a.csv"), source))
            .context("backtest");
        let (text, code) = render(&error);
        assert_eq!(code, 4);
        assert!(
            text.contains("cannot read a.csv") && text.contains("hint: check the path"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_error_is_a_defect() {
        assert_eq!(render(&anyhow::anyhow!("odd")).1, 1);
    }
}
