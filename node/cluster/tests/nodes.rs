//! Whole nodes over loopback: a cluster is founded, nodes join, shards are placed, a node dies and returns.
#![expect(clippy::panic, reason = "a test that waited in vain ends here")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use twinscale_cluster::node::{ClusterNode, NodeError, NodeSetup};
use twinscale_consensus::{GroupLogOptions, GroupsOptions};
use twinscale_membership::{ClusterKey, KeyRing, SystemWallClock};
use twinscale_meta::stored::v1::By;
use twinscale_meta::{Creation, GroupId};
use twinscale_protocol::{
    AccountName, ClusterId, CustomerId, DomainTime, FixedValue, MetricName, NodeId, RequestId,
    SeriesKey, VmTypeId, ZoneName,
};
use twinscale_twin::observations::Resolution;
use twinscale_twin::{SampleGroup, TwinCommand};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{Credentials, DefaultTimeProvider, WireSettings};

const DEADLINE: Duration = Duration::from_mins(2);
const SHARDS: u32 = 4;
const START: DomainTime = DomainTime(1_700_006_400);

struct Nodes {
    folder: TempDir,
    ca: CertificateAuthority,
    addresses: BTreeMap<u64, SocketAddr>,
    running: BTreeMap<u64, ClusterNode>,
}

fn name_of(number: u64) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("an id")
}

/// A port that is free for both protocols; nobody else takes it before a node does.
fn free_address() -> SocketAddr {
    let mut tries = (0..100).filter_map(|_| {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let address = tcp.local_addr().ok()?;
        UdpSocket::bind(address).ok()?;
        Some(address)
    });
    tries.next().expect("a free port")
}

fn keys() -> KeyRing {
    KeyRing::new(ClusterKey::from_hex(&"0123456789abcdef".repeat(4)).expect("a key"))
}

fn operator() -> By {
    By::Operator(AccountName::new("ada").expect("a name"))
}

impl Nodes {
    fn new(count: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let cluster = ClusterId::new("test").expect("an id");
        let time = Arc::new(DefaultTimeProvider);
        let place = folder.path().join("ca");
        let ca = CertificateAuthority::init(&place, &cluster, AUTHORITY_VALIDITY, time);
        Self {
            ca: ca.expect("an authority"),
            addresses: (1..=count).map(|number| (number, free_address())).collect(),
            running: BTreeMap::new(),
            folder,
        }
    }

    fn setup(&self, number: u64, certificate: u64) -> NodeSetup {
        let identity = format!("node/{}", name_of(certificate));
        let identity = identity.parse().expect("an identity");
        let folder = self
            .folder
            .path()
            .join(format!("certificate-{certificate}"));
        let files = self.ca.issue(&identity, CERTIFICATE_VALIDITY, &folder);
        let time = Arc::new(DefaultTimeProvider);
        let credentials = Credentials::load(files.expect("issued"), time).expect("valid");
        let others = self.addresses.iter().filter(|(other, _)| **other != number);
        NodeSetup {
            directory: self.folder.path().join(number.to_string()),
            credentials,
            listen: self.addresses[&number],
            api_address: format!("127.0.0.1:{}", 9_000 + number),
            zone: ZoneName::new(format!("zone-{number}")).expect("a zone"),
            seeds: others
                .map(|(other, address)| (name_of(*other), address.to_string()))
                .collect(),
            wire: WireSettings {
                backoff_first: Duration::from_millis(10),
                backoff_max: Duration::from_millis(100),
                ..WireSettings::default()
            },
            groups: GroupsOptions::default(),
            log: GroupLogOptions {
                resume_free_bytes: 1 << 20,
                ..GroupLogOptions::default()
            },
            clock: Arc::new(SystemWallClock),
            late: Vec::new(),
        }
    }

    async fn start(count: u64) -> Self {
        let mut nodes = Self::new(count);
        let expected = u16::try_from(count).expect("few");
        let founded = ClusterNode::found(nodes.setup(1, 1), keys(), operator(), |id, facts| {
            Creation {
                shard_count: SHARDS,
                ..Creation::new(id, facts, expected)
            }
        });
        nodes.running.insert(1, founded.await.expect("founds"));
        for number in 2..=count {
            let joined = ClusterNode::join(nodes.setup(number, number), keys(), DEADLINE).await;
            nodes.running.insert(number, joined.expect("joins"));
        }
        nodes
    }

