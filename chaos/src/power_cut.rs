//! Scenario: the power of the disk fails under the ingesting process.

use crate::error::ChaosError;
use crate::loop_disk::LoopDisk;
use crate::rounds::{Rounds, ScenarioOptions};
use crate::verdict::Verdict;

const SCENARIO: &str = "power-cut";

/// Cuts the power of an ext4 loop disk `times` times during ingest and checks after each mount.
///
/// The disk drops everything that was not synced, its own journal included.
///
/// # Errors
/// [`ChaosError::NeedsRoot`] without root; [`ChaosError`] when the scenario cannot run; a broken
/// promise is in the verdict.
pub fn run_power_cut(options: &ScenarioOptions) -> Result<Verdict, ChaosError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ChaosError::NeedsRoot { scenario: SCENARIO });
    }
    let mut disk = LoopDisk::create()?;
    let mut rounds = Rounds::new(SCENARIO, options);
    for round in 0..options.times {
        let directory = disk.mount_point().join("node");
        rounds.strike(round, &directory, &mut || disk.cut_power())?;
        disk.unmount()?;
        disk.mount()?;
        rounds.audit(&directory)?;
        if rounds.is_violated() {
            break;
        }
    }
    let verdict = rounds.finish();
    disk.remove()?;
    Ok(verdict)
}
