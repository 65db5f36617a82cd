//! `twinscale weights put`: brings a file to a node, makes it known, and waits until all nodes have it.

use super::nodes;
use crate::cli::cluster::commands::{CommandArguments, write};
use crate::cli::cluster::connect::{Connection, refused};
use crate::cli::cluster::words::{print_json, word};
use crate::console;
use crate::error::ExpectedError;
use crate::progress::Progress;
use crate::weights::message::{PutCall, PutReply, WEIGHTS_PUT, WEIGHTS_PUT_REPLY, WeightsNodes};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinscale_cluster::admin::{Asked, WeightsOrder, WriteReply, WriteRequest};
use twinscale_meta::stored::v2::WeightsNotice;
use twinscale_protocol::WeightsId;
use twinscale_weights::limits::CHUNK_BYTES;
use twinscale_weights::{Part, sha256};

/// How often it is asked which nodes have it.
const POLL: Duration = Duration::from_millis(300);

/// Brings weights.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  $ twinscale weights put weights.safetensors       # its card is weights.json
  $ twinscale weights shadow 6778b525               # compare it with the active ones

The same file again does no harm: it is brought to a node that has lost it.")]
pub(in crate::cli) struct PutArguments {
    /// The weights; their card is beside them, with the ending .json.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Return once the cluster knows them; nodes fetch them all the same.
    #[arg(long)]
    no_wait: bool,
    /// Wait at most so many seconds for the nodes.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait_limit: u64,
    #[command(flatten)]
    common: CommandArguments,
}

fn read(path: &Path) -> Result<Vec<u8>, ExpectedError> {
    std::fs::read(path).map_err(|source| ExpectedError::file("read", path, source))
}

pub(super) async fn put(arguments: &PutArguments, quiet: bool) -> anyhow::Result<()> {
    let connection = arguments.common.connect.open()?;
    let weights = read(&arguments.file)?;
    let card = read(&arguments.file.with_extension("json"))?;
    let (notice, reply) = bring(&connection, &weights, &card, quiet).await?;
    if !arguments.no_wait {
        let limit = Duration::from_secs(arguments.wait_limit);
        wait_for_nodes(&connection, &notice.id, limit, quiet).await?;
    }
    if arguments.common.json {
        #[derive(serde::Serialize)]
        struct Put<'a> {
            weights: &'a WeightsId,
            #[serde(flatten)]
            reply: &'a WriteReply,
        }
        let put = Put {
            weights: &notice.id,
            reply: &reply,
        };
        return print_json("twinscale-command/1", &put);
    }
    let outcome = word(reply.outcome);
    let where_to = if arguments.no_wait {
        "nodes fetch them"
    } else {
        "every node that is heard has them"
    };
    console::print(&format!("weights {}: {outcome}; {where_to}\n", notice.id))?;
    Ok(())
}

/// Brings weights with their card to a node, and makes them known.
pub(in crate::cli) async fn bring(
    connection: &Connection,
    weights: &[u8],
    card: &[u8],
    quiet: bool,
) -> Result<(WeightsNotice, WriteReply), ExpectedError> {
    let total = (weights.len() + card.len()) as u64;
    let progress = Progress::start("bring", total, quiet);
    let digest = sha256(weights);
    let mut notice = None;
    let mut done = 0;
    for (part, bytes) in [(Part::Card, card), (Part::Weights, weights)] {
        let chunk_bytes = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        let own = sha256(bytes);
        let mut offset = 0;
        for chunk in bytes.chunks(chunk_bytes) {
            let call = PutCall {
                weights: digest,
                part,
                digest: own,
                total: bytes.len() as u64,
                offset,
                bytes: chunk.to_vec(),
            };
            let asked = Asked::by_certificate(call);
            let kinds = (WEIGHTS_PUT, WEIGHTS_PUT_REPLY);
            let reply = connection.client.ask(kinds, &asked, connection.limit).await;
            let reply: PutReply =
                reply.map_err(|error| refused(&error, connection.client.identity()))?;
            offset += chunk.len() as u64;
            done += chunk.len() as u64;
            progress.at(done);
            notice = reply.notice.or(notice);
        }
    }
    drop(progress);
    let notice = notice.ok_or_else(|| ExpectedError::Environment {
        context: "the node took all of the file and does not say what it is".to_owned(),
        hint: "ask with the program of the node's version, and give the command again".to_owned(),
        source: None,
    })?;
    let order = WeightsOrder::Register(notice.clone());
    let reply = write(connection, WriteRequest::Weights(order)).await?;
    Ok((notice, reply))
}

fn lacking(nodes: &WeightsNodes, id: &WeightsId) -> Vec<String> {
    let lacks = nodes.nodes.iter().filter(|node| !node.local.contains(id));
    lacks.map(|node| node.name.clone()).collect()
}

/// Waits until every node that is heard has the weights.
async fn wait_for_nodes(
    connection: &Connection,
    id: &WeightsId,
    limit: Duration,
    quiet: bool,
) -> Result<(), ExpectedError> {
    let progress = Progress::start("copy", 1, quiet);
    let until = Instant::now() + limit;
    loop {
        let found = nodes(connection).await?;
        let missing = lacking(&found, id);
        let all = found.nodes.len() as u64;
        progress.of(all - missing.len() as u64, all);
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(ExpectedError::Environment {
                context: format!(
                    "after {} s these nodes have weights {id} not yet: {}",
                    limit.as_secs(),
                    missing.join(", ")
                ),
                hint: "they go on fetching: `twinscale weights show` says how far they are, and why they wait"
                    .to_owned(),
                source: None,
            });
        }
        sleep(POLL).await;
    }
}