    /// Waits until every shard has as many voters as wanted and a leader that all nodes know.
    async fn placed(&self, replicas: usize) {
        self.wait_for("all shards are placed", || {
            let node = self.running.values().next()?;
            let state = node.keeper().shown().state();
            let shards = state.groups().filter(|(id, _)| *id != GroupId::Meta);
            let sound = shards
                .filter(|(_, group)| {
                    group.founded && group.under_way.is_none() && group.voters.len() == replicas
                })
                .count();
            (sound == SHARDS as usize).then_some(())
        })
        .await;
    }

    async fn record(&self, node: u64, request: u128, customer: &CustomerId, step: i64) {
        let router = self.running[&node].router();
        let command = samples(step);
        let proposed = router.propose(RequestId(request), customer, &command, DEADLINE);
        proposed.await.expect("a majority is there");
    }

    /// How many samples a replica of a customer holds at most.
    fn held(&self, customer: &CustomerId) -> usize {
        let replicas = self.running.values().flat_map(|node| node.host().all());
        let held = replicas.filter_map(|hosted| {
            let twin = hosted.machine().reader().twin(customer)?;
            let series = key();
            let end = DomainTime(START.0 + 86_400);
            Some(twin.read(|state| {
                state
                    .observations(&series, Resolution::Raw, START, end)
                    .len()
            }))
        });
        held.max().unwrap_or_default()
    }

    async fn wait_for<T: Send>(&self, what: &str, look: impl Fn() -> Option<T> + Send + Sync) -> T {
        let wait = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(DEADLINE, wait).await;
        waited.unwrap_or_else(|_late| {
            let states = self.running.iter().map(|(number, node)| {
                let state = node.keeper().shown().state();
                let groups: Vec<_> = state
                    .groups()
                    .map(|(id, group)| format!("{id} {:?}", group.voters))
                    .collect();
                format!(
                    "node {number} sees {} nodes, {groups:?}, hears {}",
                    state.nodes().len(),
                    node.membership().view().alive()
                )
            });
            panic!(
                "{what} within {DEADLINE:?}: {:#?}",
                states.collect::<Vec<_>>()
            )
        })
    }
}

fn key() -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    }
}

fn samples(step: i64) -> TwinCommand {
    TwinCommand::RecordSamples {
        now: DomainTime(START.0 + 86_400),
        groups: vec![SampleGroup {
            series: key(),
            samples: vec![(DomainTime(START.0 + step * 60), FixedValue(step))],
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_serves_and_takes_a_node_back() {
    let mut nodes = Nodes::start(3).await;
    nodes.placed(3).await;
    let customers: Vec<CustomerId> = (0..6)
        .map(|number| CustomerId::new(format!("customer-{number}")).expect("an id"))
        .collect();
    for (number, customer) in (0_u64..).zip(&customers) {
        nodes
            .record(number % 3 + 1, u128::from(number) + 1, customer, 0)
            .await;
    }

    let killed = nodes.running.remove(&2).expect("it runs");
    killed.stop(Duration::ZERO).await;
    for (number, customer) in (0_u64..).zip(&customers) {
        let node = if number % 2 == 0 { 1 } else { 3 };
        nodes
            .record(node, u128::from(number) + 101, customer, 1)
            .await;
    }

    let again = ClusterNode::restart(nodes.setup(2, 2), keys()).await;
    nodes.running.insert(2, again.expect("it restarts"));
    for (number, customer) in (0_u64..).zip(&customers) {
        nodes.record(2, u128::from(number) + 201, customer, 2).await;
        assert_eq!(
            nodes.held(customer),
            3,
            "all acknowledged samples are there"
        );
    }
    for (_, node) in nodes.running {
        node.stop(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_serves_its_own_node_alone() {
    let nodes = Nodes::start(1).await;
    let other = ClusterNode::restart(nodes.setup(1, 7), keys()).await;
    assert!(
        matches!(other, Err(NodeError::OtherDirectory { .. })),
        "{other:?}"
    );
    let again = ClusterNode::join(nodes.setup(1, 1), keys(), DEADLINE).await;
    assert!(matches!(again, Err(NodeError::State { .. })), "{again:?}");
}
