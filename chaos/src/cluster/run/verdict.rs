//! What a run came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::super::availability::Availability;
use super::super::cloud::{FencingVerdict, VmVerdict};
use super::super::fabric::FabricKind;
use super::super::play::{Played, Repair};
use super::super::recovery::Recovery;
use super::super::register::RegisterVerdict;
use super::super::telemetry::TelemetryVerdict;

/// What was promised and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterVerdict {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// Root of all choices.
    pub seed: u64,
    /// Nodes, replicas of each shard, shards and twins.
    pub size: ClusterSize,
    /// What kind of network the nodes had.
    pub network: FabricKind,
    /// How long the faults took, in seconds.
    pub played_s: f64,
    /// What befell the cluster.
    pub played: Played,
    /// Compare-and-set registers.
    pub registers: RegisterVerdict,
    /// Samples.
    pub telemetry: TelemetryVerdict,
    /// Calls to the simulated cloud.
    pub fencing: FencingVerdict,
    /// VMs of the simulated cloud.
    pub vms: VmVerdict,
    /// How soon twins were answered again whose leader was struck, by kind of fault.
    pub fail_over: BTreeMap<&'static str, Recovery>,
    /// How much of the time twins were answered whose shard had a connected majority, by kind of fault.
    pub availability: BTreeMap<&'static str, Availability>,
    /// Whether every promise held.
    pub passed: bool,
}

/// How large a cluster was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterSize {
    /// Nodes.
    pub nodes: u16,
    /// Replicas of each shard.
    pub replication: u8,
    /// Shards.
    pub shards: u32,
    /// Twins.
    pub twins: u32,
}

impl ClusterVerdict {
    /// Whether every promise held, each check decided; what could not be had here is told and breaks none.
    pub(super) fn judge(mut self) -> Self {
        self.passed = self.registers.passed()
            && self.telemetry.passed()
            && self.fencing.passed()
            && self.vms.passed()
            && self.played.ended_by_themselves.is_empty()
            && self.telemetry.acknowledged > 0
            && self.registers.keys > 0
            && self.fencing.calls > 0;
        self
    }
}

impl fmt::Display for ClusterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClusterSize {
            nodes,
            replication,
            shards,
            twins,
        } = self.size;
        writeln!(
            f,
            "{nodes} nodes, replication {replication}, {shards} shards, {twins} twins; seed {}; {:.0} s of faults",
            self.seed, self.played_s
        )?;
        self.table(f)?;
        for repair in &self.played.repairs {
            let Repair {
                fault,
                damage,
                took_ms,
                bytes,
            } = repair;
            writeln!(
                f,
                "fault {fault}, store {damage:?}: made anew in {took_ms} ms, {bytes} bytes"
            )?;
        }
        for (kind, left) in &self.played.left_out {
            let kind = serde_json::to_string(kind).map_err(|_no_text| fmt::Error)?;
            writeln!(f, "left out: {} of {kind}: {}", left.count, left.because)?;
        }
        for (round, node) in &self.played.ended_by_themselves {
            writeln!(f, "node {node} ended by itself before round {round}")?;
        }
        self.promises(f)?;
        f.write_str(if self.passed { "passed" } else { "FAILED" })
    }
}

impl ClusterVerdict {
    /// Faults with their fail-over, of twins whose leader was struck, and availability.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18}{:>7}{:>10}{:>9}{:>9}{:>9}{:>11}{:>11}{:>10}",
            "FAULT",
            "COUNT",
            "FAILOVERS",
            "P50 MS",
            "P99 MS",
            "MAX MS",
            "UNANSWERED",
            "AVAILABLE",
            "GAP MS"
        )?;
        for (kind, one) in &self.fail_over {
            let available = self.availability.get(kind).copied().unwrap_or_default();
            writeln!(
                f,
                "{kind:<18}{:>7}{:>10}{:>9}{:>9}{:>9}{:>11}{:>10.3}%{:>10}",
                one.faults,
                one.answered + one.unanswered,
                one.p50_us / 1_000,
                one.p99_us / 1_000,
                one.max_us / 1_000,
                one.unanswered,
                available.share() * 100.0,
                available.longest / 1_000
            )?;
        }
        Ok(())
    }

    fn promises(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        for one in &registers.violations {
            writeln!(
                f,
                "  {}: {} where it could hold {:?}",
                one.key, one.operation, one.states
            )?;
        }
        let samples = &self.telemetry;
        writeln!(
            f,
            "samples: {} acknowledged; lost {}, doubled {}, altered {}, refused and there {}, never sent {}",
            samples.acknowledged,
            samples.lost.count,
            samples.doubled.count,
            samples.altered.count,
            samples.refused_stored.count,
            samples.foreign.count
        )?;
        let calls = &self.fencing;
        writeln!(
            f,
            "calls: {} under {} take-overs; stale ones refused {}, accepted {}; wrongly refused {}; not recorded {}",
            calls.calls,
            calls.taken_over,
            calls.refused_stale,
            calls.accepted_stale,
            calls.wrongly_refused,
            calls.unrecorded
        )?;
        let vms = &self.vms;
        writeln!(
            f,
            "VMs: {} started, {} run; doubled {}, without intent {}, leaked {}, missing {}, twins not at rest {}",
            vms.started,
            vms.running,
            vms.doubled,
            vms.without_intent,
            vms.leaked,
            vms.missing,
            vms.not_settled
        )?;
        for text in calls.violations.iter().chain(&vms.violations) {
            writeln!(f, "  {text}")?;
        }
        Ok(())
    }
}
