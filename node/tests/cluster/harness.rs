//! Nodes of a cluster in one process: replicas, routers, shared actors and drivers of twins.

use crate::acting::{key, request_of};
use crate::held::{Gate, driver};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use twinscale::assembly::{ForecastWeights, Node, NodeOptions, Surroundings, WatchLimits};
use twinscale::cluster::owner::Owner;
use twinscale::cluster::twins::ShardedTwins;
use twinscale::observe::Instruments;
use twinscale::service::keeper::Keeper;
use twinscale::service::wall_clock::WallClock;
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity, StateMachine,
};
use twinscale_log::disk::FsDisk;
use twinscale_protocol::twin::IngestRequest;
use twinscale_protocol::{
    ClusterId, CustomerId, DomainTime, FixedValue, Generation, NodeNumber, Sample, ShardId, VmId,
    WireError, WireErrorCode,
};
use twinscale_provisioner::{SimCloudConfig, SimCloudDriver};
use twinscale_shards::{
    HostedShard, Places, RequestIds, Router, RouterOptions, ShardHost, ShardMachine, ShardNetwork,
    WriterOptions, decode_request, group_of,
};
use twinscale_store::StoreOptions;
use twinscale_twin::Twins;
use twinscale_twin::shard::ShardStores;

const DEADLINE: Duration = Duration::from_mins(2);
pub(crate) const START: DomainTime = DomainTime(1_700_006_400);

/// Time that a test sets.
#[derive(Clone, Debug, Default)]
struct SetClock(Arc<AtomicI64>);

impl WallClock for SetClock {
    fn now(&self) -> DomainTime {
        DomainTime(self.0.load(Ordering::SeqCst))
    }
}

/// All nodes hold all shards; a customer's number says its shard.
struct Everywhere {
    nodes: u64,
    shards: u32,
    own: u64,
    requests: Requests,
}

impl std::fmt::Debug for Everywhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Everywhere").finish_non_exhaustive()
    }
}

impl Places for Everywhere {
    fn shard_of(&self, customer: &CustomerId) -> Option<ShardId> {
        Some(shard_of(customer, self.shards))
    }

    fn replicas(&self, _shard: ShardId) -> Vec<u64> {
        (1..=self.nodes).collect()
    }

    fn is_silent(&self, node: u64) -> bool {
        let cut = self.requests.state().cut;
        node != self.own && cut.is_some_and(|cut| cut == node || cut == self.own)
    }

    fn schema(&self) -> u32 {
        1
    }
}

fn shard_of(customer: &CustomerId, shards: u32) -> ShardId {
    let number = customer.as_str().rsplit('-').next().expect("a number");
    ShardId(number.parse::<u32>().expect("a number") % shards)
}

/// Requests between routers; a node that is cut off neither sends nor hears.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<RequestsState>>);

#[derive(Default)]
struct RequestsState {
    routers: BTreeMap<u64, Weak<Router>>,
    cut: Option<u64>,
}

impl Requests {
    fn state(&self) -> MutexGuard<'_, RequestsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct RequestsOf(Requests, u64);

impl ShardNetwork for RequestsOf {
    fn ask(
        &self,
        node: u64,
        request: Vec<u8>,
        _limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        let router = {
            let state = self.0.state();
            let is_cut = state.cut.is_some_and(|cut| cut == node || cut == self.1);
            let router = state.routers.get(&node).and_then(Weak::upgrade);
            router.filter(|_| !is_cut)
        };
        Box::pin(async move {
            let away = || WireError::new(WireErrorCode::Unavailable, "nobody listens");
            let router = router.ok_or_else(away)?;
            let request = decode_request(&request).expect("made by a router");
            Ok(router.answer(request).await)
        })
    }
}

struct Member {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    twins: Arc<ShardedTwins>,
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    owner: Owner,
}

pub(crate) struct Cluster {
    folder: TempDir,
    shards: u32,
    network: MemoryNetwork,
    requests: Requests,
    wall: SetClock,
    passivate_after: Duration,
    pub(crate) cloud: SimCloudDriver,
    pub(crate) gate: Gate,
    members: BTreeMap<u64, Member>,
}

impl Cluster {
    /// Starts nodes that each hold a replica of every shard, and share a provider.
    pub(crate) async fn start(nodes: u64, shards: u32) -> Self {
        Self::start_with(nodes, shards, Duration::from_mins(1)).await
    }

