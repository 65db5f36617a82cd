//! Benchmarks that need a rival's own code: apart from the product, whose build must not compile it.
//!
//! `ingest` measures samples from request to durable acknowledgement, beside SQLite on the same disk;
//! `cluster` measures writes and reads of three nodes, beside etcd and Redis.

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use twinscale::console;
use twinscale::error::render;

mod cluster;
mod ingest;

/// Benchmarks beside rivals.
#[derive(Debug, Parser)]
#[command(name = "twinscale-bench", version, max_term_width = 100)]
struct Arguments {
    /// Show no progress on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Samples to durable acknowledgement: Twinscale, its HTTP API, SQLite and the bare disk, in turns.
    Ingest(ingest::IngestArguments),
    /// A cluster of three nodes beside etcd and Redis: samples, commands and remote calls.
    Cluster(cluster::ClusterArguments),
    /// The command line of `twinscale`, for the processes that a benchmark starts.
    #[command(hide = true, disable_help_flag = true)]
    Node {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Ingest(ingest) => ingest::run(ingest, arguments.quiet),
        Command::Cluster(cluster) => cluster::run(cluster, arguments.quiet),
        Command::Node { arguments } => {
            let program = std::iter::once(OsString::from("twinscale"));
            return twinscale::cli::main_of(program.chain(arguments.iter().cloned()));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (text, code) = render(&error);
            console::say(&text);
            ExitCode::from(code)
        }
    }
}
