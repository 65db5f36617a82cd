//! Nodes in one process: errands and reports are calls, consensus runs over a network in memory.

mod clients;
mod hub;
mod locks;

use hub::{Hub, Side};
use locks::{is_free, is_store_free};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use twinscale_cluster::meta::{
    DriverParts, FIRST_NODE, Hands, KeeperParts, MetaDriver, MetaError, MetaShown, MetaWriter,
    ReplicaKeeper, ReportDesk, Reporter, Reports, found_cluster,
};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity,
};
use twinscale_log::disk::FsDisk;
use twinscale_membership::{SystemWallClock, WallClock};
use twinscale_meta::stored::v1::{By, DiskId, SchemaRange};
use twinscale_meta::{Creation, GroupId, MetaCommand, MetaState, NodeFacts, NodeState, Outcome};
use twinscale_protocol::{AccountName, ClusterId, NodeId, NodeNumber, ShardId, ZoneName};
use twinscale_shards::{HostedShard, ShardHost, WriterOptions};
use twinscale_store::StoreOptions;

pub(crate) const SHARDS: u32 = 8;
const DEADLINE: Duration = Duration::from_mins(3);
const LIMIT: Duration = Duration::from_secs(5);
const SCHEMAS: SchemaRange = SchemaRange {
    oldest: 1,
    newest: 1,
};

pub(crate) struct Cluster {
    network: MemoryNetwork,
    hub: Hub,
    folders: BTreeMap<u64, TempDir>,
    nodes: BTreeMap<u64, Node>,
}

struct Node {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    keeper: Arc<ReplicaKeeper>,
    writer: MetaWriter,
    tasks: JoinSet<()>,
}

fn facts(number: u64, incarnation: u64) -> NodeFacts {
    let mut disk = [0; 16];
    disk[..8].copy_from_slice(&number.to_le_bytes());
    NodeFacts {
        name: NodeId::new(format!("node-{number}")).expect("a name"),
        disk: DiskId(disk),
        incarnation,
        peer_address: format!("10.0.0.{number}:7000"),
        api_address: format!("10.0.0.{number}:8000"),
        zone: ZoneName::new(format!("zone-{}", number % 3)).expect("a zone"),
        software: "0.1.0".to_owned(),
        schema: SCHEMAS,
    }
}

fn cluster_id() -> ClusterId {
    ClusterId::new("test").expect("an id")
}

fn operator() -> By {
    By::Operator(AccountName::new("ada").expect("a name"))
}

fn clock() -> Arc<dyn WallClock> {
    Arc::new(SystemWallClock)
}

