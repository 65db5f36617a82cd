//! The HTTP API of a daemon that runs in this process, on threads of its own.

use super::contender::{Contender, Prepared};
use super::work::{NOW, Work};
use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::http::Method;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use twinscale::assembly::ForecastWeights;
use twinscale::load::client::{ApiClient, Target};
use twinscale::service::api::{NodeReply, TelemetryReply};
use twinscale::service::daemon::{DaemonOptions, Started, run};
use twinscale::service::wall_clock::WallClock;
use twinscale_cluster_config::NodeSettings;
use twinscale_protocol::DomainTime;

/// The daemon with a client.
pub struct Api {
    client: ApiClient,
    work: Work,
    stop: Option<oneshot::Sender<()>>,
    daemon: Option<JoinHandle<anyhow::Result<()>>>,
}

/// A clock that stands still after all samples.
#[derive(Debug)]
struct StoppedClock;

impl WallClock for StoppedClock {
    fn now(&self) -> DomainTime {
        NOW
    }
}

impl Api {
    /// Starts a daemon over a folder with the history.
    pub fn start(directory: &Path, work: Work) -> anyhow::Result<Self> {
        let customers = work.customers();
        let options = DaemonOptions {
            settings: NodeSettings {
                data_dir: directory.to_owned(),
                listen: ([127, 0, 0, 1], 0).into(),
                unconfigured_max: customers + 1,
                ..NodeSettings::default()
            },
            weights: ForecastWeights::load(None)?,
            wall: Arc::new(StoppedClock),
            fault_port: None,
            founds: false,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let daemon = std::thread::Builder::new()
            .name("daemon".to_owned())
            .spawn(move || serve(options, tell, stopped))?;
        let Ok(address) = told.recv() else {
            return Err(joined(daemon).err().context("the daemon did not start")?);
        };
        Ok(Self {
            client: ApiClient::new(Target::Url(format!("http://{address}"))),
            work,
            stop: Some(stop),
            daemon: Some(daemon),
        })
    }

    /// Ends the daemon.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        self.daemon.take().map_or(Ok(()), joined)
    }
}

fn serve(
    options: DaemonOptions,
    tell: std::sync::mpsc::SyncSender<std::net::SocketAddr>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(super::WORKERS)
        .thread_name("node")
        .enable_all()
        .build()?;
    let started = move |started: &Started| {
        // Who does not wait any more has failed, and says so.
        let _told = tell.send(started.address);
    };
    let stop = async move {
        // The sender is dropped, or the one who has it is gone.
        let _told = stopped.await;
    };
    let ended = runtime.block_on(run(options, started, stop))?;
    match ended.failure {
        Some(reason) => bail!("the daemon failed: {reason}"),
        None => Ok(()),
    }
}

fn joined(daemon: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    daemon
        .join()
        .unwrap_or_else(|_panic| bail!("the daemon panicked"))
}

impl Contender for Api {
    fn prepare(&self, batch: u32) -> Prepared {
        let request = self.work.next(batch);
        Prepared::Body(self.work.lines(&request), u64::from(batch))
    }

    fn store(&self, prepared: Prepared) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let Prepared::Body(body, count) = prepared else {
                bail!("the API takes bodies, not samples");
            };
            let path = "/v1/telemetry";
            let answer = self
                .client
                .send(Method::POST, path, Bytes::from(body))
                .await?;
            let reply: TelemetryReply = answer.json(path)?;
            if reply.accepted != count {
                bail!(
                    "of {count} samples {} were stored: {reply:?}",
                    reply.accepted
                );
            }
            Ok(())
        })
    }

    fn commits(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async {
            let node: NodeReply = self.client.get("/v1/node").await?;
            Ok(node.writer.batches)
        })
    }
}
