//! `twinscale doctor`: the preflight of a node, and the check-up of a cluster.

use super::cluster::{Connection, parse_node, refused};
use super::run::SettingsArguments;
use crate::assembly::ForecastWeights;
use crate::cluster::commands::message::{
    ACTORS_READ, ACTORS_READ_REPLY, ActorName, ActorsReply, ActorsRequest,
};
use crate::console;
use crate::doctor::{
    CHECKS, Check, Diagnosis, Outcome, Patient, diagnose, judge_cluster, judge_forecasters,
    judge_weights,
};
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::service::wall_clock::SystemWallClock;
use crate::weights::message::{WEIGHTS_READ, WEIGHTS_READ_REPLY, WeightsNodes};
use clap::Args;
use std::path::PathBuf;
use twinscale_cluster::admin::{Asked, ReadReply, ReadRequest};
use twinscale_log::SystemMonotonicClock;
use twinscale_protocol::NodeId;

/// Looks whether this machine can run a node with these settings.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Look at a running cluster as well: folder with the certificate of an operator or a viewer.
    #[arg(
        long,
        value_name = "DIR",
        env = "TWINSCALE_CERTIFICATES",
        help_heading = "Cluster",
        requires = "nodes"
    )]
    certificates: Option<PathBuf>,
    /// A node of the cluster, by the name in its certificate; several are tried in order.
    #[arg(
        long = "node",
        value_name = "NAME=HOST:PORT",
        env = "TWINSCALE_NODE",
        help_heading = "Cluster",
        value_delimiter = ',',
        value_parser = parse_node
    )]
    nodes: Vec<(NodeId, String)>,
    /// Look at the cluster alone, not at this machine.
    #[arg(long, help_heading = "Cluster", requires = "certificates")]
    cluster_only: bool,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

/// How long a node of the cluster may take to answer, in seconds.
const ASK_LIMIT_S: u64 = 15;

pub(super) fn run(arguments: &DoctorArguments, quiet: bool) -> anyhow::Result<()> {
    let mut diagnosis = if arguments.cluster_only {
        Diagnosis::of(Vec::new())
    } else {
        look_at_machine(arguments, quiet)?
    };
    if let Some(certificates) = &arguments.certificates {
        let runtime = super::runtime(1)?;
        let checks = runtime.block_on(async {
            let nodes = arguments.nodes.clone();
            let connection = Connection::open(certificates, nodes, ASK_LIMIT_S)?;
            look_at_cluster(&connection).await
        });
        runtime.shutdown_background();
        diagnosis = diagnosis.with(checks?);
    }
    tell(arguments, &diagnosis)
}

fn look_at_machine(arguments: &DoctorArguments, quiet: bool) -> anyhow::Result<Diagnosis> {
    let settings = arguments.settings.read()?;
    let weights = ForecastWeights::load(arguments.settings.weights())?;
    let progress = Progress::start("doctor", CHECKS, quiet);
    let mut done = 0;
    let patient = Patient {
        settings: &settings,
        weights: &weights,
        wall: &SystemWallClock,
        clock: &SystemMonotonicClock::start(),
    };
    Ok(diagnose(&patient, &mut |name| {
        progress.note(name);
        progress.at(done);
        done += 1;
    }))
}

async fn look_at_cluster(connection: &Connection) -> anyhow::Result<Vec<Check>> {
    let members = connection.read(ReadRequest::Members).await?;
    let shards = connection.read(ReadRequest::Shards { only: None }).await?;
    let (ReadReply::Members(members), ReadReply::Shards(shards)) = (members, shards) else {
        return Err(ExpectedError::Environment {
            context: "the node answered another question".to_owned(),
            hint: "ask with the program of the node's version".to_owned(),
            source: None,
        }
        .into());
    };
    let mut checks = judge_cluster(&members, &shards, connection.client.expiry());
    checks.push(look_at_forecasters(connection).await?);
    checks.extend(look_at_weights(connection).await);
    Ok(checks)
}

async fn look_at_forecasters(connection: &Connection) -> anyhow::Result<Check> {
    let asked = Asked::by_certificate(ActorsRequest::Inspect {
        actor: ActorName::Forecaster,
        node: None,
    });
    let kinds = (ACTORS_READ, ACTORS_READ_REPLY);
    let answered = connection.client.ask(kinds, &asked, connection.limit).await;
    let reply: ActorsReply =
        answered.map_err(|error| refused(&error, connection.client.identity()))?;
    Ok(judge_forecasters(&reply))
}

/// What nodes serve; a node of an older program does not tell, and then there is nothing to judge.
async fn look_at_weights(connection: &Connection) -> Option<Check> {
    let asked = Asked::by_certificate(());
    let kinds = (WEIGHTS_READ, WEIGHTS_READ_REPLY);
    let answered = connection.client.ask(kinds, &asked, connection.limit).await;
    let weights: WeightsNodes = answered.ok()?;
    Some(judge_weights(&weights))
}

fn tell(arguments: &DoctorArguments, diagnosis: &Diagnosis) -> anyhow::Result<()> {
    if arguments.json {
        console::print(&format!("{}\n", serde_json::to_string_pretty(diagnosis)?))?;
    } else {
        console::print(&diagnosis.to_string())?;
    }
    if diagnosis.outcome == Outcome::Failed {
        let failed = diagnosis.checks.iter();
        let failed: Vec<&str> = failed
            .filter(|check| check.outcome == Outcome::Failed)
            .map(|check| check.name)
            .collect();
        let what = if arguments.certificates.is_none() {
            "a node cannot run here"
        } else if arguments.cluster_only {
            "the cluster is not sound"
        } else {
            "a node cannot run here, or the cluster is not sound"
        };
        return Err(ExpectedError::Environment {
            context: format!("{what}: {}", failed.join(", ")),
            hint: "each failed line says what to do about it".to_owned(),
            source: None,
        }
        .into());
    }
    Ok(())
}