    /// As [`Cluster::start`], with twins that rest after a time.
    pub(crate) async fn start_with(nodes: u64, shards: u32, passivate_after: Duration) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut cluster = Self {
            shards,
            network: MemoryNetwork::new(7),
            requests: Requests::default(),
            wall: SetClock::default(),
            passivate_after,
            cloud: SimCloudDriver::new(SimCloudConfig::with_seed(7)),
            gate: Gate::default(),
            members: BTreeMap::new(),
            folder,
        };
        cluster.set_time(START);
        let weights = ForecastWeights::load(None).expect("they ship");
        for number in 1..=nodes {
            let place = cluster.folder.path().join(number.to_string());
            std::fs::create_dir(&place).expect("it is new");
            let member = cluster.member(number, nodes, &place, weights.clone()).await;
            cluster.members.insert(number, member);
        }
        let voters: BTreeSet<NodeNumber> = (1..=nodes).map(NodeNumber).collect();
        for shard in (0..shards).map(ShardId) {
            let first = &cluster.members[&(u64::from(shard.0) % nodes + 1)];
            let hosted = first.host.find(shard).expect("it is here");
            let begun = hosted.group().initialize(voters.clone()).await;
            begun.expect("it is new");
        }
        cluster
    }

    fn groups(&self, number: u64, place: &Path) -> Arc<Groups> {
        let cluster = ClusterId::new("test").expect("an id");
        let identity = LogIdentity::new(&cluster, NodeNumber(number));
        let options = GroupLogOptions {
            resume_free_bytes: 1 << 20,
            ..GroupLogOptions::default()
        };
        let log = GroupLog::create(&place.join("log"), identity, options).expect("it is new");
        let snapshots = FsDisk::at(place.join("snapshots")).expect("a folder");
        let network = self.network.of(NodeNumber(number));
        let groups = Groups::open(log, Arc::new(snapshots), network, GroupsOptions::default());
        let groups = Arc::new(groups.expect("opens"));
        let runtime = tokio::runtime::Handle::current();
        self.network.attach(NodeNumber(number), &groups, runtime);
        groups
    }

    async fn replicas(&self, groups: &Groups, place: &Path) -> Arc<ShardHost> {
        let (options, shards) = (StoreOptions::default(), self.shards);
        let of = move |customer: &CustomerId| shard_of(customer, shards);
        let opened = ShardStores::open_at(&place.join("store"), options, &of);
        let (_found, stores, _report) = opened.expect("the store opens");
        let host = Arc::new(ShardHost::default());
        for shard in (0..self.shards).map(ShardId) {
            let machine = Arc::new(ShardMachine::new(stores.empty(shard)));
            let state = Arc::clone(&machine) as Arc<dyn StateMachine>;
            let group = groups.start(group_of(shard), state).await.expect("starts");
            host.insert(HostedShard::new(machine, group, WriterOptions::default()));
        }
        host
    }

    async fn member(
        &self,
        number: u64,
        nodes: u64,
        place: &Path,
        weights: ForecastWeights,
    ) -> Member {
        let groups = self.groups(number, place);
        let host = self.replicas(&groups, place).await;
        let shards = self.shards;
        let places: Arc<dyn Places> = Arc::new(Everywhere {
            nodes,
            shards,
            own: number,
            requests: self.requests.clone(),
        });
        let requests = Arc::new(RequestsOf(self.requests.clone(), number));
        let router = Arc::new(Router::new(
            number,
            Arc::clone(&host),
            Arc::clone(&places),
            requests,
            RouterOptions::default(),
        ));
        {
            let mut state = self.requests.state();
            state.routers.insert(number, Arc::downgrade(&router));
        }
        let seed = [u8::try_from(number).expect("few"); 32];
        let ids = RequestIds::new(seed);
        let twins = Arc::new(ShardedTwins::new(Arc::clone(&host), router, places, ids));
        let options = NodeOptions {
            directory: place.to_owned(),
            seed: 7,
            optimizer_threads: NonZeroUsize::MIN,
            weights,
            cloud: SimCloudConfig::with_seed(7),
            watch: WatchLimits::default(),
            instruments: Instruments::default(),
        };
        let around = Surroundings::of(&twins, driver(number, &self.cloud, &self.gate));
        let node = Node::start_for(options, around).await;
        let node = Arc::new(node.expect("its actors start"));
        let wall: Arc<dyn WallClock> = Arc::new(self.wall.clone());
        let keeper = Arc::new(Keeper::new(
            Arc::clone(&node),
            wall,
            8,
            self.passivate_after,
        ));
        let mut owner = Owner::new(Arc::clone(&twins), Arc::clone(&keeper));
        for hosted in host.all() {
            owner.follow(hosted);
        }
        Member {
            groups,
            host,
            twins,
            node,
            keeper,
            owner,
        }
    }

