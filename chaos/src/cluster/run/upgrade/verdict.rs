//! What an upgrade came to, for people and as JSON.

use std::fmt;

use serde::Serialize;

use super::super::super::cloud::{FencingVerdict, VmVerdict};
use super::super::super::fabric::FabricKind;
use super::super::super::register::RegisterVerdict;
use super::super::super::telemetry::TelemetryVerdict;
use super::super::steady::Requests;
use super::super::verdict::ClusterSize;

/// What was promised and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct UpgradeVerdict {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// Root of all choices.
    pub seed: u64,
    /// Nodes, replicas of each shard, shards and twins.
    pub size: ClusterSize,
    /// What kind of network the nodes had.
    pub network: FabricKind,
    /// How long all steps took, in seconds.
    pub took_s: f64,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What should have been otherwise on the way.
    pub broken: Vec<String>,
    /// Notes: the kind that only the next program stores.
    pub notes: Notes,
    /// What came of requests that were sent again where that does no harm.
    pub requests: Requests,
    /// Compare-and-set registers.
    pub registers: RegisterVerdict,
    /// Samples.
    pub telemetry: TelemetryVerdict,
    /// Calls to the simulated cloud.
    pub fencing: FencingVerdict,
    /// VMs of the simulated cloud.
    pub vms: VmVerdict,
    /// Whether every promise held.
    pub passed: bool,
}

/// A step of an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// How long it took, in milliseconds: of a node, until it served and lagged no more.
    pub took_ms: u64,
}

/// Notes that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// Those that were acknowledged.
    pub acknowledged: u64,
    /// Those of them that are gone.
    pub lost: u64,
    /// Those that are there more than once.
    pub doubled: u64,
}

impl UpgradeVerdict {
    /// Whether every promise held, each check decided.
    pub(super) fn judge(mut self) -> Self {
        self.passed = self.broken.is_empty()
            && self.notes.acknowledged > 0
            && self.notes.lost == 0
            && self.notes.doubled == 0
            && self.requests.sent > 0
            && self.requests.failed == 0
            && self.registers.passed()
            && self.registers.keys > 0
            && self.telemetry.passed()
            && self.telemetry.acknowledged > 0
            && self.fencing.passed()
            && self.vms.passed();
        self
    }
}

impl fmt::Display for UpgradeVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = &self.size;
        writeln!(
            f,
            "{} nodes, replication {}, {} shards, {} twins; seed {}; {:.0} s",
            size.nodes, size.replication, size.shards, size.twins, self.seed, self.took_s
        )?;
        for step in &self.steps {
            writeln!(f, "{:>8} ms  {}", step.took_ms, step.what)?;
        }
        for text in &self.broken {
            writeln!(f, "BROKEN: {text}")?;
        }
        let requests = &self.requests;
        writeln!(
            f,
            "requests: {} sent, {} answered at once, {} after retries (at most {} attempts, slowest {} ms), {} failed",
            requests.sent,
            requests.at_once,
            requests.retried,
            requests.attempts_max,
            requests.slowest_ms,
            requests.failed
        )?;
        for text in &requests.failures {
            writeln!(f, "  {text}")?;
        }
        let notes = &self.notes;
        writeln!(
            f,
            "notes: {} acknowledged; lost {}, doubled {}",
            notes.acknowledged, notes.lost, notes.doubled
        )?;
        let registers = &self.registers;
        writeln!(
            f,
            "registers: {} operations ({} unknown) on {}: {} linearizable, {} not, {} undecided",
            registers.operations,
            registers.unknown,
            registers.keys,
            registers.linearizable,
            registers.violated,
            registers.undecided.len()
        )?;
        let samples = &self.telemetry;
        writeln!(
            f,
            "samples: {} acknowledged; lost {}, doubled {}, altered {}",
            samples.acknowledged, samples.lost.count, samples.doubled.count, samples.altered.count
        )?;
        let (calls, vms) = (&self.fencing, &self.vms);
        writeln!(
            f,
            "calls: {}, stale ones accepted {}; VMs: {} started, doubled {}, leaked {}, missing {}",
            calls.calls, calls.accepted_stale, vms.started, vms.doubled, vms.leaked, vms.missing
        )?;
        for text in calls.violations.iter().chain(&vms.violations) {
            writeln!(f, "  {text}")?;
        }
        f.write_str(if self.passed { "passed" } else { "FAILED" })
    }
}
