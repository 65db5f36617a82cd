//! Reads what a daemon counts anyway into its instruments, when somebody asks for the metrics.

use super::catalogue as metric;
use super::{Instruments, cluster};
use crate::service::api::readiness;
use crate::service::keeper::KeeperReport;
use crate::service::state::Service;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use twinscale_twin::{HostStatus, TwinOutline};

/// Twins are looked at no more often than this, however often somebody asks.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Twins that are looked at before other tasks have their turn: a look takes about a microsecond.
const LOOKS_AT_ONCE: usize = 256;

/// Reads what a daemon counts into its instruments.
#[derive(Debug, Default)]
pub struct Collector {
    instruments: Instruments,
    looked_at: Mutex<Option<Instant>>,
}

/// What is counted by looking at every twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct TwinCounts {
    active: u64,
    unconfigured: u64,
    quarantined: u64,
    stale: u64,
    open_intents: u64,
}

impl Collector {
    /// Collects into these instruments.
    pub fn new(instruments: Instruments) -> Self {
        Self {
            instruments,
            looked_at: Mutex::default(),
        }
    }

    /// Writes all metrics in Prometheus' text format.
    pub async fn scrape(&self, service: &Service) -> String {
        self.look_at_twins(service).await;
        self.read_process(service);
        self.read_health(service);
        self.read_ingest(service);
        self.read_turns(service.keeper().report());
        if let Some(figures) = service.figures() {
            cluster::enter(&figures.read(), &self.instruments);
        }
        self.instruments.render()
    }

