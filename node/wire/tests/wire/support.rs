//! A small cluster over real sockets: an authority, nodes that answer, and their peers.

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{ClusterId, NodeId, WireError, WireErrorCode};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{
    Addresses, Call, CallError, CallOptions, CredentialFiles, Credentials, DefaultTimeProvider,
    Envelope, Handler, Identity, Peers, Replies, Server, StreamCall, TimeProvider, WireMetrics,
    WireSettings,
};

pub(crate) const ECHO: EnvelopeKind = EnvelopeKind(0x7f00);
pub(crate) const WHO: EnvelopeKind = EnvelopeKind(0x7f01);
pub(crate) const HANG: EnvelopeKind = EnvelopeKind(0x7f02);
pub(crate) const PANIC: EnvelopeKind = EnvelopeKind(0x7f03);
pub(crate) const FAIL: EnvelopeKind = EnvelopeKind(0x7f04);
pub(crate) const PART: EnvelopeKind = EnvelopeKind(0x7f05);
pub(crate) const GATED: EnvelopeKind = EnvelopeKind(0x7f06);
pub(crate) const UNKNOWN: EnvelopeKind = EnvelopeKind(0x7fff);

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Answers by the kind of what is asked.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    /// Lets one call of kind [`GATED`] end.
    pub(crate) gate: Notify,
    pub(crate) entered: AtomicUsize,
    /// What streams brought: bytes, their checksum, and errors.
    pub(crate) streams: Mutex<Vec<(u64, String, Option<WireError>)>>,
    /// Holds the readers of streams back while it is closed.
    pub(crate) is_reading: watch::Sender<bool>,
}

impl Answering {
    pub(crate) fn new() -> Arc<Self> {
        let answering = Self::default();
        answering.is_reading.send_replace(true);
        Arc::new(answering)
    }
}

impl Handler for Answering {
    fn knows(&self, kind: EnvelopeKind) -> bool {
        (ECHO.0..=GATED.0).contains(&kind.0)
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            self.entered.fetch_add(1, Ordering::SeqCst);
            match call.envelope.kind() {
                WHO => {
                    let trace = call.trace.map(|trace| trace.to_string());
                    let said = format!("{} {}", call.caller, trace.unwrap_or_default());
                    Ok(sealed(WHO, &said))
                }
                HANG => std::future::pending().await,
                PANIC => panic!("asked to"),
                FAIL => Err(WireError::new(WireErrorCode::NotLeader, "try node `c`")),
                GATED => {
                    self.gate.notified().await;
                    Ok(call.envelope)
                }
                _ => Ok(call.envelope),
            }
        })
    }

    fn stream(&self, mut call: StreamCall) -> BoxFuture<'_, Result<Replies, WireError>> {
        Box::pin(async move {
            self.entered.fetch_add(1, Ordering::SeqCst);
            let mut is_reading = self.is_reading.subscribe();
            let (mut bytes, mut hash, mut failed) = (0_u64, Sha256::new(), None);
            loop {
                is_reading
                    .wait_for(|is_reading| *is_reading)
                    .await
                    .expect("kept");
                match call.items.next().await {
                    Some(Ok(part)) => {
                        bytes += part.bytes().len() as u64;
                        hash.update(part.bytes());
                    }
                    Some(Err(error)) => {
                        failed = Some(error);
                        break;
                    }
                    None => break,
                }
            }
            let hash = format!("{:x}", hash.finalize());
            let mut streams = self.streams.lock().expect("not poisoned");
            streams.push((bytes, hash.clone(), failed.clone()));
            if let Some(error) = failed {
                return Err(error);
            }
            let answer = Ok(sealed(PART, &(bytes, hash)));
            Ok(stream::iter([answer]).boxed())
        })
    }
}

pub(crate) fn sealed<T: serde::Serialize>(kind: EnvelopeKind, value: &T) -> Envelope {
    Envelope::seal(kind, value).expect("encodes")
}

pub(crate) fn node(id: &str) -> NodeId {
    NodeId::new(id).expect("an id")
}

pub(crate) fn identity(text: &str) -> Identity {
    text.parse().expect("an identity")
}

/// A clock that a test sets, ahead of or behind the machine's.
#[derive(Debug, Default)]
pub(crate) struct ShiftedClock(pub(crate) AtomicI64);

impl ShiftedClock {
    pub(crate) fn by(seconds: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(seconds)))
    }
}

impl TimeProvider for ShiftedClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let now = DefaultTimeProvider.current_time()?.as_secs();
        let shifted = now.checked_add_signed(self.0.load(Ordering::SeqCst))?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(
            Duration::from_secs(shifted),
        ))
    }
}

/// An authority in a folder of its own.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) ca: CertificateAuthority,
    pub(crate) dir: TempDir,
}

