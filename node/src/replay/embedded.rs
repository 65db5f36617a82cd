//! Nodes of a cluster inside this process, on which a replay's twins are sharded.
//!
//! Each is a node as the daemon starts it: a consensus log and replicas of its own in a folder of its own,
//! certificates and gossip over the loopback, actors of its own. What they share is what a cluster shares, the
//! provider, and with it what its starts have taught, which nodes apart lose with their memory. Consensus lives
//! in system time; who leads changes when a twin is driven and by whom, and nothing that it decides.

use super::drive::Place;
use crate::assembly::{Node, NodeOptions, Surroundings};
use crate::cluster::twins::ShardedTwins;
use crate::dev::layout::free_address;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinscale_cluster::node::{ClusterNode, NodeObservers, NodeSetup};
use twinscale_consensus::{GroupLogOptions, GroupsOptions};
use twinscale_membership::{ClusterKey, KeyRing, SystemWallClock};
use twinscale_meta::stored::v1::{By, SchemaRange};
use twinscale_meta::{Creation, GroupId};
use twinscale_protocol::{AccountName, ClusterId, CustomerId, NodeId, NodeNumber, ZoneName};
use twinscale_provisioner::memory::SharedMemory;
use twinscale_provisioner::{ProviderDriver, RetryPolicy, SimCloudDriver};
use twinscale_shards::{Places, RequestIds};
use twinscale_twin::Twins;
use twinscale_twin::stored::schema::{NEWEST_SCHEMA, OLDEST_SCHEMA};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{CredentialFiles, Credentials, DefaultTimeProvider, WireSettings};

/// Shards of the cluster: a few customers each, and each node leads some.
const SHARDS: u32 = 8;

/// How long the cluster may take to be there: an election for each group, on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Pause between looks at what has no signal of its own.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A replay takes all processors that it may have: heartbeats must bear to wait for one.
const ELECTION_MIN: Duration = Duration::from_secs(1);

/// As above: a follower's faith in its leader.
const ELECTION_MAX: Duration = Duration::from_secs(3);

/// Nodes of a cluster inside this process.
#[derive(Debug)]
pub(super) struct Embedded {
    members: BTreeMap<NodeNumber, Member>,
    cloud: SimCloudDriver,
}

/// One node. Its actors end with it.
#[derive(Debug)]
struct Member {
    cluster: ClusterNode,
    twins: Arc<ShardedTwins>,
    node: Node,
}

impl Embedded {
    /// Makes a cluster in a folder and waits until every shard has its replicas.
    pub(super) async fn start(nodes: NonZeroU16, options: &NodeOptions) -> anyhow::Result<Self> {
        let ground = Ground::lay(nodes, options.directory.clone())?;
        let cloud = SimCloudDriver::new(options.cloud.clone());
        let memory = SharedMemory::default();
        let mut embedded = Self {
            members: BTreeMap::new(),
            cloud,
        };
        let mut started = Vec::new();
        for number in 0..nodes.get() {
            started.push(ground.start(number).await?);
        }
        for (place, cluster) in started.into_iter().enumerate() {
            placed(&cluster, usize::from(nodes.get())).await?;
            let directory = ground.folder(place);
            let options = NodeOptions {
                directory,
                ..options.clone()
            };
            let member = embedded.member(cluster, options, memory.clone()).await?;
            embedded.members.insert(member.cluster.number(), member);
        }
        Ok(embedded)
    }

    async fn member(
        &self,
        cluster: ClusterNode,
        options: NodeOptions,
        memory: SharedMemory,
    ) -> anyhow::Result<Member> {
        let mut seed = [0; 32];
        let number = cluster.number().0.to_le_bytes();
        let keys = options.seed.to_le_bytes().into_iter().chain(number);
        seed.iter_mut().zip(keys).for_each(|(to, from)| *to = from);
        let twins = Arc::new(ShardedTwins::new(
            Arc::clone(cluster.host()),
            Arc::clone(cluster.router()),
            Arc::clone(cluster.places()),
            RequestIds::new(seed),
        ));
        let driver = Arc::new(self.cloud.clone()) as Arc<dyn ProviderDriver>;
        let around = Surroundings {
            retry: RetryPolicy::without_waits(),
            memory,
            ..Surroundings::of(&twins, driver)
        };
        let node = Node::start_for(options, around).await?;
        Ok(Member {
            cluster,
            twins,
            node,
        })
    }

    /// The provider of all.
    pub(super) fn cloud(&self) -> &SimCloudDriver {
        &self.cloud
    }

    /// Any node that lives.
    pub(super) fn any(&self) -> anyhow::Result<&Node> {
        let first = self.members.values().next();
        Ok(&first.context("a node lives")?.node)
    }

    /// Restarts of the forecasters.
    pub(super) fn forecaster_restarts(&self) -> u64 {
        let nodes = self.members.values();
        nodes.map(|one| one.node.forecaster().restarts()).sum()
    }

    /// A node; `None` when it was killed.
    pub(super) fn node(&self, number: NodeNumber) -> Option<&Node> {
        self.members.get(&number).map(|member| &member.node)
    }

    /// The twins as a node shows them: whoever leads has all of what was acknowledged.
    ///
    /// # Errors
    /// When it was killed.
    pub(super) fn twins(&self, number: NodeNumber) -> anyhow::Result<&dyn Twins> {
        let member = self.members.get(&number);
        Ok(&*member.context("the node was killed")?.twins)
    }

