//! Peers and links that are not well: silent, half open, cut, and restarted under load.

use crate::support::{
    Answering, Authority, Caller, ECHO, HANG, caller_with, eventually, node, part, quick, sealed,
    serve, until,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinscale_protocol::WireErrorCode;
use twinscale_wire::{CallOptions, PeerState, Server, WireMetrics, WireSettings};

fn impatient() -> WireSettings {
    WireSettings {
        connect_timeout: Duration::from_millis(500),
        keep_alive_interval: Duration::from_millis(200),
        keep_alive_timeout: Duration::from_millis(400),
        ..quick()
    }
}

/// A link that can be cut without either end being told, as when a cable is pulled.
#[derive(Debug)]
struct Link {
    address: SocketAddr,
    passes: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Link {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let passes = watch::Sender::new(true);
        let gate = passes.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let Ok(to) = TcpStream::connect(target).await else {
                    continue;
                };
                let (from_read, from_write) = from.into_split();
                let (to_read, to_write) = to.into_split();
                pumps.spawn(pump(from_read, to_write, gate.subscribe()));
                pumps.spawn(pump(to_read, from_write, gate.subscribe()));
            }
        });
        Self {
            address,
            passes,
            _accepting: accepting,
        }
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin + Send,
    mut to: impl AsyncWriteExt + Unpin + Send,
    mut gate: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if gate.wait_for(|passes| *passes).await.is_err() {
            return;
        }
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if gate.wait_for(|passes| *passes).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

fn state(a: &Caller) -> PeerState {
    a.peers.status()[0].state.clone()
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_is_told_as_stuck() {
    let authority = Authority::of("c1");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = silent.local_addr().expect("an address");
    let a = caller_with(
        authority.credentials("node/a"),
        &[("b", address)],
        impatient(),
    );
    let started = Instant::now();
    let error = a
        .call("b", sealed(ECHO, &1))
        .await
        .expect_err("nobody answers");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "does not wait for the deadline"
    );
    assert_eq!(error.code(), WireErrorCode::Unavailable);
    assert!(
        error.to_string().contains("did not answer within 500 ms"),
        "{error}"
    );
    let short = CallOptions::within(Duration::from_millis(1));
    let error = a.peers.call(&node("b"), sealed(ECHO, &1), short).await;
    assert_eq!(
        error.expect_err("nobody answers").code(),
        WireErrorCode::Unavailable
    );
}

#[tokio::test]
async fn a_cut_link_fails_calls_by_their_deadline_and_heals() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let link = Link::to(server.address()).await;
    let a = caller_with(
        authority.credentials("node/a"),
        &[("b", link.address)],
        impatient(),
    );
    a.call_until_answered("b").await;
    link.passes.send_replace(false);
    let deadline = Duration::from_millis(150);
    let started = Instant::now();
    let error = a
        .peers
        .call(&node("b"), sealed(ECHO, &1), CallOptions::within(deadline))
        .await;
    let error = error.expect_err("the link is cut");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(error.code(), WireErrorCode::OutcomeUnknown, "{error}");
    let lost = |state: &PeerState| matches!(state, PeerState::Unreachable { .. });
    until("the loss, by keep-alive", || state(&a), lost).await;
    let error = a
        .call("b", sealed(ECHO, &1))
        .await
        .expect_err("known to be cut");
    assert_eq!(
        error.code(),
        WireErrorCode::Unavailable,
        "nothing was sent: {error}"
    );
    link.passes.send_replace(true);
    a.call_until_answered("b").await;
}

#[tokio::test]
async fn a_call_under_way_when_the_link_is_cut_ends_by_keep_alive() {
    let authority = Authority::of("c1");
    let (server, served) = serve(authority.credentials("node/b"), Answering::new()).await;
    let link = Link::to(server.address()).await;
    let a = caller_with(
        authority.credentials("node/a"),
        &[("b", link.address)],
        impatient(),
    );
    a.call_until_answered("b").await;
    let a = Arc::new(a);
    let hanging = Arc::clone(&a);
    let started = Instant::now();
    let long = CallOptions::within(Duration::from_mins(10));
    let hanging = tokio::spawn(async move {
        let ask = sealed(HANG, &());
        hanging.peers.call(&node("b"), ask, long).await
    });
    until(
        "the call",
        || served.counts().served_in_flight,
        |count| *count == 1,
    )
    .await;
    link.passes.send_replace(false);
    let error = hanging.await.expect("no panic").expect_err("cut");
    assert_eq!(error.code(), WireErrorCode::OutcomeUnknown, "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "long before its deadline"
    );
}

#[tokio::test]
async fn a_half_open_connection_is_given_up_and_made_again() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let link = Link::to(server.address()).await;
    let a = caller_with(
        authority.credentials("node/a"),
        &[("b", link.address)],
        impatient(),
    );
    a.call_until_answered("b").await;
    let before = a.metrics.counts().connects;
    // The other end restarts behind a cut link: it knows nothing of the connection this end holds.
    link.passes.send_replace(false);
    let address = server.address();
    drop(server);
    let credentials = authority.credentials("node/b");
    let again = || async {
        let (credentials, metrics) = (credentials.clone(), WireMetrics::default());
        Server::bind(address, credentials, quick(), Answering::new(), metrics).await
    };
    let _server = eventually("the address", again).await;
    link.passes.send_replace(true);
    a.call_until_answered("b").await;
    assert!(a.metrics.counts().connects > before);
}

#[tokio::test]
async fn a_peer_that_is_stuck_costs_bounded_memory() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let link = Link::to(server.address()).await;
    let settings = WireSettings {
        // The peer is stuck for longer than this test asks: only the limits hold.
        keep_alive_timeout: Duration::from_mins(10),
        bytes_per_peer_max: 4 << 20,
        ..quick()
    };
    let a = Arc::new(caller_with(
        authority.credentials("node/a"),
        &[("b", link.address)],
        settings,
    ));
    a.call_until_answered("b").await;
    link.passes.send_replace(false);
    let mut codes = Vec::new();
    for round in 0..5 {
        let deadline = CallOptions::within(Duration::from_millis(100));
        let calls = (0..200).map(|number| {
            let a = Arc::clone(&a);
            let ask = part(number, 100_000);
            tokio::spawn(async move { a.peers.call(&node("b"), ask, deadline).await })
        });
        let calls: Vec<_> = calls.collect();
        for call in calls {
            codes.push(call.await.expect("no panic").expect_err("stuck").code());
        }
        assert_eq!(a.metrics.counts().made_in_flight, 0, "round {round}");
    }
    let count = |code| codes.iter().filter(|seen| **seen == code).count();
    // 41 of 100 kB fit into 4 MiB at once, and a place is free again when its call has ended.
    assert!(count(WireErrorCode::Overloaded) >= 100, "{codes:?}");
    assert!(count(WireErrorCode::OutcomeUnknown) >= 5 * 40, "{codes:?}");
    assert_eq!(
        count(WireErrorCode::Overloaded) + count(WireErrorCode::OutcomeUnknown),
        1_000
    );
    // More calls were given up than HTTP/2 takes for an attack by default: the connection must live.
    let connects = a.metrics.counts().connects;
    link.passes.send_replace(true);
    a.call("b", sealed(ECHO, &1))
        .await
        .expect("answered by the same connection");
    assert_eq!(a.metrics.counts().connects, connects);
}
