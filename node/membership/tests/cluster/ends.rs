//! Gossip that ends is seen to have ended.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twinscale_membership::{
    ConfigError, DatagramSocket, Datagrams, GossipState, KeyRing, Membership, StartError,
};

use super::harness::{Cluster, SOON, address, key, until};

/// A network whose sockets fail for good once they are told to.
#[derive(Clone, Debug)]
struct Failing {
    network: Arc<dyn Datagrams>,
    broken: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FailingSocket {
    socket: Box<dyn DatagramSocket>,
    broken: Arc<AtomicBool>,
}

#[async_trait]
impl Datagrams for Failing {
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(FailingSocket {
            socket: self.network.bind(at).await?,
            broken: Arc::clone(&self.broken),
        }))
    }
}

#[async_trait]
impl DatagramSocket for FailingSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(datagram, to).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.socket.recv_from(buffer).await?;
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        Ok(received)
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_socket_ends_gossip_and_the_view_says_so() {
    let mut cluster = Cluster::new(71);
    let broken = Arc::new(AtomicBool::new(false));
    cluster.start(1).await;
    cluster.datagrams = Arc::new(Failing {
        network: Arc::new(cluster.network.clone()),
        broken: Arc::clone(&broken),
    });
    cluster.start(2).await;
    cluster.settle().await;
    broken.store(true, Ordering::SeqCst);
    let view = until(
        cluster.member(2),
        "gossip stopped",
        SOON,
        |view| matches!(&view.gossip, GossipState::Stopped { why } if why.contains("receive")),
    )
    .await;
    assert_eq!(view.alive(), 2, "the last view stays, marked as what it is");
    let report = cluster.members.remove(&2).expect("a member");
    let report = report.leave(Duration::from_secs(1)).await.expect("no hang");
    assert_eq!(report.told, []);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_work_is_refused_with_the_remedy() {
    let mut cluster = Cluster::new(72);
    cluster.start(1).await;
    let start = async |cluster: &mut Cluster, config| {
        let environment = cluster.environment(9);
        let started = Membership::start(config, KeyRing::new(key(1)), environment).await;
        started.map(drop).expect_err("refused")
    };
    let mut config = cluster.config(9);
    config.listen = address(1);
    let taken = start(&mut cluster, config).await;
    assert!(matches!(taken, StartError::Bind { .. }), "{taken:?}");
    assert!(taken.to_string().contains("10.0.0.1:7000"), "{taken}");

    let mut config = cluster.config(9);
    config.listen = "0.0.0.0:7000".parse().expect("an address");
    let nowhere = start(&mut cluster, config).await;
    let unreachable = matches!(nowhere, StartError::Config(ConfigError::Unreachable(_)));
    assert!(unreachable, "{nowhere:?}");
    assert!(nowhere.to_string().contains("advertised"), "{nowhere}");

    for phi in [0.0, f64::NAN, 1_000.0] {
        let mut config = cluster.config(9);
        config.phi_threshold = phi;
        let odd = start(&mut cluster, config).await;
        assert!(odd.to_string().contains("use 1 to 100"), "{odd}");
    }
    let mut config = cluster.config(9);
    config.gossip_interval = Duration::ZERO;
    let zero = start(&mut cluster, config).await;
    assert!(zero.to_string().contains("gossip_interval"), "{zero}");
}
