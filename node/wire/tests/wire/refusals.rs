//! Every way in which an end is refused: the reason is told to the one who can act, and counted.

use crate::support::{
    Answering, Authority, Caller, ECHO, ShiftedClock, caller, identity, load, quick, sealed, serve,
    until,
};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use twinscale_wire::ca::CERTIFICATE_VALIDITY;
use twinscale_wire::{
    CallError, CredentialError, Credentials, DefaultTimeProvider, Refusal, RefusalReason, Server,
    WireMetrics,
};

async fn refused(caller: &Caller) -> Refusal {
    match caller.call("b", sealed(ECHO, &1)).await {
        Err(CallError::Refused { refusal, .. }) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn says(refusal: &Refusal, parts: &[&str]) {
    for part in parts {
        assert!(refusal.text.contains(part), "no `{part}` in: {refusal}");
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::of("c1"), Authority::of("c1"));
    let (server, _) = serve(theirs.credentials("node/b"), Answering::new()).await;
    let a = caller(ours.credentials("node/a"), &[("b", server.address())]);
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::UnknownAuthority);
    says(
        &refusal,
        &[
            "node `b`",
            &server.address().to_string(),
            "issue it by the cluster's authority",
        ],
    );
    assert!(a.metrics.counts().refused["unknown-authority"] >= 1);
}

#[tokio::test]
async fn a_caller_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::of("c1"), Authority::of("c1"));
    let (server, served) = serve(ours.credentials("node/b"), Answering::new()).await;
    // It trusts our server, and so gets as far as to show its own certificate.
    let files = theirs.files("node/a");
    let both = [theirs.files("node/a").trusted, ours.files("node/x").trusted]
        .map(|file| std::fs::read_to_string(file).expect("reads"))
        .concat();
    std::fs::write(&files.trusted, both).expect("writes");
    let a = caller(
        load(files, Arc::new(DefaultTimeProvider)),
        &[("b", server.address())],
    );
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::UnknownAuthority);
    says(
        &refusal,
        &[
            "node `b`",
            "does not trust the authority that issued",
            "certificate.pem",
        ],
    );
    let count = || served.counts().refused.get("unknown-authority").copied();
    until("the server's count", count, |count| count.unwrap_or(0) >= 1).await;
}

#[tokio::test]
async fn an_expired_certificate_of_the_server_is_refused() {
    let authority = Authority::of("c1");
    let dir = authority.dir_of("node/b");
    let hour = Duration::from_hours(1);
    let files = authority
        .ca
        .issue(&identity("node/b"), hour, &dir)
        .expect("issues");
    let (server, _) = serve(load(files, Arc::new(DefaultTimeProvider)), Answering::new()).await;
    // Ten days later by the caller's clock.
    let later = ShiftedClock::by(10 * 86_400);
    let a = caller(
        load(authority.files("node/a"), later),
        &[("b", server.address())],
    );
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::Expired);
    says(
        &refusal,
        &[
            "node `b`",
            "was valid until",
            "9 days later",
            "issue a new one",
        ],
    );
    assert!(a.metrics.counts().refused["expired"] >= 1);
}

#[tokio::test]
async fn an_expired_certificate_of_the_caller_is_refused() {
    let authority = Authority::of("c1");
    let later = ShiftedClock::by(10 * 86_400);
    let credentials = load(authority.files("node/b"), later);
    let (server, served) = serve(credentials, Answering::new()).await;
    let dir = authority.dir_of("node/a");
    let hour = Duration::from_hours(1);
    let files = authority
        .ca
        .issue(&identity("node/a"), hour, &dir)
        .expect("issues");
    let a = caller(
        load(files, Arc::new(DefaultTimeProvider)),
        &[("b", server.address())],
    );
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::Expired);
    says(&refusal, &["node `b`", "one of the two clocks is wrong"]);
    let count = || served.counts().refused.get("expired").copied();
    until("the server's count", count, |count| count.unwrap_or(0) >= 1).await;
}

