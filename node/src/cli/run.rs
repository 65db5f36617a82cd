//! `twinscale run`: the daemon.

use crate::assembly::ForecastWeights;
use crate::console;
use crate::error::ExpectedError;
use crate::service::daemon::{DaemonOptions, Ended, Started, run as run_daemon};
use crate::service::wall_clock::SystemWallClock;
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use twinscale_cluster_config::{NodeSettings, load_node};

/// Runs the loop on real time behind an HTTP API, until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Make a new cluster with this node, where its folder is empty and the settings have a section
    /// [cluster]; every other node joins the ones under [cluster.seeds].
    #[arg(long)]
    found: bool,
    /// For chaos tests alone: lets whoever reaches this loopback address fell actors.
    #[arg(long, value_name = "ADDRESS", hide = true)]
    fault_port: Option<SocketAddr>,
}

/// Where the settings of a node come from.
#[derive(Debug, Args)]
pub(super) struct SettingsArguments {
    /// Settings of the node (TOML, section [node]); every key has a default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of log and store; goes before the settings.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of the API; port 0 takes any free one; goes before the settings.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Root of all randomness; goes before the settings.
    #[arg(long)]
    seed: Option<u64>,
    /// Other forecast weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

/// Signals that come within this time of the first count as the same.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Worker threads of the API: none of them does model or search work.
const WORKERS: usize = 2;

pub(super) fn run(arguments: &RunArguments, quiet: bool) -> anyhow::Result<()> {
    let options = DaemonOptions {
        settings: arguments.settings.read()?,
        weights: ForecastWeights::load(arguments.settings.weights())?,
        wall: Arc::new(SystemWallClock),
        fault_port: arguments.fault_port,
        founds: arguments.found,
    };
    let directory = options.settings.data_dir.display().to_string();
    let runtime = super::runtime(WORKERS)?;
    let ended = runtime.block_on(async {
        let (mut first, second) = (Signals::listen()?, Signals::listen()?);
        let started = |started: &Started| say_started(started, &directory);
        let stop = async {
            first.next().await;
            if !quiet {
                console::say("stopping; a second signal ends at once");
            }
        };
        tokio::select! {
            ended = run_daemon(options, started, stop) => ended,
            second = second.second() => Err(second.map_or_else(Into::into, |_signal| ended_at_once().into())),
        }
    });
    // Work that does not end must not keep the process.
    runtime.shutdown_background();
    let Ended { cut_off, failure } = ended?;
    if cut_off > 0 {
        console::say(&format!(
            "{cut_off} connections were cut off; their requests are not acknowledged"
        ));
    }
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    if !quiet {
        console::say("stopped");
    }
    Ok(())
}

fn say_started(started: &Started, directory: &str) {
    let Started {
        address,
        fault_port,
        customers,
        twins,
        cluster,
    } = started;
    console::say(&format!(
        "twinscale listens on http://{address} (data in {directory}; {customers} customers here, \
         {twins} of them driven)"
    ));
    if let Some((number, address)) = cluster {
        console::say(&format!(
            "node {number} of its cluster, listening for other nodes on {address}"
        ));
    }
    if let Some(address) = fault_port {
        console::say(&format!(
            "WARNING: the fault port is open: whoever reaches http://{address} can fell every actor of this \
             node; it is for chaos tests alone, start the node without --fault-port to serve customers"
        ));
    }
}

fn ended_at_once() -> ExpectedError {
    ExpectedError::Environment {
        context: "ended at once by a second signal".to_owned(),
        hint: "nothing that was acknowledged is lost; the next start recovers".to_owned(),
        source: None,
    }
}

impl SettingsArguments {
    /// Reads the settings, with what the command line says before what the file says.
    pub(super) fn read(&self) -> anyhow::Result<NodeSettings> {
        let mut settings = match &self.config {
            Some(path) => load_node(path).map_err(|error| {
                ExpectedError::input("the node's settings cannot be used", error)
            })?,
            None => NodeSettings::default(),
        };
        if let Some(data_dir) = &self.data_dir {
            settings.data_dir.clone_from(data_dir);
        }
        settings.listen = self.listen.unwrap_or(settings.listen);
        settings.seed = self.seed.unwrap_or(settings.seed);
        Ok(settings)
    }

    /// The file of other weights than the shipped ones.
    pub(super) fn weights(&self) -> Option<&Path> {
        self.weights.as_deref()
    }
}

/// The signals that end a process which serves.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and returns its number.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _terminate = self.terminate.recv() => 15,
            _interrupt = self.interrupt.recv() => 2,
        }
    }

    /// Waits for a second signal: whoever sends one to a process and to its group sends two at once, and means
    /// one.
    pub(super) async fn second(mut self) -> std::io::Result<u8> {
        self.next().await;
        tokio::time::sleep(SAME_SIGNAL).await;
        let mut second = Self::listen()?;
        Ok(second.next().await)
    }
}
