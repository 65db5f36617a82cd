//! The authority: its files, and its rotation under load.

use crate::support::{
    Answering, Authority, Caller, ECHO, ShiftedClock, caller, identity, load, sealed, serve, until,
};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use twinscale_protocol::ClusterId;
use twinscale_wire::ca::{
    AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CaError, CertificateAuthority, Rotation, RotationStep,
};
use twinscale_wire::{CallOptions, CredentialError, Credentials, DefaultTimeProvider, ExpiryLevel};

const LONG: Duration = Duration::from_secs(30);

/// Calls in both directions without pause until told to stop; every one must be answered.
fn load_on(callers: &[Arc<Caller>], stop: &Arc<AtomicBool>, done: &Arc<AtomicU64>) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for caller in callers {
        for _ in 0..4 {
            let (caller, stop, done) = (Arc::clone(caller), Arc::clone(stop), Arc::clone(done));
            running.spawn(async move {
                let peer = caller.peers.status()[0].peer.clone();
                while !stop.load(Ordering::SeqCst) {
                    let options = CallOptions::within(LONG);
                    let called = caller.peers.call(&peer, sealed(ECHO, &1), options).await;
                    called.expect("no call fails in a rotation");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    }
    running
}

async fn more_calls(done: &AtomicU64, connects: impl Fn() -> u64, at_least: u64) {
    let before = done.load(Ordering::SeqCst);
    until("new connections", connects, |count| *count >= at_least).await;
    until(
        "calls",
        || done.load(Ordering::SeqCst),
        |now| *now >= before + 200,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_rotated_under_load_without_a_failed_call() {
    let authority = Authority::of("c1");
    let (a_credentials, b_credentials) = (
        authority.credentials("node/a"),
        authority.credentials("node/b"),
    );
    let _watching = [&a_credentials, &b_credentials]
        .map(|credentials| credentials.watch(Duration::from_millis(20)));
    let (a_server, a_served) = serve(a_credentials.clone(), Answering::new()).await;
    let (b_server, b_served) = serve(b_credentials.clone(), Answering::new()).await;
    let a = Arc::new(caller(a_credentials, &[("b", b_server.address())]));
    let b = Arc::new(caller(b_credentials, &[("a", a_server.address())]));
    a.call_until_answered("b").await;
    b.call_until_answered("a").await;
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut running = load_on(&[Arc::clone(&a), Arc::clone(&b)], &stop, &done);
    let connects = || a.metrics.counts().connects.min(b.metrics.counts().connects);
    let old_ca = std::fs::read(authority.dir.path().join("ca/ca.pem")).expect("reads");
    let bring_trusted = || {
        for who in ["node/a", "node/b"] {
            let new = authority.dir_of(who).join("ca.new");
            std::fs::copy(authority.dir.path().join("ca/ca.pem"), &new).expect("copies");
            std::fs::rename(&new, authority.dir_of(who).join("ca.pem")).expect("renames");
        }
    };

    authority
        .ca
        .rotate(RotationStep::Trust, AUTHORITY_VALIDITY)
        .expect("trusts");
    bring_trusted();
    more_calls(&done, connects, 4).await;
    authority
        .ca
        .rotate(RotationStep::Sign, AUTHORITY_VALIDITY)
        .expect("signs");
    let before = connects();
    for who in ["node/a", "node/b"] {
        authority.files(who);
    }
    more_calls(&done, connects, before + 2).await;
    authority
        .ca
        .rotate(RotationStep::Drop, AUTHORITY_VALIDITY)
        .expect("drops");
    let before = connects();
    bring_trusted();
    more_calls(&done, connects, before + 2).await;

    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = running.join_next().await {
        ended.expect("no call failed");
    }
    let new_ca = std::fs::read(authority.dir_of("node/a").join("ca.pem")).expect("reads");
    assert!(
        new_ca != old_ca && new_ca.len() < old_ca.len() * 3 / 2,
        "the old one is gone"
    );
    for counts in [a.metrics.counts(), b.metrics.counts()] {
        assert_eq!(counts.failed.values().sum::<u64>(), 0, "{counts:?}");
    }
    for counts in [a_served.counts(), b_served.counts()] {
        assert_eq!(counts.refused.values().sum::<u64>(), 0, "{counts:?}");
    }
    assert!(done.load(Ordering::SeqCst) > 600);
}

#[tokio::test]
async fn an_open_connection_ends_when_its_authority_is_trusted_no_longer() {
    let authority = Authority::of("c1");
    let b_credentials = authority.credentials("node/b");
    let (server, served) = serve(b_credentials.clone(), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    a.call_until_answered("b").await;
    // The authority is rotated, and `a` gets nothing of it: it keeps the old certificate.
    for step in [RotationStep::Trust, RotationStep::Sign, RotationStep::Drop] {
        authority
            .ca
            .rotate(step, AUTHORITY_VALIDITY)
            .expect("the next step");
    }
    authority.files("node/b");
    assert!(b_credentials.reload().expect("valid"), "something new");
    assert!(!b_credentials.reload().expect("valid"), "nothing new");
    let count = || served.counts().refused.get("unknown-authority").copied();
    until("the connections' end", count, |count| *count >= Some(2)).await;
    until(
        "their number",
        || served.counts().connections,
        |count| *count == 0,
    )
    .await;
    let error = a.call("b", sealed(ECHO, &1)).await.expect_err("refused");
    assert_eq!(error.reason(), "unknown-authority", "{error}");
}

#[tokio::test]
async fn files_in_the_middle_of_a_change_leave_the_former_in_force() {
    let authority = Authority::of("c1");
    let files = authority.files("node/a");
    let credentials = load(files.clone(), Arc::new(DefaultTimeProvider));
    let other = Authority::of("c1");
    let bad = |break_it: &dyn Fn()| {
        break_it();
        let error = credentials.reload().expect_err("not whole");
        authority.files("node/a");
        assert!(credentials.reload().expect("whole again"));
        error
    };
    let replace = |from: &Path, to: &Path| {
        std::fs::copy(from, to).expect("copies");
    };
    let foreign = other.files("node/a");
    let error = bad(&|| replace(&foreign.trusted, &files.trusted));
    assert!(matches!(error, CredentialError::Refused { .. }), "{error}");
    let error = bad(&|| replace(&foreign.key, &files.key));
    assert!(matches!(error, CredentialError::Pair { .. }), "{error}");
    let error = bad(&|| std::fs::write(&files.certificate, "").expect("writes"));
    assert!(matches!(error, CredentialError::Empty { .. }), "{error}");
    let error = bad(&|| std::fs::remove_file(&files.trusted).expect("removes"));
    assert!(matches!(error, CredentialError::Read { .. }), "{error}");
    let error = bad(&|| {
        let x = authority.files("node/x");
        replace(&x.key, &files.key);
        replace(&x.certificate, &files.certificate);
    });
    assert!(
        matches!(error, CredentialError::OtherIdentity { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("node/x"), "{error}");
    assert_eq!(credentials.identity(), &identity("node/a"));
}

#[test]
fn steps_out_of_order_name_the_next() {
    let authority = Authority::of("c1");
    let ca = &authority.ca;
    let at = || ca.rotation().expect("reads");
    assert_eq!(at(), Rotation::Steady);
    let error = ca
        .rotate(RotationStep::Drop, AUTHORITY_VALIDITY)
        .expect_err("too early");
    assert!(error.to_string().contains("the next is `trust`"), "{error}");
    ca.rotate(RotationStep::Trust, AUTHORITY_VALIDITY)
        .expect("trusts");
    assert_eq!(at(), Rotation::Trusting);
    ca.rotate(RotationStep::Trust, AUTHORITY_VALIDITY)
        .expect("made again");
    assert_eq!(at(), Rotation::Trusting);
    ca.rotate(RotationStep::Sign, AUTHORITY_VALIDITY)
        .expect("signs");
    assert_eq!(at(), Rotation::Signing);
    let error = ca
        .rotate(RotationStep::Trust, AUTHORITY_VALIDITY)
        .expect_err("not yet");
    assert!(error.to_string().contains("the next is `drop`"), "{error}");
    ca.rotate(RotationStep::Drop, AUTHORITY_VALIDITY)
        .expect("drops");
    assert_eq!(at(), Rotation::Steady);
    let again = CertificateAuthority::open(
        &authority.dir.path().join("ca"),
        Arc::new(DefaultTimeProvider),
    );
    assert_eq!(again.expect("opens").cluster().as_str(), "c1");
}

#[test]
fn keys_are_their_owners_and_an_authority_is_made_once() {
    let authority = Authority::of("c1");
    let ca_dir = authority.dir.path().join("ca");
    let files = authority.files("node/a");
    authority
        .ca
        .rotate(RotationStep::Trust, AUTHORITY_VALIDITY)
        .expect("trusts");
    for key in [
        &files.key,
        &ca_dir.join("signing.pem"),
        &ca_dir.join("next.pem"),
    ] {
        let mode = std::fs::metadata(key).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", key.display());
    }
    let cluster = ClusterId::new("c1").expect("an id");
    let time = Arc::new(DefaultTimeProvider);
    let error = CertificateAuthority::init(&ca_dir, &cluster, AUTHORITY_VALIDITY, time);
    let error = error.expect_err("there is one");
    assert!(matches!(error, CaError::Exists { .. }));
    assert!(error.to_string().contains("signing.pem"), "{error}");
    let nowhere = authority.dir.path().join("none");
    let error = CertificateAuthority::open(&nowhere, Arc::new(DefaultTimeProvider));
    assert!(
        error
            .expect_err("none there")
            .to_string()
            .contains("none/signing.pem")
    );
    std::fs::write(ca_dir.join("signing.pem"), "nonsense").expect("writes");
    let error = CertificateAuthority::open(&ca_dir, Arc::new(DefaultTimeProvider));
    assert!(matches!(error, Err(CaError::Broken { .. })));
}

#[test]
fn what_cannot_be_issued_is_told() {
    let authority = Authority::of("c1");
    let to = authority.dir_of("x");
    let century = Duration::from_hours(90 * 365 * 24);
    let error = authority
        .ca
        .issue(&identity("node/a"), century, &to)
        .expect_err("too long");
    assert!(matches!(error, CaError::Ends { .. }), "{error}");
    let error = authority
        .ca
        .issue(&identity("node/a"), Duration::ZERO, &to)
        .expect_err("none");
    assert!(matches!(error, CaError::Validity { .. }), "{error}");
    let long = identity(&format!("node/{}", "x".repeat(63)));
    let error = authority
        .ca
        .issue(&long, CERTIFICATE_VALIDITY, &to)
        .expect_err("no DNS name");
    assert!(matches!(error, CaError::Name(_)), "{error}");
}

#[test]
fn an_expiry_is_told_in_time() {
    let authority = Authority::of("c1");
    let clock = ShiftedClock::by(0);
    let time: Arc<ShiftedClock> = Arc::clone(&clock);
    let credentials = Credentials::load(authority.files("node/a"), time).expect("valid");
    let at_day = |day: i64| {
        clock.0.store(day * 86_400, Ordering::SeqCst);
        credentials.expiry().level
    };
    assert_eq!(at_day(0), ExpiryLevel::Fine);
    assert_eq!(at_day(71), ExpiryLevel::Fine);
    assert_eq!(at_day(73), ExpiryLevel::Soon);
    assert_eq!(at_day(87), ExpiryLevel::Urgent);
    assert_eq!(at_day(91), ExpiryLevel::Expired);
    assert!(credentials.expiry().remaining_s < 0);
}