impl Cluster {
    /// Founds a cluster on one node and lets the others join.
    pub(crate) async fn grow(nodes: u64, seed: u64) -> Self {
        let mut cluster = Self {
            network: MemoryNetwork::new(seed),
            hub: Hub::default(),
            folders: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        cluster.run(1, 1).await;
        let expected = u16::try_from(nodes).expect("few");
        let creation = Creation {
            shard_count: SHARDS,
            ..Creation::new(cluster_id(), facts(1, 1), expected)
        };
        let (hands, _) = cluster.hub.reach(FIRST_NODE, FIRST_NODE).expect("it runs");
        let writer = cluster.nodes[&1].writer.clone();
        let founded = found_cluster(&hands, &writer, operator(), creation, LIMIT).await;
        assert!(matches!(founded, Ok(Outcome::Applied(_))), "{founded:?}");
        for number in 2..=nodes {
            let facts = facts(number, 1);
            let claims = None;
            cluster.must(MetaCommand::JoinNode { facts, claims }).await;
            cluster.run(number, 1).await;
        }
        cluster
    }

    fn open_groups(&mut self, number: u64) -> Arc<Groups> {
        let is_new = !self.folders.contains_key(&number);
        if is_new {
            let folder = TempDir::new().expect("a folder");
            self.folders.insert(number, folder);
        }
        let folder = self.folder(number);
        let node = NodeNumber(number);
        let identity = LogIdentity::new(&cluster_id(), node);
        let options = GroupLogOptions {
            resume_free_bytes: 1 << 20,
            ..GroupLogOptions::default()
        };
        let place = folder.join("log");
        let log = if is_new {
            GroupLog::create(&place, identity, options).expect("it is new")
        } else {
            let opened = GroupLog::open(&place, identity, options);
            opened.expect("it was there").0
        };
        let snapshots = FsDisk::at(folder.join("snapshots")).expect("a folder");
        let options = GroupsOptions {
            snapshot_every_entries: 50,
            keep_entries: 10,
            ..GroupsOptions::default()
        };
        let network = self.network.of(node);
        let groups = Groups::open(log, Arc::new(snapshots), network, options).expect("opens");
        let groups = Arc::new(groups);
        let runtime = tokio::runtime::Handle::current();
        self.network.attach(node, &groups, runtime);
        groups
    }

    async fn run(&mut self, number: u64, incarnation: u64) {
        let groups = self.open_groups(number);
        let folder = self.folder(number);
        let host = Arc::new(ShardHost::default());
        let shown = Arc::new(MetaShown::default());
        let parts = KeeperParts {
            groups: Arc::clone(&groups),
            host: Arc::clone(&host),
            shown: Arc::clone(&shown),
            records: Arc::new(FsDisk::at(folder.join("replicas")).expect("a folder")),
            store: folder.join("store"),
            store_options: StoreOptions::default(),
            writer: WriterOptions::default(),
            schemas: SCHEMAS,
        };
        let keeper = ReplicaKeeper::open(parts).await.expect("opens");
        let node = NodeNumber(number);
        let hands = Hands::new(Arc::clone(&keeper));
        let reports = Arc::new(Reports::default());
        let desk = ReportDesk::new(Arc::clone(&keeper), Arc::clone(&reports), clock());
        let side = Arc::new(Side {
            hub: self.hub.clone(),
            node,
        });
        let writer = MetaWriter::new(groups.group(twinscale_consensus::GroupId(0)), clock());
        let driver = MetaDriver::new(DriverParts {
            writer: writer.clone(),
            shown,
            heard: Arc::new(self.hub.clone()),
            carrier: Arc::<Side>::clone(&side),
            reports,
            clock: clock(),
        });
        let reporter = Reporter::new(node, incarnation, desk.clone(), side);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        tasks.spawn(reporter.run(hands.done()));
        self.hub.state().reached.insert(node, (hands, desk));
        self.hub.turn(node, true, incarnation);
        let running = Node {
            groups,
            host,
            keeper,
            writer,
            tasks,
        };
        self.nodes.insert(number, running);
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.folders.get(&number).expect("a node").path().to_owned()
    }

    /// Ends a node as a crash does, as far as one process can: nothing is closed in order.
    pub(crate) fn kill(&mut self, number: u64) {
        let node = NodeNumber(number);
        self.network.detach(node);
        self.hub.state().reached.remove(&node);
        let incarnation = self.hub.incarnation(node);
        self.hub.turn(node, false, incarnation);
        let killed = self.nodes.remove(&number);
        drop(killed.expect("it ran").tasks);
    }

    /// Lets everybody forget that a node was ever heard.
    pub(crate) fn forget(&self, number: u64) {
        self.hub.state().heard.remove(&NodeNumber(number));
    }

    /// Starts a node again that was killed, and lets it join under its number.
    pub(crate) async fn restart(&mut self, number: u64) {
        let folder = self.folder(number);
        // Locks are given back when the last task of the dead incarnation has ended.
        let free = async {
            while !(is_free(&folder.join("log")) && is_store_free(&folder.join("store"))) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, free).await.expect("it ends");
        let node = NodeNumber(number);
        let incarnation = self.hub.incarnation(node) + 1;
        self.must(MetaCommand::JoinNode {
            facts: facts(number, incarnation),
            claims: Some(node),
        })
        .await;
        self.run(number, incarnation).await;
    }

    /// Has a command committed on whoever leads group 0.
    pub(crate) async fn propose(&self, command: MetaCommand) -> Result<Outcome, MetaError> {
        let leader = self.meta_leader().await;
        self.propose_at(leader, command).await
    }

    /// Has a command committed that must take effect, also when leaders change.
    pub(crate) async fn must(&self, command: MetaCommand) {
        let tries = async {
            loop {
                match self.propose(command.clone()).await {
                    Ok(Outcome::Refused(refusal)) => panic!("{command:?}: {refusal}"),
                    Ok(_) => return,
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        timeout(DEADLINE, tries).await.expect("it is committed");
    }

    /// Has a command proposed by one node, whether or not it leads.
    pub(crate) async fn propose_at(
        &self,
        number: u64,
        command: MetaCommand,
    ) -> Result<Outcome, MetaError> {
        let writer = &self.nodes[&number].writer;
        writer.propose(operator(), command, LIMIT).await
    }

    /// Waits until a node leads group 0.
    pub(crate) async fn meta_leader(&self) -> u64 {
        self.wait_for("a leader of group 0", || {
            let mut nodes = self.nodes.iter();
            let leads = nodes.find(|(_, node)| {
                let status = node.writer.status();
                status.is_ok_and(|status| {
                    let status = status.borrow();
                    status.role == GroupRole::Leader && status.has_quorum
                })
            });
            leads.map(|(number, _)| *number)
        })
        .await
    }

    /// Waits until every node that runs knows a state of group 0 that holds.
    pub(crate) async fn wait_state(
        &self,
        what: &str,
        holds: impl Fn(&MetaState) -> bool + Send + Sync,
    ) -> Arc<MetaState> {
        self.wait_for(what, || {
            let alone = self.hub.state().alone.clone();
            let reached = self.nodes.iter();
            let reached = reached.filter(|(number, _)| !alone.contains(&NodeNumber(**number)));
            let states = reached.map(|(_, node)| node.keeper.shown().state());
            let states: Vec<Arc<MetaState>> = states.collect();
            let all = states.iter().all(|state| holds(state));
            all.then(|| Arc::clone(&states[0]))
        })
        .await
    }

    /// Waits until nothing is left to do: all nodes know the same state, no move goes on, each shard has its
    /// leader, and nodes hold what the state says and nothing else.
    pub(crate) async fn settled(&self) -> Arc<MetaState> {
        self.wait_for("nothing is left to do", || self.find_settled())
            .await
    }

    fn find_settled(&self) -> Option<Arc<MetaState>> {
        let mut shown = self.nodes.values().map(|node| node.keeper.shown().state());
        let state = shown.next()?;
        let equal = shown.all(|other| other == state);
        let members = state.nodes().iter();
        let nodes = members
            .filter(|node| node.state == NodeState::Serving)
            .count();
        let wanted = |id| match id {
            GroupId::Meta => [0, 1, 1, 3, 3, 5, 5][nodes.min(6)],
            GroupId::Shard(_) => usize::from(state.settings().replication),
        };
        let sound = state.groups().all(|(id, group)| {
            group.founded && group.under_way.is_none() && group.voters.len() == wanted(id)
        });
        (equal && sound && self.nodes_hold(&state)).then_some(state)
    }

    fn nodes_hold(&self, state: &MetaState) -> bool {
        let held = self.held();
        state.groups().all(|(id, group)| {
            let holders = held.iter().filter(|(_, groups)| groups.contains(&id));
            let holders: Vec<NodeNumber> = holders.map(|(number, _)| NodeNumber(*number)).collect();
            let alive = |node: &&NodeNumber| self.nodes.contains_key(&node.0);
            let wanted: Vec<NodeNumber> = group.voters.iter().filter(alive).copied().collect();
            let led = match id {
                GroupId::Meta => true,
                GroupId::Shard(shard) => self.leader_of(shard.0).is_some(),
            };
            led && holders == wanted
        })
    }

    fn held(&self) -> BTreeMap<u64, BTreeSet<GroupId>> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(number, node)| {
                let held = node.keeper.held().borrow().keys().copied().collect();
                (*number, held)
            })
            .collect()
    }

    /// Waits as [`Self::settled`] and returns what each node holds.
    pub(crate) async fn settled_held(&self) -> BTreeMap<u64, BTreeSet<GroupId>> {
        self.settled().await;
        self.held()
    }

    fn leader_of(&self, shard: u32) -> Option<Arc<HostedShard>> {
        let shard = ShardId(shard);
        self.nodes.values().find_map(|node| {
            let hosted = node.host.find(shard).ok()?;
            let status = hosted.status().ok()?;
            let leads = {
                let status = status.borrow();
                status.role == GroupRole::Leader && status.has_quorum
            };
            leads.then_some(hosted)
        })
    }

    async fn wait_for<T: Send>(&self, what: &str, look: impl Fn() -> Option<T> + Send + Sync) -> T {
        let wait = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(DEADLINE, wait).await;
        waited.unwrap_or_else(|_late| {
            let states = self.nodes.iter().map(|(number, node)| {
                let (index, state) = node.keeper.shown().current();
                let groups: Vec<String> = state
                    .groups()
                    .map(|(id, group)| {
                        let move_of = group.under_way.as_ref();
                        let stage = move_of.map(|one| (&one.add, &one.remove, one.stage));
                        format!("{id}: {:?} {stage:?}", group.voters)
                    })
                    .collect();
                format!("node {number} at {index:?}: {groups:#?}")
            });
            let states: Vec<String> = states.collect();
            panic!(
                "{what} within {DEADLINE:?}; held: {:?}; {states:#?}",
                self.held()
            )
        })
    }

    pub(crate) async fn stop(mut self) {
        for node in self.nodes.values_mut() {
            node.tasks.shutdown().await;
            node.groups.shut_down().await;
        }
    }
}
