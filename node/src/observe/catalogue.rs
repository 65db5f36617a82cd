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

/// Upper bounds of counts of entries: from one to a full batch.
const ENTRIES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];

/// Upper bounds of sizes, in bytes: from a heartbeat to a full segment.
const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// Upper bounds of relative errors.
const RATIOS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 3.0,
];

const ACTOR: (&str, &str) = ("actor", "twin, forecaster, optimizer, provisioner");

/// What nodes ask each other, and people ask nodes; a kind of another version is `other`.
const METHOD: (&str, &str) = (
    "method",
    "consensus, shard, api, samples, forecast, errand, report, join, probe, cluster_read, cluster_write, \
     twins_read, actors_read, actors_write, weights_chunk, weights_node, weights_read, weights_put, other",
);

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
    TWIN_STATES = Gauge, "twinscale_twin_states", [("place", "memory, store")],
        "Twins by where their state is: in memory, or put away in the store until somebody asks for it.";
    TWIN_STATES_MOVED = Counter, "twinscale_twin_states_moved_total", [("to", "memory, store")],
        "States that were brought back into memory, or put away.";
    TWIN_ACTORS = Gauge, "twinscale_twin_actors", [("state", "awake, resting")],
        "Driven twins by whether they have an actor, or rest until a turn is due.";
    TWIN_ACTORS_MOVED = Counter, "twinscale_twin_actors_moved_total", [("to", "awake, resting")],
        "Twins that were woken, or put to rest.";
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
        [("outcome", "network, fallback, borrowed, or the code of an error such as overloaded, timeout")],
        "From the question for a forecast to its answer, with what it waited.";
    FORECASTS_BORROWED = Counter, "twinscale_forecasts_borrowed_total",
        [("outcome", "borrowed, or the code of an error such as conflict (other weights), overloaded, unavailable")],
        "Forecasts that another node was asked for since the forecaster of this one could not make them.";
    FORECASTS_LENT = Counter, "twinscale_forecasts_lent_total",
        [("outcome", "lent, or the code of an error such as conflict (other weights), overloaded, unavailable")],
        "Forecasts that other nodes asked of this one.";
    FORECASTER_FIT = Gauge, "twinscale_forecaster_fit", [],
        "1 while the forecaster of the node takes requests; 0 while it is paused, given up, or failed just now.";
    WEIGHTS_IN_STEP = Gauge, "twinscale_weights_in_step", [],
        "1 while the forecaster serves the weights that it should, else 0; `twinscale weights show` says why.";
    WEIGHTS_FETCHED = Counter, "twinscale_weights_fetched_total",
        [("outcome", "fetched, or the code of an error such as not-found, timeout, unavailable")],
        "Weights that this node fetched from others, or tried to.";
    WEIGHTS_DECISIONS = Counter, "twinscale_weights_decisions_total",
        [("decision", "promoted, rolled_back, worse, undecided, watch_over")],
        "Trials of weights that this node decided while it led group 0.";
    SHADOW_FORECASTS = Counter, "twinscale_shadow_forecasts_total", [("outcome", "done, dropped")],
        "Requests that were forecast again with a challenger's weights, or left out since too many waited.";
    SHADOW_SERIES = Gauge, "twinscale_shadow_series", [],
        "Series whose forecasts by active weights and challenger are compared on this node.";
    RETRAININGS = Counter, "twinscale_retrainings_total", [("outcome", "submitted, not_better, failed, timed_out")],
        "Trainings on the cluster's own history that this node ran while it led group 0.";
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
    LOG_BATCH_ENTRIES = Histogram(ENTRIES), "twinscale_log_batch_entries", [],
        "Entries that shared one write and fsync.";
    LOG_BATCH_BYTES = Histogram(BYTES), "twinscale_log_batch_bytes", [],
        "Bytes that shared one write and fsync, headers included.";
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

    MEMBERS = Gauge, "twinscale_members", [("state", "alive, dead, left")],
        "Members of the cluster by whether gossip hears them; this node is one of them.";
    NODES = Gauge, "twinscale_nodes", [("state", "joining, serving, draining, decommissioned, dead")],
        "Nodes by what group 0 says that they are, as far as this node knows.";
    GOSSIP_REFUSED = Counter, "twinscale_gossip_refused_total",
        [("reason", "too-large, malformed, other-cluster, unknown-key, forged, clock, replayed, \
          too-many-sessions, too-many-incarnations, outgoing-too-large, send-failed")],
        "Datagrams of gossip that were refused, or not sent.";

    GROUPS = Gauge, "twinscale_groups", [("role", "leader, follower, candidate, learner, stopped")],
        "Consensus groups with a replica on this node, by the part that it plays; group 0 is one of them.";
    GROUPS_LEADERLESS = Gauge, "twinscale_groups_leaderless", [],
        "Groups with a replica on this node of which it knows no leader.";
    ELECTIONS = Counter, "twinscale_elections_total", [],
        "Times that a replica on this node stood for election.";
    LEADERSHIPS = Counter, "twinscale_leaderships_total", [],
        "Times that a replica on this node became the leader of its group.";
    TERM_CHANGES = Counter, "twinscale_term_changes_total", [],
        "Later terms that replicas on this node came to know of.";
    COMMIT_SECONDS = Histogram(SECONDS), "twinscale_commit_seconds",
        [("outcome", "committed, refused, unknown")],
        "From the proposal of an entry on its leader until it is committed by a majority and applied.";
    REPLICA_LAG = Gauge, "twinscale_replica_lag_entries", [],
        "Entries that the slowest replica lags behind, over all groups that this node leads.";
    UNAPPLIED = Gauge, "twinscale_unapplied_entries", [],
        "Entries in the log of a replica on this node that it has not applied, at most.";
    SNAPSHOTS = Counter, "twinscale_snapshots_total", [("outcome", "sent, not_sent, installed, not_installed")],
        "Snapshots sent to other nodes, and received from them.";
    SNAPSHOT_BYTES = Counter, "twinscale_snapshot_bytes_total", [("direction", "sent, received")],
        "Bytes of the snapshots that were sent whole, and received and installed.";
    LOG_DISK = Gauge, "twinscale_log_disk_bytes", [],
        "What the log of all groups takes on disk.";

    WIRE_CALLS = Counter, "twinscale_wire_calls_total",
        [METHOD, ("outcome", "answered, or why not: unreachable, deadline, overloaded-here, the code of an error")],
        "Calls made to other nodes.";
    WIRE_CALL_SECONDS = Histogram(SECONDS), "twinscale_wire_call_seconds", [METHOD],
        "From a call to another node to its end, whatever it was.";
    WIRE_SERVED = Counter, "twinscale_wire_served_total",
        [METHOD, ("outcome", "answered, or the code of an error")],
        "Calls of other nodes, operators and viewers that were answered here.";
    WIRE_SERVED_SECONDS = Histogram(SECONDS), "twinscale_wire_served_seconds", [METHOD],
        "Time of this node on a call of another.";
    WIRE_IN_FLIGHT = Gauge, "twinscale_wire_calls_in_flight", [("direction", "made, served")],
        "Calls and streams under way.";
    WIRE_CONNECTIONS = Gauge, "twinscale_wire_connections", [],
        "Authenticated connections that others hold to this node.";
    WIRE_CONNECTS = Counter, "twinscale_wire_connects_total", [],
        "Connections that this node made to others.";
    WIRE_REFUSED = Counter, "twinscale_wire_refused_total",
        [("reason", "no-certificate, unknown-authority, expired, other-identity, other-cluster, not-tls, and so on")],
        "Handshakes, calls and streams that were refused, by this node as a server or as a client.";

    ROUTED = Counter, "twinscale_routed_total", [("where", "local, remote")],
        "Commands of this node that were committed by its own replica, or sent on to another node's.";
    REQUESTS_FORWARDED = Counter, "twinscale_requests_forwarded_total", [("kind", "api, samples")],
        "Requests of clients that were sent on to the node that leads their shard, every attempt counted.";
    REDIRECTS = Counter, "twinscale_redirects_total", [],
        "Attempts, of commands and of requests, that were told of another leader.";
    ROUTE_RETRIES = Counter, "twinscale_route_retries_total", [],
        "Attempts, of commands and of requests, that were made again for other reasons.";
    REPEATED = Counter, "twinscale_commands_repeated_total", [],
        "Commands that came again under their request id and did nothing: retries that took effect once. Every \
         replica of a shard counts them.";

    MOVES_UNDER_WAY = Gauge, "twinscale_moves_under_way", [],
        "Moves of replicas under way in the cluster, as far as this node knows.";
    MOVES = Counter, "twinscale_moves_total", [("outcome", "finished, rolled_back")],
        "Moves of replicas that ended since the cluster was made, as far as this node knows; one that was given \
         up is rolled back.";
}
