//! What a contender must do.

use super::{etcd, processes, redis, twinscale};
use futures::future::BoxFuture;
use std::path::Path;

/// A cluster that takes writes and answers reads.
pub trait Contender: Send + Sync {
    /// Writes so many new samples of a client in one request; done when they are acknowledged.
    fn samples(&self, client: u32, count: u32) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Changes one small value of a client; done when it is acknowledged.
    fn command(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Reads that value through a node that does not lead.
    fn call(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>>;
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ContenderKind {
    /// This product, three nodes, replication 3.
    Twinscale,
    /// etcd, three nodes.
    Etcd,
    /// Redis, one primary with two replicas.
    Redis,
}

impl ContenderKind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Twinscale, Self::Etcd, Self::Redis];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twinscale => "twinscale",
            Self::Etcd => "etcd",
            Self::Redis => "redis",
        }
    }

    /// What an acknowledged write means.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Twinscale | Self::Etcd => "fsynced on a majority of 3, applied",
            Self::Redis => "fsynced on 1, in memory of 1 of 2 replicas",
        }
    }

    /// Why it cannot take part.
    pub fn missing(self) -> Option<String> {
        let program = match self {
            Self::Twinscale => return None,
            Self::Etcd => etcd::PROGRAM,
            Self::Redis => redis::PROGRAM,
        };
        (!processes::is_installed(program)).then(|| format!("{program} is not installed"))
    }

    /// Starts it in a new folder.
    pub async fn start(self, folder: &Path, shards: u32) -> anyhow::Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Twinscale => Box::new(twinscale::Cluster::start(folder, shards).await?),
            Self::Etcd => Box::new(etcd::Cluster::start(folder).await?),
            Self::Redis => Box::new(redis::Cluster::start(folder).await?),
        })
    }
}
