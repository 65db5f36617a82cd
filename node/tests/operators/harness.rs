//! Nodes of a cluster in one process, with the service that each will have.

use crate::acting::{key, request_of};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use twinscale::assembly::{ForecastWeights, Node, NodeOptions, Surroundings, WatchLimits};
use twinscale::clients::Lenders;
use twinscale::cluster::commands::CommandSlots;
use twinscale::cluster::commands::message::{
    ACTORS_WRITE, ACTORS_WRITE_REPLY, ActorDone, ActorOrder,
};
use twinscale::cluster::lending::{LoanAnswers, PeerLenders};
use twinscale::cluster::messages::FORECAST_LOAN;
use twinscale::cluster::owner::Owner;
use twinscale::cluster::twins::ShardedTwins;
use twinscale::observe::{Instruments, cluster};
use twinscale::service::keeper::Keeper;
use twinscale::service::state::Service;
use twinscale::service::wall_clock::{SystemWallClock, WallClock};
use twinscale::weights::{WeightsOptions, WeightsService, WeightsSlots};
use twinscale_cluster::admin::{Asked, ClusterClient};
use twinscale_cluster::network::{Callers, LateAnswer};
use twinscale_cluster::node::{ClusterNode, NodeError, NodeSetup};
use twinscale_cluster_config::NodeSettings;
use twinscale_consensus::{GroupLogOptions, GroupsOptions};
use twinscale_forecaster::shadow::Rule;
use twinscale_membership::{ClusterKey, KeyRing};
use twinscale_meta::stored::v1::{By, SchemaRange};
use twinscale_meta::stored::v2::WeightsRecord;
use twinscale_meta::{Creation, GroupId};
use twinscale_protocol::twin::IngestRequest;
use twinscale_protocol::{
    AccountName, ClusterId, CustomerId, DomainTime, FixedValue, NodeId, Sample, WeightsId, ZoneName,
};
use twinscale_provisioner::{SimCloudConfig, SimCloudDriver};
use twinscale_shards::{RequestIds, Router};
use twinscale_twin::stored::schema::{NEWEST_SCHEMA, OLDEST_SCHEMA};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{CredentialFiles, Credentials, DefaultTimeProvider, WireSettings};

const DEADLINE: Duration = Duration::from_mins(2);

/// A node with all that it serves.
struct Member {
    cluster: ClusterNode,
    service: Arc<Service>,
    keeper: Arc<Keeper>,
    owner: Owner,
    weights: WeightsService,
}

pub(crate) struct Nodes {
    folder: TempDir,
    ca: CertificateAuthority,
    addresses: BTreeMap<u64, SocketAddr>,
    members: BTreeMap<u64, Member>,
    cloud: SimCloudDriver,
    /// The weights that a node is started with.
    weights: fn(u64) -> ForecastWeights,
}

/// The answers of a node that starts before its service.
struct Late {
    slots: CommandSlots,
    loans: Arc<LateAnswer>,
    weights: WeightsSlots,
    instruments: Instruments,
}

impl Late {
    fn new() -> Self {
        Self {
            slots: CommandSlots::default(),
            loans: Arc::new(LateAnswer::default()),
            weights: WeightsSlots::default(),
            instruments: Instruments::on().expect("the catalogue is sound"),
        }
    }
}

fn shipped(_number: u64) -> ForecastWeights {
    ForecastWeights::load(None).expect("they ship")
}

/// A rule that decides within an hour of steps, so that a test sees it.
const RULE: Rule = Rule {
    series_min: 6,
    steps_min: 12,
    forecasts_min: 12,
    span_min_s: 3_600,
    trial_max_s: 86_400,
    watch_s: 86_400,
    margin: 0.01,
};

pub(crate) fn customer(number: u64) -> CustomerId {
    CustomerId::new(format!("customer-{number}")).expect("an id")
}

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

fn name_of(number: u64) -> String {
    format!("node-{number}")
}

impl Nodes {
    /// Nodes that hold a replica of every shard, and share a provider.
    pub(crate) async fn start(count: u64, shards: u32) -> Self {
        Self::start_with(count, shards, shipped).await
    }

