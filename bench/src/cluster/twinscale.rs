//! This product: three nodes and the simulated cloud as processes of this program.

use super::contender::Contender;
use super::processes::until_ready;
use ::twinscale::dev::layout::{Layout, LayoutOptions};
use ::twinscale::dev::processes::{OwnProcess, ready, start_cloud, start_node};
use ::twinscale::service::client::{ApiClient, Target};
use ::twinscale::service::wall_clock::{SystemWallClock, WallClock as _};
use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use twinscale_protocol::ClusterId;

const NODES: u16 = 3;
const READY_LIMIT: Duration = Duration::from_mins(2);

/// The first budget, in dollars: above what the least VMs cost.
const FIRST_BUDGET: u64 = 1_000;

/// Behind now: far enough for a run, and within the retention of raw samples.
const AGE_S: i64 = 20 * 86_400;

pub struct Cluster {
    clients: Vec<ApiClient>,
    /// A node that does not lead the shard of the customer that is read.
    follower: usize,
    begun_at: i64,
    rounds: [AtomicI64; 256],
    values: AtomicU64,
    nodes: Vec<OwnProcess>,
    _cloud: OwnProcess,
}

impl Cluster {
    pub async fn start(folder: &Path, shards: u32) -> anyhow::Result<Self> {
        let options = LayoutOptions {
            cluster: ClusterId::new("bench")?,
            nodes: NODES,
            replication: 3,
            shards: Some(shards),
            addresses: Vec::new(),
            cloud: Ipv4Addr::LOCALHOST.into(),
            node_keys: toml::Table::new(),
        };
        let layout = Layout::write(&folder.join("cluster"), &options)?;
        let program = own_program(folder)?;
        let cloud = start_cloud(&program, &layout)?;
        let mut nodes = Vec::new();
        for (number, node) in layout.nodes.iter().enumerate() {
            nodes.push(start_node(&program, node, number == 0)?);
        }
        for (process, node) in nodes.iter_mut().zip(&layout.nodes) {
            ready(process, node, READY_LIMIT).await?;
        }
        let url = |api| Target::Url(format!("http://{api}"));
        let clients: Vec<ApiClient> = layout
            .nodes
            .iter()
            .map(|node| ApiClient::new(url(node.api)))
            .collect();
        let mut cluster = Self {
            clients,
            follower: 0,
            begun_at: SystemWallClock.now().0 - AGE_S,
            rounds: std::array::from_fn(|_| AtomicI64::new(0)),
            values: AtomicU64::new(FIRST_BUDGET),
            nodes,
            _cloud: cloud,
        };
        for client in 0..256 {
            until_ready("twinscale", || cluster.configure(client)).await?;
        }
        cluster.follower = until_ready("twinscale", || async {
            follower_of(&program, &layout, &customer(0))
        })
        .await?;
        Ok(cluster)
    }

    /// The numbers of its nodes' processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(OwnProcess::id)
    }

    /// Twins that only observe: what is measured is the way of a write, and not planning.
    async fn configure(&self, client: u32) -> anyhow::Result<()> {
        let body = r#"{"policy": {"mode": "observe"}, "stack": {"tier": {"web": {
            "demand": "web/vm_count", "vm_type": [{"name": "web"}]}}}}"#;
        let path = format!("/v1/customers/{}", customer(client));
        self.ask(client, (Method::PUT, &path), body.to_owned())
            .await
    }

    async fn ask(
        &self,
        client: u32,
        (method, path): (Method, &str),
        body: String,
    ) -> anyhow::Result<()> {
        let node = &self.clients[client as usize % self.clients.len()];
        let answer = node.send(method, path, Bytes::from(body)).await?;
        if answer.status != StatusCode::OK {
            let words = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("{path}: {}: {words}", answer.status);
        }
        Ok(())
    }
}

impl Contender for Cluster {
    fn samples(&self, client: u32, count: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let first = self.rounds[client as usize].fetch_add(i64::from(count), Ordering::Relaxed);
        let from = self.begun_at + first;
        let mut lines = String::new();
        for at in from..from + i64::from(count) {
            // Writing to a string cannot fail.
            let _written = writeln!(
                lines,
                "{{\"customer\":\"{}\",\"vm_type\":\"web\",\"metric\":\"vm_count\",\"timestamp\":{at},\"value\":{}}}",
                customer(client),
                at % 1_000
            );
        }
        async move {
            self.ask(client, (Method::POST, "/v1/telemetry"), lines)
                .await
        }
        .boxed()
    }

    fn command(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"mode\": \"observe\", \"budget_per_day_usd\": {value}}}");
        let path = format!("/v1/customers/{}/policy", customer(client));
        async move { self.ask(client, (Method::PUT, &path), body).await }.boxed()
    }

    fn call(&self, _client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let path = format!("/v1/customers/{}/policy", customer(0));
        let node = u32::try_from(self.follower).unwrap_or(0);
        async move { self.ask(node, (Method::GET, &path), String::new()).await }.boxed()
    }
}

fn customer(client: u32) -> String {
    format!("bench-{client:03}")
}

/// A script that runs the product's command line, which this program has in it.
fn own_program(folder: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let own = std::env::current_exe()?;
    let script = folder.join("twinscale");
    let text = format!("#!/bin/sh\nexec \"{}\" node \"$@\"\n", own.display());
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

fn follower_of(program: &Path, layout: &Layout, customer: &str) -> anyhow::Result<usize> {
    let mut command = Command::new(program);
    command
        .args(["twins", "ls", "--limit", "0", "--json"])
        .args(layout.operator_arguments());
    let output = command.output()?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let twins = told["twins"].as_array().cloned().unwrap_or_default();
    let twin = twins.iter().find(|twin| twin["customer"] == customer);
    let leader = twin.and_then(|twin| twin["node_name"].as_str());
    let leader = leader.with_context(|| format!("nobody leads {customer}"))?;
    let other = layout.nodes.iter().position(|node| node.name != leader);
    other.context("there is no other node")
}