    /// The node that leads a customer's shard, confirmed by a majority, with the term; `None` = nobody is, now.
    pub(super) async fn leader(&self, customer: &CustomerId, limit: Duration) -> Option<Place> {
        for (number, member) in &self.members {
            let places: &Arc<dyn Places> = member.cluster.places();
            let placed = places.shard_of(customer);
            let found = placed.and_then(|shard| member.cluster.host().find(shard).ok());
            let Some(shard) = found else {
                continue;
            };
            let Some(generation) = shard.generation() else {
                continue;
            };
            if shard.confirm(generation, limit).await.is_ok() {
                return Some(Place {
                    node: *number,
                    shard,
                    places: Arc::clone(places),
                    generation,
                });
            }
        }
        None
    }

    /// Ends a node as a crash does: nobody is told, and nothing is handed over. Returns the restarts of its
    /// forecaster.
    pub(super) async fn kill(&mut self, number: NodeNumber) -> u64 {
        let Some(member) = self.members.remove(&number) else {
            return 0;
        };
        drop(member.cluster);
        let restarts = member.node.forecaster().restarts();
        member.node.stop().await;
        restarts
    }

    /// Ends all nodes.
    pub(super) async fn stop(self) {
        for member in self.members.into_values() {
            member.node.stop().await;
            member.cluster.stop(Duration::ZERO).await;
        }
    }
}

/// Certificates, addresses and folders of the nodes.
struct Ground {
    folder: PathBuf,
    authority: CertificateAuthority,
    addresses: Vec<SocketAddr>,
    /// The cluster's gossip key, in hexadecimal digits.
    key: String,
}

impl Ground {
    fn lay(nodes: NonZeroU16, folder: PathBuf) -> anyhow::Result<Self> {
        let addresses = (0..nodes.get())
            .map(|_| free_address(Ipv4Addr::LOCALHOST.into()))
            .collect::<anyhow::Result<Vec<SocketAddr>>>()?;
        let authority = CertificateAuthority::init(
            &folder.join("authority"),
            &ClusterId::new("embedded")?,
            AUTHORITY_VALIDITY,
            Arc::new(DefaultTimeProvider),
        )?;
        Ok(Self {
            folder,
            authority,
            addresses,
            key: ClusterKey::draw_hex()?.to_string(),
        })
    }

    fn folder(&self, place: usize) -> PathBuf {
        self.folder.join(name(place))
    }

    /// Founds a cluster with the first node, or has a later one join it.
    async fn start(&self, place: u16) -> anyhow::Result<ClusterNode> {
        let setup = self.setup(usize::from(place))?;
        let keys = KeyRing::new(ClusterKey::from_hex(&self.key)?);
        if place > 0 {
            return Ok(ClusterNode::join(setup, keys, START_LIMIT).await?);
        }
        let expected = u16::try_from(self.addresses.len())?;
        let by = By::Operator(AccountName::new("replay")?);
        let founded = ClusterNode::found(setup, keys, by, |id, facts| Creation {
            shard_count: SHARDS,
            ..Creation::new(id, facts, expected)
        });
        Ok(founded.await?)
    }

    fn setup(&self, place: usize) -> anyhow::Result<NodeSetup> {
        let folder = self.folder(place);
        let certificates = folder.join("certificates");
        let identity = format!("node/{}", name(place)).parse()?;
        self.authority
            .issue(&identity, CERTIFICATE_VALIDITY, &certificates)?;
        let files = CredentialFiles::in_dir(&certificates);
        let listen = *self.addresses.get(place).context("each has an address")?;
        let others = self.addresses.iter().enumerate();
        let seeds = others.filter(|(other, _)| *other != place);
        let seeds =
            seeds.map(|(other, address)| Ok((NodeId::new(name(other))?, address.to_string())));
        Ok(NodeSetup {
            directory: folder.join("data"),
            credentials: Credentials::load(files, Arc::new(DefaultTimeProvider))?,
            listen,
            // Nobody asks it.
            api_address: listen.to_string(),
            zone: ZoneName::new("here")?,
            seeds: seeds.collect::<anyhow::Result<_>>()?,
            wire: WireSettings::default(),
            groups: GroupsOptions {
                election_min: ELECTION_MIN,
                election_max: ELECTION_MAX,
                ..GroupsOptions::default()
            },
            log: GroupLogOptions::default(),
            clock: Arc::new(SystemWallClock),
            schemas: SchemaRange {
                oldest: OLDEST_SCHEMA,
                newest: NEWEST_SCHEMA,
            },
            late: Vec::new(),
            observers: NodeObservers::default(),
        })
    }
}

fn name(place: usize) -> String {
    format!("node-{}", place + 1)
}

/// Waits until all shards have all their replicas.
async fn placed(node: &ClusterNode, nodes: usize) -> anyhow::Result<()> {
    // An odd number: two nodes hold one replica of each shard.
    let replicas = if nodes < 3 { 1 } else { 3 };
    let is_placed = || {
        let state = node.keeper().shown().state();
        let founded = state.groups().filter(|(group, record)| {
            *group != GroupId::Meta
                && record.founded
                && record.under_way.is_none()
                && record.voters.len() == replicas
        });
        founded.count() == SHARDS as usize
    };
    let deadline = Instant::now() + START_LIMIT;
    while !is_placed() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the shards of the embedded cluster have no replicas after {START_LIMIT:?}: is the machine very busy?"
        );
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