    /// The same, each started with weights of its own; one more may join later.
    pub(crate) async fn start_with(
        count: u64,
        shards: u32,
        weights: fn(u64) -> ForecastWeights,
    ) -> Self {
        let folder = TempDir::new().expect("a folder");
        let cluster = ClusterId::new("test").expect("an id");
        let time = Arc::new(DefaultTimeProvider);
        let place = folder.path().join("ca");
        let ca = CertificateAuthority::init(&place, &cluster, AUTHORITY_VALIDITY, time);
        let mut nodes = Self {
            ca: ca.expect("an authority"),
            addresses: (1..=count + 1)
                .map(|number| (number, free_address()))
                .collect(),
            members: BTreeMap::new(),
            cloud: SimCloudDriver::new(SimCloudConfig::with_seed(7)),
            weights,
            folder,
        };
        let mut started = BTreeMap::new();
        for number in 1..=count {
            let late = Late::new();
            let setup = nodes.setup(number, &late);
            let node = if number == 1 {
                let expected = u16::try_from(count).expect("few");
                let by = By::Operator(AccountName::new("founder").expect("a name"));
                ClusterNode::found(setup, keys(), by, |id, facts| Creation {
                    shard_count: shards,
                    ..Creation::new(id, facts, expected)
                })
                .await
            } else {
                ClusterNode::join(setup, keys(), DEADLINE).await
            };
            started.insert(number, (node.expect("it starts"), late));
        }
        for (number, (node, late)) in started {
            placed(&node, shards).await;
            nodes.seat(number, node, late).await;
        }
        nodes
    }

    /// Has a node that runs serve.
    async fn seat(&mut self, number: u64, node: ClusterNode, late: Late) {
        let member = self.member((number, node), &late).await;
        late.slots.fill(&member.cluster, &member.service);
        let node = member.service.node();
        let (forecasters, instruments) = (node.forecasters(), node.instruments());
        let lends = LoanAnswers::new(Arc::clone(forecasters), instruments.clone());
        assert!(late.loans.set(Arc::new(lends)), "a node lends once");
        self.members.insert(number, member);
    }

    /// Has one more node join.
    pub(crate) async fn join(&mut self, number: u64) {
        let late = Late::new();
        let setup = self.setup(number, &late);
        let node = ClusterNode::join(setup, keys(), DEADLINE).await;
        self.seat(number, node.expect("it joins"), late).await;
    }

    /// Ends a node in order.
    pub(crate) async fn halt(&mut self, number: u64) {
        let member = self.members.remove(&number).expect("it runs");
        end(member).await;
    }

