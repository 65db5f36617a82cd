//! A network in memory with faults, for tests: cut in one or both ways, loss, delay, duplicates.
//!
//! A request that is lost is not answered, so that the caller waits for its deadline, as on a real network.
//! Every node may have a runtime of its own: requests run on that of the receiver.
//!
//! Determinism: the fate of each message is drawn from one seeded generator, in the order of the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use twinscale_protocol::NodeNumber;

use crate::groups::Groups;
use crate::network::{PeerCall, PeerError, PeerNetwork};

/// What befalls messages on all links, besides cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFaults {
    /// How many of 1,000 messages get lost, each way.
    pub lost_per_mille: u32,
    /// How many of 1,000 requests arrive twice.
    pub doubled_per_mille: u32,
    /// Each message takes up to this long.
    pub delay_max: Duration,
}

/// The network; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    faults: LinkFaults,
    /// Ways that carry nothing, from and to.
    cut: BTreeSet<(NodeNumber, NodeNumber)>,
    nodes: BTreeMap<NodeNumber, Endpoint>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    groups: Weak<Groups>,
    runtime: Handle,
}

/// What becomes of one call.
struct Fate {
    request_lost: bool,
    reply_lost: bool,
    is_doubled: bool,
    there: Duration,
    back: Duration,
}

impl MemoryNetwork {
    /// Makes a network without nodes and without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                random: ChaCha8Rng::seed_from_u64(seed),
                faults: LinkFaults::default(),
                cut: BTreeSet::new(),
                nodes: BTreeMap::new(),
            })),
        }
    }

    /// Returns the network as one node sees it.
    pub fn of(&self, node: NodeNumber) -> Arc<dyn PeerNetwork> {
        Arc::new(Side {
            network: self.clone(),
            node,
        })
    }

    /// Lets a node receive; what it does runs on this runtime. One that is dropped cannot be reached.
    pub fn attach(&self, node: NodeNumber, groups: &Arc<Groups>, runtime: Handle) {
        let groups = Arc::downgrade(groups);
        let endpoint = Endpoint { groups, runtime };
        self.state().nodes.insert(node, endpoint);
    }

    /// Takes a node off the network.
    pub fn detach(&self, node: NodeNumber) {
        self.state().nodes.remove(&node);
    }

    /// Sets what befalls messages from now on.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.state().faults = faults;
    }

    /// Lets nothing through from one node to another.
    pub fn cut(&self, from: NodeNumber, to: NodeNumber) {
        self.state().cut.insert((from, to));
    }

    /// Lets nothing through between these nodes and all others, either way.
    pub fn isolate(&self, side: &BTreeSet<NodeNumber>) {
        let mut state = self.state();
        let others: Vec<NodeNumber> = state.nodes.keys().copied().collect();
        for other in others.into_iter().filter(|node| !side.contains(node)) {
            for node in side {
                state.cut.insert((*node, other));
                state.cut.insert((other, *node));
            }
        }
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        self.state().cut.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn draw(&mut self, from: NodeNumber, to: NodeNumber) -> Fate {
        let faults = self.faults;
        let random = &mut self.random;
        let mut strikes = |per_mille: u32| random.random_range(0..1_000) < per_mille;
        let request_lost = strikes(faults.lost_per_mille) || self.cut.contains(&(from, to));
        let reply_lost = strikes(faults.lost_per_mille);
        let is_doubled = strikes(faults.doubled_per_mille);
        let mut delay = || {
            faults
                .delay_max
                .mul_f64(self.random.random_range(0.0..=1.0))
        };
        Fate {
            request_lost,
            reply_lost,
            is_doubled,
            there: delay(),
            back: delay(),
        }
    }
}

/// The network as one node sees it.
struct Side {
    network: MemoryNetwork,
    node: NodeNumber,
}

impl Side {
    async fn deliver(&self, to: NodeNumber, request: Bytes) -> Result<Bytes, PeerError> {
        let unreachable = |reason: &str| PeerError::Unreachable {
            node: to,
            reason: reason.to_owned(),
        };
        let (fate, endpoint) = {
            let mut state = self.network.state();
            (state.draw(self.node, to), state.nodes.get(&to).cloned())
        };
        if fate.request_lost {
            return std::future::pending().await;
        }
        if !fate.there.is_zero() {
            sleep(fate.there).await;
        }
        let endpoint = endpoint.ok_or_else(|| unreachable("nobody listens"))?;
        let receive = |request: Bytes| {
            let groups = Weak::clone(&endpoint.groups);
            let sender = self.node;
            endpoint.runtime.spawn(async move {
                match groups.upgrade() {
                    Some(groups) => groups.receive(&request, |from| from == sender).await,
                    None => Err(PeerError::Refused {
                        reason: "the node has ended".to_owned(),
                    }),
                }
            })
        };
        if fate.is_doubled {
            drop(receive(request.clone()).await);
        }
        let reply = receive(request)
            .await
            .map_err(|_ended| unreachable("it ended before it replied"))?;
        if fate.reply_lost || self.network.state().cut.contains(&(to, self.node)) {
            return std::future::pending().await;
        }
        if !fate.back.is_zero() {
            sleep(fate.back).await;
        }
        reply
    }
}

impl PeerNetwork for Side {
    fn call(&self, to: NodeNumber, call: PeerCall) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        async move {
            timeout(call.deadline, self.deliver(to, call.request))
                .await
                .unwrap_or(Err(PeerError::TimedOut {
                    node: to,
                    after: call.deadline,
                }))
        }
        .boxed()
    }
}
