//! Whole nodes over loopback, in one process.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use twinscale_cluster::node::{ClusterNode, NodeError, NodeObservers, NodeSetup};
use twinscale_consensus::{GroupId as ConsensusGroup, GroupLogOptions, GroupsOptions};
use twinscale_membership::{ClusterKey, KeyRing, SystemWallClock};
use twinscale_meta::stored::v1::{By, SchemaRange};
use twinscale_meta::{Creation, GroupId};
use twinscale_protocol::{
    AccountName, ClusterId, CustomerId, DomainTime, FixedValue, MetricName, NodeId, RequestId,
    SeriesKey, VmTypeId, ZoneName,
};
use twinscale_twin::observations::Resolution;
use twinscale_twin::{SampleGroup, TwinCommand};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{Credentials, DefaultTimeProvider, WireSettings};

pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
pub(crate) const SHARDS: u32 = 4;
/// What a program of today knows.
pub(crate) const SCHEMAS: SchemaRange = SchemaRange {
    oldest: 1,
    newest: 1,
};
const START: DomainTime = DomainTime(1_700_006_400);

pub(crate) struct Nodes {
    pub(crate) folder: TempDir,
    pub(crate) ca: CertificateAuthority,
    pub(crate) addresses: BTreeMap<u64, SocketAddr>,
    pub(crate) running: BTreeMap<u64, ClusterNode>,
    pub(crate) shards: u32,
}

pub(crate) fn name_of(number: u64) -> NodeId {
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

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(ClusterKey::from_hex(&"0123456789abcdef".repeat(4)).expect("a key"))
}

/// Bounds of the wire, with short pauses before a connection is tried again.
pub(crate) fn wire() -> WireSettings {
    WireSettings {
        backoff_first: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
        ..WireSettings::default()
    }
}

fn operator() -> By {
    By::Operator(AccountName::new("ada").expect("a name"))
}

impl Nodes {
    /// Lays nodes out, none of which runs.
    pub(crate) fn new(count: u64, shards: u32) -> Self {
        let folder = TempDir::new().expect("a folder");
        let cluster = ClusterId::new("test").expect("an id");
        let time = Arc::new(DefaultTimeProvider);
        let place = folder.path().join("ca");
        let ca = CertificateAuthority::init(&place, &cluster, AUTHORITY_VALIDITY, time);
        Self {
            shards,
            ca: ca.expect("an authority"),
            addresses: (1..=count).map(|number| (number, free_address())).collect(),
            running: BTreeMap::new(),
            folder,
        }
    }

    pub(crate) fn setup(&self, number: u64, certificate: u64) -> NodeSetup {
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
            wire: wire(),
            groups: GroupsOptions::default(),
            log: GroupLogOptions {
                resume_free_bytes: 1 << 20,
                ..GroupLogOptions::default()
            },
            clock: Arc::new(SystemWallClock),
            schemas: SCHEMAS,
            late: Vec::new(),
            observers: NodeObservers::default(),
        }
    }

    /// Ends all nodes.
    pub(crate) async fn stop(self) {
        for (_, node) in self.running {
            node.stop(Duration::ZERO).await;
        }
    }

    /// Whether every replica has a snapshot that covers most of its log.
    pub(crate) async fn snapshots_cover_all(&self) -> bool {
        self.wait_for("every replica has a snapshot", || {
            let mut groups = self.running.values().flat_map(|node| {
                let held = node.keeper().held().borrow().clone();
                let id = |group: &GroupId| match group {
                    GroupId::Meta => 0,
                    GroupId::Shard(shard) => shard.0 + 1,
                };
                let groups = held.keys().map(id).collect::<Vec<_>>();
                groups
                    .into_iter()
                    .map(|group| node.keeper().groups().group(ConsensusGroup(group)))
            });
            let covered =
                groups.all(|group| group.metrics().is_ok_and(|seen| seen.snapshot.is_some()));
            covered.then_some(true)
        })
        .await
    }

    pub(crate) async fn start(count: u64) -> Self {
        Self::start_with(count, SHARDS).await
    }

    pub(crate) async fn start_with(count: u64, shards: u32) -> Self {
        let mut nodes = Self::new(count, shards);
        let founded = nodes.found(1).await;
        nodes.running.insert(1, founded.expect("founds"));
        for number in 2..=count {
            let joined = ClusterNode::join(nodes.setup(number, number), keys(), DEADLINE).await;
            nodes.running.insert(number, joined.expect("joins"));
        }
        nodes
    }

    /// Founds the cluster with a node.
    pub(crate) async fn found(&self, number: u64) -> Result<ClusterNode, NodeError> {
        let expected = u16::try_from(self.addresses.len()).expect("few");
        let creation = |id, facts| Creation {
            shard_count: self.shards,
            ..Creation::new(id, facts, expected)
        };
        ClusterNode::found(self.setup(number, number), keys(), operator(), creation).await
    }

    /// Waits until every shard has as many voters as wanted and a leader that all nodes know.
    pub(crate) async fn placed(&self, replicas: usize) {
        self.wait_for("all shards are placed", || {
            let node = self.running.values().next()?;
            let state = node.keeper().shown().state();
            let shards = state.groups().filter(|(id, _)| *id != GroupId::Meta);
            let sound = shards
                .filter(|(_, group)| {
                    group.founded && group.under_way.is_none() && group.voters.len() == replicas
                })
                .count();
            (sound == self.shards as usize).then_some(())
        })
        .await;
    }

    pub(crate) async fn record(&self, node: u64, request: u128, customer: &CustomerId, step: i64) {
        let router = self.running[&node].router();
        let command = samples(step);
        let proposed = router.propose(RequestId(request), customer, &command, DEADLINE);
        proposed.await.expect("a majority is there");
    }

    /// How many samples a replica of a customer holds at most.
    pub(crate) fn held(&self, customer: &CustomerId) -> usize {
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

    pub(crate) async fn wait_for<T: Send>(
        &self,
        what: &str,
        look: impl Fn() -> Option<T> + Send + Sync,
    ) -> T {
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
