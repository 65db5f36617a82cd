//! Someone without the key, on the same network: replays, garbage, damage.

use async_trait::async_trait;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use twinscale_membership::{DatagramSocket, Datagrams, RefusalReason};

use super::harness::{Cluster, address};

/// What was sent, and to whom.
type Heard = Arc<Mutex<Vec<(Vec<u8>, SocketAddr)>>>;

/// A network whose wires are listened to.
#[derive(Clone, Debug)]
struct Tapped {
    network: Arc<dyn Datagrams>,
    heard: Heard,
}

#[derive(Debug)]
struct TappedSocket {
    socket: Box<dyn DatagramSocket>,
    heard: Heard,
}

#[async_trait]
impl Datagrams for Tapped {
    async fn bind(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(TappedSocket {
            socket: self.network.bind(at).await?,
            heard: Arc::clone(&self.heard),
        }))
    }
}

#[async_trait]
impl DatagramSocket for TappedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.heard
            .lock()
            .expect("not poisoned")
            .push((datagram.to_vec(), to));
        self.socket.send_to(datagram, to).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer).await
    }
}

#[tokio::test(start_paused = true)]
async fn replays_garbage_and_damage_change_nothing_and_are_counted() {
    let mut cluster = Cluster::new(61);
    let heard = Arc::new(Mutex::new(Vec::new()));
    cluster.datagrams = Arc::new(Tapped {
        network: Arc::new(cluster.network.clone()),
        heard: Arc::clone(&heard),
    });
    for number in 1..=3 {
        cluster.start(number).await;
    }
    cluster.settle().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let heard = std::mem::take(&mut *heard.lock().expect("not poisoned"));
    let to_first: Vec<_> = heard.iter().filter(|(_, to)| *to == address(1)).collect();
    assert!(to_first.len() > 100, "{} datagrams", to_first.len());
    let before = cluster.member(1).refusals();

    let stranger = cluster.network.bind(address(200)).await.expect("free");
    for (datagram, to) in &to_first {
        stranger.send_to(datagram, *to).await.expect("sent");
        let mut damaged = datagram.clone();
        *damaged.last_mut().expect("not empty") ^= 1;
        stranger.send_to(&damaged, *to).await.expect("sent");
        stranger.send_to(&datagram[..20], *to).await.expect("sent");
        let long = [datagram.as_slice(), &vec![0; 65_600]].concat();
        stranger.send_to(&long, *to).await.expect("sent");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = cluster.member(1).refusals();
    let count = u64::try_from(to_first.len()).expect("small");
    for reason in [
        RefusalReason::Replayed,
        RefusalReason::Forged,
        RefusalReason::Malformed,
        RefusalReason::TooLarge,
    ] {
        assert_eq!(
            after.count(reason) - before.count(reason),
            count,
            "{reason}"
        );
    }
    let mut buffer = [0; 9];
    let silence = tokio::time::timeout(Duration::from_secs(5), stranger.recv_from(&mut buffer));
    silence.await.expect_err("a stranger gets no answer");
    cluster.settle().await;
    assert_eq!(cluster.deaths(), 0);
}

/// A datagram recorded before a member's restart is new to the restarted one, and does no harm: it is of
/// the past, and the past is known to all. Once it is too old it is refused by its time.
#[tokio::test(start_paused = true)]
async fn what_was_recorded_before_a_restart_is_refused_by_time_after_the_bound() {
    let mut cluster = Cluster::new(62);
    let heard = Arc::new(Mutex::new(Vec::new()));
    cluster.datagrams = Arc::new(Tapped {
        network: Arc::new(cluster.network.clone()),
        heard: Arc::clone(&heard),
    });
    for number in 1..=3 {
        cluster.start(number).await;
    }
    cluster.settle().await;
    let recorded = heard.lock().expect("not poisoned").clone();
    tokio::time::sleep(Duration::from_mins(6)).await;
    cluster.kill(1).await;
    cluster.start(1).await;
    cluster.settle().await;
    let before = cluster.member(1).refusals();
    let stranger = cluster.network.bind(address(200)).await.expect("free");
    let mut sent = 0;
    for (datagram, to) in recorded.iter().filter(|(_, to)| *to == address(1)) {
        stranger.send_to(datagram, *to).await.expect("sent");
        sent += 1;
    }
    assert!(sent > 10, "{sent}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = cluster.member(1).refusals();
    let refused = after.count(RefusalReason::Clock) - before.count(RefusalReason::Clock);
    assert_eq!(refused, sent);
    assert_eq!(
        cluster.deaths(),
        2,
        "the two others saw the restart, and nothing else"
    );
}
