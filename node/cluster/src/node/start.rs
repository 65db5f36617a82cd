//! Starts a node: wire and number first, then groups, replicas and gossip.

use super::ask::{Joined, ask};
use super::error::NodeError;
use super::gate::Gate;
use super::joining::{JoinAnswers, JoinRequest};
use super::observers::NodeObservers;
use super::place::NodeFile;
use super::running::Running;
use super::telling::Telling;
use crate::meta::{KeeperParts, MetaShown, MetaWriter, ReplicaKeeper, has_records};
use crate::network::{Callers, Directory, LateAnswer, NodeCalls, NodePlace, WirePeers};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use twinscale_consensus::{
    GroupLog, GroupLogError, GroupLogOptions, Groups, GroupsOptions, LogIdentity,
};
use twinscale_log::disk::FsDisk;
use twinscale_membership::{
    Endpoint, Environment, Identity as GossipIdentity, Incarnation, KeyRing, Membership,
    MembershipConfig, SchemaRange as GossipSchema, SessionSalt, UdpDatagrams, WallClock,
};
use twinscale_meta::NodeFacts;
use twinscale_meta::stored::v1::{DiskId, SCHEMA, SchemaRange};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{NodeNumber, ZoneName};
use twinscale_shards::{Places, Router, ShardHost, WriterOptions};
use twinscale_store::StoreOptions;
use twinscale_wire::{Addresses, Credentials, Identity, Peers, Server, WireMetrics, WireSettings};

/// How long founding may take, and one try to join.
pub(super) const START_LIMIT: Duration = Duration::from_secs(10);

/// Pause between tries to join.
pub(super) const JOIN_PAUSE: Duration = Duration::from_millis(200);

/// How long a departing node tells the others.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// Its directory: one for each node.
    pub directory: PathBuf,
    /// Its certificate, which names it and its cluster.
    pub credentials: Credentials,
    /// Where it listens for other nodes: calls over TCP, gossip over UDP on the same port.
    pub listen: SocketAddr,
    /// Where clients reach it, as others are told.
    pub api_address: String,
    /// Where it stands.
    pub zone: ZoneName,
    /// Nodes to ask first, by name; any that are up suffice.
    pub seeds: Addresses,
    /// Bounds of the wire.
    pub wire: WireSettings,
    /// Bounds and times of the groups.
    pub groups: GroupsOptions,
    /// Bounds of the log.
    pub log: GroupLogOptions,
    /// The clock.
    pub clock: Arc<dyn WallClock>,
    /// The schemas that this program knows.
    pub schemas: SchemaRange,
    /// Kinds that are answered by parts that start after the node, and who may ask them.
    pub late: Vec<(EnvelopeKind, Callers, Arc<LateAnswer>)>,
    /// Who is told what its parts do.
    pub observers: NodeObservers,
}

/// A node that runs. Dropping it ends it as a crash does.
#[derive(Debug)]
pub struct ClusterNode {
    pub(super) number: NodeNumber,
    pub(super) router: Arc<Router>,
    pub(super) keeper: Arc<ReplicaKeeper>,
    pub(super) host: Arc<ShardHost>,
    pub(super) writer: MetaWriter,
    pub(super) membership: Arc<Membership>,
    pub(super) calls: NodeCalls,
    pub(super) places: Arc<dyn Places>,
    pub(super) server: Server,
    pub(super) wire: WireMetrics,
    pub(super) gate: Gate,
    pub(super) tasks: JoinSet<()>,
}

/// What is there before the node has a number.
pub(super) struct Before {
    pub(super) setup: NodeSetup,
    pub(super) file: NodeFile,
    pub(super) peers: Peers,
    pub(super) directory: Arc<Directory>,
    /// Where the seeds are known: connections of their own, which end with the joining.
    pub(super) seeds: watch::Sender<Addresses>,
    pub(super) asking: Peers,
}

impl ClusterNode {
    /// Joins a cluster that runs, with an empty directory, or one whose joining was cut short.
    ///
    /// # Errors
    /// [`NodeError`]: [`NodeError::NoSeed`] when nobody answers within the limit.
    pub async fn join(setup: NodeSetup, keys: KeyRing, limit: Duration) -> Result<Self, NodeError> {
        let mut before = Before::read(setup)?;
        before.check_founded()?;
        if before.file.number.is_some() {
            return Err(NodeError::State {
                path: before.setup.directory,
                state: "has a node already",
                remedy: "start it without joining, or join with an empty directory",
            });
        }
        before.begin()?;
        let (number, nodes) = before.ask_for_number(limit).await?;
        before.file.number = Some(number);
        before.file.write(&before.setup.directory)?;
        before.start(keys, number, nodes).await
    }

