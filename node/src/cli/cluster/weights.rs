//! `twinscale weights`: what the cluster forecasts with, and changing it.

mod put;
mod show;

use super::commands::{CommandArguments, command, write};
use super::connect::{ConnectArguments, Connection, odd_answer, refused};
use super::look::say_source;
use crate::cli::retrain;
use crate::error::ExpectedError;
use crate::weights::message::{WEIGHTS_READ, WEIGHTS_READ_REPLY, WeightsNodes};
use clap::{Args, Subcommand};
use twinscale_cluster::admin::{
    Asked, ReadReply, ReadRequest, WeightsOrder, WeightsReply, WriteReply, WriteRequest,
};

/// Shows and changes the weights of a cluster.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WeightsCommand {
    /// List the weights that the cluster knows, and the newest decisions on them.
    List(ListArguments),
    /// Show which weights each node serves, and what the trial under way has measured so far.
    Show(ListArguments),
    /// Bring a weights file with its card, and make it known to the cluster.
    Put(put::PutArguments),
    /// Have weights forecast in the shadow of the active ones; they are promoted if they lose less.
    ///
    /// Live requests are forecast again with them, and both are scored on what comes. The leader of group 0
    /// promotes them when they are better beyond doubt, and drops the trial when they are worse or when it
    /// takes too long to tell.
    Shadow(NamedArguments),
    /// Make weights the active ones now, without a trial.
    ///
    /// Those that were active before forecast in their shadow for a while: if they turn out better, the cluster
    /// goes back by itself.
    Promote(NamedArguments),
    /// Go back to the weights that were active before.
    Rollback(RollbackArguments),
    /// Forget weights, and end the trial of them; refused for the active ones.
    Drop(NamedArguments),
    /// Train weights further on the history of a running cluster's customers.
    Retrain(retrain::RetrainArguments),
}

/// Shows weights.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Names weights.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ twinscale weights shadow 6778b525
  $ twinscale weights show")]
pub(in crate::cli) struct NamedArguments {
    /// The weights: their id, four or more of its first digits, or `shipped` for those of the program.
    #[arg(value_name = "ID")]
    weights: String,
    #[command(flatten)]
    common: CommandArguments,
}

/// Goes back.
#[derive(Debug, Args)]
pub(in crate::cli) struct RollbackArguments {
    #[command(flatten)]
    common: CommandArguments,
}

pub(super) async fn run(chosen: &WeightsCommand, quiet: bool) -> anyhow::Result<()> {
    let order = |arguments: &NamedArguments| arguments.weights.clone();
    match chosen {
        WeightsCommand::List(arguments) => list(arguments).await,
        WeightsCommand::Show(arguments) => show_nodes(arguments).await,
        WeightsCommand::Put(arguments) => put::put(arguments, quiet).await,
        WeightsCommand::Shadow(arguments) => {
            let weights = order(arguments);
            let what = format!("weights shadow {weights}");
            let request = WriteRequest::Weights(WeightsOrder::Shadow { weights });
            command(&what, request, &arguments.common, None, quiet).await
        }
        WeightsCommand::Promote(arguments) => {
            let weights = order(arguments);
            let what = format!("weights promote {weights}");
            let request = WriteRequest::Weights(WeightsOrder::Promote { weights });
            command(&what, request, &arguments.common, None, quiet).await
        }
        WeightsCommand::Drop(arguments) => {
            let weights = order(arguments);
            let what = format!("weights drop {weights}");
            let request = WriteRequest::Weights(WeightsOrder::Drop { weights });
            command(&what, request, &arguments.common, None, quiet).await
        }
        WeightsCommand::Rollback(arguments) => {
            let request = WriteRequest::Weights(WeightsOrder::RollBack);
            command("weights rollback", request, &arguments.common, None, quiet).await
        }
        WeightsCommand::Retrain(arguments) => retrain::run(arguments, quiet).await,
    }
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let reply = register(&connection).await?;
    if arguments.json {
        return super::words::print_json("twinscale-weights/1", &reply);
    }
    crate::console::print(&show::list_text(&reply))?;
    say_source(&reply.seen_by);
    Ok(())
}

async fn show_nodes(arguments: &ListArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let reply = register(&connection).await?;
    let nodes = nodes(&connection).await?;
    if arguments.json {
        let shown = show::Shown {
            register: &reply,
            nodes: &nodes,
        };
        return super::words::print_json("twinscale-weights-nodes/1", &shown);
    }
    crate::console::print(&show::nodes_text(&reply, &nodes))?;
    say_source(&reply.seen_by);
    Ok(())
}

pub(in crate::cli) use put::bring;

/// Gives an order on weights.
pub(in crate::cli) async fn command_of(
    connection: &Connection,
    order: WeightsOrder,
) -> Result<WriteReply, ExpectedError> {
    write(connection, WriteRequest::Weights(order)).await
}

/// Reads the register of weights.
pub(in crate::cli) async fn register(connection: &Connection) -> anyhow::Result<WeightsReply> {
    match connection.read(ReadRequest::Weights).await? {
        ReadReply::Weights(reply) => Ok(reply),
        other => Err(odd_answer(&other).into()),
    }
}

/// Asks what every node serves.
pub(super) async fn nodes(connection: &Connection) -> Result<WeightsNodes, ExpectedError> {
    let asked = Asked::by_certificate(());
    let kinds = (WEIGHTS_READ, WEIGHTS_READ_REPLY);
    let reply = connection.client.ask(kinds, &asked, connection.limit).await;
    reply.map_err(|error| refused(&error, connection.client.identity()))
}
