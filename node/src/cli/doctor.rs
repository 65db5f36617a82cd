//! `twinscale doctor`: the preflight of a node.

use super::run::SettingsArguments;
use crate::assembly::ForecastWeights;
use crate::console;
use crate::doctor::{CHECKS, Outcome, Patient, diagnose};
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::wall_clock::SystemWallClock;
use clap::Args;
use twinscale_log::SystemMonotonicClock;

/// Looks whether this machine can run a node with these settings.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DoctorArguments, quiet: bool) -> anyhow::Result<()> {
    let settings = arguments.settings.read()?;
    let weights = ForecastWeights::load(arguments.settings.weights())?;
    let progress = Progress::start("doctor", CHECKS, quiet);
    let mut done = 0;
    let patient = Patient {
        settings: &settings,
        weights: &weights,
        wall: &SystemWallClock,
        clock: &SystemMonotonicClock::start(),
    };
    let diagnosis = diagnose(&patient, &mut |name| {
        progress.note(name);
        progress.at(done);
        done += 1;
    });
    drop(progress);
    if arguments.json {
        console::print(&format!("{}\n", serde_json::to_string_pretty(&diagnosis)?))?;
    } else {
        console::print(&diagnosis.to_string())?;
    }
    if diagnosis.outcome == Outcome::Failed {
        let failed = diagnosis.checks.iter();
        let failed: Vec<&str> = failed
            .filter(|check| check.outcome == Outcome::Failed)
            .map(|check| check.name)
            .collect();
        return Err(ExpectedError::Environment {
            context: format!("a node cannot run here: {}", failed.join(", ")),
            hint: "each failed line says what to do about it".to_owned(),
            source: None,
        }
        .into());
    }
    Ok(())
}
