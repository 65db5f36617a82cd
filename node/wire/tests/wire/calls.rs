//! Calls over real sockets: answers, errors, deadlines, limits, and peers that come and go.
use crate::support::{
    Answering, Authority, ECHO, FAIL, GATED, HANG, PANIC, SOON, UNKNOWN, WHO, caller, caller_with,
    eventually, node, part, quick, sealed, serve, serve_at, until,
};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use twinscale_protocol::WireErrorCode;
use twinscale_protocol::envelope::BODY_BYTES_MAX;
use twinscale_wire::{CallError, CallOptions, PeerState, RefusalReason, WireSettings};

#[tokio::test]
async fn a_call_is_answered_and_tells_who_calls_and_the_trace() {
    let authority = Authority::of("c1");
    let (server, served) = serve(authority.credentials("node/b"), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let echoed = a.call("b", sealed(ECHO, &"hello")).await.expect("answered");
    assert_eq!(echoed.open::<String>(ECHO).expect("a text"), "hello");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let options = CallOptions {
        trace: Some(trace.parse().expect("a trace")),
        ..CallOptions::within(SOON)
    };
    let who = a.peers.call(&node("b"), sealed(WHO, &()), options).await;
    let who: String = who.expect("answered").open(WHO).expect("a text");
    assert_eq!(who, format!("node/a {trace}"));
    let counts = a.metrics.counts();
    assert_eq!((counts.calls_made, counts.made_in_flight), (2, 0));
    assert_eq!(counts.latency.iter().sum::<u64>(), 2);
    assert_eq!(served.counts().calls_served, 2);
}

#[tokio::test]
async fn operators_and_viewers_are_known_as_such() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    for account in ["operator/alice", "viewer/bob"] {
        let client = caller(authority.credentials(account), &[("b", server.address())]);
        let who = client.call("b", sealed(WHO, &())).await.expect("answered");
        let who: String = who.open(WHO).expect("a text");
        assert_eq!(who.trim(), account);
    }
}

#[tokio::test]
async fn an_error_of_the_handler_comes_as_it_is() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let error = a.call("b", sealed(FAIL, &())).await.expect_err("fails");
    assert_eq!(error.code(), WireErrorCode::NotLeader);
    assert_eq!(error.to_string(), "node `b`: not-leader: try node `c`");
    let error = a.call("b", sealed(PANIC, &())).await.expect_err("fails");
    assert_eq!(error.code(), WireErrorCode::Internal);
    a.call("b", sealed(ECHO, &1))
        .await
        .expect("the connection outlives the panic");
    let connects = || a.metrics.counts().connects;
    // One connection for calls, and one for streams.
    until("both connections", connects, |count| *count == 2).await;
}

#[tokio::test]
async fn a_kind_that_this_version_does_not_know_is_told_as_such() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let error = a
        .call("b", sealed(UNKNOWN, &()))
        .await
        .expect_err("refused");
    let CallError::Refused { refusal, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(refusal.reason, RefusalReason::UnknownKind);
    assert!(
        refusal.text.contains("0x7fff") && refusal.text.contains("upgrade"),
        "{refusal}"
    );
    assert_eq!(error.code(), WireErrorCode::Invalid);
    assert_eq!(served.counts().refused["unknown-kind"], 1);
    assert_eq!(
        answering.entered.load(Ordering::SeqCst),
        0,
        "the handler is not asked"
    );
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_and_frees_its_place() {
    let authority = Authority::of("c1");
    let (server, served) = serve(authority.credentials("node/b"), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    a.call_until_answered("b").await;
    let started = Instant::now();
    let options = CallOptions::within(Duration::from_millis(200));
    let error = a.peers.call(&node("b"), sealed(HANG, &()), options).await;
    let error = error.expect_err("hangs");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(190) && took < Duration::from_secs(2),
        "{took:?}"
    );
    // The server may be first to see the deadline, and says so itself.
    let codes = [WireErrorCode::OutcomeUnknown, WireErrorCode::Timeout];
    assert!(codes.contains(&error.code()), "{error}");
    until(
        "the handler's end",
        || served.counts().served_in_flight,
        |count| *count == 0,
    )
    .await;
    assert_eq!(a.metrics.counts().made_in_flight, 0);
}

#[tokio::test]
async fn what_is_over_the_limit_of_a_peer_is_refused_and_not_queued() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, _) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let settings = WireSettings {
        calls_per_peer_max: 3,
        bytes_per_peer_max: 100_000,
        ..quick()
    };
    let a = caller_with(
        authority.credentials("node/a"),
        &[("b", server.address())],
        settings,
    );
    a.call_until_answered("b").await;
    let a = Arc::new(a);
    let held: Vec<_> = (0..3)
        .map(|_| {
            let a = Arc::clone(&a);
            tokio::spawn(async move { a.call("b", sealed(GATED, &())).await })
        })
        .collect();
    until(
        "three calls",
        || answering.entered.load(Ordering::SeqCst),
        |seen| *seen >= 4,
    )
    .await;
    let started = Instant::now();
    let error = a.call("b", sealed(ECHO, &())).await.expect_err("a fourth");
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "refused at once"
    );
    assert_eq!(error.code(), WireErrorCode::Overloaded);
    assert!(error.to_string().contains("3 calls"), "{error}");
    for _ in 0..3 {
        answering.gate.notify_one();
        tokio::task::yield_now().await;
    }
    answering.gate.notify_waiters();
    for ended in join_all(held).await {
        ended.expect("no panic").expect("answered");
    }
    let error = a
        .call("b", part(1, 200_000))
        .await
        .expect_err("too many bytes");
    assert!(
        error.to_string().contains("calls of 100000 bytes"),
        "{error}"
    );
    a.call("b", part(1, 90_000)).await.expect("fits");
}

