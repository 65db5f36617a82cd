//! Nodes in one process.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity, StateMachine,
};
use twinscale_log::LOCK_NAME;
use twinscale_log::disk::{Disk as _, FsDisk, Locking};
use twinscale_protocol::optimizer::{
    Plan, PlanAllocation, PlanCost, PlanMethod, PlanTrigger, SearchRecord,
};
use twinscale_protocol::policy::{Limits, Mode, Policy, Retention, Sla};
use twinscale_protocol::stack::Stack;
use twinscale_protocol::{
    ClusterId, CustomerId, DomainTime, FixedValue, MetricName, MicroDollars, NodeNumber,
    PartsPerMillion, PlanNumber, RequestId, Seconds, SeriesKey, ShardId, VmCount, VmTypeId,
    WireError, WireErrorCode,
};
use twinscale_shards::{
    HostedShard, Places, Proposal, Router, RouterOptions, ShardHost, ShardMachine, ShardNetwork,
    ShardsError, WriterOptions, decode_request, group_of,
};
use twinscale_store::{StoreError, StoreOptions, open_store};
use twinscale_twin::shard::ShardStores;
use twinscale_twin::{SampleGroup, TwinCommand, TwinConfig};

const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const START: DomainTime = DomainTime(1_700_006_400);
const HOUR: Seconds = Seconds(3_600);

pub(crate) struct Cluster {
    shards: u32,
    network: MemoryNetwork,
    requests: Requests,
    gate: Arc<AtomicU32>,
    folders: BTreeMap<u64, TempDir>,
    nodes: BTreeMap<u64, Node>,
}

pub(crate) struct Node {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    pub(crate) router: Arc<Router>,
}

impl Node {
    pub(crate) fn shards(&self) -> impl Iterator<Item = Arc<HostedShard>> {
        self.host.all().into_iter()
    }

    pub(crate) fn shard(&self, shard: u32) -> Arc<HostedShard> {
        self.host.find(ShardId(shard)).expect("it is here")
    }

    /// A router over this node's replicas that reaches no other node.
    pub(crate) fn router_with(&self, places: Arc<dyn Places>) -> Router {
        let nobody = RequestsOf {
            requests: Requests::default(),
            node: 1,
        };
        let options = RouterOptions::default();
        Router::new(1, Arc::clone(&self.host), places, Arc::new(nobody), options)
    }
}

/// Requests between routers, with the cuts of the network between groups.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<RequestsState>>);

#[derive(Default)]
struct RequestsState {
    routers: BTreeMap<u64, std::sync::Weak<Router>>,
    alone: BTreeSet<u64>,
    /// Two that do not reach each other, while others hear both.
    apart: Option<(u64, u64)>,
}

impl RequestsState {
    /// Whether they are on two sides of a cut, so that gossip of one does not reach the other.
    fn is_cut(&self, one: u64, other: u64) -> bool {
        self.alone.contains(&one) != self.alone.contains(&other)
    }

    fn reaches(&self, one: u64, other: u64) -> bool {
        let pairs = [(one, other), (other, one)];
        let is_apart = self.apart.is_some_and(|apart| pairs.contains(&apart));
        !is_apart && !self.is_cut(one, other)
    }
}

impl Requests {
    fn state(&self) -> std::sync::MutexGuard<'_, RequestsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct RequestsOf {
    requests: Requests,
    node: u64,
}

impl ShardNetwork for RequestsOf {
    fn ask(
        &self,
        node: u64,
        request: Vec<u8>,
        _limit: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, WireError>> {
        let router = {
            let state = self.requests.state();
            let router = state.routers.get(&node).and_then(std::sync::Weak::upgrade);
            router.filter(|_| state.reaches(self.node, node))
        };
        Box::pin(async move {
            let away = || WireError::new(WireErrorCode::Unavailable, "nobody listens".to_owned());
            let router = router.ok_or_else(away)?;
            let request = decode_request(&request).expect("made by a router");
            Ok(router.answer(request).await)
        })
    }
}

/// All nodes hold all shards; a customer's number says its shard.
struct Everywhere {
    shards: u32,
    nodes: Vec<u64>,
    own: u64,
    requests: Requests,
    gate: Arc<AtomicU32>,
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
        self.nodes.clone()
    }

