//! One member as a process of its own: `member ID SEED...` joins through the seeds and writes a line of
//! JSON for each change that it sees, until its standard input ends; then it leaves.

use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use twinscale_membership::{
    ClusterKey, Endpoint, Environment, Identity, Incarnation, KeyRing, Liveness, Membership,
    MembershipConfig, MembershipView, SchemaRange, SessionSalt, SystemWallClock, UdpDatagrams,
    WallClock,
};
use twinscale_protocol::NodeId;
use twinscale_protocol::{ClusterId, NodeNumber};

/// For a demonstration only: a real key comes from a file that only the node reads.
const EXAMPLE_KEY: &str = "6f2d9a17c4e05b83f19e7d20a6b8c35147fe0d92b3a8615cd7e4903f28ab61c5";

const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: member ID [SEED...]";
    let id = arguments.next().ok_or_else(|| anyhow::anyhow!(usage))?;
    let config = config(id.parse()?, arguments.collect())?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(config))
}

fn config(id: u64, seeds: Vec<String>) -> anyhow::Result<MembershipConfig> {
    let identity = Identity {
        name: NodeId::new(format!("node-{id}"))?,
        peer: Endpoint::new("127.0.0.1:7100")?,
        api: Endpoint::new("127.0.0.1:8080")?,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 1,
        },
        zone: "local".to_owned(),
    };
    let incarnation = Incarnation::starting(None, SystemWallClock.unix_ms());
    let cluster = ClusterId::new("example")?;
    let listen = "127.0.0.1:0".parse()?;
    let mut config = MembershipConfig::new(cluster, NodeNumber(id), incarnation, identity, listen);
    config.seeds = seeds;
    Ok(config)
}

async fn run(config: MembershipConfig) -> anyhow::Result<()> {
    let environment = Environment {
        clock: Arc::new(SystemWallClock),
        datagrams: Arc::new(UdpDatagrams),
        salt: SessionSalt::from_system()?,
    };
    let keys = KeyRing::new(ClusterKey::from_hex(EXAMPLE_KEY)?);
    let membership = Membership::start(config, keys, environment).await?;
    write(&json!({ "gossip": membership.gossip_address() }))?;
    let mut views = membership.watch();
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    loop {
        write(&summary(&views.borrow_and_update()))?;
        tokio::select! {
            changed = views.changed() => changed?,
            read = input.read(&mut byte) => if read? == 0 {
                let report = membership.leave(FAREWELL_LIMIT).await?;
                let told = report.told.len();
                return write(&json!({ "left": { "told": told, "untold": report.untold.len() } }));
            },
        }
    }
}

fn summary(view: &MembershipView) -> serde_json::Value {
    let word = |liveness| match liveness {
        Liveness::Alive => "alive",
        Liveness::Dead => "dead",
        Liveness::Left => "left",
    };
    let members: BTreeMap<String, &str> = view
        .members
        .values()
        .map(|one| (one.id.to_string(), word(one.liveness)))
        .collect();
    let deaths: u64 = view.members.values().map(|one| one.deaths).sum();
    json!({
        "unix_ms": SystemWallClock.unix_ms(),
        "members": members,
        "deaths": deaths,
        "standing": format!("{:?}", view.standing),
    })
}

fn write(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
