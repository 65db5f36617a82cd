//! A large snapshot in bounded memory: in a process of its own, so that no other test uses its memory.
#![expect(
    clippy::panic,
    clippy::future_not_send,
    reason = "tests fail by panic and wait on their own thread"
)]

#[expect(
    dead_code,
    reason = "the cluster of the other tests has more than this one needs"
)]
#[path = "wire/support.rs"]
mod support;

use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Answering, Authority, PART, caller, node, part, serve, until};
use twinscale_wire::StreamOptions;

const PART_BYTES: usize = 256 * 1024;
const SNAPSHOT_PARTS: u64 = 400;
const MINUTES: Duration = Duration::from_mins(3);

/// Both ends run in this process: two stream windows, buffers, and parts under way.
const MEMORY_GROWTH_MAX: u64 = 40 << 20;

/// The memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1_024
}

async fn send_snapshot(compress: bool) {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let sent = Arc::new(Mutex::new((0_u64, Sha256::new())));
    let before = resident();
    let peak = Arc::new(AtomicU64::new(0));
    let (counting, peaking) = (Arc::clone(&sent), Arc::clone(&peak));
    let items = stream::iter(0..SNAPSHOT_PARTS).map(move |number| {
        let part = part(number, PART_BYTES);
        let mut sent = counting.lock().expect("not poisoned");
        sent.0 += part.bytes().len() as u64;
        sent.1.update(part.bytes());
        peaking.fetch_max(resident(), Ordering::SeqCst);
        part
    });
    let stream = a
        .peers
        .stream(
            &node("b"),
            items,
            StreamOptions {
                compress,
                ..StreamOptions::within(MINUTES)
            },
        )
        .await;
    let mut replies = stream.expect("answered");
    let reply = replies.next().await.expect("one reply").expect("no error");
    let (bytes, hash): (u64, String) = reply.open(PART).expect("a sum");
    assert!(replies.next().await.is_none(), "one reply");
    let (sent, sent_hash) = sent.lock().expect("not poisoned").clone();
    assert!(sent > 100_000_000, "{sent} bytes");
    assert_eq!(bytes, sent);
    assert_eq!(hash, format!("{:x}", sent_hash.finalize()));
    let growth = peak.load(Ordering::SeqCst).saturating_sub(before);
    assert!(growth < MEMORY_GROWTH_MAX, "{growth} bytes for {sent}");
    until(
        "the place to be free",
        || served.counts().served_in_flight,
        |count| *count == 0,
    )
    .await;
    assert_eq!(a.metrics.counts().made_in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_100_megabytes_arrives_whole_in_bounded_memory() {
    for compress in [false, true] {
        send_snapshot(compress).await;
    }
}
