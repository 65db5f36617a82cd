//! Settings of one node.

use crate::cluster::{self, ClusterSettings};
use crate::forecaster::{self, ForecasterSettings};
use crate::keys::{CLUSTER_KEYS, FORECASTER_KEYS, NODE_KEYS};
use crate::load::parse_toml;
use crate::read::{Section, subtable};
use crate::shape;
use crate::violation::{ConfigError, Violation, Violations};
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Table;
use twinscale_protocol::{NodeId, Seconds};

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its name.
    pub name: NodeId,
    /// Folder of the command log and the store.
    pub data_dir: PathBuf,
    /// Threads of the plan search; 0 = one per core.
    pub compute_threads: u32,
    /// Root of all randomness.
    pub seed: u64,
    /// Steps that a forecast and a plan look ahead.
    pub horizon_steps: u16,
    /// Domain time between two searches.
    pub plan_every: Seconds,
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// Length of a planning step where a customer's stack does not say it.
    pub interval: Seconds,
    /// Connections served at once.
    pub connections_max: usize,
    /// Largest request body, in bytes, unpacked.
    pub body_bytes_max: usize,
    /// How far a sample may lie ahead of the node's clock.
    pub future_max: Seconds,
    /// Series of all customers together.
    pub series_max: usize,
    /// Customers that may send samples before they have a policy.
    pub unconfigured_max: usize,
    /// Turns of twins that run at once.
    pub turns_at_once: usize,
    /// Time without a turn and a request after which a twin is put away.
    pub passivate_after: Seconds,
    /// Time that requests under way have to end when the node stops.
    pub drain: Seconds,
    /// When work counts as hung, and how much of it the node survives.
    pub watch: WatchSettings,
    /// How weights are compared and trained further.
    pub forecaster: ForecasterSettings,
    /// How it works with others; `None` = it is alone.
    pub cluster: Option<ClusterSettings>,
}

/// When work counts as hung, in system time, and how much of it a node survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// A forecast job.
    pub forecast_job: Seconds,
    /// A plan job.
    pub plan_job: Seconds,
    /// One message of a shared actor, which may wait for several jobs.
    pub shared_message: Seconds,
    /// One message of a twin, which waits for nothing.
    pub twin_message: Seconds,
    /// Threads lost to hung jobs at which the node ends.
    pub abandoned_threads_max: u32,
    /// Time for which a node that cannot go on still says so before it ends.
    pub farewell: Seconds,
}

impl Default for NodeSettings {
    /// Every key has its documented default.
    fn default() -> Self {
        build((None, None, None), &mut Violations::default()).expect("the defaults are valid")
    }
}

impl NodeSettings {
    /// Reads and checks a node file: `[node]`, `[forecaster]` and `[cluster]`.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let root = parse_toml(text, file)?;
        let mut violations = Violations::default();
        shape::check_names(
            &root,
            "",
            &["node", "forecaster", "cluster"],
            &mut violations,
        );
        let table = shape::table(&root, "node", &mut violations);
        if let Some(table) = table {
            shape::check_table(table, "node", NODE_KEYS, &mut violations);
        }
        let cluster = shape::table(&root, "cluster", &mut violations);
        if let Some(table) = cluster {
            shape::check_table(table, "cluster", CLUSTER_KEYS, &mut violations);
        }
        let forecaster = shape::table(&root, "forecaster", &mut violations);
        if let Some(table) = forecaster {
            shape::check_table(table, "forecaster", FORECASTER_KEYS, &mut violations);
        }
        let settings = build((table, forecaster, cluster), &mut violations);
        violations.into_result(file)?;
        // `build` reports whenever it has no settings to give.
        settings.ok_or_else(|| ConfigError::Invalid {
            file: file.to_owned(),
            violations: Vec::new(),
        })
    }
}

fn build(
    (table, forecaster, cluster): (Option<&Table>, Option<&Table>, Option<&Table>),
    violations: &mut Violations,
) -> Option<NodeSettings> {
    let cluster = match cluster {
        Some(table) => Some(cluster::build(table, violations)?),
        None => None,
    };
    let node = Section {
        table,
        pattern: "",
        specs: NODE_KEYS,
    };
    let name = node.text("name").unwrap_or_default();
    let name = NodeId::new(name.clone())
        .map_err(|error| {
            violations.push(Violation::new(
                "node.name",
                format!("{name:?}"),
                error.to_string(),
                "for example: name = \"node-a\"",
            ));
        })
        .ok();
    let listen = node.text("listen").unwrap_or_default();
    let listen = listen
        .parse::<SocketAddr>()
        .map_err(|error| {
            violations.push(Violation::new(
                "node.listen",
                format!("{listen:?}"),
                error.to_string(),
                "for example: listen = \"127.0.0.1:7878\"",
            ));
        })
        .ok();
    let watch = watch(&node, violations);
    let count = |key| usize::try_from(node.whole(key)).unwrap_or(usize::MAX);
    Some(NodeSettings {
        name: name?,
        data_dir: PathBuf::from(node.text("data_dir").unwrap_or_default()),
        compute_threads: node.whole_u32("compute_threads"),
        seed: node.whole("seed"),
        horizon_steps: u16::try_from(node.whole("horizon_steps")).unwrap_or(u16::MAX),
        plan_every: Seconds(node.whole_u32("plan_every_s")),
        listen: listen?,
        interval: Seconds(node.whole_u32("interval_s")),
        connections_max: count("connections_max"),
        body_bytes_max: count("body_bytes_max"),
        future_max: Seconds(node.whole_u32("future_max_s")),
        series_max: count("series_max"),
        unconfigured_max: count("unconfigured_max"),
        turns_at_once: count("turns_at_once"),
        passivate_after: Seconds(node.whole_u32("passivate_after_s")),
        drain: Seconds(node.whole_u32("drain_s")),
        watch,
        forecaster: forecaster::build(forecaster),
        cluster,
    })
}

fn watch(node: &Section<'_>, violations: &mut Violations) -> WatchSettings {
    let watch = Section {
        table: node.table.and_then(|table| subtable(table, "watch")),
        pattern: "watch",
        specs: NODE_KEYS,
    };
    let seconds = |key| Seconds(watch.whole_u32(key));
    let settings = WatchSettings {
        forecast_job: seconds("forecast_job_s"),
        plan_job: seconds("plan_job_s"),
        shared_message: seconds("shared_message_s"),
        twin_message: seconds("twin_message_s"),
        abandoned_threads_max: watch.whole_u32("abandoned_threads_max"),
        farewell: seconds("farewell_s"),
    };
    let longest_job = settings.forecast_job.max(settings.plan_job);
    if settings.shared_message <= longest_job {
        // Otherwise the actor would be restarted before its job could count as hung.
        violations.push(Violation::new(
            "node.watch.shared_message_s",
            settings.shared_message.0.to_string(),
            format!(
                "is not longer than the longest job limit of {} s",
                longest_job.0
            ),
            format!(
                "for example: shared_message_s = {}",
                longest_job.0.saturating_mul(5)
            ),
        ));
    }
    settings
}