    fn is_silent(&self, node: u64) -> bool {
        let state = self.requests.state();
        let router = state.routers.get(&node);
        let runs = router.is_some_and(|router| router.strong_count() > 0);
        !runs || state.is_cut(self.own, node)
    }

    fn schema(&self) -> u32 {
        self.gate.load(Ordering::Relaxed)
    }
}

fn shard_of(customer: &CustomerId, shards: u32) -> ShardId {
    let number = customer.as_str().rsplit('-').next().expect("a number");
    ShardId(number.parse::<u32>().expect("a number") % shards)
}

impl Cluster {
    /// Starts nodes that each hold a replica of every shard.
    pub(crate) async fn start(nodes: u64, shards: u32, seed: u64) -> Self {
        let mut cluster = Self {
            shards,
            network: MemoryNetwork::new(seed),
            requests: Requests::default(),
            gate: Arc::new(AtomicU32::new(1)),
            folders: (1..=nodes)
                .map(|number| (number, TempDir::new().expect("a folder")))
                .collect(),
            nodes: BTreeMap::new(),
        };
        for number in 1..=nodes {
            cluster.run(number, true).await;
        }
        let members: BTreeSet<NodeNumber> = (1..=nodes).map(NodeNumber).collect();
        for shard in 0..shards {
            // Spread over the nodes: who makes a group leads it first.
            let first = u64::from(shard) % nodes + 1;
            let hosted = cluster.node(first).shard(shard);
            hosted
                .group()
                .initialize(members.clone())
                .await
                .expect("it is new");
        }
        for shard in 0..shards {
            cluster.leader_of(shard).await;
        }
        cluster
    }

    fn open_groups(&self, number: u64, is_new: bool) -> Arc<Groups> {
        let folder = self.folder(number);
        let identity =
            LogIdentity::new(&ClusterId::new("test").expect("an id"), NodeNumber(number));
        let options = GroupLogOptions {
            resume_free_bytes: 1 << 20,
            ..GroupLogOptions::default()
        };
        let place = folder.join("log");
        let log = if is_new {
            GroupLog::create(&place, identity, options).expect("it is new")
        } else {
            GroupLog::open(&place, identity, options)
                .expect("it was there")
                .0
        };
        let snapshots = FsDisk::at(folder.join("snapshots")).expect("a folder");
        let network = self.network.of(NodeNumber(number));
        let groups = Groups::open(log, Arc::new(snapshots), network, GroupsOptions::default());
        let groups = Arc::new(groups.expect("opens"));
        let runtime = tokio::runtime::Handle::current();
        self.network.attach(NodeNumber(number), &groups, runtime);
        groups
    }

    async fn run(&mut self, number: u64, is_new: bool) {
        let groups = self.open_groups(number, is_new);
        let folder = self.folder(number);
        let shards = self.shards;
        let opened = ShardStores::open_at(&folder.join("store"), StoreOptions::default(), &|one| {
            shard_of(one, shards)
        });
        let (found, stores, _report) = opened.expect("the store opens");
        let mut found: BTreeMap<ShardId, _> =
            found.into_iter().map(|one| (one.shard(), one)).collect();
        let host = Arc::new(ShardHost::default());
        for shard in (0..shards).map(ShardId) {
            let twins = found.remove(&shard).unwrap_or_else(|| stores.empty(shard));
            let machine = Arc::new(ShardMachine::new(twins));
            let group = groups
                .start(
                    group_of(shard),
                    Arc::clone(&machine) as Arc<dyn StateMachine>,
                )
                .await;
            let group = group.expect("starts");
            host.insert(HostedShard::new(machine, group, WriterOptions::default()));
        }
        let requests = RequestsOf {
            requests: self.requests.clone(),
            node: number,
        };
        let router = Arc::new(Router::new(
            number,
            Arc::clone(&host),
            self.places_of(number),
            Arc::new(requests),
            RouterOptions::default(),
        ));
        let mut state = self.requests.state();
        state.routers.insert(number, Arc::downgrade(&router));
        drop(state);
        self.nodes.insert(
            number,
            Node {
                groups,
                host,
                router,
            },
        );
    }

    pub(crate) fn places_of(&self, number: u64) -> Arc<dyn Places> {
        Arc::new(Everywhere {
            shards: self.shards,
            nodes: self.folders.keys().copied().collect(),
            own: number,
            requests: self.requests.clone(),
            gate: Arc::clone(&self.gate),
        })
    }

