//! The replicas of one node: made, written, deleted, and what of them outlasts a crash.

#[path = "meta/locks.rs"]
mod locks;

use locks::{is_free, is_store_free};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use twinscale_cluster::meta::{
    Errand, ErrandRequest, Hands, KeeperError, KeeperParts, MetaShown, ReplicaKeeper,
};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{
    GroupLog, GroupLogOptions, GroupRole, Groups, GroupsOptions, LogIdentity,
};
use twinscale_log::disk::FsDisk;
use twinscale_meta::GroupId;
use twinscale_meta::stored::v1::SchemaRange;
use twinscale_protocol::{
    ClusterId, CustomerId, DomainTime, FixedValue, MetricName, NodeNumber, RequestId, SeriesKey,
    ShardId, VmTypeId, WireErrorCode,
};
use twinscale_shards::{ShardHost, WriterOptions};
use twinscale_store::StoreOptions;
use twinscale_twin::shard::shard_command;
use twinscale_twin::{SampleGroup, TwinCommand};

const SHARD: ShardId = ShardId(0);
const GROUP: GroupId = GroupId::Shard(SHARD);
const DEADLINE: Duration = Duration::from_mins(1);

struct Node {
    groups: Arc<Groups>,
    host: Arc<ShardHost>,
    keeper: Arc<ReplicaKeeper>,
}

fn identity() -> LogIdentity {
    let cluster = ClusterId::new("test").expect("an id");
    LogIdentity::new(&cluster, NodeNumber(1))
}

fn groups_of(log: GroupLog, folder: &Path) -> Arc<Groups> {
    let snapshots = FsDisk::at(folder.join("snapshots")).expect("a folder");
    let network = MemoryNetwork::new(1).of(NodeNumber(1));
    let opened = Groups::open(log, Arc::new(snapshots), network, GroupsOptions::default());
    Arc::new(opened.expect("opens"))
}

async fn open(log: GroupLog, folder: &Path) -> Result<Node, KeeperError> {
    let groups = groups_of(log, folder);
    let host = Arc::new(ShardHost::default());
    let parts = KeeperParts {
        groups: Arc::clone(&groups),
        host: Arc::clone(&host),
        shown: Arc::new(MetaShown::default()),
        records: Arc::new(FsDisk::at(folder.join("replicas")).expect("a folder")),
        store: folder.join("store"),
        store_options: StoreOptions::default(),
        writer: WriterOptions::default(),
        schemas: SchemaRange {
            oldest: 1,
            newest: 1,
        },
    };
    let keeper = ReplicaKeeper::open(parts).await?;
    Ok(Node {
        groups,
        host,
        keeper,
    })
}

impl Node {
    async fn create(folder: &Path) -> Self {
        let log = GroupLog::create(&folder.join("log"), identity(), GroupLogOptions::default());
        open(log.expect("it is new"), folder).await.expect("opens")
    }

    /// Ends the node as a crash does and starts it again.
    async fn crash(self, folder: &Path) -> Self {
        drop(self);
        Self::reopen(folder).await.expect("opens")
    }

    async fn reopen(folder: &Path) -> Result<Self, KeeperError> {
        let free = async {
            while !(is_free(&folder.join("log")) && is_store_free(&folder.join("store"))) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, free).await.expect("it ends");
        let opened = GroupLog::open(&folder.join("log"), identity(), GroupLogOptions::default());
        open(opened.expect("it was there").0, folder).await
    }

    async fn run(&self, number: u64, errand: Errand) -> Result<(), WireErrorCode> {
        let request = ErrandRequest {
            group: GROUP,
            number,
            errand,
            limit_ms: 10_000,
        };
        let done = Hands::new(Arc::clone(&self.keeper)).run(request).await;
        done.map_err(|error| error.code)
    }

    async fn make(&self, number: u64) -> Result<(), WireErrorCode> {
        self.run(number, Errand::MakeLearner { shards: 1 }).await
    }

    async fn delete(&self, made_up_to: u64) -> Result<(), WireErrorCode> {
        self.run(0, Errand::Drop { made_up_to }).await
    }

    /// Begins the group with this node alone, if it is new, and waits until it leads.
    async fn lead(&self, number: u64) {
        let voters = vec![NodeNumber(1)];
        let begun = self.run(number, Errand::Begin { voters }).await;
        begun.expect("it may begin");
        let hosted = self.host.find(SHARD).expect("it runs");
        let mut status = hosted.status().expect("it runs");
        let leads = status.wait_for(|status| status.role == GroupRole::Leader && status.has_quorum);
        let led = timeout(DEADLINE, leads).await.expect("alone it leads");
        drop(led.expect("it runs"));
    }

