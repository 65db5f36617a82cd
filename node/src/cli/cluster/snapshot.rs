//! `twinscale snapshot`.

use super::commands::{CommandArguments, Group, command, parse_group, shard_of, write};
use super::connect::odd_answer;
use super::words::print_json;
use crate::console;
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use twinscale_cluster::admin::{ReadReply, ReadRequest, WriteRequest};

/// Has replicas take snapshots.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale snapshot 17
  $ twinscale snapshot all      # one group after the other, group 0 first")]
pub(in crate::cli) struct SnapshotArguments {
    /// The shard, `meta` for group 0, or `all`.
    #[arg(value_name = "SHARD|all", value_parser = parse_groups)]
    groups: Groups,
    #[command(flatten)]
    common: CommandArguments,
}

#[derive(Clone, Copy, Debug)]
enum Groups {
    All,
    One(Group),
}

fn parse_groups(text: &str) -> Result<Groups, String> {
    if text == "all" {
        return Ok(Groups::All);
    }
    parse_group(text).map(Groups::One)
}

pub(super) async fn snapshot(arguments: &SnapshotArguments, quiet: bool) -> anyhow::Result<()> {
    let common = &arguments.common;
    let connection = match arguments.groups {
        Groups::One(group) => {
            let shard = shard_of(group);
            let request = WriteRequest::Snapshot { shard };
            return command("snapshot", request, common, None, quiet).await;
        }
        Groups::All => common.connect.open()?,
    };
    let shards = match connection.read(ReadRequest::Shards { only: None }).await? {
        ReadReply::Shards(reply) => reply.shards,
        other => return Err(odd_answer(&other).into()),
    };
    let progress = Progress::start("snapshot", shards.len() as u64, quiet || common.json);
    let mut replies = Vec::new();
    for (done, line) in (1_u64..).zip(&shards) {
        let shard = line.shard;
        let reply = write(&connection, WriteRequest::Snapshot { shard }).await?;
        progress.at(done);
        replies.push(reply);
    }
    drop(progress);
    let notes: Vec<String> = replies
        .iter()
        .flat_map(|reply| reply.notes.clone())
        .collect();
    if common.json {
        #[derive(Serialize)]
        struct All {
            notes: Vec<String>,
        }
        return print_json("twinscale-snapshots/1", &All { notes });
    }
    console::print(&format!("{}\n", notes.join("\n")))?;
    Ok(())
}
