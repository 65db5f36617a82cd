//! Redis: a primary that syncs every write, and two replicas.

use super::contender::Contender;
use super::processes::{Process, free_addresses, until_ready};
use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub const PROGRAM: &str = "redis-server";
const REPLICAS: usize = 2;

/// How long a write waits for a replica, in milliseconds.
const WAIT_MS: u32 = 10_000;

/// A connection for each client, since `WAIT` holds up its own.
const CONNECTIONS: usize = 256;

pub struct Cluster {
    connections: Vec<MultiplexedConnection>,
    replica: MultiplexedConnection,
    numbers: AtomicU64,
    _servers: Vec<Process>,
}

impl Cluster {
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let addresses = free_addresses(REPLICAS + 1)?;
        let primary = addresses[0];
        let mut servers = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let dir = folder.join(format!("r{number}"));
            std::fs::create_dir_all(&dir)?;
            let mut arguments: Vec<String> = [
                "--bind".to_owned(),
                address.ip().to_string(),
                "--port".to_owned(),
                address.port().to_string(),
                "--dir".to_owned(),
                dir.display().to_string(),
            ]
            .into();
            let durable = [
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ];
            arguments.extend(durable.map(str::to_owned));
            if number > 0 {
                let of = [primary.ip().to_string(), primary.port().to_string()];
                arguments.push("--replicaof".to_owned());
                arguments.extend(of);
            }
            let log = folder.join(format!("r{number}.log"));
            servers.push(Process::start(Path::new(PROGRAM), &arguments, &log)?);
        }
        let open = |address| async move {
            let client = redis::Client::open(format!("redis://{address}"))?;
            anyhow::Ok(client.get_multiplexed_async_connection().await?)
        };
        let first = until_ready(PROGRAM, || open(primary)).await?;
        let replica = until_ready(PROGRAM, || open(addresses[1])).await?;
        until_ready(PROGRAM, || {
            let mut first = first.clone();
            async move { write(&mut first, &[("ready".to_owned(), 1)]).await }
        })
        .await?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(open(primary).await?);
        }
        Ok(Self {
            connections,
            replica,
            numbers: AtomicU64::new(0),
            _servers: servers,
        })
    }

    fn connection(&self, client: u32) -> anyhow::Result<MultiplexedConnection> {
        let connection = self.connections.get(client as usize);
        connection.cloned().context("too many clients")
    }
}

/// Sets keys in one pipeline and waits until a replica has them.
async fn write(
    connection: &mut MultiplexedConnection,
    pairs: &[(String, u64)],
) -> anyhow::Result<()> {
    let mut pipeline = redis::pipe();
    for (key, value) in pairs {
        pipeline.cmd("SET").arg(key).arg(value).ignore();
    }
    pipeline.cmd("WAIT").arg(1).arg(WAIT_MS);
    let (reached,): (u32,) = pipeline.query_async(connection).await?;
    ensure!(reached >= 1, "no replica has the write");
    Ok(())
}

impl Contender for Cluster {
    fn samples(&self, client: u32, count: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let first = self.numbers.fetch_add(u64::from(count), Ordering::Relaxed);
        async move {
            let pairs = (first..first + u64::from(count)).map(|number| {
                let key = format!("bench-{client:03}/web/vm_count/{number}");
                (key, number % 1_000)
            });
            let pairs: Vec<(String, u64)> = pairs.collect();
            write(&mut self.connection(client)?, &pairs).await
        }
        .boxed()
    }

    fn command(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let value = self.numbers.fetch_add(1, Ordering::Relaxed);
        async move {
            let pair = (format!("bench-{client:03}/policy"), value);
            write(&mut self.connection(client)?, &[pair]).await
        }
        .boxed()
    }

    fn call(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let mut replica = self.replica.clone();
        async move {
            let key = format!("bench-{client:03}/policy");
            let _value: Option<u64> = redis::cmd("GET").arg(key).query_async(&mut replica).await?;
            Ok(())
        }
        .boxed()
    }
}
