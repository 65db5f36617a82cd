//! A cluster in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use twinscale_membership::faults::{FaultNetwork, Faults};
use twinscale_membership::{
    ClusterKey, Datagrams, Endpoint, Environment, Identity, Incarnation, KeyRing, Liveness,
    MemberState, Membership, MembershipConfig, MembershipView, SchemaRange, SessionSalt, Standing,
    WallClock,
};
use twinscale_protocol::NodeId;
use twinscale_protocol::{ClusterId, NodeNumber};

/// Far more than any state takes on paused time.
pub(super) const SOON: Duration = Duration::from_mins(2);

/// A time in 2026, so that an hour less is still a time.
const EPOCH_MS: u64 = 1_795_000_000_000;

/// Follows tokio's paused time, plus an offset that a test may set.
#[derive(Debug)]
pub(super) struct TestClock {
    started: Instant,
    offset_ms: AtomicI64,
}

impl TestClock {
    pub(super) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
    }
}

impl WallClock for TestClock {
    fn unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.started.elapsed().as_millis()).expect("short");
        (EPOCH_MS + passed).saturating_add_signed(self.offset_ms.load(Ordering::SeqCst))
    }
}

pub(super) fn key(number: u8) -> ClusterKey {
    let mut bytes = [number; 32];
    bytes[0] = !number;
    ClusterKey::from_bytes(bytes).expect("not a placeholder")
}

pub(super) fn address(number: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).expect("small")], 7_000))
}

/// Members by number, each at `10.0.0.number:7000`, unless started elsewhere.
pub(super) struct Cluster {
    pub(super) network: FaultNetwork,
    /// What members open their sockets on; the network itself, or a wrapper of it.
    pub(super) datagrams: Arc<dyn Datagrams>,
    pub(super) members: BTreeMap<u64, Membership>,
    pub(super) clocks: BTreeMap<u64, Arc<TestClock>>,
    pub(super) forget_after: Duration,
    starts: u64,
}

impl Cluster {
    pub(super) fn new(seed: u64) -> Self {
        let network = FaultNetwork::new(seed);
        Self {
            datagrams: Arc::new(network.clone()),
            network,
            members: BTreeMap::new(),
            clocks: BTreeMap::new(),
            forget_after: Duration::from_mins(10),
            starts: 0,
        }
    }

    /// A cluster of members 1 to `count` that know each other, on a network that is not quite good.
    pub(super) async fn of(count: u64, seed: u64) -> Self {
        let mut cluster = Self::new(seed);
        cluster.network.set_faults(poor_network());
        for number in 1..=count {
            cluster.start(number).await;
        }
        cluster.settle().await;
        cluster
    }

    pub(super) async fn settle(&self) {
        let count = self.members.len();
        self.until_all("all see all", |view| {
            view.alive() == count
                && view.standing == Standing::Clear
                && view.members.values().all(|one| one.identity.is_some())
        })
        .await;
    }

    pub(super) fn config(&mut self, number: u64) -> MembershipConfig {
        self.starts += 1;
        let identity = Identity {
            name: NodeId::new(format!("node-{number}")).expect("a name"),
            peer: Endpoint::new(format!("10.0.0.{number}:7100")).expect("an endpoint"),
            api: Endpoint::new(format!("10.0.0.{number}:8080")).expect("an endpoint"),
            software: "0.1.0".to_owned(),
            schema: SchemaRange {
                oldest: 1,
                newest: 1,
            },
            zone: format!("zone-{}", number % 3),
        };
        let mut config = MembershipConfig::new(
            ClusterId::new("test").expect("an id"),
            NodeNumber(number),
            Incarnation(self.starts),
            identity,
            address(number),
        );
        config.seeds = vec![address(1).to_string(), address(2).to_string()];
        config.forget_after = self.forget_after;
        config
    }

    pub(super) fn environment(&mut self, number: u64) -> Environment {
        let clock = Arc::new(TestClock {
            started: Instant::now(),
            offset_ms: AtomicI64::new(0),
        });
        // Of one origin, also for a member that starts later.
        let clock = match self.clocks.first_key_value() {
            Some((_, first)) => Arc::new(TestClock {
                started: first.started,
                offset_ms: AtomicI64::new(0),
            }),
            None => clock,
        };
        self.clocks.insert(number, Arc::clone(&clock));
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.starts.to_le_bytes());
        Environment {
            clock,
            datagrams: Arc::clone(&self.datagrams),
            salt: SessionSalt::from_bytes(salt),
        }
    }

    pub(super) async fn start(&mut self, number: u64) {
        let config = self.config(number);
        self.start_with(number, config, KeyRing::new(key(1))).await;
    }

    pub(super) async fn start_with(
        &mut self,
        number: u64,
        config: MembershipConfig,
        keys: KeyRing,
    ) {
        let environment = self.environment(number);
        let member = Membership::start(config, keys, environment)
            .await
            .expect("it starts");
        self.members.insert(number, member);
    }

    /// Takes a member off the network without a word.
    pub(super) async fn kill(&mut self, number: u64) {
        let member = self.members.remove(&number).expect("a member");
        member.stop().await;
    }

    pub(super) fn member(&self, number: u64) -> &Membership {
        self.members.get(&number).expect("a member")
    }

    pub(super) fn view(&self, number: u64) -> Arc<MembershipView> {
        self.member(number).view()
    }

    /// Waits until what each member sees fits.
    pub(super) async fn until_all(
        &self,
        what: &str,
        fits: impl Fn(&MembershipView) -> bool + Send + Sync,
    ) {
        for member in self.members.values() {
            until(member, what, SOON, &fits).await;
        }
    }

    pub(super) fn deaths(&self) -> u64 {
        let seen = |member: &Membership| {
            let view = member.view();
            view.members.values().map(|one| one.deaths).sum::<u64>()
        };
        self.members.values().map(seen).sum()
    }

    pub(super) async fn serve(&self) {
        for member in self.members.values() {
            member
                .set_state(MemberState::Serving)
                .await
                .expect("it may serve");
        }
    }
}

/// Loses, doubles and reorders some.
pub(super) fn poor_network() -> Faults {
    Faults {
        lost_per_mille: 30,
        doubled_per_mille: 30,
        delay_ms: 1..=40,
    }
}

pub(super) fn is(view: &MembershipView, number: u64, liveness: Liveness) -> bool {
    view.liveness(NodeNumber(number)) == Some(liveness)
}

/// Waits until what a member sees fits; says what it saw last otherwise.
pub(super) async fn until(
    member: &Membership,
    what: &str,
    limit: Duration,
    fits: impl Fn(&MembershipView) -> bool + Send + Sync,
) -> Arc<MembershipView> {
    let mut views = member.watch();
    let found = timeout(limit, views.wait_for(|view| fits(view)))
        .await
        .map(|seen| Arc::clone(&seen.expect("it observes")));
    found.unwrap_or_else(|_| {
        let seen = member.view();
        unreachable_state(what, &seen)
    })
}

/// Waits for what has no watch, by looking once a round of gossip.
pub(super) async fn until_true(what: &str, holds: impl Fn() -> bool + Send + Sync) {
    let waited = timeout(SOON, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    waited.await.expect(what);
}

#[expect(clippy::panic, reason = "a test that waited in vain ends here")]
fn unreachable_state(what: &str, seen: &MembershipView) -> ! {
    panic!("not within the limit: {what}; last seen: {seen:?}")
}
