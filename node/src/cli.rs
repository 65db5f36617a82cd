//! The command line: arguments in, exit code out. Each command has a file of its own.

use crate::console;
use crate::error::{EXIT_CODES, render};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// Digital twins of every customer of a cloud: forecasts demand and provisions ahead of it.
#[derive(Debug, Parser)]
#[command(name = "twinscale", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    /// Show no progress on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
    match arguments.command {
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "twinscale", &mut bytes);
            console::print(&String::from_utf8_lossy(&bytes))?;
        }
    }
    Ok(())
}