    /// Starts the node of a directory again. Its new start is told to group 0 as soon as that has a leader.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn restart(setup: NodeSetup, keys: KeyRing) -> Result<Self, NodeError> {
        let mut before = Before::read(setup)?;
        before.check_founded()?;
        let Some(number) = before.file.number else {
            return Err(NodeError::State {
                path: before.setup.directory,
                state: "has no node yet",
                remedy: "found a cluster with it, or join one",
            });
        };
        before.begin()?;
        let telling = before.telling();
        let mut node = before.start(keys, number, BTreeMap::new()).await?;
        node.tell(telling);
        Ok(node)
    }

    /// Tells group 0 of this start, until it knows.
    pub(super) fn tell(&mut self, telling: Telling) {
        let joins = JoinAnswers {
            cluster: telling.request.cluster.clone(),
            writer: self.writer.clone(),
            shown: Arc::clone(self.keeper.shown()),
        };
        self.tasks.spawn(telling.run(joins, self.gate.clone()));
    }

    /// Its number in the cluster.
    pub fn number(&self) -> NodeNumber {
        self.number
    }

    /// Takes commands for any customer.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// The shards whose replicas run here.
    pub fn host(&self) -> &Arc<ShardHost> {
        &self.host
    }

    /// Its replicas, and the state of group 0 as it knows it.
    pub fn keeper(&self) -> &Arc<ReplicaKeeper> {
        &self.keeper
    }

    /// Proposes in group 0, where this node leads it.
    pub fn writer(&self) -> &MetaWriter {
        &self.writer
    }

    /// Asks other nodes.
    pub fn calls(&self) -> &NodeCalls {
        &self.calls
    }

    /// Who holds which shard, as group 0 says.
    pub fn places(&self) -> &Arc<dyn Places> {
        &self.places
    }

    /// Who is heard.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The schema that is open here, with changes: commands that need a newer one are not proposed.
    pub fn schema_gate(&self) -> watch::Receiver<u32> {
        self.gate.open.subscribe()
    }

    /// Waits until the cluster does not take this start of the node, or goes on without it; returns why.
    pub async fn expelled(&self) -> String {
        let mut expelled = self.gate.expelled.subscribe();
        let reason = expelled.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_default()
    }

    /// Where it listens for other nodes.
    pub fn listens_on(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends the node in order: it tells the others, and lets calls under way end.
    pub async fn stop(mut self, drain: Duration) {
        self.tasks.shutdown().await;
        if let Some(membership) = Arc::into_inner(self.membership) {
            drop(membership.leave(FAREWELL).await);
        }
        self.server.shutdown(drain).await;
        self.keeper.groups().shut_down().await;
    }
}

impl Before {
    pub(super) fn read(setup: NodeSetup) -> Result<Self, NodeError> {
        let identity = setup.credentials.identity().clone();
        let Identity::Node(name) = identity else {
            return Err(NodeError::NotNode(identity.to_string()));
        };
        let path = setup.directory.clone();
        std::fs::create_dir_all(&path).map_err(|source| NodeError::File {
            path: path.clone(),
            source,
        })?;
        let cluster = setup.credentials.cluster().clone();
        let file = match NodeFile::read(&path)? {
            Some(file) if file.name == name && file.cluster == cluster => file,
            Some(file) => {
                return Err(NodeError::OtherDirectory {
                    path,
                    found: file.name.to_string(),
                    cluster: file.cluster,
                    own: format!("node `{name}` of cluster `{cluster}`"),
                });
            }
            None => NodeFile {
                cluster,
                name,
                disk: SessionSalt::from_system()?.into_bytes(),
                number: None,
                incarnation: 0,
                founding: false,
                schema: SCHEMA,
            },
        };
        file.check_schema(&path, setup.schemas)?;
        let directory = Arc::new(Directory::default());
        let connect = |addresses| {
            let metrics = setup.observers.wire.clone();
            Peers::connect(
                setup.credentials.clone(),
                addresses,
                setup.wire.clone(),
                metrics,
            )
        };
        let seeds = watch::Sender::new(setup.seeds.clone());
        Ok(Self {
            peers: connect(directory.addresses()),
            asking: connect(seeds.subscribe()),
            directory,
            seeds,
            file,
            setup,
        })
    }

    /// Numbers this start, durably, before anybody hears of it.
    pub(super) fn begin(&mut self) -> Result<(), NodeError> {
        let previous = (self.file.incarnation > 0).then_some(Incarnation(self.file.incarnation));
        let started = Incarnation::starting(previous, self.setup.clock.unix_ms());
        self.file.incarnation = started.0;
        self.file.write(&self.setup.directory)
    }

