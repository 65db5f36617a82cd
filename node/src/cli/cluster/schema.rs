//! `twinscale schema`: what every node knows, and turning on what a newer program brings.

use super::commands::{CommandArguments, command};
use super::connect::{ConnectArguments, odd_answer};
use super::look::say_source;
use super::words::{print_json, word};
use crate::cli::table::Table;
use crate::console;
use clap::{Args, Subcommand};
use twinscale_cluster::admin::{ReadReply, ReadRequest, SchemaReply, WriteRequest};

/// Shows and raises the schema of a cluster.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SchemaCommand {
    /// Show the schema of the cluster, and those that each node's program knows.
    Show(ShowArguments),
    /// Raise the schema, which turns on what needs it; refused while a node does not know it.
    ///
    /// It never falls again: from then on no node starts with an older program.
    Raise(RaiseArguments),
}

/// Shows the schema.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Raises the schema.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, once every node runs the newer program:
  $ twinscale schema show
  $ twinscale schema raise")]
pub(in crate::cli) struct RaiseArguments {
    /// The schema; without it, the newest that a node's program knows.
    #[arg(value_name = "SCHEMA")]
    to: Option<u32>,
    #[command(flatten)]
    common: CommandArguments,
}

pub(super) async fn run(chosen: &SchemaCommand, quiet: bool) -> anyhow::Result<()> {
    match chosen {
        SchemaCommand::Show(arguments) => show(arguments).await,
        SchemaCommand::Raise(arguments) => {
            let request = WriteRequest::RaiseSchema { to: arguments.to };
            command("schema raise", request, &arguments.common, None, quiet).await
        }
    }
}

async fn show(arguments: &ShowArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let reply = match connection.read(ReadRequest::Schema).await? {
        ReadReply::Schema(reply) => reply,
        other => return Err(odd_answer(&other).into()),
    };
    if arguments.json {
        return print_json("twinscale-schema/1", &reply);
    }
    console::print(&text(&reply))?;
    say_source(&reply.seen_by);
    Ok(())
}

fn text(reply: &SchemaReply) -> String {
    let mut table = Table::new(&["NODE", "NUMBER", "STATE", "VERSION", "KNOWS"]);
    for line in &reply.nodes {
        table.row(vec![
            line.name.to_string(),
            line.number.to_string(),
            word(line.state),
            line.software.clone(),
            format!("{} to {}", line.oldest, line.newest),
        ]);
    }
    format!("schema {}\n{}", reply.gate, table.text())
}