#[tokio::test]
async fn the_server_refuses_a_caller_that_knows_no_limit() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let settings = WireSettings {
        calls_per_peer_max: 2,
        ..quick()
    };
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let credentials = authority.credentials("node/b");
    let (server, served) = serve_at(loopback, credentials, Arc::clone(&answering), settings).await;
    let a = Arc::new(caller(
        authority.credentials("node/a"),
        &[("b", server.address())],
    ));
    a.call_until_answered("b").await;
    let calls = (0..10).map(|_| {
        let a = Arc::clone(&a);
        tokio::spawn(async move { a.call("b", sealed(GATED, &())).await })
    });
    let calls: Vec<_> = calls.collect();
    let refused = || served.counts().refused.get("overloaded").copied();
    until("refusals", refused, |count| *count == Some(6)).await;
    for _ in 0..4 {
        answering.gate.notify_one();
        until(
            "a call's end",
            || served.counts().served_in_flight,
            |_| true,
        )
        .await;
        tokio::task::yield_now().await;
    }
    let waiting = Arc::clone(&answering);
    let open_gate = tokio::spawn(async move {
        loop {
            waiting.gate.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let ended = join_all(calls).await;
    open_gate.abort();
    let codes: Vec<_> = ended
        .into_iter()
        .map(|ended| ended.expect("no panic").map_err(|error| error.code()).err())
        .collect();
    let overloaded = codes
        .iter()
        .filter(|code| **code == Some(WireErrorCode::Overloaded));
    assert_eq!(overloaded.count(), 6, "{codes:?}");
    assert_eq!(
        codes.iter().filter(|code| code.is_none()).count(),
        4,
        "{codes:?}"
    );
}

#[tokio::test]
async fn the_largest_envelope_passes_as_a_call() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let largest = part(7, BODY_BYTES_MAX - 5);
    let echoed = a.call("b", largest.clone()).await.expect("answered");
    assert!(echoed == largest, "the same bytes");
}

#[tokio::test]
async fn a_peer_that_restarts_is_called_again() {
    let authority = Authority::of("c1");
    let credentials = authority.credentials("node/b");
    let (server, _) = serve(credentials.clone(), Answering::new()).await;
    let address = server.address();
    let a = caller(authority.credentials("node/a"), &[("b", address)]);
    a.call_until_answered("b").await;
    assert_eq!(server.shutdown(SOON).await.cut, 0, "nothing was under way");
    let unreachable = || match &a.peers.status()[0].state {
        PeerState::Unreachable { cause } => Some(cause.clone()),
        _ => None,
    };
    let cause = until("the loss", unreachable, Option::is_some).await;
    assert!(cause.is_some_and(|cause| cause.contains(&address.to_string())));
    let started = Instant::now();
    let error = a
        .call("b", sealed(ECHO, &1))
        .await
        .expect_err("nobody there");
    assert_eq!(error.code(), WireErrorCode::Unavailable, "{error}");
    assert!(started.elapsed() < SOON, "does not wait for the deadline");
    let (_server, _) = serve_at(address, credentials, Answering::new(), quick()).await;
    a.call_until_answered("b").await;
}

#[tokio::test]
async fn a_shutdown_lets_calls_end_and_cuts_what_does_not() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, _) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = Arc::new(caller(
        authority.credentials("node/a"),
        &[("b", server.address())],
    ));
    a.call_until_answered("b").await;
    let before = answering.entered.load(Ordering::SeqCst);
    let gated = Arc::clone(&a);
    let gated = tokio::spawn(async move { gated.call("b", sealed(GATED, &())).await });
    until(
        "the call",
        || answering.entered.load(Ordering::SeqCst),
        |seen| *seen > before,
    )
    .await;
    let ending = tokio::spawn(server.shutdown(SOON));
    answering.gate.notify_one();
    gated
        .await
        .expect("no panic")
        .expect("answered though the server ends");
    assert_eq!(ending.await.expect("no panic").cut, 0);

    let (server, _) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    a.addresses
        .send_replace([(node("b"), server.address().to_string())].into());
    a.call_until_answered("b").await;
    let before = answering.entered.load(Ordering::SeqCst);
    let hanging = Arc::clone(&a);
    let hanging = tokio::spawn(async move { hanging.call("b", sealed(HANG, &())).await });
    until(
        "the call",
        || answering.entered.load(Ordering::SeqCst),
        |seen| *seen > before,
    )
    .await;
    assert_eq!(server.shutdown(Duration::from_millis(100)).await.cut, 1);
    let error = hanging.await.expect("no panic").expect_err("was cut");
    assert_eq!(error.code(), WireErrorCode::OutcomeUnknown, "{error}");
}

#[tokio::test]
async fn a_peer_is_followed_to_its_new_address_without_a_failed_call() {
    let authority = Authority::of("c1");
    let credentials = authority.credentials("node/b");
    let (first, _) = serve(credentials.clone(), Answering::new()).await;
    let (second, served) = serve(credentials, Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", first.address())]);
    a.call_until_answered("b").await;
    a.addresses
        .send_replace([(node("b"), second.address().to_string())].into());
    eventually("a call at the new address", || async {
        a.call("b", sealed(ECHO, &1)).await.expect("no call fails");
        if served.counts().calls_served > 0 {
            Ok(())
        } else {
            Err("still at the old")
        }
    })
    .await;
    a.addresses.send_replace([].into());
    let gone = || async {
        match a.call("b", sealed(ECHO, &1)).await {
            Err(CallError::UnknownPeer { .. }) => Ok(()),
            other => Err(other),
        }
    };
    eventually("the peer to be forgotten", gone).await;
}
