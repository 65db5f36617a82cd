//! Streams: size, checksum, compression, flow control, and what breaks them.

use crate::support::{
    Answering, Authority, ECHO, PART, UNKNOWN, caller, node, part, sealed, serve, until,
};
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use twinscale_protocol::WireErrorCode;
use twinscale_wire::{Envelope, StreamOptions};

const PART_BYTES: usize = 256 * 1024;
const SNAPSHOT_PARTS: u64 = 400;

const MINUTES: Duration = Duration::from_mins(3);

fn options(compress: bool) -> StreamOptions {
    StreamOptions {
        compress,
        ..StreamOptions::within(MINUTES)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_holds_the_sender_back_and_no_call() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    answering.is_reading.send_replace(false);
    let (server, _) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = Arc::new(caller(
        authority.credentials("node/a"),
        &[("b", server.address())],
    ));
    let taken = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&taken);
    let items = stream::iter(0..SNAPSHOT_PARTS).map(move |number| {
        counting.fetch_add(1, Ordering::SeqCst);
        part(number, PART_BYTES)
    });
    let streaming = Arc::clone(&a);
    let streaming = tokio::spawn(async move {
        let replies = streaming
            .peers
            .stream(&node("b"), items, options(false))
            .await;
        replies
            .expect("answered")
            .next()
            .await
            .expect("one")
            .expect("no error")
    });
    until(
        "the first parts",
        || taken.load(Ordering::SeqCst),
        |taken| *taken > 3,
    )
    .await;
    // Calls pass while the stream stands; each is a round trip, in which more parts could have been taken.
    for _ in 0..200 {
        a.call("b", sealed(ECHO, &1)).await.expect("answered");
    }
    let standing = taken.load(Ordering::SeqCst);
    // A window of one megabyte, and about as much in the buffers of sockets and TLS.
    assert!(
        standing < 40,
        "{standing} parts of 256 KiB taken with nobody reading"
    );
    answering.is_reading.send_replace(true);
    let reply = streaming.await.expect("no panic");
    let (bytes, _): (u64, String) = reply.open(PART).expect("a sum");
    assert!(bytes > 100_000_000, "the rest came");
}

#[tokio::test]
async fn a_stream_ends_by_its_deadline_at_both_ends() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    a.call_until_answered("b").await;
    let items = stream::iter([part(1, 100)]).chain(stream::pending());
    let short = StreamOptions::within(Duration::from_millis(300));
    let error = match a.peers.stream(&node("b"), items, short).await {
        Err(error) => error,
        Ok(mut replies) => replies.next().await.expect("an item").expect_err("late"),
    };
    let codes = [WireErrorCode::OutcomeUnknown, WireErrorCode::Timeout];
    assert!(codes.contains(&error.code()), "{error}");
    until(
        "the server's end",
        || served.counts().served_in_flight,
        |count| *count == 0,
    )
    .await;
    assert_eq!(a.metrics.counts().made_in_flight, 0);
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    answering.is_reading.send_replace(false);
    let (server, _) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = Arc::new(caller(
        authority.credentials("node/a"),
        &[("b", server.address())],
    ));
    let open = || {
        let a = Arc::clone(&a);
        tokio::spawn(async move {
            let items = stream::iter([part(1, 100)]);
            let replies = a.peers.stream(&node("b"), items, options(false)).await;
            replies?.next().await.expect("an item")
        })
    };
    let held: Vec<_> = (0..4).map(|_| open()).collect();
    until(
        "four streams",
        || answering.entered.load(Ordering::SeqCst),
        |seen| *seen == 4,
    )
    .await;
    let error = open().await.expect("no panic").expect_err("a fifth");
    assert_eq!(error.code(), WireErrorCode::Overloaded, "{error}");
    assert!(error.to_string().contains("4 streams"), "{error}");
    answering.is_reading.send_replace(true);
    for ended in held {
        ended.await.expect("no panic").expect("answered");
    }
}

#[tokio::test]
async fn an_unknown_kind_in_a_stream_ends_it_with_the_reason() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let items = stream::iter([part(1, 100), sealed(UNKNOWN, &1), part(2, 100)]);
    let error = match a.peers.stream(&node("b"), items, options(false)).await {
        Err(error) => error,
        Ok(mut replies) => replies.next().await.expect("an item").expect_err("refused"),
    };
    assert_eq!(error.code(), WireErrorCode::Invalid, "{error}");
    assert!(error.to_string().contains("0x7fff"), "{error}");
    assert_eq!(served.counts().refused["unknown-kind"], 1);
    let streams = answering.streams.lock().expect("not poisoned").clone();
    assert_eq!(streams.len(), 1, "the handler saw the error in its place");
    assert_eq!(streams[0].0, part(1, 100).bytes().len() as u64);
}

#[tokio::test]
async fn a_sender_that_goes_is_an_error_for_the_reader() {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let items = stream::iter([part(1, 100)]).chain(stream::pending::<Envelope>());
    let b = node("b");
    let opening = a.peers.stream(&b, items, options(false));
    // The handler answers when the stream has ended, so this is still open when it is dropped.
    let entered = until(
        "the stream",
        || answering.entered.load(Ordering::SeqCst),
        |seen| *seen == 1,
    );
    tokio::select! {
        opened = opening => panic!("answered before its end: {opened:?}"),
        _ = entered => {}
    }
    until(
        "the server's end",
        || served.counts().served_in_flight,
        |count| *count == 0,
    )
    .await;
    a.call("b", sealed(ECHO, &1))
        .await
        .expect("the connection is well");
}
