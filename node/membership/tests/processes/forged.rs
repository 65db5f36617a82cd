//! A datagram that passes every cheap check and is forged, made from a real one.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use twinscale_membership::{
    ClusterKey, DatagramSocket, Datagrams, Endpoint, Environment, Identity, Incarnation, KeyRing,
    Membership, MembershipConfig, SchemaRange, SessionSalt, SystemWallClock, UdpDatagrams,
};
use twinscale_protocol::NodeId;
use twinscale_protocol::{ClusterId, NodeNumber};

/// The key of the example `member`.
const EXAMPLE_KEY: &str = "6f2d9a17c4e05b83f19e7d20a6b8c35147fe0d92b3a8615cd7e4903f28ab61c5";

const LIMIT: Duration = Duration::from_secs(30);

/// UDP that keeps the last datagram sent.
#[derive(Clone, Debug, Default)]
struct Tapped(Arc<Mutex<Vec<u8>>>);

#[derive(Debug)]
struct TappedSocket(Box<dyn DatagramSocket>, Tapped);

#[async_trait]
impl Datagrams for Tapped {
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        let socket = UdpDatagrams.bind(at).await?;
        Ok(Box::new(TappedSocket(socket, self.clone())))
    }
}

#[async_trait]
impl DatagramSocket for TappedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let kept = &self.1.0;
        *kept.lock().expect("sound") = datagram.to_vec();
        self.0.send_to(datagram, to).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(buffer).await
    }
}

/// Lets member 99 join and leave, and damages the last datagram that it sent.
pub(super) fn datagram(seed: &str) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let tapped = Tapped::default();
    runtime.block_on(async {
        let environment = Environment {
            clock: Arc::new(SystemWallClock),
            datagrams: Arc::new(tapped.clone()),
            salt: SessionSalt::from_system().expect("random bytes"),
        };
        let key = ClusterKey::from_hex(EXAMPLE_KEY).expect("a key");
        let member = Membership::start(config(seed), KeyRing::new(key), environment)
            .await
            .expect("it starts");
        let mut views = member.watch();
        let joined = tokio::time::timeout(LIMIT, views.wait_for(|view| view.alive() > 1));
        joined.await.expect("in time").expect("it observes");
        member.leave(LIMIT).await.expect("told");
    });
    let mut datagram = tapped.0.lock().expect("sound").clone();
    *datagram.last_mut().expect("one was sent") ^= 1;
    datagram
}

fn config(seed: &str) -> MembershipConfig {
    let identity = Identity {
        name: NodeId::new("stranger").expect("a name"),
        peer: Endpoint::new("127.0.0.1:1").expect("an endpoint"),
        api: Endpoint::new("127.0.0.1:1").expect("an endpoint"),
        software: "0.1.0".to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 1,
        },
        zone: String::new(),
    };
    let cluster = ClusterId::new("example").expect("an id");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let mut config =
        MembershipConfig::new(cluster, NodeNumber(99), Incarnation(1), identity, listen);
    config.seeds = vec![seed.to_owned()];
    config
}
