//! How a container is started, as arguments. Pure.

use crate::config::REDIS_PORT;
use crate::plan::{ContainerSpec, Program, RedisSpec};
use std::path::PathBuf;

/// Label that everything of a replica bears; its value is the run.
pub const RUN_LABEL: &str = "twinscale.replica";
/// Weight of a container against whatever else wants its core: as much as the engine allows. Containers of a
/// replica weigh the same among themselves.
const CPU_SHARES: &str = "262144";
/// Threads and processes of a container: the most workers, and some for input and output.
const PIDS: &str = "512";

/// What all containers of a run have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Name of the run: of its network, and what names of its containers begin with.
    pub run: String,
    /// The image.
    pub image: String,
    /// This program, on the engine's machine.
    pub program: PathBuf,
    /// Folder of the configurations.
    pub folder: PathBuf,
    /// Control group above those of the containers; the engine's own when absent.
    pub cgroup_parent: Option<String>,
}

/// The arguments of `docker` that start a container.
pub fn run_arguments(spec: &ContainerSpec, settings: &RunSettings) -> Vec<String> {
    let name = spec.name();
    let cpus: Vec<String> = spec.cpu.cpuset.iter().map(ToString::to_string).collect();
    let memory = format!("{}m", spec.memory_mib);
    let mut found = words("run --detach");
    let mut add = |flag: &str, value: String| found.extend([flag.to_owned(), value]);
    add("--name", format!("{}-{name}", settings.run));
    add("--network", settings.run.clone());
    add("--label", format!("{RUN_LABEL}={}", settings.run));
    add("--cpuset-cpus", cpus.join(","));
    if let Some(quota) = spec.cpu.quota {
        add("--cpu-period", quota.period_us.to_string());
        add("--cpu-quota", quota.quota_us.to_string());
    }
    add("--cpu-shares", CPU_SHARES.to_owned());
    add("--memory", memory.clone());
    // Memory and swap together: none of it.
    add("--memory-swap", memory);
    add("--pids-limit", PIDS.to_owned());
    add("--cap-drop", "ALL".to_owned());
    add("--stop-signal", "SIGKILL".to_owned());
    if let Some(parent) = &settings.cgroup_parent {
        add("--cgroup-parent", parent.clone());
    }
    match &spec.program {
        Program::Serve { .. } => {
            let config = settings.folder.join(format!("{name}.json"));
            let program = settings.program.display();
            add("--volume", format!("{program}:/twinscale-replica:ro"));
            add("--volume", format!("{}:/config.json:ro", config.display()));
        }
        Program::Redis(redis) if redis.is_durable => add("--volume", "/data".to_owned()),
        Program::Redis(_) => {}
    }
    found.push(settings.image.clone());
    found.extend(match &spec.program {
        Program::Serve { .. } => words("/twinscale-replica serve --config /config.json"),
        Program::Redis(redis) => {
            let first = format!("{}-{}-0", settings.run, spec.tier);
            redis_command(redis, &first)
        }
    });
    found
}

/// The command of a Redis; `first` is the container that a replica copies.
fn redis_command(redis: &RedisSpec, first: &str) -> Vec<String> {
    let mut found = words("redis-server --bind 0.0.0.0 --protected-mode no");
    let mut add = |flag: &str, value: String| found.extend([flag.to_owned(), value]);
    add("--port", REDIS_PORT.to_string());
    add("--save", String::new());
    if redis.is_durable {
        add("--appendonly", "yes".to_owned());
        add("--appendfsync", "always".to_owned());
        add("--dir", "/data".to_owned());
    }
    if let Some(most) = redis.connections_max {
        add("--maxclients", most.to_string());
    }
    if redis.is_replica {
        add("--replicaof", format!("{first} {REDIS_PORT}"));
    }
    found
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
