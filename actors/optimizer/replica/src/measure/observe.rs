//! Watches containers that run: CPU time, what servers did, and what else the machine did.

use crate::config::{ServeStatus, TIER_PORT};
use crate::engine::CpuAccount;
use crate::plan::{ContainerSpec, Program};
use crate::serve::HttpConnection;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use twinscale_protocol::TierName;

/// A container that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) spec: ContainerSpec,
    pub(super) address: String,
    pub(super) account: CpuAccount,
}

/// What all containers had done at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// CPU seconds, in the order of the containers.
    pub(super) cpu_s: Vec<f64>,
    /// What servers did, by tier.
    pub(super) servers: BTreeMap<TierName, ServeStatus>,
    /// CPU time of the whole machine: busy and all, in ticks.
    machine: (f64, f64),
}

/// What happened between two snapshots, by tier.
#[derive(Clone, Debug, Default)]
pub(super) struct Between {
    pub(super) cpu_s: BTreeMap<TierName, f64>,
    pub(super) servers: BTreeMap<TierName, ServeStatus>,
    /// Share of the machine's CPU time that neither containers nor idleness had.
    pub(super) other_share: f64,
}

/// Reads the CPU accounts first and asks the servers after it, so that asking is not measured at the end.
pub(super) async fn snapshot(running: &[Running]) -> io::Result<Snapshot> {
    let accounts = running.iter().map(|one| one.account.seconds());
    let mut found = Snapshot {
        cpu_s: accounts.collect::<io::Result<_>>()?,
        machine: machine()?,
        ..Snapshot::default()
    };
    for one in running {
        if !matches!(one.spec.program, Program::Serve { .. }) {
            continue;
        }
        let address = format!("{}:{TIER_PORT}", one.address);
        let text = HttpConnection::connect(&address)
            .await?
            .get("/status")
            .await?;
        let status: ServeStatus = serde_json::from_slice(&text)?;
        let of_tier = found.servers.entry(one.spec.tier.clone()).or_default();
        add(of_tier, &status, 1.0);
    }
    Ok(found)
}

impl Snapshot {
    /// What has happened since an earlier one.
    pub(super) fn since(&self, before: &Self, running: &[Running]) -> Between {
        let mut found = Between::default();
        let mut all_s = 0.0;
        for ((one, now), then) in running.iter().zip(&self.cpu_s).zip(&before.cpu_s) {
            *found.cpu_s.entry(one.spec.tier.clone()).or_default() += now - then;
            all_s += now - then;
        }
        for (tier, now) in &self.servers {
            let mut status = now.clone();
            if let Some(then) = before.servers.get(tier) {
                add(&mut status, then, -1.0);
            }
            found.servers.insert(tier.clone(), status);
        }
        let ticks = self.machine.1 - before.machine.1;
        let busy = self.machine.0 - before.machine.0;
        let own = all_s * ticks_per_s();
        found.other_share = ((busy - own) / ticks.max(1.0)).max(0.0);
        found
    }
}

/// Adds or takes away what a server did.
fn add(to: &mut ServeStatus, status: &ServeStatus, sign: f64) {
    let sum = |left: u64, right: u64| {
        if sign > 0.0 {
            left + right
        } else {
            left.saturating_sub(right)
        }
    };
    for (class, visits) in &status.visits {
        let all = to.visits.entry(class.clone()).or_default();
        *all = sum(*all, *visits);
    }
    for (tier, calls) in &status.calls {
        let all = to.calls.entry(tier.clone()).or_default();
        *all = sum(*all, *calls);
    }
    for (class, burnt_s) in &status.burnt_s {
        *to.burnt_s.entry(class.clone()).or_default() += sign * burnt_s;
    }
    to.refused = sum(to.refused, status.refused);
    to.timed_out = sum(to.timed_out, status.timed_out);
    to.failed = sum(to.failed, status.failed);
    to.hits = sum(to.hits, status.hits);
    to.misses = sum(to.misses, status.misses);
}

fn ticks_per_s() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Busy and all ticks of the machine since its start.
fn machine() -> io::Result<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|number| number.parse().ok())
        .collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

/// Load average of the machine over the last minute.
pub(super) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first
        .and_then(|number| number.parse().ok())
        .unwrap_or(f64::NAN)
}
