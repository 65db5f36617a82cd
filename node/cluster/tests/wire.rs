//! Nodes that reach each other over mutual TLS alone: commands find the leader of their shard, and go on
//! when it falls silent.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use twinscale_cluster::network::{
    Callers, ConsensusAnswers, Directory, Dispatch, NodeCalls, NodePlace, ShardAnswers, WirePeers,
};
use twinscale_consensus::{
    GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity, PEER_REQUEST,
    PeerCall, PeerError, PeerNetwork, StateMachine,
};
use twinscale_log::disk::FsDisk;
use twinscale_protocol::{
    ClusterId, CustomerId, DomainTime, FixedValue, MetricName, NodeId, NodeNumber, RequestId,
    SeriesKey, ShardId, VmTypeId, WireErrorCode,
};
use twinscale_shards::{
    HostedShard, Places, Router, RouterOptions, SHARD_REQUEST, ShardHost, ShardMachine,
    WriterOptions, group_of,
};
use twinscale_store::StoreOptions;
use twinscale_twin::observations::Resolution;
use twinscale_twin::shard::ShardStores;
use twinscale_twin::{SampleGroup, TwinCommand};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{
    CallError, CallOptions, Credentials, DefaultTimeProvider, Envelope, Peers, Server, WireMetrics,
    WireSettings,
};

const DEADLINE: Duration = Duration::from_mins(1);
const SHARD: ShardId = ShardId(0);
const START: DomainTime = DomainTime(1_700_006_400);

#[derive(Debug)]
struct Everywhere(Ended);

/// Nodes that were ended.
type Ended = Arc<Mutex<BTreeSet<u64>>>;

impl Places for Everywhere {
    fn shard_of(&self, _customer: &CustomerId) -> Option<ShardId> {
        Some(SHARD)
    }

    fn replicas(&self, _shard: ShardId) -> Vec<u64> {
        vec![1, 2, 3]
    }

    fn is_silent(&self, node: u64) -> bool {
        self.0.lock().is_ok_and(|ended| ended.contains(&node))
    }

    fn schema(&self) -> u32 {
        1
    }
}

struct Node {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    router: Arc<Router>,
    server: Server,
}

struct Cluster {
    folder: TempDir,
    ca: CertificateAuthority,
    directory: Arc<Directory>,
    nodes: BTreeMap<u64, Node>,
    ended: Ended,
}

fn quick() -> WireSettings {
    WireSettings {
        connect_timeout: DEADLINE,
        backoff_first: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
        ..WireSettings::default()
    }
}

fn name_of(number: u64) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("an id")
}

fn groups_of(folder: &Path, number: u64, network: impl PeerNetwork) -> Arc<Groups> {
    let cluster = ClusterId::new("test").expect("an id");
    let identity = LogIdentity::new(&cluster, NodeNumber(number));
    let options = GroupLogOptions {
        resume_free_bytes: 1 << 20,
        ..GroupLogOptions::default()
    };
    let log = GroupLog::create(&folder.join("log"), identity, options).expect("it is new");
    let snapshots = FsDisk::at(folder.join("snapshots")).expect("a folder");
    let options = GroupsOptions::default();
    let groups = Groups::open(log, Arc::new(snapshots), Arc::new(network), options);
    Arc::new(groups.expect("opens"))
}

async fn hosted(folder: &Path, groups: &Groups) -> HostedShard {
    let opened = ShardStores::open_at(&folder.join("store"), StoreOptions::default(), &|_| SHARD);
    let (_found, stores, _report) = opened.expect("the store opens");
    let machine = Arc::new(ShardMachine::new(stores.empty(SHARD)));
    let state = Arc::clone(&machine) as Arc<dyn StateMachine>;
    let group = groups.start(group_of(SHARD), state).await.expect("starts");
    HostedShard::new(machine, group, WriterOptions::default())
}