impl Authority {
    pub(crate) fn of(cluster: &str) -> Self {
        Self::with_clock(cluster, Arc::new(DefaultTimeProvider))
    }

    pub(crate) fn with_clock(cluster: &str, time: Arc<dyn TimeProvider>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let cluster = ClusterId::new(cluster).expect("an id");
        let ca =
            CertificateAuthority::init(&dir.path().join("ca"), &cluster, AUTHORITY_VALIDITY, time)
                .expect("an authority");
        Self { ca, dir }
    }

    pub(crate) fn files(&self, who: &str) -> CredentialFiles {
        self.ca
            .issue(&identity(who), CERTIFICATE_VALIDITY, &self.dir_of(who))
            .expect("issues")
    }

    pub(crate) fn dir_of(&self, who: &str) -> PathBuf {
        self.dir.path().join(who)
    }

    pub(crate) fn credentials(&self, who: &str) -> Credentials {
        load(self.files(who), Arc::new(DefaultTimeProvider))
    }
}

pub(crate) fn load(files: CredentialFiles, time: Arc<dyn TimeProvider>) -> Credentials {
    Credentials::load(files, time).expect("valid credentials")
}

pub(crate) fn quick() -> WireSettings {
    WireSettings {
        // A busy machine takes its time; tests of the limit itself set a short one.
        connect_timeout: SOON,
        backoff_first: Duration::from_millis(10),
        backoff_max: Duration::from_millis(100),
        keep_alive_interval: Duration::from_millis(500),
        keep_alive_timeout: SOON,
        ..WireSettings::default()
    }
}

pub(crate) async fn serve(
    credentials: Credentials,
    handler: Arc<Answering>,
) -> (Server, WireMetrics) {
    serve_at(
        "127.0.0.1:0".parse().expect("an address"),
        credentials,
        handler,
        quick(),
    )
    .await
}

pub(crate) async fn serve_at(
    address: SocketAddr,
    credentials: Credentials,
    handler: Arc<Answering>,
    settings: WireSettings,
) -> (Server, WireMetrics) {
    let metrics = WireMetrics::default();
    let server = Server::bind(address, credentials, settings, handler, metrics.clone())
        .await
        .expect("listens");
    (server, metrics)
}

/// The peers of one caller.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peers: Peers,
    pub(crate) metrics: WireMetrics,
    pub(crate) addresses: watch::Sender<Addresses>,
}

pub(crate) fn caller(credentials: Credentials, peers: &[(&str, SocketAddr)]) -> Caller {
    caller_with(credentials, peers, quick())
}

pub(crate) fn caller_with(
    credentials: Credentials,
    peers: &[(&str, SocketAddr)],
    settings: WireSettings,
) -> Caller {
    let known: BTreeMap<_, _> = peers
        .iter()
        .map(|(id, address)| (node(id), address.to_string()))
        .collect();
    let (addresses, follow) = watch::channel(known);
    let metrics = WireMetrics::default();
    Caller {
        peers: Peers::connect(credentials, follow, settings, metrics.clone()),
        metrics,
        addresses,
    }
}

impl Caller {
    pub(crate) async fn call(&self, peer: &str, envelope: Envelope) -> Result<Envelope, CallError> {
        let options = CallOptions::within(SOON);
        self.peers.call(&node(peer), envelope, options).await
    }

    /// Calls until it is answered, as one who knows that the call may be made twice.
    pub(crate) async fn call_until_answered(&self, peer: &str) {
        let ask = || self.call(peer, sealed(ECHO, &1_u32));
        eventually("an answer", || async { ask().await.map(drop) }).await;
    }
}

/// Waits for a state with a deadline; tells what was seen last.
pub(crate) async fn eventually<F, R, T, E>(what: &str, mut look: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, E>>,
    E: std::fmt::Debug,
{
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(last) if tokio::time::Instant::now() > deadline => {
                panic!("waited in vain for {what}; seen last: {last:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Waits until a condition holds; tells the value seen last.
pub(crate) async fn until<T: std::fmt::Debug>(
    what: &str,
    mut read: impl FnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    eventually(what, || {
        let seen = read();
        let holds = holds(&seen);
        std::future::ready(if holds { Ok(seen) } else { Err(seen) })
    })
    .await
}

/// A part of a snapshot: bytes that do not compress, told by their number.
pub(crate) fn part(number: u64, bytes: usize) -> Envelope {
    let mut content = Vec::with_capacity(bytes + 32);
    let mut block = Sha256::digest(number.to_le_bytes());
    while content.len() < bytes {
        content.extend_from_slice(&block);
        block = Sha256::digest(block);
    }
    content.truncate(bytes);
    sealed(PART, &content)
}
