//! `twinscale members`, `shards` and `audit`.

use super::connect::{ConnectArguments, odd_answer};
use super::words::{UNKNOWN, list, moment, or_unknown, print_json, word};
use crate::cli::table::Table;
use crate::console;
use clap::Args;
use std::collections::BTreeMap;
use twinscale_cluster::admin::{
    AuditReply, Heard, MemberLine, MembersReply, ReadReply, ReadRequest, SeenBy, ShardLine,
    ShardsReply,
};
use twinscale_protocol::{NodeId, NodeNumber, ShardId};

/// Shows the nodes of a cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ export TWINSCALE_CERTIFICATES=~/ada TWINSCALE_NODE=node-a=10.0.0.1:7900,node-b=10.0.0.2:7900
  $ twinscale members")]
pub(in crate::cli) struct MembersArguments {
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the nodes as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows the shards of a cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale shards                   # group 0 first, then every shard
  $ twinscale shards --unsound         # those that are not sound, or move
  $ twinscale shards 17 --json")]
pub(in crate::cli) struct ShardsArguments {
    /// One shard alone.
    #[arg(value_name = "SHARD")]
    shard: Option<u32>,
    /// Only groups that are not sound, or of which a replica moves.
    #[arg(long)]
    unsound: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the shards as JSON.
    #[arg(long)]
    json: bool,
}

/// Shows who did what to a cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale audit                    # what people and nodes did last
  $ twinscale audit --by operator/ada --last 500 --json")]
pub(in crate::cli) struct AuditArguments {
    /// Look at so many of the newest commands; the cluster keeps 512 of them.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=512))]
    last: u32,
    /// Only those of one asker: operator/NAME, node/NUMBER or planner.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    /// Print the commands as JSON.
    #[arg(long)]
    json: bool,
}

/// Tells where a picture does not come from the leader of group 0.
pub(super) fn say_source(seen_by: &SeenBy) {
    if seen_by.meta_leader.is_none() {
        console::say(&format!(
            "warning: no node leads group 0; this is what node {} knows, and it may be old",
            seen_by.node
        ));
    }
}

pub(super) async fn members(arguments: &MembersArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let reply = match connection.read(ReadRequest::Members).await? {
        ReadReply::Members(reply) => reply,
        other => return Err(odd_answer(&other).into()),
    };
    if arguments.json {
        return print_json("twinscale-members/1", &reply);
    }
    console::print(&members_table(&reply))?;
    say_source(&reply.seen_by);
    Ok(())
}

pub(super) fn members_table(reply: &MembersReply) -> String {
    let mut table = Table::new(&[
        "NODE", "NUMBER", "STATE", "HEARD", "ZONE", "GROUP 0", "REPLICAS", "LEADS", "TWINS",
        "CLOCK", "VERSION", "ADDRESS",
    ]);
    for line in &reply.members {
        table.row(member_cells(line));
    }
    table.text()
}

fn member_cells(line: &MemberLine) -> Vec<String> {
    let clock = line.clock_offset_ms.map(|offset| format!("{offset:+} ms"));
    let is_there = line.heard == Heard::Alive;
    vec![
        line.name.to_string(),
        line.number.to_string(),
        word(line.state),
        word(line.heard),
        line.zone.to_string(),
        word(line.meta).replace("none", UNKNOWN),
        line.replicas.to_string(),
        or_unknown(line.leads),
        or_unknown(line.twins.filter(|_| is_there)),
        or_unknown(clock),
        line.software.clone(),
        line.peer_address.clone(),
    ]
}

pub(super) async fn shards(arguments: &ShardsArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let request = ReadRequest::Shards {
        only: arguments.shard.map(ShardId),
    };
    let mut reply = match connection.read(request).await? {
        ReadReply::Shards(reply) => reply,
        other => return Err(odd_answer(&other).into()),
    };
    if arguments.unsound {
        let is_sound = twinscale_cluster::admin::GroupHealth::Sound;
        let shown = |line: &ShardLine| line.health != is_sound || line.moving.is_some();
        reply.shards.retain(shown);
    }
    if arguments.json {
        return print_json("twinscale-shards/1", &reply);
    }
    console::print(&shards_table(&reply))?;
    say_source(&reply.seen_by);
    Ok(())
}

pub(super) fn shards_table(reply: &ShardsReply) -> String {
    let mut table = Table::new(&[
        "SHARD", "HEALTH", "ANSWER", "LEADER", "TERM", "LAG", "VOTERS", "LEARNERS", "MOVE",
    ]);
    for line in &reply.shards {
        table.row(shard_cells(line, &reply.names));
    }
    table.text()
}

/// A node's name, or its number where it has none.
fn name(names: &BTreeMap<NodeNumber, NodeId>, node: NodeNumber) -> String {
    let found = names.get(&node).map(ToString::to_string);
    found.unwrap_or_else(|| node.to_string())
}

fn shard_cells(line: &ShardLine, names: &BTreeMap<NodeNumber, NodeId>) -> Vec<String> {
    let named = |nodes: &[NodeNumber]| list(nodes.iter().map(|node| name(names, *node)));
    let moving = line.moving.as_ref().map(|one| {
        format!(
            "{} -> {} ({}, for {}): {}",
            named(&one.remove),
            named(&one.add),
            one.stage,
            one.reason,
            one.waits
        )
    });
    vec![
        line.shard
            .map_or_else(|| "group 0".to_owned(), |shard| shard.to_string()),
        word(line.health),
        format!("{}/{}", line.answering, line.voters.len()),
        or_unknown(line.leader.map(|leader| name(names, leader))),
        or_unknown(line.term),
        or_unknown(line.lag),
        named(&line.voters),
        named(&line.learners),
        or_unknown(moving),
    ]
}

pub(super) async fn audit(arguments: &AuditArguments) -> anyhow::Result<()> {
    let connection = arguments.connect.open()?;
    let request = ReadRequest::Audit {
        at_most: arguments.last,
    };
    let mut reply = match connection.read(request).await? {
        ReadReply::Audit(reply) => reply,
        other => return Err(odd_answer(&other).into()),
    };
    if let Some(by) = &arguments.by {
        reply.records.retain(|line| line.by == *by);
    }
    if arguments.json {
        return print_json("twinscale-audit/1", &reply);
    }
    console::print(&audit_table(&reply))?;
    say_source(&reply.seen_by);
    Ok(())
}

fn audit_table(reply: &AuditReply) -> String {
    let mut table = Table::new(&["NUMBER", "AT", "BY", "WHAT", "ABOUT", "OUTCOME"]);
    for line in &reply.records {
        let node = line.node_name.as_ref().map(ToString::to_string);
        let node = node.or_else(|| line.node.map(|node| format!("node {node}")));
        let about = [
            line.group.clone(),
            node,
            line.value.map(|value| value.to_string()),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        let outcome = match &line.reason {
            Some(reason) => format!("{}: {reason}", line.outcome),
            None => line.outcome.clone(),
        };
        table.row(vec![
            line.number.to_string(),
            moment(line.at_unix_ms),
            line.by.clone(),
            line.what.clone(),
            list(about).replace(',', " "),
            outcome,
        ]);
    }
    table.text()
}
