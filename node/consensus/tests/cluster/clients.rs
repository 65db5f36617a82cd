//! Clients that write, compare-and-set and read, and the history of what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;
use tokio::time::timeout;
use twinscale_consensus::{Group, GroupError, GroupId};
use twinscale_protocol::NodeNumber;

use crate::checker::{Operation, Outcome, check};
use crate::harness::{Cluster, PATIENCE};
use crate::register::{Answer, Command, Register};

/// How long a client waits for one operation.
const DEADLINE: Duration = Duration::from_secs(3);

/// How long a client without a leader waits for news.
const NEWS: Duration = Duration::from_millis(50);

type Handles = BTreeMap<NodeNumber, (Group, Arc<Register>)>;

/// What the clients share.
pub(crate) struct World {
    stop: AtomicBool,
    /// One counter for ids and moments.
    clock: AtomicU64,
    acknowledged: AtomicU64,
    /// The handles of the nodes that run now.
    handles: Mutex<BTreeMap<GroupId, Handles>>,
    history: Mutex<BTreeMap<GroupId, Vec<Operation>>>,
}

/// Clients of all groups.
pub(crate) struct Clients {
    world: Arc<World>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Starts some clients for each group.
    pub(crate) fn start(cluster: &Cluster, seed: u64, per_group: u64) -> Self {
        let world = Arc::new(World {
            stop: AtomicBool::new(false),
            clock: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            handles: Mutex::default(),
            history: Mutex::default(),
        });
        let mut clients = Self {
            world,
            tasks: JoinSet::new(),
        };
        clients.know(cluster);
        for group in cluster.group_ids() {
            for client in 0..per_group {
                let seed = seed ^ (u64::from(group.0) << 32) ^ client;
                let world = Arc::clone(&clients.world);
                let run = run(world, *group, ChaCha8Rng::seed_from_u64(seed));
                clients.tasks.spawn_on(run, cluster.runtime().handle());
            }
        }
        clients
    }

    /// Tells the clients which nodes run.
    pub(crate) fn know(&self, cluster: &Cluster) {
        let mut handles: BTreeMap<GroupId, Handles> = BTreeMap::new();
        for (number, node) in &cluster.nodes {
            for (group, register) in &node.registers {
                let handle = (node.groups.group(*group), Arc::clone(register));
                handles.entry(*group).or_default().insert(*number, handle);
            }
        }
        *self.world.handles.lock().unwrap() = handles;
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.world.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more operations were acknowledged.
    pub(crate) fn wait_progress(&self, cluster: &Cluster, more: u64) {
        let wanted = self.acknowledged() + more;
        cluster.wait_until("operations are acknowledged again", |cluster| {
            let now = self.acknowledged();
            if now >= wanted {
                return Ok(());
            }
            let group = cluster.group_ids()[0];
            Err(format!("{now} of {wanted}; {}", cluster.describe(group)))
        });
    }

    /// Ends the clients and checks what they were told against what all replicas hold.
    pub(crate) fn finish(mut self, cluster: &Cluster) -> u64 {
        self.world.stop.store(true, Ordering::SeqCst);
        let end = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        };
        let ended = cluster.block_on(async { timeout(PATIENCE, end).await });
        ended.expect("clients end");
        let writers = cluster.wait_agreement();
        let history = self.world.history.lock().unwrap();
        let mut acknowledged = 0;
        for (group, operations) in &*history {
            if let Err(error) = check(operations, &writers[group]) {
                panic!("group {group} is not linearizable: {error}");
            }
            let wrote = operations.iter();
            acknowledged += wrote
                .filter(|one| matches!(one.outcome, Outcome::Wrote(_)))
                .count() as u64;
        }
        cluster.check_leaders();
        acknowledged
    }
}

/// One client of one group.
async fn run(world: Arc<World>, group: GroupId, mut random: ChaCha8Rng) {
    let mut hint: Option<NodeNumber> = None;
    let mut version = 0;
    while !world.stop.load(Ordering::SeqCst) {
        let Some((number, handle, register)) = world.choose(group, hint, &mut random) else {
            tokio::task::yield_now().await;
            continue;
        };
        let id = world.clock.fetch_add(1, Ordering::SeqCst);
        let kind = random.random_range(0..3);
        let expected = (kind == 1).then_some(version);
        let command = match expected {
            Some(expected) => Command::CompareAndSet(id, expected),
            None => Command::Write(id),
        };
        let began = world.clock.fetch_add(1, Ordering::SeqCst);
        let answer = if kind == 2 {
            let checked = handle.check_linearizable(DEADLINE).await;
            checked.map(|_| register.read())
        } else {
            let proposed = handle.propose(command.encode(), DEADLINE).await;
            proposed.map(|proposed| Answer::decode(&proposed.response))
        };
        let ended = world.clock.fetch_add(1, Ordering::SeqCst);
        let outcome = match &answer {
            Ok(answer) if answer.has_written => Outcome::Wrote(answer.version),
            Ok(answer) => Outcome::Saw(answer.version, answer.writer),
            Err(GroupError::OutcomeUnknown { .. }) => Outcome::Unknown,
            Err(_) => Outcome::Refused,
        };
        let operation = Operation {
            id,
            began,
            ended,
            expected,
            outcome,
        };
        world.record(group, operation);
        match answer {
            Ok(answer) => {
                version = answer.version;
                hint = Some(number);
            }
            Err(error) => {
                hint = leader_of(&error);
                if hint.is_none() {
                    wait_for_news(&handle).await;
                }
            }
        }
    }
}

fn leader_of(error: &GroupError) -> Option<NodeNumber> {
    match error {
        GroupError::NotLeader { leader, .. } | GroupError::OutcomeUnknown { leader, .. } => *leader,
        _ => None,
    }
}

async fn wait_for_news(handle: &Group) {
    if let Ok(mut status) = handle.status() {
        drop(timeout(NEWS, status.changed()).await);
    }
}

impl World {
    fn choose(
        &self,
        group: GroupId,
        hint: Option<NodeNumber>,
        random: &mut ChaCha8Rng,
    ) -> Option<(NodeNumber, Group, Arc<Register>)> {
        let handles = self.handles.lock().unwrap();
        let handles = handles.get(&group)?;
        let number = match hint.filter(|hint| handles.contains_key(hint)) {
            Some(hint) => hint,
            None => *handles.keys().nth(random.random_range(0..handles.len()))?,
        };
        let (handle, register) = &handles[&number];
        Some((number, handle.clone(), Arc::clone(register)))
    }

    fn record(&self, group: GroupId, operation: Operation) {
        if matches!(operation.outcome, Outcome::Wrote(_) | Outcome::Saw(..)) {
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        let mut history = self.history.lock().unwrap();
        history.entry(group).or_default().push(operation);
    }
}
