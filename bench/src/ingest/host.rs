//! The twins' host, as every part of the product writes through it.

use super::contender::{Contender, Prepared};
use super::work::{Request, Work};
use anyhow::bail;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use std::path::Path;
use twinscale::assembly::open_host;
use twinscale_protocol::DomainTime;
use twinscale_protocol::twin::IngestRequest;
use twinscale_twin::{TwinHost, Twins as _};

/// Requests under way while the history is written.
const HISTORY_AT_ONCE: usize = 64;

/// The host with its part of the work.
pub struct Host {
    host: TwinHost,
    work: Work,
}

impl Host {
    /// Opens a host over its folder, with log and store.
    pub fn open(directory: &Path, work: Work) -> anyhow::Result<Self> {
        let (host, _report) = open_host(directory)?;
        Ok(Self { host, work })
    }

    /// Writes the history of all customers.
    pub async fn write_history(&self) -> anyhow::Result<()> {
        let requests = (0..self.work.customers()).map(|customer| self.work.history(customer));
        let mut stored = futures::stream::iter(requests)
            .map(|request| self.ingest(request))
            .buffer_unordered(HISTORY_AT_ONCE);
        while let Some(stored) = stored.next().await {
            stored?;
        }
        Ok(())
    }

    async fn ingest(&self, request: Request) -> anyhow::Result<()> {
        let count = request.samples.len();
        let newest = request.samples.iter().map(|(_, at, _)| *at).max();
        let reply = self.host.ingest(IngestRequest {
            customer: self.work.customer(request.customer).clone(),
            now: newest.unwrap_or(DomainTime(0)),
            samples: self.work.samples(&request),
        });
        let reply = reply.await?;
        if u64::from(reply.stored) != count as u64 {
            bail!("of {count} samples {} were stored: {reply:?}", reply.stored);
        }
        Ok(())
    }
}

impl Contender for Host {
    fn prepare(&self, batch: u32) -> Prepared {
        Prepared::Samples(self.work.next(batch))
    }

    fn store(&self, prepared: Prepared) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            match prepared {
                Prepared::Samples(request) => self.ingest(request).await,
                Prepared::Body(..) => bail!("the host takes samples, not bodies"),
            }
        })
    }

    fn commits(&self) -> BoxFuture<'_, anyhow::Result<u64>> {
        Box::pin(async { Ok(self.host.metrics().batches) })
    }
}
