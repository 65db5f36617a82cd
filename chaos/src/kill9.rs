//! Scenario: kill -9 of the ingesting process.

use crate::error::ChaosError;
use crate::rounds::{Rounds, ScenarioOptions};
use crate::verdict::Verdict;

/// Kills a worker `times` times during ingest and checks everything after each kill.
///
/// # Errors
/// [`ChaosError`] when the scenario cannot run; a broken promise is in the verdict.
pub fn run_kill9(options: &ScenarioOptions) -> Result<Verdict, ChaosError> {
    let scratch = tempfile::tempdir()
        .map_err(|error| ChaosError::io("create", "a scratch directory", error))?;
    let mut rounds = Rounds::new("kill9", options);
    for round in 0..options.times {
        // The blow is the kill that ends every round.
        rounds.strike(round, scratch.path(), &mut || Ok(()))?;
        rounds.audit(scratch.path())?;
        if rounds.is_violated() {
            break;
        }
    }
    Ok(rounds.finish())
}
