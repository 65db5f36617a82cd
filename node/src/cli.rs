//! The command line: arguments in, exit code out. Each command has a file of its own.

mod asked_node;
mod backtest;
mod bench;
mod ca;
mod cluster;
mod demo;
mod dev;
mod doctor;
mod forecast;
mod load;
mod man;
mod output;
mod patterns;
mod plan;
mod policy;
mod reaction;
mod ready;
mod retrain;
mod run;
mod send;
mod sim_cloud;
mod simulate;
mod stack;
mod standing;
mod stops;
mod table;
mod top;
mod train;
mod what_if;

use crate::console;
use crate::error::{EXIT_CODES, render};
use crate::observe::logging::{self, LogArguments};
use crate::service::api::openapi_json;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Digital twins of every customer of a cloud: forecasts demand and provisions ahead of it.
#[derive(Debug, Parser)]
#[command(name = "twinscale", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    /// Show no progress on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Log more on standard error: -v for progress of the actors, -vv for each message.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(flatten)]
    log: LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay weeks of real customers and compare the bill with its rivals'.
    Demo(demo::DemoArguments),
    /// Replay your own history and show what provisioning ahead would have saved.
    Backtest(backtest::BacktestArguments),
    /// Run the daemon: the loop on real time behind an HTTP API.
    Run(run::RunArguments),
    /// Run a whole cluster on this machine: nodes, certificates and a simulated cloud.
    ///
    /// The first start lays everything out in a folder; a later one goes on with what is there.
    Dev(dev::DevArguments),
    /// Serve one simulated cloud to all nodes of a cluster.
    ///
    /// Keeps what it is asked to change in a log of its own before it is done, and refuses a leader that another
    /// one has followed. It has no authentication: keep it on loopback or on a network of its own.
    SimCloud(sim_cloud::SimCloudArguments),
    /// Look whether this machine can run a node, and whether a cluster is sound.
    ///
    /// Takes the settings of `twinscale run`, asks the network for a forecast, times syncs of the disk, and
    /// changes nothing. With --certificates and --node it also looks at a running cluster: members, clocks,
    /// quorums, certificates, versions. Ends with 4 when a check fails: a node would not start or not keep its
    /// promises, or a shard serves nobody.
    Doctor(doctor::DoctorArguments),
    /// Ask a node whether it serves: ends with 0 when it does, with 4 and the reason when it does not.
    Ready(ready::ReadyArguments),
    /// Watch a running node: twins, forecasts, plans, money, actors.
    Top(top::TopArguments),
    /// Send many customers' samples to a running node and prove that none is lost.
    Load(load::LoadArguments),
    /// Turn logs, user activity, calendars and samples into what a customer's twin stores, and send it.
    #[command(subcommand)]
    Send(send::SendCommand),
    /// Print the OpenAPI document of the daemon's HTTP API.
    Openapi,
    /// Solve an allocation problem file.
    Plan(plan::PlanArguments),
    /// Check, draw and import models of application stacks.
    #[command(subcommand)]
    Stack(stack::StackCommand),
    /// Simulate a stack, or every case of a file of queueing cases.
    Simulate(simulate::SimulateArguments),
    /// Show what a change would do: of load, VMs, zones, prices or data to a stack, of events, growth, prices or service to a customer.
    WhatIf(what_if::WhatIfArguments),
    /// Forecast demand as ranges, of a customer or of a file.
    Forecast(forecast::ForecastArguments),
    /// Explain what demand looks like: cycles, business hours, jobs, growth, steps, spikes.
    Patterns(patterns::PatternsArguments),
    /// Train forecast weights on a data directory.
    Train(train::TrainArguments),
    /// Train and compare a policy that chooses by which price of a miss to act.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Train, show and check the model of how demand answers to latency, throttling, price and events.
    #[command(subcommand)]
    Reaction(reaction::ReactionCommand),
    /// Measure against rivals and limits.
    #[command(subcommand)]
    Bench(bench::BenchArguments),
    /// Make, rotate and show the certificates of a cluster.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    #[command(flatten)]
    Cluster(cluster::ClusterCommand),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages.
    Man(man::ManArguments),
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    main_of(std::env::args_os())
}

/// Runs a command line, the program's name first.
#[must_use]
pub fn main_of(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (text, code) = render(&error);
            console::say(&text);
            ExitCode::from(code)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let quiet = arguments.quiet;
    logging::start(&arguments.log, quiet, arguments.verbose)?;
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments, quiet)?,
        Command::Backtest(arguments) => backtest::run(&arguments, quiet)?,
        Command::Run(arguments) => run::run(&arguments, quiet)?,
        Command::Dev(arguments) => dev::run(&arguments, quiet)?,
        Command::SimCloud(arguments) => sim_cloud::run(&arguments, quiet)?,
        Command::Doctor(arguments) => doctor::run(&arguments, quiet)?,
        Command::Man(arguments) => man::run(&arguments, Arguments::command())?,
        Command::Ready(arguments) => ready::run(&arguments, quiet)?,
        Command::Top(arguments) => top::run(&arguments)?,
        Command::Openapi => console::print(&openapi_json())?,
        Command::Load(arguments) => load::run(&arguments, quiet)?,
        Command::Send(command) => send::run(&command, quiet)?,
        Command::Plan(arguments) => plan::run(&arguments, quiet)?,
        Command::Stack(command) => stack::run(&command, quiet)?,
        Command::Simulate(arguments) => simulate::run(&arguments, quiet)?,
        Command::WhatIf(arguments) => what_if::run(&arguments, quiet)?,
        Command::Forecast(arguments) => forecast::run(&arguments, quiet)?,
        Command::Patterns(arguments) => patterns::run(&arguments)?,
        Command::Train(arguments) => train::run(&arguments, quiet)?,
        Command::Policy(command) => policy::run(&command, quiet)?,
        Command::Reaction(command) => reaction::run(&command, quiet)?,
        Command::Bench(arguments) => bench::run(&arguments, quiet)?,
        Command::Ca(command) => ca::run(&command, quiet)?,
        Command::Cluster(command) => cluster::run(&command, quiet)?,
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "twinscale", &mut bytes);
            console::print(&String::from_utf8_lossy(&bytes))?;
        }
    }
    Ok(())
}

/// Builds the runtime of a command: `threads` workers, none of which does model or search work.
fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("node")
        .enable_all()
        .build()?)
}