#[tokio::test]
async fn a_clock_an_hour_behind_is_named() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/b"), Answering::new()).await;
    let files = authority.files("node/a");
    let behind = ShiftedClock::by(0);
    let credentials = load(files, Arc::<ShiftedClock>::clone(&behind));
    // Half a minute more, so that the whole minutes in the text do not hang on a second.
    behind.0.store(-3_630, std::sync::atomic::Ordering::SeqCst);
    let a = caller(credentials, &[("b", server.address())]);
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::NotYetValid);
    says(
        &refusal,
        &["is valid from", "(55 min earlier)", "set the clock"],
    );
    assert!(a.metrics.counts().refused["not-yet-valid"] >= 1);
}

#[tokio::test]
async fn a_server_whose_clock_is_an_hour_behind_names_the_clocks_too() {
    let authority = Authority::of("c1");
    let behind = ShiftedClock::by(0);
    let files = authority.files("node/b");
    let credentials = load(files, Arc::<ShiftedClock>::clone(&behind));
    behind.0.store(-3_600, std::sync::atomic::Ordering::SeqCst);
    let (server, served) = serve(credentials, Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let refusal = refused(&a).await;
    assert_eq!(
        refusal.reason,
        RefusalReason::Expired,
        "TLS has one alert for both"
    );
    says(&refusal, &["one of the two clocks is wrong", "set it"]);
    let count = || served.counts().refused.get("not-yet-valid").copied();
    until("the server's count", count, |count| count.unwrap_or(0) >= 1).await;
}

#[tokio::test]
async fn another_nodes_certificate_is_refused() {
    let authority = Authority::of("c1");
    let (server, _) = serve(authority.credentials("node/c"), Answering::new()).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::OtherIdentity);
    says(
        &refusal,
        &["wanted for node `b`", "is node/c", "correct the address"],
    );
    assert!(a.metrics.counts().refused["other-identity"] >= 1);
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused() {
    let (ours, theirs) = (Authority::of("c1"), Authority::of("c2"));
    let (server, _) = serve(theirs.credentials("node/b"), Answering::new()).await;
    let files = ours.files("node/a");
    // Both authorities are trusted: the name alone decides.
    let both = [&ours, &theirs].map(|authority| {
        std::fs::read_to_string(authority.files("node/x").trusted).expect("reads")
    });
    std::fs::write(&files.trusted, both.concat()).expect("writes");
    let a = caller(
        load(files, Arc::new(DefaultTimeProvider)),
        &[("b", server.address())],
    );
    let refusal = refused(&a).await;
    assert_eq!(refusal.reason, RefusalReason::OtherCluster);
    says(&refusal, &["node/b of cluster `c2`", "cluster `c1`"]);
}

#[tokio::test]
async fn a_certificate_of_an_account_is_none_for_a_server() {
    let authority = Authority::of("c1");
    let error = Server::bind(
        "127.0.0.1:0".parse().expect("an address"),
        authority.credentials("operator/alice"),
        quick(),
        Answering::new(),
        WireMetrics::default(),
    )
    .await
    .expect_err("no node");
    assert!(error.to_string().contains("operator/alice"), "{error}");
}

#[tokio::test]
async fn credentials_that_peers_would_refuse_are_not_loaded() {
    let authority = Authority::of("c1");
    let files = authority.files("node/a");
    let later = ShiftedClock::by(100 * 86_400);
    let error = Credentials::load(files.clone(), later).expect_err("expired");
    let CredentialError::Refused { refusal, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(refusal.reason, RefusalReason::Expired);
    assert!(error.to_string().contains("certificate.pem"), "{error}");
    assert!(error.to_string().contains("issue a new one"), "{error}");

    let mode = |mode| std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode));
    mode(0o644).expect("changes");
    let error = Credentials::load(files.clone(), Arc::new(DefaultTimeProvider));
    let error = error.expect_err("public key file");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    mode(0o600).expect("changes");

    let other = authority.ca.issue(
        &identity("node/a"),
        CERTIFICATE_VALIDITY,
        &authority.dir_of("x"),
    );
    std::fs::copy(other.expect("issues").key, &files.key).expect("copies");
    let error = Credentials::load(files, Arc::new(DefaultTimeProvider)).expect_err("no pair");
    assert!(matches!(error, CredentialError::Pair { .. }), "{error}");
}