    /// Starts a node again that was halted.
    pub(crate) async fn resume(&mut self, number: u64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let late = Late::new();
            match ClusterNode::restart(self.setup(number, &late), keys()).await {
                // The last task of its earlier start has not let go of log and store yet.
                Err(NodeError::Log(_) | NodeError::Replicas(_)) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                node => return self.seat(number, node.expect("it starts"), late).await,
            }
        }
    }

    /// The data directory of a node.
    pub(crate) fn data_dir(&self, number: u64) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    /// The register of weights as a node knows it.
    pub(crate) fn register(&self, number: u64) -> WeightsRecord {
        let shown = self.members[&number].cluster.keeper().shown().state();
        shown.weights().clone()
    }

    /// The weights that are here and verified.
    pub(crate) fn verified(&self, number: u64) -> BTreeSet<WeightsId> {
        self.members[&number].weights.local().verified()
    }

    fn setup(&self, number: u64, later: &Late) -> NodeSetup {
        let mut late = [later.slots.late(), later.weights.late()].concat();
        late.push((FORECAST_LOAN, Callers::Nodes, Arc::clone(&later.loans)));
        let folder = self.issue(&format!("node/{}", name_of(number)));
        let files = CredentialFiles::in_dir(&folder);
        let time = Arc::new(DefaultTimeProvider);
        let others = self.addresses.iter().filter(|(other, _)| **other != number);
        NodeSetup {
            directory: self.folder.path().join(number.to_string()),
            credentials: Credentials::load(files, time).expect("valid"),
            listen: self.addresses[&number],
            api_address: format!("127.0.0.1:{}", 9_000 + number),
            zone: ZoneName::new(format!("zone-{number}")).expect("a zone"),
            seeds: others
                .map(|(other, address)| {
                    let name = NodeId::new(name_of(*other)).expect("an id");
                    (name, address.to_string())
                })
                .collect(),
            wire: WireSettings::default(),
            groups: GroupsOptions::default(),
            log: GroupLogOptions {
                resume_free_bytes: 1 << 20,
                ..GroupLogOptions::default()
            },
            clock: Arc::new(twinscale_membership::SystemWallClock),
            schemas: SchemaRange {
                oldest: OLDEST_SCHEMA,
                newest: NEWEST_SCHEMA,
            },
            late,
            observers: cluster::observers(&later.instruments),
        }
    }

    /// Issues the certificate of an identity, and names its folder.
    fn issue(&self, who: &str) -> PathBuf {
        let folder = self.folder.path().join(who.replace('/', "-"));
        let identity = who.parse().expect("an identity");
        let issued = self.ca.issue(&identity, CERTIFICATE_VALIDITY, &folder);
        issued.expect("issued");
        folder
    }

    async fn member(&self, (number, cluster): (u64, ClusterNode), late: &Late) -> Member {
        let (weights, cloud) = ((self.weights)(number), self.cloud.clone());
        let instruments = late.instruments.clone();
        let seed = [u8::try_from(number).expect("few"); 32];
        let twins = Arc::new(ShardedTwins::new(
            Arc::clone(cluster.host()),
            Arc::clone(cluster.router()),
            Arc::clone(cluster.places()),
            RequestIds::new(seed),
        ));
        let lenders: Arc<dyn Lenders> = Arc::new(PeerLenders::new(
            cluster.number(),
            cluster.calls().clone(),
            cluster.membership().watch(),
            instruments.clone(),
        ));
        let around = Surroundings {
            lenders: Some(lenders),
            ..Surroundings::of(&twins, Arc::new(cloud))
        };
        let options = NodeOptions {
            directory: self.folder.path().join(number.to_string()),
            seed: 7,
            optimizer_threads: NonZeroUsize::MIN,
            weights,
            cloud: SimCloudConfig::with_seed(7),
            watch: WatchLimits {
                shared_restarts_max: 4,
                ..WatchLimits::default()
            },
            instruments,
        };
        let node = Node::start_for(options, around).await;
        let node = Arc::new(node.expect("its actors start"));
        let wall: Arc<dyn WallClock> = Arc::new(SystemWallClock);
        let keeper = Arc::new(Keeper::new(
            Arc::clone(&node),
            Arc::clone(&wall),
            8,
            Duration::from_mins(1),
        ));
        let mut owner = Owner::new(twins, Arc::clone(&keeper));
        for hosted in cluster.host().all() {
            owner.follow(hosted);
        }
        let listen = self.addresses[&number];
        let settings = NodeSettings::default();
        let options = WeightsOptions {
            rule: RULE,
            judge_every: Duration::from_millis(200),
            ..WeightsOptions::of(
                &NodeSettings {
                    data_dir: self.data_dir(number),
                    ..NodeSettings::default()
                },
                listen,
            )
        };
        let weights = WeightsService::start(&late.weights, &cluster, &node, options);
        let service = Service::new(node, Arc::clone(&keeper), wall, settings, listen);
        let service = service.telling(cluster.figures());
        Member {
            cluster,
            service: Arc::new(service),
            keeper,
            owner,
            weights: weights.expect("its folder can be used"),
        }
    }

    pub(crate) async fn configure(&self, customer: &CustomerId) {
        let configured = self.members[&1]
            .service
            .twins()
            .configure(request_of(customer))
            .await;
        configured.expect("a majority is there");
    }

    /// Stores two weeks of hourly samples up to now, through one node.
    pub(crate) async fn record(&self, customer: &CustomerId) {
        let now = SystemWallClock.now();
        let last = now.floor_to(request_of(customer).interval);
        let samples = (1..=14 * 24).rev().map(|hours| Sample {
            series: key(),
            at: DomainTime(last.0 - hours * 3_600),
            value: FixedValue((5 + hours % 24 / 4) * 1_000_000),
        });
        let request = IngestRequest {
            customer: customer.clone(),
            now,
            samples: samples.collect(),
        };
        let ingested = self.members[&1].service.twins().ingest(request).await;
        ingested.expect("a majority is there");
    }

    /// The node that drives the twins of a customer's shard, once one does.
    pub(crate) async fn leader_of(&self, customer: &CustomerId) -> u64 {
        let mut found = None;
        until("a node leads the customer's shard", || {
            let leads = |member: &Member| {
                let authorities = member.service.node().authorities();
                authorities.of(customer).is_some()
            };
            let mut members = self.members.iter();
            found = members.find_map(|(number, member)| leads(member).then_some(*number));
            found.is_some()
        })
        .await;
        found.expect("it was waited for")
    }

    /// A series of `GET /metrics` of a node, by name and labels, in whole numbers; `None` when it is not there.
    pub(crate) async fn counted(&self, number: u64, series: &str) -> Option<u64> {
        let service = self.service(number);
        let text = service.collector().scrape(service).await;
        let mut lines = text.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix(series)?.strip_prefix(' ')?;
            value.split('.').next()?.parse().ok()
        })
    }

    /// Waits until a node counts so much: gauges follow what they show when the node looks next.
    pub(crate) async fn comes_to_count(&self, number: u64, series: &str, wanted: u64) {
        let wait = async {
            while self.counted(number, series).await != Some(wanted) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(DEADLINE, wait).await;
        waited.unwrap_or_else(|_late| panic!("in vain: {series} of node {number} at {wanted}"));
    }

    /// The sum of a series over all nodes.
    pub(crate) async fn counted_everywhere(&self, series: &str) -> u64 {
        let mut sum = 0;
        for number in self.members.keys() {
            sum += self.counted(*number, series).await.unwrap_or_default();
        }
        sum
    }

    /// Where a node listens for others.
    pub(crate) fn address(&self, number: u64) -> SocketAddr {
        self.addresses[&number]
    }

    /// The way of a node to the leaders.
    pub(crate) fn router(&self, number: u64) -> &Arc<Router> {
        self.members[&number].cluster.router()
    }

    /// The service of a node.
    pub(crate) fn service(&self, number: u64) -> &Service {
        &self.members[&number].service
    }

    /// Waits until so many twins are driven, each by one node, and had a turn.
    pub(crate) async fn all_are_driven(&self, count: usize) {
        let turned = || {
            let members = self.members.values();
            let turned = members.map(|member| {
                let report = member.keeper.report();
                (
                    report.running,
                    usize::try_from(report.turns_done).unwrap_or(usize::MAX),
                )
            });
            turned.fold((0, 0), |(all, turns), (running, done)| {
                (all + running, turns + done)
            })
        };
        let wait = async {
            loop {
                let (running, turns) = turned();
                if running == count && turns >= count {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = timeout(DEADLINE, wait).await;
        waited.unwrap_or_else(|_late| panic!("running and turns: {:?}", turned()));
    }

    /// Runs the binary as an account, with all nodes to ask.
    pub(crate) async fn run(&self, who: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinscale"));
        let runs = |number: &u64| self.members.contains_key(number);
        let nodes = self.addresses.iter().filter(|(number, _)| runs(number));
        let nodes = nodes.map(|(number, address)| format!("{}={address}", name_of(*number)));
        command
            .args(arguments)
            .env("TWINSCALE_CERTIFICATES", self.issue(who))
            .env("TWINSCALE_NODE", nodes.collect::<Vec<_>>().join(","));
        let ran = tokio::task::spawn_blocking(move || command.output());
        ran.await
            .expect("it ends")
            .expect("the built binary starts")
    }

    /// Sends an order to an actor through one node, as an operator; the same order may be sent again.
    pub(crate) async fn order(&self, through: u64, order: &ActorOrder) -> ActorDone {
        let files = CredentialFiles::in_dir(&self.issue("operator/ada"));
        let credentials = Credentials::load(files, Arc::new(DefaultTimeProvider)).expect("valid");
        let name = NodeId::new(name_of(through)).expect("an id");
        let nodes = vec![(name, self.addresses[&through].to_string())];
        let client = ClusterClient::connect(credentials, nodes, WireSettings::default());
        let asked = Asked::by_certificate(order.clone());
        let kinds = (ACTORS_WRITE, ACTORS_WRITE_REPLY);
        let done = client.ask(kinds, &asked, DEADLINE).await;
        done.expect("it is done")
    }

    /// Runs the check-up of the cluster.
    pub(crate) async fn doctor(&self) -> Output {
        self.run("viewer/vic", &["doctor", "--cluster-only"]).await
    }

    pub(crate) async fn stop(self) {
        for (_, member) in self.members {
            end(member).await;
        }
    }
}

/// Ends a node in order.
async fn end(member: Member) {
    drop((member.owner, member.weights));
    member.keeper.stop().await;
    // The owner's tasks end at their next await; the service has the keeper as well.
    let released = async {
        while Arc::strong_count(&member.keeper) > 2 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, released).await.expect("they end");
    drop(member.keeper);
    let service = Arc::into_inner(member.service).expect("nobody keeps it");
    let node = service.into_node().expect("nobody keeps it");
    node.stop().await;
    member.cluster.stop(Duration::ZERO).await;
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool + Send) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(DEADLINE, wait).await;
    waited.unwrap_or_else(|_late| panic!("in vain: {what}"));
}

/// Waits until all shards have their replicas here.
async fn placed(node: &ClusterNode, shards: u32) {
    let is_placed = || {
        let state = node.keeper().shown().state();
        let founded = state.groups().filter(|(group, record)| {
            *group != GroupId::Meta && record.founded && record.under_way.is_none()
        });
        let meta = state.group(GroupId::Meta).map(|meta| meta.voters.len());
        let here = node.host().all().len();
        founded.count() == shards as usize && here == shards as usize && meta == Some(3)
    };
    let wait = async {
        while !is_placed() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(DEADLINE, wait).await;
    waited.unwrap_or_else(|_late| panic!("{:?}", node.keeper().shown().state()));
}
