//! `twinscale ready`: asks a node whether it serves, for scripts, containers and supervisors.

use crate::console;
use crate::error::ExpectedError;
use crate::service::api::ReadyReply;
use crate::service::client::{ApiClient, Target};
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Asks a node whether it serves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale ready                                   # a health check: ends with 0 or 4
  $ twinscale ready --url http://10.0.0.7:7878 --wait 60
  $ twinscale ready --live --url http://127.0.0.1:7900  # a simulated cloud")]
pub(super) struct ReadyArguments {
    /// Address of the node.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7878",
        conflicts_with = "data_dir"
    )]
    url: String,
    /// Data directory of the node: its address is found there.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Ask only whether the process answers, not whether it serves; a simulated cloud answers that too.
    #[arg(long)]
    live: bool,
    /// Ask until it does, for so many seconds at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=86_400))]
    wait: u32,
}

/// Time for one answer: a node that serves has it at hand.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &ReadyArguments, quiet: bool) -> anyhow::Result<()> {
    let target = match &arguments.data_dir {
        Some(directory) => Target::DataDir(directory.clone()),
        None => Target::Url(arguments.url.clone()),
    };
    let client = ApiClient::new(target).with_request_limit(ANSWER_LIMIT);
    let runtime = super::runtime(1)?;
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_secs(u64::from(arguments.wait));
        loop {
            match ask(&client, arguments.live).await {
                Err(_not_yet) if Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                asked => return asked,
            }
        }
    })?;
    if !quiet {
        let word = if arguments.live { "live" } else { "ready" };
        console::print(&format!("{word}\n"))?;
    }
    Ok(())
}

async fn ask(client: &ApiClient, live: bool) -> Result<(), ExpectedError> {
    let path = if live { "/v1/health" } else { "/v1/ready" };
    let answer = client.send(Method::GET, path, Bytes::new()).await?;
    if answer.status == StatusCode::OK {
        return Ok(());
    }
    let context = match serde_json::from_slice::<ReadyReply>(&answer.body) {
        Ok(reply) => {
            let reasons = reply.reasons.iter().filter(|reason| !reason.serves);
            let reasons = reasons.map(|reason| format!("{}: {}", reason.code, reason.message));
            let reasons: Vec<String> = reasons.collect();
            format!("the node does not serve: {}", reasons.join("; "))
        }
        Err(_other) => format!("{path} was answered with {}", answer.status),
    };
    Err(ExpectedError::Environment {
        context,
        hint: "look at its log; --wait SECONDS asks again until it serves".to_owned(),
        source: None,
    })
}
