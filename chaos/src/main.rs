//! The command line of the chaos scenarios.

mod cluster_arguments;
mod upgrade_arguments;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use cluster_arguments::ClusterArguments;
use twinscale::service::fault_port::{StrikeBlow, StrikeVictim};
use twinscale_chaos::cluster::check::{HistoryFiles, check_history};
use twinscale_chaos::cluster::disk::NodeDisk;
use twinscale_chaos::cluster::fabric::Fabric;
use twinscale_chaos::cluster::run::{run_cluster, run_upgrade};
use twinscale_chaos::{
    ActorKind, ActorsOptions, ChaosError, ScenarioOptions, ServiceFault, ServiceOptions,
    StrikeOptions, Verdict, WorkloadKind, run_actors, run_kill9, run_power_cut, run_service,
    run_worker, workload,
};
use twinscale_log::{MonotonicClock as _, SystemMonotonicClock};
use upgrade_arguments::UpgradeArguments;

/// A promise was broken.
const EXIT_VIOLATED: u8 = 1;

/// The scenario could not run.
const EXIT_NOT_RUN: u8 = 3;

/// The scenario needs root: the code by which test runners know a skipped test.
const EXIT_NEEDS_ROOT: u8 = 77;

/// Breaks Twinscale on purpose and checks what it promised.
///
/// A scenario prints one line of JSON on standard output and a summary on standard error. Exit
/// codes: 0 nothing was lost, doubled or altered; 1 something was; 2 wrong usage; 3 the scenario
/// could not run; 77 it needs root.
#[derive(Debug, Parser)]
#[command(name = "twinscale-chaos", version)]
struct CommandLine {
    #[command(subcommand)]
    command: ChaosCommand,
}

#[derive(Debug, Subcommand)]
enum ChaosCommand {
    /// Kill the ingesting process with SIGKILL at random moments.
    Kill9(ScenarioArguments),
    /// Cut the power of the disk under the ingesting process (needs root).
    PowerCut(ScenarioArguments),
    /// Panic or kill each kind of actor in the middle of a replay.
    Actors(ActorsArguments),
    /// Break the daemon, its actors or its disk while clients send samples (faults of the disk need root).
    Service(ServiceArguments),
    /// Break a cluster of processes while clients read, write and send (partitions and power cuts need root).
    Cluster(ClusterArguments),
    /// Replace the nodes of a cluster by those of the next program, one after the other, under load.
    Upgrade(UpgradeArguments),
    /// Check what clients of a cluster were told: registers, samples, times of recovery.
    CheckHistory(HistoryArguments),
    /// Build a network of namespaces as the cluster scenarios have it, and keep it until standard input ends
    /// (without root: addresses of this machine).
    Network {
        /// How many hosts.
        #[arg(long, default_value_t = 3)]
        hosts: usize,
        /// Make a disk for each host as well.
        #[arg(long)]
        disks: bool,
    },
    /// The command line of `twinscale`, for the processes that scenarios start.
    #[command(hide = true, disable_help_flag = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Ingest until killed; the scenarios start this themselves.
    #[command(hide = true)]
    IngestWorker(WorkerArguments),
}

#[derive(Debug, Args)]
struct ScenarioArguments {
    /// How many kills or cuts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Picks the moments and the content.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the process ingests.
    #[arg(long, value_enum, default_value = "twin-samples")]
    workload: WorkloadKind,
}

#[derive(Debug, Args)]
struct ActorsArguments {
    /// Fell only actors of this kind.
    #[arg(long, value_enum)]
    only: Option<ActorKind>,
    /// How many replays, with one strike per kind of actor each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Picks the moments and the blows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct ServiceArguments {
    /// What befalls the daemon.
    #[arg(long, value_enum)]
    fault: ServiceFault,
    /// How often.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Picks the moments and the content.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers of the load.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    customers: u32,
    /// Samples a second of the load (default 400; with `actors` one a second of each series).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// With `actors`: strike only this kind; may be given again.
    #[arg(long, value_enum, value_name = "KIND")]
    only: Vec<StrikeVictim>,
    /// With `actors`: strike only in this way.
    #[arg(long, value_enum)]
    blow: Option<StrikeBlow>,
    /// With `actors`: length of the twins' steps, in seconds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=300))]
    interval: u32,
    /// With `actors`: seconds after which a job and a twin's message count as hung; a message of a shared
    /// actor has twice as long and one second.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    limit: u32,
}

#[derive(Debug, Args)]
struct HistoryArguments {
    /// The history: a line of JSON for each event.
    #[arg(value_name = "FILE")]
    history: PathBuf,
    /// What is stored at the end, as JSON.
    #[arg(long, value_name = "FILE")]
    stored: Option<PathBuf>,
    /// The faults, as a list in JSON.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Seconds after which the search gives up; what is undecided then is no pass.
    #[arg(long, default_value_t = 300)]
    limit: u64,
}

