//! Benchmarks that need a rival's own code: apart from the product, whose build must not compile it.
//!
//! `ingest` measures samples from request to durable acknowledgement, beside SQLite on the same disk.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use twinscale::console;
use twinscale::error::render;

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Command::Ingest(ingest) = &arguments.command;
    match ingest::run(ingest, arguments.quiet) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (text, code) = render(&error);
            console::say(&text);
            ExitCode::from(code)
        }
    }
}