    pub(crate) fn set_time(&self, now: DomainTime) {
        self.wall.0.store(now.0, Ordering::SeqCst);
    }

    pub(crate) async fn configure(&self, node: u64, customer: &CustomerId) {
        let twins: &dyn Twins = &*self.members[&node].twins;
        let configured = twins.configure(request_of(customer)).await;
        configured.expect("a majority is there");
    }

    /// Stores hourly samples of a part of time.
    pub(crate) async fn record(
        &self,
        node: u64,
        customer: &CustomerId,
        from: DomainTime,
        until: DomainTime,
    ) {
        let hours = until.seconds_since(from) / 3_600;
        let samples = (0..hours).map(|hour| Sample {
            series: key(),
            at: DomainTime(from.0 + hour * 3_600),
            value: FixedValue((5 + hour % 24 / 4) * 1_000_000),
        });
        let request = IngestRequest {
            customer: customer.clone(),
            now: until,
            samples: samples.collect(),
        };
        let twins: &dyn Twins = &*self.members[&node].twins;
        twins.ingest(request).await.expect("a majority is there");
    }

    /// Waits until the turn at a time has made a plan and left nothing open, as a majority saw it.
    pub(crate) async fn wait_for_turn(&self, customer: &CustomerId, at: DomainTime) {
        let seen = || {
            let done = self.members.values().filter(|member| {
                let twins: &dyn Twins = &*member.twins;
                let is_done = twins.read(customer, |state| {
                    state.forecast().is_some_and(|one| one.issued_at >= at)
                        && state
                            .target_plan()
                            .is_some_and(|plan| plan.first_step_at >= at)
                        && state.open_intents().next().is_none()
                        && !state.observed().vms.is_empty()
                });
                is_done == Some(true)
            });
            (done.count() * 2 > self.members.len()).then_some(())
        };
        self.wait_for(&format!("the turn of {customer} at {at}"), seen)
            .await;
    }

    /// Who drives a twin, and under which generation.
    pub(crate) fn driven(&self, customer: &CustomerId) -> Option<(u64, Generation)> {
        self.drivers(customer)
            .into_iter()
            .max_by_key(|(_, generation)| *generation)
    }

    /// As [`Cluster::driven`], without what a node that is cut off believes.
    pub(crate) fn driven_apart_from(
        &self,
        customer: &CustomerId,
        cut: u64,
    ) -> Option<(u64, Generation)> {
        let drivers = self.drivers(customer).into_iter();
        drivers
            .filter(|(node, _)| *node != cut)
            .max_by_key(|(_, generation)| *generation)
    }

    fn drivers(&self, customer: &CustomerId) -> Vec<(u64, Generation)> {
        let shard = shard_of(customer, self.shards);
        let drives = self.members.iter().filter_map(|(number, member)| {
            member.keeper.glance(customer)?;
            Some((*number, *member.twins.led().get(&shard)?))
        });
        drives.collect()
    }

    /// Has whoever drives a twin look at the clock, once somebody apart from one node does.
    pub(crate) async fn nudge(&self, customer: &CustomerId, cut: u64) {
        let driver = || self.driven_apart_from(customer, cut);
        let (node, _) = self.wait_for("a driver", driver).await;
        let nudged = self.members[&node].keeper.ensure(customer).await;
        nudged.expect("it runs");
    }

