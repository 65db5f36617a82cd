//! Fates of datagrams, and that a seed repeats them.

use super::*;

const LIMIT: Duration = Duration::from_hours(1);

async fn pair(network: &FaultNetwork) -> (Box<dyn DatagramSocket>, Box<dyn DatagramSocket>) {
    let any: SocketAddr = "10.0.0.1:0".parse().expect("an address");
    let one = network.bind(any).await.expect("free");
    let other = network.bind(any).await.expect("free");
    (one, other)
}

/// Sends a number of datagrams and returns what arrives, in order.
async fn exchange(network: &FaultNetwork, count: u16) -> Vec<u16> {
    let (one, other) = pair(network).await;
    let to = other.local_addr().expect("bound");
    for number in 0..count {
        one.send_to(&number.to_le_bytes(), to).await.expect("sent");
    }
    let mut arrived = Vec::new();
    let mut buffer = [0; 2];
    // Time is paused: it moves to the deadline only when nothing else is due.
    while let Ok(received) = tokio::time::timeout(LIMIT, other.recv_from(&mut buffer)).await {
        received.expect("received");
        arrived.push(u16::from_le_bytes(buffer));
    }
    arrived
}

#[tokio::test(start_paused = true)]
async fn without_faults_all_arrives_in_order() {
    let arrived = exchange(&FaultNetwork::new(1), 500).await;
    assert_eq!(arrived, (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn faults_lose_double_and_reorder_the_same_way_for_a_seed() {
    let run = async |seed| {
        let network = FaultNetwork::new(seed);
        network.set_faults(Faults {
            lost_per_mille: 200,
            doubled_per_mille: 200,
            delay_ms: 0..=50,
        });
        (exchange(&network, 1_000).await, network.trace())
    };
    let (arrived, trace) = run(7).await;
    let distinct: BTreeSet<_> = arrived.iter().collect();
    assert!(
        (700..900).contains(&distinct.len()),
        "{} arrived",
        distinct.len()
    );
    assert!(arrived.len() > distinct.len() + 100, "some twice");
    assert!(!arrived.is_sorted(), "out of order");
    assert_eq!(run(7).await, (arrived, trace.clone()));
    assert_ne!(run(8).await.1, trace);
}

#[tokio::test(start_paused = true)]
async fn a_one_way_cut_is_one_way_and_heals() {
    let network = FaultNetwork::new(1);
    let (one, other) = pair(&network).await;
    let (here, there) = (
        one.local_addr().expect("bound"),
        other.local_addr().expect("bound"),
    );
    network.cut_one_way(here, there);
    one.send_to(b"lost", there).await.expect("sent");
    other.send_to(b"back", here).await.expect("sent");
    let mut buffer = [0; 4];
    assert_eq!(one.recv_from(&mut buffer).await.expect("back"), (4, there));
    network.heal();
    one.send_to(b"good", there).await.expect("sent");
    other.recv_from(&mut buffer).await.expect("received");
    assert_eq!(&buffer, b"good");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_taken_until_its_socket_is_dropped() {
    let network = FaultNetwork::new(1);
    let at = "10.0.0.1:7000".parse().expect("an address");
    let socket = network.bind(at).await.expect("free");
    let refused = network.bind(at).await.expect_err("taken");
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    drop(socket);
    network.bind(at).await.expect("free again");
}