#[derive(Debug, Args)]
struct WorkerArguments {
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    first_sequence: u64,
    #[arg(long, value_enum)]
    workload: WorkloadKind,
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        ChaosCommand::Kill9(arguments) => run_scenario(arguments, run_kill9),
        ChaosCommand::PowerCut(arguments) => run_scenario(arguments, run_power_cut),
        ChaosCommand::Actors(ActorsArguments { rounds, seed, only }) => {
            run_actors(&ActorsOptions { rounds, seed, only })
                .and_then(|verdict| print_verdict(&verdict, verdict.passed))
        }
        ChaosCommand::Service(arguments) => run_service_scenario(&arguments),
        ChaosCommand::Cluster(arguments) => run_cluster_scenario(&arguments),
        ChaosCommand::Upgrade(arguments) => run_upgrade_scenario(&arguments),
        ChaosCommand::CheckHistory(arguments) => check_files(arguments),
        ChaosCommand::Network { hosts, disks } => hold_network(hosts, disks),
        ChaosCommand::Node { arguments } => {
            return twinscale::cli::main_of(
                std::iter::once(OsString::from("twinscale")).chain(arguments),
            );
        }
        ChaosCommand::IngestWorker(arguments) => run_worker(
            &*workload(arguments.workload, arguments.seed),
            &arguments.directory,
            arguments.first_sequence,
            &mut io::stdout().lock(),
        )
        .map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| report_error(&error))
}

fn run_scenario(
    arguments: ScenarioArguments,
    scenario: fn(&ScenarioOptions) -> Result<Verdict, ChaosError>,
) -> Result<ExitCode, ChaosError> {
    let worker = this_program()?;
    let verdict = scenario(&ScenarioOptions {
        times: arguments.times,
        seed: arguments.seed,
        workload: arguments.workload,
        worker,
    })?;
    print_verdict(&verdict, verdict.passed)
}

fn run_service_scenario(arguments: &ServiceArguments) -> Result<ExitCode, ChaosError> {
    let verdict = run_service(&ServiceOptions {
        fault: arguments.fault,
        times: arguments.times,
        seed: arguments.seed,
        customers: arguments.customers,
        rate: arguments.rate,
        strikes: StrikeOptions {
            only: arguments.only.clone(),
            blow: arguments.blow,
            interval_s: arguments.interval,
            limit_s: arguments.limit,
        },
        program: this_program()?,
    })?;
    print_verdict(&verdict, verdict.passed)
}

fn run_cluster_scenario(arguments: &ClusterArguments) -> Result<ExitCode, ChaosError> {
    let options = arguments.options(this_program()?)?;
    let verdict = run_cluster(&options, &mut say)?;
    print_verdict(&verdict, verdict.passed)
}

fn run_upgrade_scenario(arguments: &UpgradeArguments) -> Result<ExitCode, ChaosError> {
    let options = arguments.options(this_program()?)?;
    let verdict = run_upgrade(&options, &mut say)?;
    print_verdict(&verdict, verdict.passed)
}

fn say(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(io::stderr(), "{text}"));
}

fn check_files(arguments: HistoryArguments) -> Result<ExitCode, ChaosError> {
    let clock = SystemMonotonicClock::start();
    let limit = Duration::from_secs(arguments.limit);
    let files = HistoryFiles {
        history: arguments.history,
        stored: arguments.stored,
        faults: arguments.faults,
    };
    let verdict = check_history(&files, &|| clock.elapsed() > limit)?;
    print_verdict(&verdict, verdict.passed)
}

/// Prints the hosts, one a line: number, address, namespace, folder of data; waits until nobody can say
/// anything more.
fn hold_network(hosts: usize, has_disks: bool) -> Result<ExitCode, ChaosError> {
    let mut fabric = Fabric::build(hosts)?;
    let mut disks = Vec::new();
    let mut out = io::stdout();
    for host in 0..hosts {
        let name_space = shown(fabric.name_space(host));
        if has_disks {
            disks.push(NodeDisk::make(&mut fabric)?);
        }
        let data_dir = shown(disks.last().map(NodeDisk::data_dir));
        writeln!(
            out,
            "{host} {} {name_space} {data_dir}",
            fabric.address(host)
        )
        .map_err(|error| not_run("print", "the network", error))?;
    }
    out.flush()
        .and_then(|()| io::copy(&mut io::stdin(), &mut io::sink()).map(drop))
        .map_err(|error| not_run("wait for", "the end of standard input", error))?;
    drop(disks);
    fabric.remove()?;
    Ok(ExitCode::SUCCESS)
}

fn shown(path: Option<PathBuf>) -> String {
    path.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
}

/// Scenarios start this program again, as worker, daemon or load.
fn this_program() -> Result<PathBuf, ChaosError> {
    std::env::current_exe().map_err(|error| not_run("find", "this program's own file", error))
}

fn print_verdict(
    verdict: &(impl serde::Serialize + Display),
    passed: bool,
) -> Result<ExitCode, ChaosError> {
    let json = serde_json::to_string(verdict)
        .map_err(|error| not_run("encode", "the verdict", error.into()))?;
    writeln!(io::stdout(), "{json}")
        .and_then(|()| writeln!(io::stderr(), "{verdict}"))
        .map_err(|error| not_run("print", "the verdict", error))?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_VIOLATED)
    })
}

fn not_run(operation: &'static str, path: &str, source: io::Error) -> ChaosError {
    ChaosError::Io {
        operation,
        path: PathBuf::from(path),
        source,
    }
}

fn report_error(error: &ChaosError) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(io::stderr(), "error: {}", error.chain()));
    match error {
        ChaosError::NeedsRoot { .. } => ExitCode::from(EXIT_NEEDS_ROOT),
        _ => ExitCode::from(EXIT_NOT_RUN),
    }
}
