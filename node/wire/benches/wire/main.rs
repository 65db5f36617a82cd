//! Calls and streams of the wire, beside plain tonic without TLS, in one run on one machine.
//!
//! `cargo bench -p twinscale-wire`. Both ends run in one process on the same cores, so the figures
//! compare; they are no promise for a network.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the report goes to standard output, and a bench reads the clock and starts tasks"
)]

mod plain;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use futures::stream::{self, Stream, StreamExt};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::{ClusterId, NodeId, WireError};
use twinscale_wire::ca::{AUTHORITY_VALIDITY, CERTIFICATE_VALIDITY, CertificateAuthority};
use twinscale_wire::{
    Call, CallOptions, Credentials, DefaultTimeProvider, Envelope, Handler, Identity, Peers,
    Replies, Server, StreamCall, StreamOptions, WireMetrics, WireSettings,
};

type Failure = Box<dyn Error + Send + Sync>;

const KIND: EnvelopeKind = EnvelopeKind(0x7f00);
const CALLS: usize = 20_000;
const TOGETHER: usize = 64;
const PART_BYTES: usize = 256 * 1024;
const STREAM_BYTES: usize = 1024 * 1024 * 1024;
const MINUTES: Duration = Duration::from_mins(5);

/// One way to call and to stream.
trait Transport: Clone + Send + Sync + 'static {
    fn call(&self, body: Envelope) -> impl Future<Output = Result<(), Failure>> + Send;
    fn stream(
        &self,
        parts: impl Stream<Item = Envelope> + Send + 'static,
        compress: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

#[derive(Debug)]
struct Echo;

impl Handler for Echo {
    fn knows(&self, kind: EnvelopeKind) -> bool {
        kind == KIND
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(std::future::ready(Ok(call.envelope)))
    }

    fn stream(&self, mut call: StreamCall) -> BoxFuture<'_, Result<Replies, WireError>> {
        Box::pin(async move {
            let mut last = None;
            while let Some(part) = call.items.next().await {
                last = Some(part?);
            }
            Ok(stream::iter(last.map(Ok)).boxed())
        })
    }
}

#[derive(Clone, Debug)]
struct Wire {
    peers: Peers,
    peer: NodeId,
}

impl Transport for Wire {
    async fn call(&self, body: Envelope) -> Result<(), Failure> {
        let options = CallOptions::within(MINUTES);
        self.peers.call(&self.peer, body, options).await?;
        Ok(())
    }

    async fn stream(
        &self,
        parts: impl Stream<Item = Envelope> + Send + 'static,
        compress: bool,
    ) -> Result<(), Failure> {
        let options = StreamOptions {
            compress,
            ..StreamOptions::within(MINUTES)
        };
        let mut replies = self.peers.stream(&self.peer, parts, options).await?;
        while let Some(reply) = replies.next().await {
            reply?;
        }
        Ok(())
    }
}

async fn wire(dir: &std::path::Path) -> Result<(Wire, Server), Failure> {
    let time = Arc::new(DefaultTimeProvider);
    let cluster = ClusterId::new("bench")?;
    let ca_dir = dir.join("ca");
    let clock = Arc::<DefaultTimeProvider>::clone(&time);
    let ca = CertificateAuthority::init(&ca_dir, &cluster, AUTHORITY_VALIDITY, clock)?;
    let credentials = |id: &str| -> Result<Credentials, Failure> {
        let identity = Identity::Node(NodeId::new(id)?);
        let files = ca.issue(&identity, CERTIFICATE_VALIDITY, &dir.join(id))?;
        let time = Arc::<DefaultTimeProvider>::clone(&time);
        Ok(Credentials::load(files, time)?)
    };
    let server = Server::bind(
        "127.0.0.1:0".parse()?,
        credentials("b")?,
        WireSettings::default(),
        Arc::new(Echo),
        WireMetrics::default(),
    )
    .await?;
    let peer = NodeId::new("b")?;
    let known = [(peer.clone(), server.address().to_string())].into();
    let (_addresses, follow) = watch::channel(known);
    let settings = WireSettings::default();
    let peers = Peers::connect(credentials("a")?, follow, settings, WireMetrics::default());
    Ok((Wire { peers, peer }, server))
}