    pub(super) fn facts(&self) -> NodeFacts {
        NodeFacts {
            name: self.file.name.clone(),
            disk: DiskId(self.file.disk),
            incarnation: self.file.incarnation,
            peer_address: self.setup.listen.to_string(),
            api_address: self.setup.api_address.clone(),
            zone: self.setup.zone.clone(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            schema: self.setup.schemas,
        }
    }

    /// Refuses a directory in which a founding was cut short.
    fn check_founded(&self) -> Result<(), NodeError> {
        if !self.file.founding {
            return Ok(());
        }
        Err(NodeError::State {
            path: self.setup.directory.clone(),
            state: "has a cluster whose founding was cut short",
            remedy: "start it with --found to finish that, or with an empty directory to join another one",
        })
    }

    /// Whether a replica was ever recorded in the directory.
    pub(super) fn holds_replicas(&self) -> Result<bool, NodeError> {
        let records = disk(&self.setup.directory, "replicas")?;
        has_records(&records).map_err(|source| NodeError::File {
            path: self.setup.directory.join("replicas"),
            source,
        })
    }

    /// What group 0 is to be told of this start.
    pub(super) fn telling(&self) -> Telling {
        Telling {
            request: self.join_request(),
            seeds: self.seeds.clone(),
            asking: self.asking.clone(),
            directory: Arc::clone(&self.directory),
        }
    }

    pub(super) fn join_request(&self) -> JoinRequest {
        JoinRequest {
            cluster: self.file.cluster.clone(),
            facts: self.facts(),
            claims: self.file.number,
        }
    }

    async fn ask_for_number(&self, limit: Duration) -> Result<Joined, NodeError> {
        let deadline = Instant::now() + limit;
        let request = self.join_request();
        loop {
            match ask(&self.asking, &self.seeds, &request, START_LIMIT).await {
                Err(NodeError::NoSeed { last }) if Instant::now() < deadline => {
                    tracing::info!(last, "nobody took this node in yet");
                }
                answered => return answered,
            }
            sleep(JOIN_PAUSE).await;
        }
    }

    fn open_groups(&self, number: NodeNumber) -> Result<Arc<Groups>, NodeError> {
        let path = &self.setup.directory;
        let identity = LogIdentity::new(&self.file.cluster, number);
        let options = self.setup.log;
        let place = path.join("log");
        let open = || {
            let told = Arc::clone(&self.setup.observers.log);
            GroupLog::open_or_create_observed(&place, identity, options, told)
        };
        if !place.exists() && self.holds_replicas()? {
            let missing = GroupLogError::Missing {
                directory: place.clone(),
                node: number,
            };
            return Err(missing.into());
        }
        let log = match open() {
            // A start that was cut short left a part of one. Nothing was promised yet: a replica is recorded before
            // it runs. Where one is recorded a missing log is a loss.
            Err(GroupLogError::Missing { .. }) if !self.holds_replicas()? => {
                std::fs::remove_dir_all(&place).map_err(|source| NodeError::File {
                    path: place.clone(),
                    source,
                })?;
                open()?
            }
            opened => opened?,
        };
        let snapshots = Arc::new(disk(path, "snapshots")?);
        let network = WirePeers::new(self.peers.clone(), Arc::clone(&self.directory));
        let options = self.setup.groups;
        let told = Arc::clone(&self.setup.observers.groups);
        let groups = Groups::open_observed(log, snapshots, Arc::new(network), options, told)?;
        Ok(Arc::new(groups))
    }

    fn gossip(&self, number: NodeNumber) -> Result<MembershipConfig, NodeError> {
        let facts = self.facts();
        let identity = GossipIdentity {
            name: facts.name,
            peer: Endpoint::new(facts.peer_address)?,
            api: Endpoint::new(facts.api_address)?,
            software: facts.software,
            schema: GossipSchema {
                oldest: facts.schema.oldest,
                newest: facts.schema.newest,
            },
            zone: facts.zone.to_string(),
        };
        let incarnation = Incarnation(facts.incarnation);
        let listen = self.setup.listen;
        let cluster = self.file.cluster.clone();
        let mut config = MembershipConfig::new(cluster, number, incarnation, identity, listen);
        let places = self.directory.addresses().borrow().clone();
        let seeds = self.setup.seeds.values().chain(places.values()).cloned();
        let own = listen.to_string();
        config.seeds = seeds.filter(|seed| *seed != own).collect();
        config.seeds.sort_unstable();
        config.seeds.dedup();
        Ok(config)
    }

    pub(super) async fn start(
        self,
        keys: KeyRing,
        number: NodeNumber,
        nodes: BTreeMap<NodeNumber, NodePlace>,
    ) -> Result<ClusterNode, NodeError> {
        self.directory.set(nodes);
        let groups = self.open_groups(number)?;
        let host = Arc::new(ShardHost::default());
        let shown = Arc::new(MetaShown::default());
        let parts = KeeperParts {
            groups: Arc::clone(&groups),
            host: Arc::clone(&host),
            shown: Arc::clone(&shown),
            records: Arc::new(disk(&self.setup.directory, "replicas")?),
            store: self.setup.directory.join("store"),
            store_options: StoreOptions::default(),
            writer: WriterOptions::default(),
            schemas: self.setup.schemas,
        };
        let keeper = ReplicaKeeper::open(parts).await?;
        let environment = Environment {
            clock: Arc::clone(&self.setup.clock),
            datagrams: Arc::new(UdpDatagrams),
            salt: SessionSalt::from_system()?,
        };
        let config = self.gossip(number)?;
        let membership = Membership::start(config, keys, environment).await?;
        let membership = Arc::new(membership);
        let running = Running {
            before: &self,
            number,
            keeper: &keeper,
            membership: &membership,
        };
        running.start(shown, host).await
    }
}

fn disk(directory: &Path, name: &str) -> Result<FsDisk, NodeError> {
    let path = directory.join(name);
    FsDisk::at(path.clone()).map_err(|source| NodeError::File { path, source })
}