    async fn write(&self, request: u128) {
        let id = RequestId(request);
        let command = shard_command(id, &customer(), &samples()).expect("small");
        let hosted = self.host.find(SHARD).expect("it runs");
        hosted.propose(command).await.expect("it is committed");
    }

    fn twins(&self) -> usize {
        let hosted = self.host.find(SHARD).expect("it runs");
        hosted.machine().reader().len()
    }

    fn held(&self) -> Option<u64> {
        self.keeper.held().borrow().get(&GROUP).copied()
    }
}

fn customer() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

fn samples() -> TwinCommand {
    let series = SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    };
    TwinCommand::RecordSamples {
        now: DomainTime(1_700_013_600),
        groups: vec![SampleGroup {
            series,
            samples: vec![(DomainTime(1_700_006_400), FixedValue(5))],
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_comes_back_after_a_crash_and_is_deleted_whole() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let node = Node::create(folder).await;
    node.make(3).await.expect("it is new");
    node.lead(3).await;
    node.write(1).await;
    let node = node.crash(folder).await;
    assert_eq!(node.held(), Some(3));
    node.lead(3).await;
    assert_eq!(node.twins(), 1);
    // One that was made under a newer number than the deletion speaks of stays.
    node.delete(2).await.expect("nothing is to do");
    assert_eq!(node.held(), Some(3));
    node.delete(3).await.expect("it goes");
    assert_eq!(node.held(), None);
    assert_eq!(node.groups.log().groups(), [], "log and vote are gone");
    // What comes late makes none.
    assert_eq!(node.make(3).await, Err(WireErrorCode::Conflict));
    let first = node.run(9, Errand::MakeFirst { shards: 1 }).await;
    assert_eq!(first, Err(WireErrorCode::Conflict));
    let node = node.crash(folder).await;
    assert_eq!(node.make(3).await, Err(WireErrorCode::Conflict));
    // A newer one begins empty, also after the next crash.
    node.make(4).await.expect("it is newer");
    assert_eq!(node.twins(), 0);
    node.lead(4).await;
    node.write(1).await;
    let node = node.crash(folder).await;
    node.lead(4).await;
    assert_eq!((node.held(), node.twins()), (Some(4), 1));
    let other = node.run(5, Errand::MakeLearner { shards: 2 }).await;
    assert_eq!(
        other,
        Err(WireErrorCode::Invalid),
        "another number of shards"
    );
    node.groups.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_waits_for_its_last_user_and_goes_on_after_a_crash() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let node = Node::create(folder).await;
    node.make(1).await.expect("it is new");
    node.lead(1).await;
    node.write(1).await;
    let user = Arc::clone(node.host.find(SHARD).expect("it runs").machine());
    assert_eq!(node.delete(1).await, Err(WireErrorCode::Unavailable));
    assert_eq!(node.held(), None, "it serves no more");
    assert!(node.host.find(SHARD).is_err(), "nobody finds it any more");
    assert_ne!(node.groups.log().groups(), [], "and is not gone yet");
    assert_eq!(node.make(2).await, Err(WireErrorCode::Unavailable));
    drop(user);
    let node = node.crash(folder).await;
    assert_eq!(node.groups.log().groups(), [], "the restart ends it");
    node.make(2).await.expect("it is newer");
    assert_eq!(node.twins(), 0);
    let user = Arc::clone(node.host.find(SHARD).expect("it runs").machine());
    assert_eq!(node.delete(2).await, Err(WireErrorCode::Unavailable));
    drop(user);
    node.delete(2).await.expect("the next call ends it");
    assert_eq!(node.groups.log().groups(), []);
    node.groups.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_without_records_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    let node = Node::create(folder).await;
    node.make(1).await.expect("it is new");
    node.lead(1).await;
    drop(node);
    let records = folder.join("replicas").join("replicas");
    std::fs::remove_file(records).expect("it is there");
    let refused = Node::reopen(folder)
        .await
        .map(|_| ())
        .expect_err("promises are lost");
    assert!(matches!(refused, KeeperError::RecordsMissing), "{refused}");
    assert!(refused.to_string().contains("new name"), "{refused}");
}
