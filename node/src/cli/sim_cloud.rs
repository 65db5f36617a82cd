//! `twinscale sim-cloud`: one simulated cloud for all nodes of a cluster.

use super::run::Signals;
use crate::console;
use crate::error::ExpectedError;
use crate::sim_cloud::process::{CloudEnded, CloudOptions, CloudStarted, run as run_cloud};
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serves one simulated cloud to all nodes of a cluster, until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct SimCloudArguments {
    /// Folder of its log; a cloud that is started again there is the same.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address and port; port 0 takes any free one, which DIR/listen.addr then holds.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7900")]
    listen: SocketAddr,
    /// Root of all randomness, such as start-up times; 7 for a new cloud, and fixed from then on.
    #[arg(long)]
    seed: Option<u64>,
    /// Print where it listens and what it found as one line of JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Worker threads: the work is short, and the disk's.
const WORKERS: usize = 2;

pub(super) fn run(arguments: &SimCloudArguments, quiet: bool) -> anyhow::Result<()> {
    let options = CloudOptions {
        data_dir: arguments.data_dir.clone(),
        listen: arguments.listen,
        seed: arguments.seed,
    };
    let directory = options.data_dir.display().to_string();
    let runtime = super::runtime(WORKERS)?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let started = |started: &CloudStarted| say_started(started, &directory, arguments.json);
        let stop = async {
            signals.next().await;
            if !quiet {
                console::say("stopping");
            }
        };
        run_cloud(options, started, stop).await
    });
    // A disk that hangs must not keep the process.
    runtime.shutdown_background();
    let CloudEnded { cut_off, failure } = ended?;
    if cut_off > 0 {
        console::say(&format!(
            "{cut_off} connections were cut off; the outcome of their calls is not told"
        ));
    }
    if let Some(reason) = failure {
        return Err(ExpectedError::Environment {
            context: format!("the simulated cloud can write no more: {reason}"),
            hint: "look at the disk, then start it again: what was answered is there".to_owned(),
            source: None,
        }
        .into());
    }
    if !quiet {
        console::say("stopped");
    }
    Ok(())
}

fn say_started(started: &CloudStarted, directory: &str, json: bool) -> io::Result<()> {
    let CloudStarted {
        address,
        seed,
        customers,
        changes,
    } = started;
    console::say(&format!(
        "the simulated cloud listens on http://{address} (data in {directory}, seed {seed}; {customers} \
         customers, {changes} changes so far)"
    ));
    if json {
        let line = serde_json::to_string(started)?;
        console::print(&format!("{line}\n"))?;
    }
    Ok(())
}
