//! A cluster is founded once, whatever cuts its founding short.

use crate::harness::{DEADLINE, Nodes, keys};
use crate::locks::{is_free, is_store_free};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use twinscale_cluster::meta::{
    Errand, ErrandRequest, FIRST_NODE, Hands, KeeperParts, MetaShown, ReplicaKeeper,
};
use twinscale_cluster::node::{ClusterNode, NodeError, NodeFile};
use twinscale_consensus::memory_network::MemoryNetwork;
use twinscale_consensus::{GroupLog, GroupLogOptions, Groups, GroupsOptions, LogIdentity};
use twinscale_log::disk::FsDisk;
use twinscale_meta::GroupId;
use twinscale_meta::stored::v1::{SCHEMA, SchemaRange};
use twinscale_protocol::ClusterId;
use twinscale_shards::{ShardHost, WriterOptions};
use twinscale_store::StoreOptions;

/// How far a founding came before it was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    /// The directory says whose it is.
    Named,
    /// The log has a folder.
    LogFolder,
    /// The log has an identity and nothing else.
    LogIdentity,
    /// The log is there.
    Log,
    /// The replica of group 0 is recorded and runs.
    Replica,
    /// Group 0 has its first member.
    Begun,
    /// The cluster is created in group 0, and the directory does not say so.
    Created,
}

const CUTS: [Cut; 7] = [
    Cut::Named,
    Cut::LogFolder,
    Cut::LogIdentity,
    Cut::Log,
    Cut::Replica,
    Cut::Begun,
    Cut::Created,
];

fn mark(directory: &Path) {
    let file = NodeFile::read(directory).expect("reads");
    let mut file = file.expect("it is there");
    file.founding = true;
    file.write(directory).expect("writes");
}

/// Leaves a directory as a founding does that is cut short.
async fn cut_short(nodes: &Nodes, cut: Cut) {
    let setup = nodes.setup(1, 1);
    let directory = setup.directory;
    if cut == Cut::Created {
        let founded = nodes.found(1).await.expect("founds");
        founded.stop(Duration::ZERO).await;
        return mark(&directory);
    }
    std::fs::create_dir(&directory).expect("it is new");
    let file = NodeFile {
        cluster: ClusterId::new("test").expect("an id"),
        name: crate::harness::name_of(1),
        disk: [7; 16],
        number: Some(FIRST_NODE),
        incarnation: 1,
        founding: true,
        schema: SCHEMA,
    };
    file.write(&directory).expect("writes");
    let log = directory.join("log");
    if cut >= Cut::LogFolder {
        std::fs::create_dir(&log).expect("it is new");
    }
    if cut < Cut::LogIdentity {
        return;
    }
    let identity = LogIdentity::new(&file.cluster, FIRST_NODE);
    let opened = GroupLog::create(&log, identity, GroupLogOptions::default());
    let opened = opened.expect("it is new");
    if cut >= Cut::Replica {
        return begin(&directory, opened, nodes.shards, cut).await;
    }
    drop(opened);
    free(&directory).await;
    if cut == Cut::LogIdentity {
        let files = std::fs::read_dir(&log).expect("a folder");
        for file in files.map(|file| file.expect("a file").path()) {
            let is_segment = file.extension().is_some_and(|kind| kind == "log");
            if is_segment || file.ends_with("durable-floor") {
                std::fs::remove_file(file).expect("it is there");
            }
        }
    }
}

async fn begin(directory: &Path, log: GroupLog, shards: u32, cut: Cut) {
    let disk = |name: &str| Arc::new(FsDisk::at(directory.join(name)).expect("a folder"));
    let network = MemoryNetwork::new(1).of(FIRST_NODE);
    let groups = Groups::open(log, disk("snapshots"), network, GroupsOptions::default());
    let groups = Arc::new(groups.expect("opens"));
    let parts = KeeperParts {
        groups: Arc::clone(&groups),
        host: Arc::new(ShardHost::default()),
        shown: Arc::new(MetaShown::default()),
        records: disk("replicas"),
        store: directory.join("store"),
        store_options: StoreOptions::default(),
        writer: WriterOptions::default(),
        schemas: SchemaRange {
            oldest: SCHEMA,
            newest: SCHEMA,
        },
    };
    let keeper = ReplicaKeeper::open(parts).await.expect("opens");
    let hands = Hands::new(keeper);
    let voters = vec![FIRST_NODE];
    let errands = [Errand::MakeFirst { shards }, Errand::Begin { voters }];
    let count = if cut == Cut::Replica { 1 } else { 2 };
    for errand in errands.into_iter().take(count) {
        let request = ErrandRequest {
            group: GroupId::Meta,
            number: 0,
            errand,
            limit_ms: 10_000,
        };
        hands.run(request).await.expect("it is done");
    }
    groups.shut_down().await;
    drop((hands, groups));
    free(directory).await;
}

