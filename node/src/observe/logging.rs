//! Where the log of a process goes, and in which form.
//!
//! The log goes to standard error. Spans: `samples` (one customer's samples of a request), `turn`,
//! `forecast`, `plan` and `provider_call`, each logged with its outcome and duration when it ends. A field
//! that a client wrote is a checked, bounded name; bodies, policies and headers are never fields.

use crate::console;
use crate::error::ExpectedError;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which log is written, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArguments {
    /// How the log on standard error is written.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "TWINSCALE_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// What is logged, such as `info` or `warn,twinscale=debug`; goes before -v and --quiet.
    #[arg(long, global = true, value_name = "FILTER", env = "TWINSCALE_LOG")]
    pub log_filter: Option<String>,
}

/// Sends the log to standard error; what fails on the way is logged by who handles it.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(arguments: &LogArguments, quiet: bool, verbose: u8) -> Result<(), ExpectedError> {
    let filter = filter(arguments.log_filter.as_deref(), quiet, verbose)?;
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(|| console::LogWriter);
    // A second call in one process keeps the first one's choice.
    match arguments.log_format {
        LogFormat::Text => drop(format.with_target(false).try_init()),
        LogFormat::Json => drop(format.json().flatten_event(true).try_init()),
    }
    Ok(())
}

fn filter(given: Option<&str>, quiet: bool, verbose: u8) -> Result<EnvFilter, ExpectedError> {
    let Some(given) = given else {
        return Ok(EnvFilter::new(match (quiet, verbose) {
            // A peer that is away is told by membership once, and by consensus at every try; what stops a
            // group is told by the node itself.
            (true, _) => "error,openraft=off",
            (false, 0) => "warn,openraft=off",
            (false, 1) => "info,openraft=off",
            (false, _) => "debug",
        }));
    };
    EnvFilter::try_new(given).map_err(|error| ExpectedError::Input {
        context: format!("log filter `{given}` cannot be read"),
        hint: Some("write a level, or levels by target: warn,twinscale=debug".to_owned()),
        source: Some(Box::new(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_goes_before_the_flags_and_a_bad_one_is_named() {
        let text = |given, quiet, verbose| {
            filter(given, quiet, verbose)
                .map(|filter| filter.to_string())
                .map_err(|error| error.to_string())
        };
        for (quiet, verbose, level) in [(false, 0, "warn"), (true, 2, "error")] {
            let usual = text(None, quiet, verbose).expect("a filter");
            assert!(usual.split(',').any(|part| part == level), "{usual}");
            assert!(usual.contains("openraft=off"), "{usual}");
        }
        assert_eq!(text(Some("debug"), true, 0), Ok("debug".to_owned()));
        let refused = text(Some("twinscale=loud"), false, 0).expect_err("no level");
        assert!(refused.contains("twinscale=loud"), "{refused}");
    }
}
