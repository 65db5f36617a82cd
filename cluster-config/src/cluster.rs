//! Settings of a node that is one of several.

use crate::keys::CLUSTER_KEYS;
use crate::read::{Section, subtable};
use crate::violation::{Violation, Violations};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::{Table, Value};
use twinscale_protocol::{NodeId, ZoneName};

/// Settings of a node that is one of several: `[cluster]` of a node file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Where other nodes reach this one: calls over TCP, gossip over UDP on the same port.
    pub listen: SocketAddr,
    /// The address of the API that others are told; that of the listener when absent.
    pub api: Option<String>,
    /// Folder of this node's certificate, its key and the trusted authorities.
    pub certificates: PathBuf,
    /// File of the keys that seal gossip.
    pub gossip_keys: PathBuf,
    /// Where the node stands; replicas of a shard are spread over zones.
    pub zone: ZoneName,
    /// Other nodes to ask first, by name, with the address on which they listen for nodes.
    pub seeds: BTreeMap<NodeId, String>,
    /// Shards of a new cluster; of one that runs, the number that it was made with. `None` = 64 for a new
    /// one, any for one that runs.
    pub shards: Option<u32>,
    /// Replicas of each shard of a new cluster; odd.
    pub replication: u8,
    /// Nodes of a new cluster that must serve before its shards are placed.
    pub nodes_expected: u16,
    /// The simulated cloud that all nodes share; this node has one of its own when absent.
    pub cloud: Option<String>,
}

pub(crate) fn build(table: &Table, violations: &mut Violations) -> Option<ClusterSettings> {
    let cluster = Section {
        table: Some(table),
        pattern: "",
        specs: CLUSTER_KEYS,
    };
    let listen = listen(&cluster, violations);
    let zone = cluster.text("zone").unwrap_or_default();
    let zone = ZoneName::new(zone.clone())
        .map_err(|error| {
            let hint = "for example: zone = \"zone-1\"";
            violations.push(Violation::new(
                "cluster.zone",
                format!("{zone:?}"),
                error.to_string(),
                hint,
            ));
        })
        .ok();
    let replication = cluster.whole("replication");
    let has_enough = replication <= cluster.whole("nodes_expected");
    if replication.is_multiple_of(2) {
        violations.push(Violation::new(
            "cluster.replication",
            replication,
            "is even: one replica more than an odd number survives no loss more",
            format!(
                "write replication = {}",
                replication.saturating_sub(1).max(1)
            ),
        ));
    } else if !has_enough {
        violations.push(Violation::new(
            "cluster.nodes_expected",
            cluster.whole("nodes_expected"),
            format!("is less than the {replication} replicas of each shard"),
            format!("write nodes_expected = {replication}, or fewer replicas"),
        ));
    }
    let seeds = seeds(table, violations);
    let shards = cluster
        .number("shards")
        .is_some()
        .then(|| cluster.whole_u32("shards"));
    Some(ClusterSettings {
        listen: listen?,
        api: cluster.text("api"),
        certificates: PathBuf::from(cluster.text("certificates").unwrap_or_default()),
        gossip_keys: PathBuf::from(cluster.text("gossip_keys").unwrap_or_default()),
        zone: zone?,
        seeds,
        shards,
        replication: u8::try_from(replication).unwrap_or(u8::MAX),
        nodes_expected: u16::try_from(cluster.whole("nodes_expected")).unwrap_or(u16::MAX),
        cloud: cluster.text("cloud"),
    })
}

fn listen(cluster: &Section<'_>, violations: &mut Violations) -> Option<SocketAddr> {
    let text = cluster.text("listen").unwrap_or_default();
    let mut refuse = |rule: String| {
        violations.push(Violation::new(
            "cluster.listen",
            format!("{text:?}"),
            rule,
            "write the address and port under which the other nodes reach this one, such as \
             listen = \"10.0.0.7:7979\"",
        ));
        None
    };
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            refuse("is no address that another node can reach".to_owned())
        }
        Ok(address) if address.port() == 0 => {
            refuse("has no port: others must know it before this node starts".to_owned())
        }
        Ok(address) => Some(address),
        Err(error) => refuse(error.to_string()),
    }
}

fn seeds(table: &Table, violations: &mut Violations) -> BTreeMap<NodeId, String> {
    let mut seeds = BTreeMap::new();
    let stated = subtable(table, "seeds").into_iter().flatten();
    for (name, address) in stated {
        let address = address.as_str().unwrap_or_default();
        let key = format!("cluster.seeds.{name}");
        let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !has_port {
            violations.push(Violation::new(
                key,
                Value::from(address),
                "is no host:port",
                "write the address on which that node listens for nodes, such as node-a = \"10.0.0.7:7979\"",
            ));
            continue;
        }
        match NodeId::new(name.clone()) {
            Ok(name) => {
                seeds.insert(name, address.to_owned());
            }
            Err(error) => violations.push(Violation::new(
                key,
                format!("{name:?}"),
                error.to_string(),
                "use the name in that node's certificate",
            )),
        }
    }
    seeds
}
