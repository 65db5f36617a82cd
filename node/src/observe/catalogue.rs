//! The one list of metrics: names, kinds, units, labels and help. Reference and tests are made of it.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations into buckets, each with its upper bound.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, with the unit last, as Prometheus has it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// The labels, each with the values that it can take.
    pub labels: &'static [(&'static str, &'static str)],
    /// What it says.
    pub help: &'static str,
}

/// Upper bounds of durations, in seconds: from an fsync to a hung job.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    120.0,
];

/// Upper bounds of relative errors.
const RATIOS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 3.0,
];

const ACTOR: (&str, &str) = ("actor", "twin, forecaster, optimizer, provisioner");

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $kind:expr, $name:literal, [$($label:expr),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// Every metric, in the order of the reference.
        pub const CATALOGUE: &[Metric] = &[$($constant),*];
    };
}

use MetricKind::{Counter, Gauge, Histogram};

metrics! {
    BUILD_INFO = Gauge, "twinscale_build_info", [("version", "the program's version")],
        "Always 1; its label names the version.";
    START_TIME = Gauge, "process_start_time_seconds", [],
        "When the node started, in seconds since 1970.";
    RESIDENT_MEMORY = Gauge, "process_resident_memory_bytes", [],
        "Memory that the process holds.";
    OPEN_FILES = Gauge, "process_open_fds", [],
        "Files and sockets that the process has open.";
    READY = Gauge, "twinscale_ready", [],
        "1 while the node serves, else 0; GET /v1/ready says why.";
    HOST_WRITABLE = Gauge, "twinscale_host_writable", [],
        "1 while commands are committed; 0 while the node is read-only or its writer has failed.";

    TWINS = Gauge, "twinscale_twins", [("state", "active, unconfigured, quarantined")],
        "Twins by state, counted at most every ten seconds.";
    TWINS_STALE = Gauge, "twinscale_twins_stale", [],
        "Twins whose newest forecast is an older one, shifted and widened.";
    OPEN_INTENTS = Gauge, "twinscale_open_intents", [],
        "Wishes to change the provider that have no outcome yet, over all twins.";

    ACTORS_RUNNING = Gauge, "twinscale_actors_running", [ACTOR],
        "Actors that run.";
    ACTOR_RESTARTS = Counter, "twinscale_actor_restarts_total", [ACTOR],
        "Restarts of actors by their supervisors.";
    ACTOR_HANGS = Counter, "twinscale_actor_hangs_total", [ACTOR],
        "Restarts because one message took longer than its limit.";
    ACTORS_GIVEN_UP = Counter, "twinscale_actors_given_up_total", [ACTOR],
        "Actors whose supervisor gave up.";
    MAILBOX_DEPTH = Gauge, "twinscale_mailbox_messages", [ACTOR],
        "Messages that wait or are being handled, over all mailboxes of a kind.";
    MAILBOX_CAPACITY = Gauge, "twinscale_mailbox_capacity_messages", [ACTOR],
        "Room of all mailboxes of a kind.";
    MAILBOX_TAKEN = Counter, "twinscale_mailbox_taken_total", [ACTOR],
        "Messages taken.";
    MAILBOX_REFUSED = Counter, "twinscale_mailbox_refused_total", [ACTOR],
        "Messages that were not taken since the mailbox was full: load that was shed.";
    COMPUTE_JOBS = Counter, "twinscale_compute_jobs_total",
        [("thread", "forecaster, optimizer"), ("outcome", "done, panicked, hung")],
        "Jobs of the compute threads.";
    ABANDONED_THREADS = Gauge, "twinscale_abandoned_threads", [],
        "Compute threads that hang and were replaced.";
    ABANDONED_THREADS_MAX = Gauge, "twinscale_abandoned_threads_max", [],
        "Abandoned threads at which the node fails and ends.";

    INGEST_REQUESTS = Counter, "twinscale_ingest_requests_total", [],
        "Requests with samples that were answered, whatever the answer.";
    INGEST_SAMPLES = Counter, "twinscale_ingest_samples_total",
        [("outcome", "accepted, duplicate, corrected, refused")],
        "Samples by what became of them; accepted, duplicate and corrected ones are durable.";
    INGEST_OVERLOADED = Counter, "twinscale_ingest_overloaded_total", [],
        "Requests with samples that were told to come back later (HTTP 429): load that was shed.";
    INGEST_SECONDS = Histogram(SECONDS), "twinscale_ingest_seconds",
        [("outcome", "durable, overloaded, failed")],
        "From the begin of a request with samples to its answer.";

    TURNS = Counter, "twinscale_turns_total", [("outcome", "fresh, stale, failed")],
        "Turns of twins; a stale one had to do without a fresh forecast.";
    TURNS_LATE = Counter, "twinscale_turns_late_total", [],
        "Turns that began a whole interval late or more.";
    TURN_SECONDS = Histogram(SECONDS), "twinscale_turn_seconds", [],
        "System time of a turn: observe, forecast, plan, provision.";
    FORECAST_SECONDS = Histogram(SECONDS), "twinscale_forecast_seconds",
        [("outcome", "network, fallback, or the code of an error such as overloaded, timeout")],
        "From the question for a forecast to its answer, with what it waited.";
    FORECAST_SCORED = Counter, "twinscale_forecast_steps_scored_total", [],
        "Steps whose demand is known and was compared with what had been forecast.";
    FORECAST_WITHIN = Counter, "twinscale_forecast_steps_within_total", [("level", "0.05 to 0.99")],
        "Scored steps whose demand was at or below the quantile of a level: divided by the steps scored, it \
         should be the level.";
    FORECAST_ERROR = Histogram(RATIOS), "twinscale_forecast_error_ratio", [],
        "Distance of the forecast's median from the demand, as a share of the demand.";
    PLAN_SECONDS = Histogram(SECONDS), "twinscale_plan_seconds",
        [("outcome", "planned, or the code of an error such as invalid, overloaded, timeout")],
        "From the question for a plan to its answer, with what it waited.";

    PROVIDER_CALL_SECONDS = Histogram(SECONDS), "twinscale_provider_call_seconds",
        [("operation", "launch, terminate, resize_volume, resize_link, list"),
         ("outcome", "done, refused, stale_generation, throttled, unknown, given_up")],
        "Calls to the provider, each attempt by itself; the outcome `given_up` means no answer within its limit.";

    COMMITS = Counter, "twinscale_commands_total", [],
        "Commands that were committed and applied.";
    COMMITS_SHED = Counter, "twinscale_commands_overloaded_total", [],
        "Commands that were not taken since the writer's queue was full: load that was shed.";
    LOG_BATCH_SECONDS = Histogram(SECONDS), "twinscale_log_batch_seconds", [],
        "Write and fsync of one batch of the log.";
    LOG_ENTRIES = Counter, "twinscale_log_entries_total", [],
        "Entries of the log that became durable.";
    LOG_BYTES = Counter, "twinscale_log_bytes_total", [],
        "Bytes of the log that became durable, headers included.";
    LOG_WRITES_REFUSED = Counter, "twinscale_log_writes_refused_total", [],
        "Batches that the disk refused, such as a full one; none of them is acknowledged or kept.";
    LOG_POISONED = Gauge, "twinscale_log_poisoned", [],
        "1 after a write or fsync failed for good; the node ends.";
    STORE_BATCHES = Counter, "twinscale_store_batches_total", [],
        "Batches that were written to the store.";
    STORE_BUSY = Gauge, "twinscale_store_busy_seconds", [],
        "Time spent on writing them since the start; its rate over that of the batches is the latency.";
}