    /// Sets the schema up to which all nodes are said to know commands.
    pub(crate) fn set_gate(&self, gate: u32) {
        self.gate.store(gate, Ordering::Relaxed);
    }

    pub(crate) fn folder(&self, number: u64) -> PathBuf {
        self.folders.get(&number).expect("a node").path().to_owned()
    }

    pub(crate) fn node(&self, number: u64) -> &Node {
        self.nodes.get(&number).expect("it runs")
    }

    /// Sends a command to a node.
    pub(crate) async fn propose(
        &self,
        node: u64,
        request: RequestId,
        customer: &CustomerId,
        command: TwinCommand,
        limit: Duration,
    ) -> Result<Proposal, ShardsError> {
        let router = &self.node(node).router;
        router.propose(request, customer, &command, limit).await
    }

    /// The nodes that run.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.nodes.keys().copied()
    }

    /// Ends a node as a crash does, as far as one process can: nothing is closed in order.
    pub(crate) fn kill(&mut self, number: u64) {
        self.network.detach(NodeNumber(number));
        self.nodes.remove(&number);
    }

    /// Starts a node again that was killed; one that runs is left alone.
    pub(crate) async fn restart(&mut self, number: u64) {
        if self.nodes.contains_key(&number) {
            return;
        }
        // Locks are given back when the last task of the dead incarnation has ended.
        let folder = self.folder(number);
        let free = async {
            while !(is_free(&folder.join("log")) && is_store_free(&folder.join("store"))) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, free).await.expect("it ends");
        self.run(number, false).await;
    }

    pub(crate) fn isolate(&self, side: &BTreeSet<u64>) {
        let numbers = side.iter().copied().map(NodeNumber).collect();
        self.network.isolate(&numbers);
        self.requests.state().alone.clone_from(side);
    }

    /// Lets nothing through between two nodes; all others hear both.
    pub(crate) fn part(&self, one: u64, other: u64) {
        self.network.cut(NodeNumber(one), NodeNumber(other));
        self.network.cut(NodeNumber(other), NodeNumber(one));
        self.requests.state().apart = Some((one, other));
    }

    pub(crate) fn heal(&self) {
        self.network.heal();
        let mut state = self.requests.state();
        state.alone.clear();
        state.apart = None;
    }

    /// Waits until a node leads a shard with a majority behind it.
    pub(crate) async fn leader_of(&self, shard: u32) -> u64 {
        self.wait_for("a leader", || {
            self.nodes.iter().find_map(|(number, node)| {
                let status = node.shard(shard).status().ok()?;
                let status = status.borrow();
                let leads = status.role == GroupRole::Leader && status.has_quorum;
                leads.then_some(*number)
            })
        })
        .await
    }

    /// Waits until a node other than one leads a shard.
    pub(crate) async fn other_leader(&self, shard: u32, than: u64) -> u64 {
        self.wait_for("another leader", || {
            self.nodes.iter().find_map(|(number, node)| {
                let status = node.shard(shard).status().ok()?;
                let status = status.borrow();
                let leads = status.role == GroupRole::Leader && status.has_quorum;
                (leads && *number != than).then_some(*number)
            })
        })
        .await
    }

    /// Reads the target of a twin from whoever leads, after everything that was acknowledged.
    pub(crate) async fn target(&self, customer: &CustomerId) -> u64 {
        let shard = shard_of(customer, self.shards).0;
        let read = async {
            loop {
                let leader = self.leader_of(shard).await;
                let hosted = self.node(leader).shard(shard);
                if let Ok(Some(twin)) = hosted.read_linearizable(customer, DEADLINE).await {
                    return twin.read(|state| state.target_plan().map_or(0, |plan| plan.number.0));
                }
            }
        };
        timeout(DEADLINE, read).await.expect("somebody leads")
    }

    /// Waits until all replicas that run hold the same bytes.
    pub(crate) async fn wait_for_equal_replicas(&self) {
        self.wait_for("equal replicas", || {
            let is_equal = |shard: u32| {
                let mut images = self.nodes.values().map(|node| image(&node.shard(shard)));
                let first = images.next();
                images.all(|image| Some(&image) == first.as_ref())
            };
            (0..self.shards).all(is_equal).then_some(())
        })
        .await;
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
        waited.unwrap_or_else(|_late| panic!("{what} within {DEADLINE:?}"))
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes.values() {
            node.groups.shut_down().await;
        }
    }
}

