//! `twinscale actors`: actors of nodes.

use super::connect::{ConnectArguments, Connection, refused};
use super::twins::say_silent;
use super::words::{or_unknown, print_json, word};
use crate::cli::table::Table;
use crate::cluster::commands::message::{
    ACTORS_READ, ACTORS_READ_REPLY, ACTORS_WRITE, ACTORS_WRITE_REPLY, ActorDone, ActorLine,
    ActorName, ActorOperation, ActorOrder, ActorsReply, ActorsRequest,
};
use crate::console;
use crate::error::ExpectedError;
use clap::{Args, Subcommand};
use std::time::Duration;
use twinscale_cluster::admin::Asked;
use twinscale_membership::SessionSalt;
use twinscale_protocol::RequestId;

/// Shows and operates actors.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  $ twinscale actors tree
  $ twinscale actors inspect twin/acme
  $ twinscale actors restart forecaster --on node-b
  $ twinscale actors pause twin/acme --for 120 && twinscale actors resume twin/acme")]
pub(in crate::cli) enum ActorsCommand {
    /// Show the actors of every node, or of one.
    Tree(TreeArguments),
    /// Show one actor.
    Inspect(InspectArguments),
    /// End an actor behind the message that it handles, and start it again.
    Restart(OrderArguments),
    /// End an actor wherever it is, as a crash does; its supervisor starts it again.
    Kill(OrderArguments),
    /// Have an actor take no message until it is resumed or the time is over.
    Pause(PauseArguments),
    /// End the pause of an actor.
    Resume(OrderArguments),
}

/// Shows actors.
#[derive(Debug, Args)]
pub(in crate::cli) struct TreeArguments {
    /// One node alone, by name or number.
    #[arg(long, value_name = "NODE")]
    on: Option<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the actors as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows one actor.
#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArguments {
    /// forecaster, optimizer, provisioner or twin/CUSTOMER.
    #[arg(value_name = "ACTOR")]
    actor: ActorName,
    #[command(flatten)]
    tree: TreeArguments,
}

/// Operates an actor.
#[derive(Debug, Args)]
pub(in crate::cli) struct OrderArguments {
    /// forecaster, optimizer, provisioner or twin/CUSTOMER.
    #[arg(value_name = "ACTOR")]
    actor: ActorName,
    /// The node, by name or number; a twin is found by itself.
    #[arg(long, value_name = "NODE")]
    on: Option<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

/// Pauses an actor.
#[derive(Debug, Args)]
pub(in crate::cli) struct PauseArguments {
    #[command(flatten)]
    order: OrderArguments,
    /// For how long, in seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

pub(super) async fn run(command: &ActorsCommand) -> anyhow::Result<()> {
    match command {
        ActorsCommand::Tree(arguments) => {
            let node = arguments.on.clone();
            show(arguments, ActorsRequest::Tree { node }).await
        }
        ActorsCommand::Inspect(arguments) => {
            let request = ActorsRequest::Inspect {
                actor: arguments.actor.clone(),
                node: arguments.tree.on.clone(),
            };
            show(&arguments.tree, request).await
        }
        ActorsCommand::Restart(arguments) => order(arguments, ActorOperation::Restart).await,
        ActorsCommand::Kill(arguments) => order(arguments, ActorOperation::Kill).await,
        ActorsCommand::Pause(arguments) => {
            let seconds = arguments.seconds;
            order(&arguments.order, ActorOperation::Pause { seconds }).await
        }
        ActorsCommand::Resume(arguments) => order(arguments, ActorOperation::Resume).await,
    }
}

async fn show(arguments: &TreeArguments, request: ActorsRequest) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let asked = Asked::by_certificate(request);
    let kinds = (ACTORS_READ, ACTORS_READ_REPLY);
    let answered = connection.client.ask(kinds, &asked, connection.limit).await;
    let reply: ActorsReply =
        answered.map_err(|error| refused(&error, connection.client.identity()))?;
    if reply.nodes.iter().all(|node| node.actors.is_empty()) && reply.silent.is_empty() {
        let hint = "`twinscale actors tree` shows the actors that there are";
        return Err(ExpectedError::input_hint("no node has such an actor", hint).into());
    }
    if arguments.json {
        return print_json("twinscale-actors/1", &reply);
    }
    console::print(&table(&reply))?;
    say_silent(&reply.silent);
    for node in reply.nodes.iter().filter(|node| node.twins_left_out > 0) {
        let (name, left_out) = (&node.name, node.twins_left_out);
        console::say(&format!(
            "{left_out} more twins of node {name} are not shown"
        ));
    }
    Ok(())
}

fn table(reply: &ActorsReply) -> String {
    let mut table = Table::new(&[
        "NODE",
        "ACTOR",
        "STATE",
        "INCARNATION",
        "RESTARTS",
        "MAILBOX",
        "NOTE",
    ]);
    for node in &reply.nodes {
        for actor in &node.actors {
            table.row(cells(&node.name, actor));
        }
    }
    table.text()
}

fn cells(node: &str, actor: &ActorLine) -> Vec<String> {
    let paused = actor.paused_for_ms;
    let paused = paused.map(|left| format!("for {} s still", left / 1_000));
    let notes = [paused, actor.reason.clone()].into_iter().flatten();
    vec![
        node.to_owned(),
        actor.actor.clone(),
        word(actor.state),
        or_unknown(actor.incarnation.clone()),
        actor.restarts.to_string(),
        format!("{}/{}", actor.mailbox, actor.mailbox_max),
        notes.collect::<Vec<_>>().join(", "),
    ]
}

/// The time behind the node's own limit in which an answer is still on its way.
const ORDER_LIMIT: Duration = Duration::from_secs(15);

async fn order(arguments: &OrderArguments, operation: ActorOperation) -> anyhow::Result<()> {
    let has_place = arguments.on.is_some() || matches!(arguments.actor, ActorName::Twin(_));
    if !has_place {
        let context = format!("every node has a {}", arguments.actor);
        let hint = "name the node with --on; `twinscale members` lists the nodes";
        return Err(ExpectedError::input_hint(context, hint).into());
    }
    let connection: Connection = arguments.connect.open()?;
    let salt = SessionSalt::from_system()?;
    let asked = Asked::by_certificate(ActorOrder {
        request: RequestId(u128::from_le_bytes(salt.into_bytes())),
        actor: arguments.actor.clone(),
        node: arguments.on.clone(),
        operation,
    });
    let kinds = (ACTORS_WRITE, ACTORS_WRITE_REPLY);
    let limit = connection.limit.max(ORDER_LIMIT);
    let answered = connection.client.ask(kinds, &asked, limit).await;
    let done: ActorDone =
        answered.map_err(|error| refused(&error, connection.client.identity()))?;
    if arguments.json {
        return print_json("twinscale-actor/1", &done);
    }
    match done {
        ActorDone::Done {
            name,
            actor,
            before,
            note,
            ..
        } => {
            let state = word(actor.state);
            let (before, after) = (or_unknown(before), or_unknown(actor.incarnation));
            let text = format!(
                "{} on node {name}: {note} ({state}, {before} -> {after})\n",
                actor.actor
            );
            console::print(&text)?;
            Ok(())
        }
        ActorDone::NotHere => {
            let context = format!("{} is not there", arguments.actor);
            let hint = "`twinscale actors tree` shows where it is";
            Err(ExpectedError::input_hint(context, hint).into())
        }
    }
}
