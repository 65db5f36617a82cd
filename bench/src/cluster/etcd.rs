//! etcd: three members on loopback.

use super::contender::Contender;
use super::processes::{Process, free_addresses, until_ready};
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub const PROGRAM: &str = "etcd";
const MEMBERS: usize = 3;

pub struct Cluster {
    /// One for each member, since a client of several spreads its calls.
    clients: Vec<Client>,
    follower: usize,
    numbers: AtomicU64,
    _members: Vec<Process>,
}

impl Cluster {
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let addresses = free_addresses(MEMBERS * 2)?;
        let (peers, apis) = addresses.split_at(MEMBERS);
        let named = peers.iter().enumerate();
        let all: Vec<String> = named
            .map(|(number, peer)| format!("m{number}=http://{peer}"))
            .collect();
        let mut members = Vec::new();
        for (number, (peer, api)) in peers.iter().zip(apis).enumerate() {
            let arguments = [
                format!("--name=m{number}"),
                format!("--data-dir={}", folder.join(format!("m{number}")).display()),
                format!("--listen-peer-urls=http://{peer}"),
                format!("--initial-advertise-peer-urls=http://{peer}"),
                format!("--listen-client-urls=http://{api}"),
                format!("--advertise-client-urls=http://{api}"),
                format!("--initial-cluster={}", all.join(",")),
                "--initial-cluster-state=new".to_owned(),
            ];
            let log = folder.join(format!("m{number}.log"));
            members.push(Process::start(Path::new(PROGRAM), &arguments, &log)?);
        }
        let mut clients = Vec::new();
        let mut follower = 0;
        for (number, api) in apis.iter().enumerate() {
            let client = until_ready(PROGRAM, || async {
                let mut client = Client::connect([api.to_string()], None).await?;
                client.put("ready", "1", None).await?;
                Ok(client)
            })
            .await?;
            let mut asked = client.clone();
            let status = asked.status().await?;
            let own = status.header().map(|header| header.member_id());
            if own != Some(status.leader()) {
                follower = number;
            }
            clients.push(client);
        }
        Ok(Self {
            clients,
            follower,
            numbers: AtomicU64::new(0),
            _members: members,
        })
    }

    fn client(&self, client: u32) -> Client {
        self.clients[client as usize % self.clients.len()].clone()
    }
}

impl Contender for Cluster {
    fn samples(&self, client: u32, count: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let first = self.numbers.fetch_add(u64::from(count), Ordering::Relaxed);
        async move {
            let puts = (first..first + u64::from(count)).map(|number| {
                let key = format!("bench-{client:03}/web/vm_count/{number}");
                TxnOp::put(key, (number % 1_000).to_be_bytes(), None)
            });
            let puts: Vec<TxnOp> = puts.collect();
            self.client(client).txn(Txn::new().and_then(puts)).await?;
            Ok(())
        }
        .boxed()
    }

    fn command(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let value = self.numbers.fetch_add(1, Ordering::Relaxed).to_string();
        async move {
            let key = format!("bench-{client:03}/policy");
            // As a policy is set: where something guards it.
            let guard = Compare::version("ready", CompareOp::Greater, 0);
            let put = TxnOp::put(key, value, None);
            let txn = Txn::new().when(vec![guard]).and_then(vec![put]);
            self.client(client).txn(txn).await?;
            Ok(())
        }
        .boxed()
    }

    fn call(&self, client: u32) -> BoxFuture<'_, anyhow::Result<()>> {
        let mut follower = self.clients[self.follower].clone();
        async move {
            follower
                .get(format!("bench-{client:03}/policy"), None)
                .await?;
            Ok(())
        }
        .boxed()
    }
}
