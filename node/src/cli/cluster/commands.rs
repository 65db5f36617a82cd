//! `twinscale drain`, `undrain`, `decommission`, `move-shard` and `rebalance`.

use super::connect::{ConnectArguments, Connection, odd_answer, refused};
use super::words::{print_json, word};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinscale_cluster::admin::{ReadReply, ReadRequest, Standing, Task, WriteReply, WriteRequest};
use twinscale_protocol::ShardId;

/// How often it is asked how far something is.
const POLL: Duration = Duration::from_millis(500);

/// For how long nobody need answer while something is waited for: elections, and a node that restarts.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// What the commands have in common.
#[derive(Debug, Args)]
pub(super) struct CommandArguments {
    #[command(flatten)]
    pub(super) connect: ConnectArguments,
    /// Print what came of it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Whether a command waits for what it began.
#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// Wait until it is done, which is the default; interrupting the wait does not end the work.
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return once it is committed; `twinscale shards` and `members` show how far it is.
    #[arg(long)]
    no_wait: bool,
    /// Wait at most so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    wait_limit: u64,
}

/// Empties a node for maintenance.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, before a machine is restarted, and after:
  $ twinscale drain node-b
  $ twinscale undrain node-b")]
pub(in crate::cli) struct DrainArguments {
    /// The node, by name or number.
    #[arg(value_name = "NODE")]
    target: String,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    common: CommandArguments,
}

/// Lets a drained node serve again.
#[derive(Debug, Args)]
pub(in crate::cli) struct UndrainArguments {
    /// The node, by name or number.
    #[arg(value_name = "NODE")]
    target: String,
    #[command(flatten)]
    common: CommandArguments,
}

/// Empties a node and takes it out for good.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale decommission node-b           # it runs: its replicas move away first
  $ twinscale decommission node-b --gone    # its disk is lost: its replicas are made anew elsewhere")]
pub(in crate::cli) struct DecommissionArguments {
    /// The node, by name or number. Name, number and data directory are never taken again.
    #[arg(value_name = "NODE")]
    target: String,
    /// The node is gone already and does not come back.
    #[arg(long)]
    gone: bool,
    /// Do not ask whether it is meant.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    common: CommandArguments,
}

/// Moves one replica of a shard.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ twinscale move-shard 17 --from node-a --to node-d

The leader of group 0 evens out by itself: a move that makes the cluster uneven is followed by another one.")]
pub(in crate::cli) struct MoveArguments {
    /// The shard, or `meta` for group 0.
    #[arg(value_name = "SHARD", value_parser = parse_group)]
    group: Group,
    /// The node that gives its replica up.
    #[arg(long, value_name = "NODE")]
    from: String,
    /// The node that gets one.
    #[arg(long, value_name = "NODE")]
    to: String,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    common: CommandArguments,
}

/// Makes the cluster more even now.
#[derive(Debug, Args)]
pub(in crate::cli) struct RebalanceArguments {
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    common: CommandArguments,
}

/// A group; `None` is group 0.
pub(super) type Group = Option<ShardIdText>;

/// A shard as the command line has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardIdText(u32);

pub(super) fn parse_group(text: &str) -> Result<Group, String> {
    if text == "meta" {
        return Ok(None);
    }
    let shard = text.parse::<u32>();
    shard
        .map(|shard| Some(ShardIdText(shard)))
        .map_err(|_no_number| format!("`{text}` is no shard: give its number, or meta for group 0"))
}

pub(super) fn shard_of(group: Group) -> Option<ShardId> {
    group.map(|ShardIdText(shard)| ShardId(shard))
}

/// What came of a command, for programs.
#[derive(Debug, Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    reply: &'a WriteReply,
    /// How far it was when the command ended; none where it did not wait.
    standing: Option<Standing>,
}

pub(super) async fn drain(arguments: &DrainArguments, quiet: bool) -> anyhow::Result<()> {
    let node = arguments.target.clone();
    let request = WriteRequest::Drain { node };
    let what = format!("drain {}", arguments.target);
    command(
        &what,
        request,
        &arguments.common,
        Some(&arguments.wait),
        quiet,
    )
    .await
}

pub(super) async fn undrain(arguments: &UndrainArguments, quiet: bool) -> anyhow::Result<()> {
    let node = arguments.target.clone();
    let request = WriteRequest::Undrain { node };
    let what = format!("undrain {}", arguments.target);
    command(&what, request, &arguments.common, None, quiet).await
}

pub(super) async fn decommission(
    arguments: &DecommissionArguments,
    quiet: bool,
) -> anyhow::Result<()> {
    if !arguments.yes {
        confirm(&arguments.target)?;
    }
    let request = WriteRequest::Decommission {
        node: arguments.target.clone(),
        is_gone: arguments.gone,
    };
    let what = format!("decommission {}", arguments.target);
    command(
        &what,
        request,
        &arguments.common,
        Some(&arguments.wait),
        quiet,
    )
    .await
}