impl Cluster {
    /// Three nodes that hold one shard.
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let ca = CertificateAuthority::init(
            &folder.path().join("ca"),
            &ClusterId::new("test").expect("an id"),
            AUTHORITY_VALIDITY,
            Arc::new(DefaultTimeProvider),
        );
        let mut cluster = Self {
            ca: ca.expect("an authority"),
            directory: Arc::default(),
            nodes: BTreeMap::new(),
            ended: Ended::default(),
            folder,
        };
        for number in 1..=3 {
            cluster.run(number).await;
        }
        let places = cluster.nodes.iter().map(|(number, node)| {
            let address = node.server.address().to_string();
            let name = name_of(*number);
            (NodeNumber(*number), NodePlace { name, address })
        });
        cluster.directory.set(places.collect());
        let members: BTreeSet<NodeNumber> = (1..=3).map(NodeNumber).collect();
        let first = cluster.node(1).host.find(SHARD).expect("it is here");
        let begun = first.group().initialize(members).await;
        begun.expect("it is new");
        cluster
    }

    fn node(&self, number: u64) -> &Node {
        self.nodes.get(&number).expect("it runs")
    }

    fn credentials(&self, who: &str) -> Credentials {
        let folder = self.folder.path().join(who.replace('/', "-"));
        let identity = who.parse().expect("an identity");
        let files = self.ca.issue(&identity, CERTIFICATE_VALIDITY, &folder);
        Credentials::load(files.expect("issued"), Arc::new(DefaultTimeProvider)).expect("valid")
    }

    fn peers(&self, who: &str) -> Peers {
        let addresses = self.directory.addresses();
        let metrics = WireMetrics::default();
        Peers::connect(self.credentials(who), addresses, quick(), metrics)
    }

    async fn run(&mut self, number: u64) {
        let who = format!("node/{}", name_of(number));
        let peers = self.peers(&who);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("it is new");
        let network = WirePeers::new(peers.clone(), Arc::clone(&self.directory));
        let groups = groups_of(&folder, number, network);
        let host = Arc::new(ShardHost::default());
        host.insert(hosted(&folder, &groups).await);
        let router = Arc::new(Router::new(
            number,
            Arc::clone(&host),
            Arc::new(Everywhere(Arc::clone(&self.ended))),
            Arc::new(NodeCalls::new(peers, Arc::clone(&self.directory))),
            RouterOptions::default(),
        ));
        let consensus = Arc::new(ConsensusAnswers::new(
            Arc::clone(&groups),
            Arc::clone(&self.directory),
        ));
        let shards = Arc::new(ShardAnswers(Arc::clone(&router)));
        let dispatch = Dispatch::new(Arc::clone(&self.directory))
            .on(PEER_REQUEST, Callers::Nodes, consensus)
            .on(SHARD_REQUEST, Callers::Nodes, shards);
        let server = Server::bind(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            self.credentials(&who),
            quick(),
            Arc::new(dispatch),
            WireMetrics::default(),
        );
        let node = Node {
            groups,
            host,
            router,
            server: server.await.expect("listens"),
        };
        self.nodes.insert(number, node);
    }

    /// Waits until a node leads with a majority behind it.
    async fn leader(&self) -> u64 {
        let look = || {
            self.nodes.iter().find_map(|(number, node)| {
                let status = node.host.find(SHARD).ok()?.status().ok()?;
                let status = status.borrow();
                let leads = status.role == GroupRole::Leader && status.has_quorum;
                leads.then_some(*number)
            })
        };
        let wait = async {
            loop {
                if let Some(leader) = look() {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, wait).await.expect("a leader")
    }

    async fn record(&self, node: u64, request: u128, step: i64) {
        let router = &self.node(node).router;
        let command = samples(step);
        let id = RequestId(request);
        let proposed = router.propose(id, &customer(), &command, DEADLINE).await;
        proposed.expect("a majority is there");
    }

    /// Ends a node without a word to the others.
    async fn end(&mut self, number: u64) {
        let node = self.nodes.remove(&number).expect("it runs");
        node.server.shutdown(Duration::ZERO).await;
        node.groups.shut_down().await;
        self.ended.lock().expect("nobody panicked").insert(number);
    }

    /// How many samples a node holds.
    fn held(&self, node: u64) -> usize {
        let shard = self.node(node).host.find(SHARD).expect("it is here");
        let twin = shard.machine().reader().twin(&customer());
        let count = twin.map(|twin| {
            twin.read(|state| {
                let held = |series| {
                    let end = DomainTime(START.0 + 86_400);
                    let slots = state.observations(series, Resolution::Raw, START, end);
                    slots.len()
                };
                state.series().map(held).sum()
            })
        });
        count.unwrap_or_default()
    }
}

fn customer() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

fn samples(step: i64) -> TwinCommand {
    let at = DomainTime(START.0 + step * 60);
    let series = SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    };
    TwinCommand::RecordSamples {
        now: DomainTime(START.0 + 86_400),
        groups: vec![SampleGroup {
            series,
            samples: vec![(at, FixedValue(step))],
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_find_their_leader_and_go_on_without_it() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let nodes: Vec<u64> = cluster.nodes.keys().copied().collect();
    for (step, node) in (0..).zip(&nodes) {
        cluster.record(*node, 1 + u128::from(*node), step).await;
    }
    let counts = cluster
        .node(nodes[usize::from(nodes[0] == leader)])
        .router
        .counts();
    assert!(counts.remote > 0, "a follower sends on: {counts:?}");
    cluster.end(leader).await;
    let mut left = nodes.iter().filter(|node| **node != leader);
    let (first, second) = (left.next().expect("two"), left.next().expect("two"));
    cluster.record(*first, 11, 3).await;
    cluster.record(*second, 12, 4).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader, "it has ended");
    assert_eq!(cluster.held(next), 5, "all acknowledged samples are there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_node_takes_no_part_in_consensus() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    for who in ["operator/ann", "viewer/bob", "node/stranger"] {
        let peers = cluster.peers(who);
        for kind in [PEER_REQUEST, SHARD_REQUEST] {
            let request = Envelope::seal(kind, &0_u8).expect("small");
            let options = CallOptions::within(DEADLINE);
            let asked = peers.call(&name_of(leader), request, options).await;
            match asked {
                Err(CallError::Answered { error, .. }) => {
                    assert_eq!(
                        error.code,
                        WireErrorCode::PermissionDenied,
                        "{who}: {error}"
                    );
                }
                other => panic!("{who} got {other:?}"),
            }
        }
    }
}

/// Keeps why calls failed.
struct Overheard {
    network: WirePeers,
    refusals: tokio::sync::mpsc::Sender<String>,
}

impl PeerNetwork for Overheard {
    fn call(&self, to: NodeNumber, call: PeerCall) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            let answered = self.network.call(to, call).await;
            if let Err(PeerError::Refused { reason }) = &answered {
                let _heard = self.refusals.try_send(reason.clone());
            }
            answered
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_speaks_for_no_other_in_consensus() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|number| *number != leader).collect();
    let (liar, claimed) = (others[0], others[1]);
    // A process with the certificate of one node and the directory of another one, which stands for election.
    let peers = cluster.peers(&format!("node/{}", name_of(liar)));
    let (refusals, mut heard) = tokio::sync::mpsc::channel(16);
    let network = WirePeers::new(peers, Arc::clone(&cluster.directory));
    let folder = cluster.folder.path().join("liar");
    std::fs::create_dir(&folder).expect("it is new");
    let groups = groups_of(&folder, claimed, Overheard { network, refusals });
    let hosted = hosted(&folder, &groups).await;
    let members = BTreeSet::from([NodeNumber(claimed), NodeNumber(leader)]);
    let begun = hosted.group().initialize(members).await;
    begun.expect("it is new there");
    let refusal = timeout(DEADLINE, heard.recv()).await;
    let refusal = refusal.expect("an answer").expect("it stands");
    assert!(
        refusal.contains(&format!("node/{}", name_of(liar)))
            && refusal.contains(&format!("it says that it is of node {claimed}"))
            && refusal.contains("a node speaks for itself alone"),
        "{refusal}"
    );
    cluster.record(liar, 21, 0).await;
    groups.shut_down().await;
}