    /// Waits until each customer has one driver, and nobody else one.
    pub(crate) async fn wait_for_one_driver_each(&self, customers: &[CustomerId]) {
        self.wait_for("one driver each", || {
            let kept = |customer: &CustomerId| {
                let members = self.members.values();
                members
                    .filter(|member| member.keeper.keeps(customer))
                    .count()
            };
            customers
                .iter()
                .all(|customer| kept(customer) == 1)
                .then_some(())
        })
        .await;
    }

    /// Waits until a twin rests where it is driven and its state is put away on every node, those that are
    /// cut off too; returns how often states were brought back, by node.
    pub(crate) async fn wait_for_rest(&self, customer: &CustomerId) -> BTreeMap<u64, u64> {
        self.wait_for(&format!("the rest of {customer}"), || {
            let rests = |member: &Member| {
                let glance = member.keeper.glance(customer);
                glance.is_none_or(|glance| glance.rests_until.is_some())
            };
            let is_away = |member: &Member| member.twins.residency().resident == 0;
            let (driver, _) = self.driven(customer)?;
            let all = self.members.values();
            let is_quiet = all.into_iter().all(|one| rests(one) && is_away(one));
            (is_quiet && self.members[&driver].twins.knows(customer)).then(|| self.brought_back())
        })
        .await
    }

    /// How often states were brought back, by node.
    pub(crate) fn brought_back(&self) -> BTreeMap<u64, u64> {
        let counts = self.members.iter();
        counts
            .map(|(number, member)| (*number, member.twins.residency().brought_back))
            .collect()
    }

    /// Waits until every node has brought more states back than before.
    pub(crate) async fn wait_until_brought_back(&self, before: &BTreeMap<u64, u64>) {
        self.wait_for("states that are brought back", || {
            let now = self.brought_back();
            now.iter()
                .all(|(number, count)| *count > before[number])
                .then_some(())
        })
        .await;
    }

    /// The VMs that run at the provider, and those that the twin has seen.
    pub(crate) fn vms(&self, customer: &CustomerId) -> (BTreeSet<VmId>, BTreeSet<VmId>) {
        let running = self.cloud.with_cloud(|cloud| {
            let vms = cloud.ledger(customer).map(|ledger| {
                let alive = ledger.vms().iter().filter(|vm| vm.life.ended_at.is_none());
                alive.map(|vm| vm.spec.vm).collect::<BTreeSet<_>>()
            });
            vms.unwrap_or_default()
        });
        let (driver, _) = self.driven(customer).expect("driven");
        let twins: &dyn Twins = &*self.members[&driver].twins;
        let seen = twins.read(customer, |state| {
            state.observed().vms.iter().map(|vm| vm.vm).collect()
        });
        (running, seen.unwrap_or_default())
    }

    pub(crate) fn isolate(&self, node: u64) {
        self.network.isolate(&BTreeSet::from([NodeNumber(node)]));
        let mut state = self.requests.state();
        state.cut = Some(node);
    }

    pub(crate) fn heal(&self) {
        self.network.heal();
        let mut state = self.requests.state();
        state.cut = None;
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
        waited.unwrap_or_else(|_late| panic!("{what} within {DEADLINE:?}: {}", self.describe()))
    }

    fn describe(&self) -> String {
        let leads = |member: &Member| {
            let shards = member.host.all().into_iter().filter_map(|hosted| {
                let status = hosted.status().ok()?;
                let leads = status.borrow().role == GroupRole::Leader;
                leads.then(|| hosted.shard())
            });
            shards.collect::<Vec<_>>()
        };
        let members = self.members.iter().map(|(number, member)| {
            let report = member.keeper.report();
            format!("node {number} leads {:?}, {report:?}", leads(member))
        });
        members.collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn stop(self) {
        for (_, member) in self.members {
            drop(member.owner);
            member.keeper.stop().await;
            member.groups.shut_down().await;
            drop(member.keeper);
            if let Some(node) = Arc::into_inner(member.node) {
                node.stop().await;
            }
        }
    }
}

pub(crate) fn customer(number: u64) -> CustomerId {
    CustomerId::new(format!("customer-{number}")).expect("an id")
}