fn body(bytes: usize) -> Result<Envelope, Failure> {
    // Bytes without a pattern, so that compression has nothing to find.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(bytes)
    .collect();
    Ok(Envelope::seal(KIND, &content)?)
}

async fn one_after_another(
    transport: &impl Transport,
    body: &Envelope,
    calls: usize,
) -> Result<(u64, u64), Failure> {
    let mut micros = Vec::with_capacity(calls);
    for number in 0..calls + calls / 10 {
        let started = Instant::now();
        transport.call(body.clone()).await?;
        // The first tenth warms up.
        if number >= calls / 10 {
            micros.push(u64::try_from(started.elapsed().as_micros())?);
        }
    }
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 100).copied();
    Ok((at(50).unwrap_or(0), at(99).unwrap_or(0)))
}

async fn together(transport: &impl Transport, body: &Envelope) -> Result<u128, Failure> {
    let started = Instant::now();
    let tasks = (0..TOGETHER).map(|_| {
        let (transport, body) = (transport.clone(), body.clone());
        tokio::spawn(async move {
            for _ in 0..CALLS / 10 {
                transport.call(body.clone()).await?;
            }
            Ok::<(), Failure>(())
        })
    });
    for ended in try_join_all(tasks).await? {
        ended?;
    }
    let calls = (CALLS / 10 * TOGETHER) as u128;
    Ok(calls * 1_000_000 / started.elapsed().as_micros().max(1))
}

async fn stream_rate(
    transport: &impl Transport,
    part: &Envelope,
    compress: bool,
) -> Result<u128, Failure> {
    let started = Instant::now();
    let parts = stream::iter(std::iter::repeat_n(part.clone(), STREAM_BYTES / PART_BYTES));
    transport.stream(parts, compress).await?;
    Ok(STREAM_BYTES as u128 / started.elapsed().as_micros().max(1))
}

async fn report(name: &str, transport: &impl Transport) -> Result<(), Failure> {
    let small = body(100)?;
    let large = body(64 * 1024)?;
    let part = body(PART_BYTES)?;
    let text = Envelope::seal(KIND, &"policy = { budget = 100 } ".repeat(PART_BYTES / 26))?;
    let (p50, p99) = one_after_another(transport, &small, CALLS).await?;
    println!("{name:<22} call of 100 B    p50 {p50:>6} us   p99 {p99:>6} us");
    let (p50, p99) = one_after_another(transport, &large, CALLS / 10).await?;
    println!("{name:<22} call of 64 KiB   p50 {p50:>6} us   p99 {p99:>6} us");
    let rate = together(transport, &small).await?;
    println!("{name:<22} {TOGETHER} at once       {rate:>6} calls/s");
    let rate = stream_rate(transport, &part, false).await?;
    println!("{name:<22} stream           {rate:>6} MB/s");
    let rate = stream_rate(transport, &part, true).await?;
    println!("{name:<22} stream, zstd     {rate:>6} MB/s of bytes without a pattern");
    let rate = stream_rate(transport, &text, true).await?;
    println!("{name:<22} stream, zstd     {rate:>6} MB/s of text");
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (wire, server) = wire(dir.path()).await?;
    let (plain, _serving) = plain::plain().await?;
    // Twice, so that the order shows.
    for _ in 0..2 {
        report("wire, mTLS", &wire).await?;
        report("tonic, no TLS", &plain).await?;
    }
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores; both ends in one process, over loopback");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

/// What tonic sends when nothing is added.
fn message(envelope: &Envelope) -> Bytes {
    envelope.bytes().clone()
}