/// Asks whether it is meant.
fn confirm(target: &str) -> Result<(), ExpectedError> {
    let refused = |context: &str| {
        let hint = format!("give --yes to decommission {target} without being asked");
        ExpectedError::input_hint(context, hint)
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused(
            "a node is taken out for good only when that is confirmed",
        ));
    }
    console::say(&format!(
        "{target} leaves for good: its name, number and data directory are never taken again. Type yes to go on:"
    ));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == "yes" {
        return Ok(());
    }
    Err(refused("nothing was done: it was not confirmed"))
}

pub(super) async fn move_shard(arguments: &MoveArguments, quiet: bool) -> anyhow::Result<()> {
    let request = WriteRequest::Move {
        shard: shard_of(arguments.group),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
    };
    let what = format!("move {} -> {}", arguments.from, arguments.to);
    command(
        &what,
        request,
        &arguments.common,
        Some(&arguments.wait),
        quiet,
    )
    .await
}

pub(super) async fn rebalance(arguments: &RebalanceArguments, quiet: bool) -> anyhow::Result<()> {
    let request = WriteRequest::Rebalance;
    command(
        "rebalance",
        request,
        &arguments.common,
        Some(&arguments.wait),
        quiet,
    )
    .await
}

/// Gives a command, and waits for what it began.
pub(super) async fn command(
    what: &str,
    request: WriteRequest,
    common: &CommandArguments,
    wait: Option<&WaitArguments>,
    quiet: bool,
) -> anyhow::Result<()> {
    let connection = common.connect.open()?;
    let reply = write(&connection, request).await?;
    let waits = wait.filter(|wait| wait.wait || !wait.no_wait);
    let standing = match (&reply.task, waits) {
        (Some(task), Some(wait)) => {
            if !quiet && !common.json {
                say(what, &reply);
            }
            let limit = Duration::from_secs(wait.wait_limit);
            Some(to_its_end(&connection, what, task, limit, quiet || common.json).await?)
        }
        _ => None,
    };
    let failed = standing
        .as_ref()
        .and_then(|standing| standing.failed.clone());
    if common.json {
        let reply = &reply;
        print_json("twinscale-command/1", &Done { reply, standing })?;
    } else if let Some(standing) = &standing {
        if failed.is_none() {
            console::print(&format!(
                "{what}: done ({} of {})\n",
                standing.done, standing.total
            ))?;
        }
    } else {
        let notes = reply.notes.iter().map(|note| format!("\n  {note}"));
        let notes: Vec<String> = notes.collect();
        let outcome = word(reply.outcome);
        console::print(&format!("{what}: {outcome}{}\n", notes.concat()))?;
    }
    match failed {
        None => Ok(()),
        Some(reason) => Err(ExpectedError::Environment {
            context: format!("{what}: {reason}"),
            hint: "`twinscale shards` and `twinscale audit` tell more".to_owned(),
            source: None,
        }
        .into()),
    }
}

fn say(what: &str, reply: &WriteReply) {
    console::say(&format!("{what}: {}", word(reply.outcome)));
    for note in &reply.notes {
        console::say(&format!("  {note}"));
    }
}

pub(super) async fn write(
    connection: &Connection,
    request: WriteRequest,
) -> Result<WriteReply, ExpectedError> {
    let written = connection.client.write(request, connection.limit).await;
    written.map_err(|error| refused(&error, connection.client.identity()))
}

/// Asks how far a task is until it is over or cannot end as asked.
async fn to_its_end(
    connection: &Connection,
    what: &str,
    task: &Task,
    limit: Duration,
    quiet: bool,
) -> Result<Standing, ExpectedError> {
    let progress = Progress::start(what, 1, quiet);
    let until = Instant::now() + limit;
    let mut heard = Instant::now();
    let mut last = Standing::default();
    loop {
        match connection.read(ReadRequest::Standing(task.clone())).await {
            Ok(ReadReply::Standing(standing)) => {
                heard = Instant::now();
                progress.of(u64::from(standing.done), u64::from(standing.total));
                progress.note(standing.waits.first().cloned().unwrap_or_default());
                last = standing;
                if last.is_over || last.failed.is_some() {
                    return Ok(last);
                }
            }
            Ok(other) => return Err(odd_answer(&other)),
            Err(error) if heard.elapsed() > SILENCE_MAX => return Err(error),
            Err(error) => progress.note(error.to_string()),
        }
        if Instant::now() >= until {
            let waits = last.waits.join("; ");
            return Err(ExpectedError::Environment {
                context: format!(
                    "{what} is not done after {} s ({} of {}; {waits})",
                    limit.as_secs(),
                    last.done,
                    last.total
                ),
                hint: "it goes on: `twinscale shards --unsound` shows how far it is".to_owned(),
                source: None,
            });
        }
        sleep(POLL).await;
    }
}