/// Waits until nothing of a process holds a directory any more.
async fn free(directory: &Path) {
    let is_held = || {
        let store = directory.join("store");
        !is_free(&directory.join("log")) || (store.exists() && !is_store_free(&store))
    };
    let wait = async {
        while is_held() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("it ends");
}

fn text_of(outcome: Result<ClusterNode, NodeError>) -> String {
    outcome.expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founding_that_was_cut_short_is_finished_and_is_no_restart() {
    for cut in CUTS {
        let mut nodes = Nodes::new(1, 2);
        cut_short(&nodes, cut).await;
        let restarted = text_of(ClusterNode::restart(nodes.setup(1, 1), keys()).await);
        let joined = ClusterNode::join(nodes.setup(1, 1), keys(), DEADLINE).await;
        for text in [restarted, text_of(joined)] {
            assert!(
                text.contains("founding was cut short") && text.contains("--found"),
                "{cut:?}: {text}"
            );
        }
        let founded = nodes.found(1).await;
        let founded = founded.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        nodes.running.insert(1, founded);
        nodes.placed(1).await;
        let directory = nodes.setup(1, 1).directory;
        let file = NodeFile::read(&directory).expect("reads");
        assert!(file.is_some_and(|file| !file.founding), "{cut:?}");
        let known = nodes.running[&1].keeper().shown().state();
        assert_eq!(known.nodes().len(), 1, "{cut:?}");
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_runs_is_not_founded_again() {
    let mut nodes = Nodes::start(2).await;
    nodes.placed(1).await;
    // Another one, and the first again after its directory was lost.
    nodes.addresses.insert(3, nodes.addresses[&2]);
    let text = text_of(nodes.found(3).await);
    assert!(
        text.contains("cluster `test` runs already") && text.contains("without --found"),
        "{text}"
    );
    let again = text_of(nodes.found(1).await);
    assert!(again.contains("has a node already"), "{again}");
    let first = nodes.running.remove(&1).expect("it runs");
    first.stop(Duration::ZERO).await;
    let directory = nodes.setup(1, 1).directory;
    std::fs::rename(&directory, directory.with_extension("lost")).expect("it is there");
    let text = text_of(nodes.found(1).await);
    assert!(
        text.contains("node `node-2`") && text.contains("decommission NAME --gone"),
        "{text}"
    );
    assert!(NodeFile::read(&directory).expect("reads").is_none());

    // Its founding ended and was never noted, and others joined since: it is taken up.
    std::fs::remove_dir_all(&directory).expect("it is empty");
    std::fs::rename(directory.with_extension("lost"), &directory).expect("it is there");
    mark(&directory);
    let back = nodes.found(1).await.expect("it is the first node");
    nodes.running.insert(1, back);
    nodes.placed(1).await;
    let file = NodeFile::read(&directory).expect("reads");
    assert!(file.is_some_and(|file| !file.founding));
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_log_is_refused() {
    let nodes = Nodes::new(1, 2);
    let founded = nodes.found(1).await.expect("founds");
    founded.stop(Duration::ZERO).await;
    let directory = nodes.setup(1, 1).directory;
    free(&directory).await;
    std::fs::remove_dir_all(directory.join("log")).expect("it is there");
    let text = text_of(ClusterNode::restart(nodes.setup(1, 1), keys()).await);
    assert!(
        text.contains("holds no log of node 1") && text.contains("under a new number"),
        "{text}"
    );
}
