//! What operators and viewers ask of a running cluster, over mutually authenticated TLS.

mod actors;
mod commands;
mod connect;
mod look;
mod schema;
mod snapshot;
mod twins;
mod weights;
mod words;

pub(super) use connect::{Connection, parse_node, refused};
pub(super) use weights::{bring, command_of, register};
pub(super) use words::print_json;

use clap::Subcommand;

/// Looks at a running cluster, and commands it.
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Show the nodes of a cluster: state, liveness, zone, load, clock, part in group 0, replicas.
    Members(look::MembersArguments),
    /// Show the shards of a cluster: voters, leader, term, health, and what moves.
    Shards(look::ShardsArguments),
    /// Show who did what to a cluster, and what came of it.
    Audit(look::AuditArguments),
    /// Show customers' twins and which node drives each.
    #[command(subcommand)]
    Twins(twins::TwinsCommand),
    /// Show the actors of nodes; restart, kill, pause and resume them.
    #[command(subcommand)]
    Actors(actors::ActorsCommand),
    /// Empty a node for maintenance: its replicas and leaderships go to others while the cluster serves.
    Drain(commands::DrainArguments),
    /// Let a drained node serve again.
    Undrain(commands::UndrainArguments),
    /// Empty a node and take it out for good; refused when a shard would lose its majority.
    Decommission(commands::DecommissionArguments),
    /// Move one replica of a shard from a node to another.
    MoveShard(commands::MoveArguments),
    /// Make the cluster more even now, without sparing nodes to which a move failed lately.
    ///
    /// The leader of group 0 evens out by itself; a node to which a move was rolled back it leaves alone for
    /// five minutes, and this command does not.
    Rebalance(commands::RebalanceArguments),
    /// Have every replica of a shard take a snapshot and purge its log behind it.
    Snapshot(snapshot::SnapshotArguments),
    /// Show the schema of a cluster; raise it once every node runs a newer program.
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Show, bring, compare, promote and go back from the weights that the cluster forecasts with; retrain them.
    #[command(subcommand)]
    Weights(weights::WeightsCommand),
}

pub(super) fn run(command: &ClusterCommand, quiet: bool) -> anyhow::Result<()> {
    // Answers come one by one: a thread for the connections is enough.
    let runtime = super::runtime(1)?;
    let ended = runtime.block_on(async {
        match command {
            ClusterCommand::Members(arguments) => look::members(arguments).await,
            ClusterCommand::Shards(arguments) => look::shards(arguments).await,
            ClusterCommand::Audit(arguments) => look::audit(arguments).await,
            ClusterCommand::Twins(command) => twins::run(command).await,
            ClusterCommand::Actors(command) => actors::run(command).await,
            ClusterCommand::Drain(arguments) => commands::drain(arguments, quiet).await,
            ClusterCommand::Undrain(arguments) => commands::undrain(arguments, quiet).await,
            ClusterCommand::Decommission(arguments) => {
                commands::decommission(arguments, quiet).await
            }
            ClusterCommand::MoveShard(arguments) => commands::move_shard(arguments, quiet).await,
            ClusterCommand::Rebalance(arguments) => commands::rebalance(arguments, quiet).await,
            ClusterCommand::Snapshot(arguments) => snapshot::snapshot(arguments, quiet).await,
            ClusterCommand::Schema(command) => schema::run(command, quiet).await,
            ClusterCommand::Weights(command) => weights::run(command, quiet).await,
        }
    });
    runtime.shutdown_background();
    ended
}