fn is_free(log: &Path) -> bool {
    let disk = FsDisk::at(log).expect("a folder");
    let locking = disk.lock(LOCK_NAME).expect("a lock file");
    matches!(locking, Locking::Taken(_))
}

fn is_store_free(store: &Path) -> bool {
    match open_store(store, StoreOptions::default()) {
        Ok(opened) => opened.store.close().is_ok(),
        Err(StoreError::InUse { .. }) => false,
        // Whoever opens it next says why.
        Err(_other) => true,
    }
}

fn image(shard: &HostedShard) -> Bytes {
    let image = shard.machine().image().expect("it can be read");
    let mut bytes = Vec::new();
    if let Some(mut image) = image {
        image.contents.read_to_end(&mut bytes).expect("memory");
    }
    bytes.into()
}

pub(crate) fn customer(number: u64) -> CustomerId {
    CustomerId::new(format!("customer-{number}")).expect("an id")
}

fn key() -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    }
}

pub(crate) fn samples(number: u64) -> TwinCommand {
    let value = FixedValue(i64::try_from(number).expect("small") * 1_000_000);
    TwinCommand::RecordSamples {
        now: DomainTime(START.0 + 7_200),
        groups: vec![SampleGroup {
            series: key(),
            samples: vec![(START, value), (DomainTime(START.0 + 3_600), FixedValue(5))],
        }],
    }
}

pub(crate) fn policy_of(horizon_steps: u16) -> TwinCommand {
    let level = PartsPerMillion(900_000);
    let policy = Policy {
        mode: Mode::Observe,
        sla: Sla {
            level_min: level,
            level_max: level,
            risk_budget: PartsPerMillion(100_000),
            unserved_price_ratio: FixedValue(3_000_000),
            under_provisioned_step_price_ratio: FixedValue(0),
        },
        budget_per_day: None,
        limits: Limits {
            floor: VmCount(1),
            ceiling: VmCount(100),
            step_out_max: VmCount(20),
            step_in_max: VmCount(10),
            cooldown_out: Seconds(0),
            cooldown_in: Seconds(0),
        },
        metrics: BTreeMap::new(),
        retention: Retention {
            raw: Seconds(60 * 86_400),
            five_minutes: Seconds(60 * 86_400),
            one_hour: Seconds(365 * 86_400),
        },
        search_evaluations: 500,
    };
    let stack = Stack {
        tiers: vec![twinscale_protocol::stack::Tier {
            name: twinscale_protocol::TierName::new("web").expect("a name"),
            demand: key(),
            vm_types: vec![twinscale_protocol::stack::TierVmType {
                vm_type: key().vm_type,
                price_per_hour: MicroDollars(96_000),
                price_assumed: true,
                capacity_per_vm: None,
                vcpu: twinscale_protocol::MilliCores(2_000),
                memory: twinscale_protocol::Gib(8),
            }],
            start_up: Seconds(300),
            minimum_bill: Seconds(60),
            min_vms: VmCount(1),
            min_up: Seconds(0),
            service: None,
        }],
        volumes: Vec::new(),
        link: None,
    };
    TwinCommand::Configure(TwinConfig {
        policy,
        stack,
        interval: HOUR,
        horizon_steps,
    })
}

/// A plan that follows the one before it.
pub(crate) fn plan(number: u64) -> TwinCommand {
    let steps = 24;
    TwinCommand::CommitPlan {
        at: START,
        config_version: 1,
        plan: Plan {
            number: PlanNumber(number),
            parent: (number > 1).then(|| PlanNumber(number - 1)),
            trigger: PlanTrigger::Periodic,
            first_step_at: START,
            interval: HOUR,
            steps,
            allocation: PlanAllocation {
                vms: vec![twinscale_protocol::optimizer::PlanVms {
                    tier: twinscale_protocol::TierName::new("web").expect("a name"),
                    vm_type: key().vm_type,
                    counts: vec![VmCount(2); usize::from(steps)],
                }],
                volumes: Vec::new(),
                link: Vec::new(),
            },
            levels: vec![PartsPerMillion(900_000); usize::from(steps)],
            cost: PlanCost::default(),
            risk: PartsPerMillion(100_000),
            search: SearchRecord {
                method: PlanMethod::Exact,
                seed_cost: MicroDollars(1),
                search_cost: MicroDollars(1),
                evaluations: 0,
                truncated: false,
                check: None,
            },
        },
    }
}