    async fn look_at_twins(&self, service: &Service) {
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_PERIOD) {
            return;
        }
        let mut counts = TwinCounts::default();
        for customers in service.twins().customers().chunks(LOOKS_AT_ONCE) {
            for customer in customers {
                if let Some(outline) = service.twins().outline(customer) {
                    counts.look_at(&outline);
                }
            }
            tokio::task::yield_now().await;
        }
        let set = |state, count: u64| self.gauge(&metric::TWINS, &[state], count);
        set("active", counts.active);
        set("unconfigured", counts.unconfigured);
        set("quarantined", counts.quarantined);
        self.gauge(&metric::TWINS_STALE, &[], counts.stale);
        self.gauge(&metric::OPEN_INTENTS, &[], counts.open_intents);
        *looked_at = Some(Instant::now());
    }

    fn read_process(&self, service: &Service) {
        self.gauge(&metric::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
        let started_at = u64::try_from(service.started_at().0).unwrap_or_default();
        self.gauge(&metric::START_TIME, &[], started_at);
        if let Some(bytes) = resident_bytes() {
            self.gauge(&metric::RESIDENT_MEMORY, &[], bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.gauge(&metric::OPEN_FILES, &[], files.count() as u64);
        }
        let is_ready = readiness(service).ready;
        self.gauge(&metric::READY, &[], u64::from(is_ready));
        let is_writable = service.twins().status() == HostStatus::ReadWrite;
        self.gauge(&metric::HOST_WRITABLE, &[], u64::from(is_writable));
    }

    fn read_health(&self, service: &Service) {
        let is_fit = service.node().forecasters().unfit().is_none();
        self.gauge(&metric::FORECASTER_FIT, &[], u64::from(is_fit));
        let serving = service.node().serving();
        if service.figures().is_none() {
            // Among others it is what group 0 says that counts, which the keeper of weights follows.
            let in_step = serving.served().weights == serving.wanted();
            self.gauge(&metric::WEIGHTS_IN_STEP, &[], u64::from(in_step));
        }
        let shadow = serving.shadow_ever();
        self.total(&metric::SHADOW_FORECASTS, &["done"], shadow.done);
        self.total(&metric::SHADOW_FORECASTS, &["dropped"], shadow.dropped);
        self.gauge(&metric::SHADOW_SERIES, &[], shadow.series);
        let health = service.node().health();
        for (kind, counts) in health.actors() {
            let labels = &[kind];
            self.gauge(&metric::ACTORS_RUNNING, labels, counts.running);
            self.gauge(&metric::MAILBOX_DEPTH, labels, counts.waiting);
            self.gauge(&metric::MAILBOX_CAPACITY, labels, counts.capacity);
            self.total(&metric::ACTOR_RESTARTS, labels, counts.restarts);
            self.total(&metric::ACTOR_HANGS, labels, counts.hung);
            self.total(&metric::ACTORS_GIVEN_UP, labels, counts.given_up);
            self.total(&metric::MAILBOX_TAKEN, labels, counts.taken);
            self.total(&metric::MAILBOX_REFUSED, labels, counts.refused);
        }
        for (kind, counts) in health.threads() {
            self.total(&metric::COMPUTE_JOBS, &[kind, "done"], counts.done);
            self.total(&metric::COMPUTE_JOBS, &[kind, "panicked"], counts.panicked);
            self.total(&metric::COMPUTE_JOBS, &[kind, "hung"], counts.hung);
        }
        let (abandoned, abandoned_max) = health.abandoned_threads();
        self.gauge(&metric::ABANDONED_THREADS, &[], u64::from(abandoned));
        let abandoned_max = u64::from(abandoned_max);
        self.gauge(&metric::ABANDONED_THREADS_MAX, &[], abandoned_max);
    }

    fn read_ingest(&self, service: &Service) {
        let counters = service.counters();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let samples = |outcome, count| self.total(&metric::INGEST_SAMPLES, &[outcome], count);
        samples("accepted", read(&counters.accepted));
        samples("duplicate", read(&counters.duplicates));
        samples("corrected", read(&counters.corrected));
        samples("refused", read(&counters.refused));
        let requests = read(&counters.telemetry_requests);
        self.total(&metric::INGEST_REQUESTS, &[], requests);
        let overloaded = read(&counters.overloaded);
        self.total(&metric::INGEST_OVERLOADED, &[], overloaded);
        let residency = service.twins().residency();
        let states = &metric::TWIN_STATES;
        self.gauge(states, &["memory"], residency.resident);
        self.gauge(states, &["store"], residency.away);
        let moved = &metric::TWIN_STATES_MOVED;
        self.total(moved, &["memory"], residency.brought_back);
        self.total(moved, &["store"], residency.put_away);
        let host = service.twins().metrics();
        self.total(&metric::COMMITS, &[], host.commands);
        self.total(&metric::COMMITS_SHED, &[], host.overloaded);
        self.total(&metric::STORE_BATCHES, &[], host.batches);
        let busy = host.store_time.as_secs_f64();
        self.instruments.set(&metric::STORE_BUSY, &[], busy);
    }

    fn read_turns(&self, report: KeeperReport) {
        let turns = |outcome, count| self.total(&metric::TURNS, &[outcome], count);
        turns(
            "fresh",
            report.turns_done.saturating_sub(report.turns_stale),
        );
        turns("stale", report.turns_stale);
        turns("failed", report.turns_failed);
        self.total(&metric::TURNS_LATE, &[], report.turns_late);
        let awake = report.running + report.restarting + report.given_up;
        self.gauge(&metric::TWIN_ACTORS, &["awake"], awake as u64);
        self.gauge(&metric::TWIN_ACTORS, &["resting"], report.resting as u64);
        self.total(&metric::TWIN_ACTORS_MOVED, &["awake"], report.woken);
        self.total(&metric::TWIN_ACTORS_MOVED, &["resting"], report.rested);
    }

    fn gauge(&self, metric: &super::Metric, labels: &[&str], value: u64) {
        self.instruments.set(metric, labels, value as f64);
    }

    fn total(&self, metric: &super::Metric, labels: &[&str], total: u64) {
        self.instruments.total(metric, labels, total);
    }
}

impl TwinCounts {
    fn look_at(&mut self, outline: &TwinOutline) {
        if outline.is_quarantined {
            self.quarantined += 1;
        } else if outline.is_configured() {
            self.active += 1;
        } else {
            self.unconfigured += 1;
        }
        self.stale += u64::from(outline.is_stale);
        self.open_intents += u64::from(outline.open_intents);
    }
}

/// Memory that this process holds, where Linux tells it.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
