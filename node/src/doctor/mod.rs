//! The preflight: looks whether this machine can run a node with these settings, before one is started.
//!
//! Each check says what it found and, where that is not good, what to do. A failed check means that
//! `twinscale run` would not start or not keep its promises; a warning, that it would run worse than it
//! could. Nothing is changed: what a check writes it removes.

mod cluster;
mod forecast;
mod forecasters;
mod judge;
mod place;
mod probe;
#[cfg(test)]
mod tests;
mod weights;

pub use cluster::judge as judge_cluster;
pub use forecasters::judge as judge_forecasters;
pub use weights::judge as judge_weights;

use crate::assembly::ForecastWeights;
use crate::service::wall_clock::WallClock;
use serde::Serialize;
use std::fmt;
use twinscale_cluster_config::NodeSettings;
use twinscale_log::MonotonicClock;

/// Name and version of the JSON form.
const FORM: &str = "twinscale-doctor/1";

/// How many checks there are.
pub const CHECKS: u64 = 9;

/// How good what a check found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// A node would run, but worse than it could.
    Warned,
    /// A node would not start, or not keep its promises.
    Failed,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How good it is.
    pub outcome: Outcome,
    /// What was found, with its value and place.
    pub found: String,
    /// What to do about it; none when it is as it should be.
    pub remedy: Option<String>,
}

/// The whole list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Name and version of this form.
    pub form: &'static str,
    /// The worst outcome.
    pub outcome: Outcome,
    /// One per check, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// What is looked at.
#[derive(Debug)]
pub struct Patient<'a> {
    /// The settings that a node would run with.
    pub settings: &'a NodeSettings,
    /// Its weights.
    pub weights: &'a ForecastWeights,
    /// The time.
    pub wall: &'a dyn WallClock,
    /// How long something took.
    pub clock: &'a dyn MonotonicClock,
}

impl Check {
    fn passed(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Passed,
            found: found.into(),
            remedy: None,
        }
    }

    fn warned(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Warned,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            outcome: Outcome::Failed,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Makes all checks, one after the other; `begun` is told the name of each before it starts.
pub fn diagnose(patient: &Patient<'_>, begun: &mut dyn FnMut(&'static str)) -> Diagnosis {
    let settings = patient.settings;
    let mut checks = Vec::new();
    let mut make = |name: &'static str, check: &dyn Fn() -> Check| {
        begun(name);
        checks.push(check());
    };
    make("forecast", &|| {
        forecast::check(patient.weights, patient.clock)
    });
    make("data folder", &|| place::folder(&settings.data_dir));
    make("disk sync", &|| {
        place::sync(&settings.data_dir, patient.clock)
    });
    make("disk room", &|| place::room(&settings.data_dir));
    make("address", &|| probe::address(settings.listen));
    make("clock", &|| judge::clock(patient.wall.now()));
    make("open files", &|| {
        probe::open_files(settings.connections_max)
    });
    make("processors", &|| {
        probe::processors(settings.compute_threads)
    });
    make("memory", &|| probe::memory(settings.series_max));
    Diagnosis::of(checks)
}

impl Diagnosis {
    /// The list of checks that were made, with the worst outcome.
    pub fn of(checks: Vec<Check>) -> Self {
        let outcomes = checks.iter().map(|check| check.outcome);
        Self {
            form: FORM,
            outcome: outcomes.max().unwrap_or(Outcome::Passed),
            checks,
        }
    }

    /// The list with more checks behind it.
    #[must_use]
    pub fn with(mut self, checks: Vec<Check>) -> Self {
        self.checks.extend(checks);
        Self::of(self.checks)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "[ok]  ",
            Self::Warned => "[warn]",
            Self::Failed => "[FAIL]",
        })
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .checks
            .iter()
            .map(|check| check.name.len())
            .max()
            .unwrap_or(0);
        for check in &self.checks {
            writeln!(
                f,
                "{} {:width$}  {}",
                check.outcome, check.name, check.found
            )?;
            if let Some(remedy) = &check.remedy {
                writeln!(f, "       {:width$}  -> {remedy}", "")?;
            }
        }
        let count = |outcome| {
            let same = self.checks.iter().filter(|check| check.outcome == outcome);
            same.count()
        };
        writeln!(
            f,
            "\n{} checks: {} passed, {} warned, {} failed",
            self.checks.len(),
            count(Outcome::Passed),
            count(Outcome::Warned),
            count(Outcome::Failed)
        )
    }
}
