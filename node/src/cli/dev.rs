//! `twinscale dev`: a whole cluster on this machine.

use super::run::Signals;
use crate::console;
use crate::dev::layout::{Layout, LayoutOptions};
use crate::dev::processes::{OwnProcess, ready, start_cloud, start_node};
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use twinscale_protocol::ClusterId;

/// Runs a cluster of several nodes on this machine, each a process, with one simulated cloud.
#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// Nodes of a new cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// Replicas of each shard of a new cluster; odd.
    #[arg(long, value_parser = odd)]
    replication: Option<u8>,
    /// Shards of a new cluster [default: 64].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    shards: Option<u32>,
    /// Folder of the cluster: authority, certificates, settings and data; one that is there goes on.
    #[arg(long, value_name = "DIR", default_value = "twinscale-dev")]
    dir: PathBuf,
    /// Print where everything is as JSON on standard output once all nodes serve.
    #[arg(long)]
    json: bool,
}

/// How long a node may take until it serves.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// How long a node may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often the processes are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

pub(super) fn run(arguments: &DevArguments, quiet: bool) -> anyhow::Result<()> {
    let layout = match Layout::read(&arguments.dir)? {
        Some(layout) => layout,
        None => Layout::write(&arguments.dir, &options(arguments)?)?,
    };
    let program = std::env::current_exe()?;
    let runtime = super::runtime(1)?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut processes = vec![start_cloud(&program, &layout)?];
        let up = start_all(&program, &layout, &mut processes, quiet);
        let is_up = tokio::select! {
            up = up => up.map(|()| true)?,
            _signal = signals.next() => false,
        };
        if is_up {
            tell(&layout, arguments)?;
            watch(&mut processes, &mut signals).await;
        }
        if !quiet {
            console::say("stopping");
        }
        // The nodes at once, the cloud last: what they still ask of it is answered.
        let cloud = processes.remove(0);
        let stops = processes
            .into_iter()
            .map(|process| process.stop(STOP_LIMIT));
        futures::future::join_all(stops).await;
        cloud.stop(STOP_LIMIT).await;
        anyhow::Ok(())
    })
}

async fn start_all(
    program: &std::path::Path,
    layout: &Layout,
    processes: &mut Vec<OwnProcess>,
    quiet: bool,
) -> anyhow::Result<()> {
    let count = layout.nodes.len() as u64;
    let progress = Progress::start("starting nodes", count, quiet);
    for (node, place) in layout.nodes.iter().zip(0_u64..) {
        progress.note(node.name.clone());
        progress.at(place);
        let process = start_node(program, node, place == 0)?;
        processes.push(process);
    }
    let nodes = processes.iter_mut().skip(1).zip(&layout.nodes);
    for ((process, node), place) in nodes.zip(1_u64..) {
        ready(process, node, READY_LIMIT).await?;
        progress.at(place);
    }
    Ok(())
}

fn tell(layout: &Layout, arguments: &DevArguments) -> anyhow::Result<()> {
    if arguments.json {
        console::print(&format!("{}\n", serde_json::to_string(layout)?))?;
        return Ok(());
    }
    let mut text = format!(
        "cluster `{}` runs: {} nodes, {} replicas of each shard; ctrl-c ends it, the same command goes on\n",
        layout.cluster,
        layout.nodes.len(),
        layout.replication
    );
    for node in &layout.nodes {
        writeln!(
            text,
            "  {}  API http://{}  nodes {}",
            node.name, node.api, node.peer
        )?;
    }
    let first = layout.nodes.first();
    let place = first.map(|node| format!("{}={}", node.name, node.peer));
    write!(
        text,
        "commands: export TWINSCALE_CERTIFICATES={} TWINSCALE_NODE={}",
        layout.operator.display(),
        place.unwrap_or_default()
    )?;
    console::say(&text);
    Ok(())
}

/// Waits for a signal; tells of processes that end by themselves.
async fn watch(processes: &mut [OwnProcess], signals: &mut Signals) {
    let mut told = vec![false; processes.len()];
    loop {
        tokio::select! {
            _signal = signals.next() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        for (process, told) in processes.iter_mut().zip(&mut told) {
            if !*told && let Some(status) = process.ended() {
                *told = true;
                let words = process.last_words();
                console::say(&format!(
                    "{} ended by itself ({status}): {words}",
                    process.name()
                ));
            }
        }
    }
}

fn options(arguments: &DevArguments) -> anyhow::Result<LayoutOptions> {
    let usual = if arguments.nodes >= 3 { 3 } else { 1 };
    let replication = arguments.replication.unwrap_or(usual);
    if u16::from(replication) > arguments.nodes {
        return Err(ExpectedError::input_hint(
            format!(
                "{replication} replicas of each shard do not fit {} nodes",
                arguments.nodes
            ),
            "ask for more --nodes or a smaller --replication",
        )
        .into());
    }
    Ok(LayoutOptions {
        cluster: ClusterId::new("dev")?,
        nodes: arguments.nodes,
        replication,
        shards: arguments.shards,
        addresses: Vec::new(),
        cloud: Ipv4Addr::LOCALHOST.into(),
        node_keys: toml::Table::new(),
    })
}

fn odd(text: &str) -> Result<u8, String> {
    match text.parse::<u8>() {
        Ok(count @ (1 | 3 | 5 | 7)) => Ok(count),
        _ => Err("use 1, 3, 5 or 7: an even number survives no loss more".to_owned()),
    }
}
