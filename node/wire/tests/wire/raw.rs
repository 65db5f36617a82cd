//! What a peer of another make may send: broken bodies, headers that lie, no certificate, no TLS.

use crate::support::{
    Answering, Authority, ECHO, FAIL, caller, eventually, load, quick, sealed, serve, serve_at,
    until,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use twinscale_wire::{
    CredentialFiles, DefaultTimeProvider, ENVELOPE_BYTES_MAX, Server, WireMetrics, WireSettings,
};

/// HTTP/2 over TLS, without any of the wire's care.
struct RawClient {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

fn certificates(file: &std::path::Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file)
        .expect("reads")
        .map(|certificate| certificate.expect("PEM"))
        .collect()
}

async fn tls(
    address: SocketAddr,
    files: &CredentialFiles,
    with_certificate: bool,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&files.trusted) {
        roots.add(certificate).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = if with_certificate {
        let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
        let chain = certificates(&files.certificate);
        builder.with_client_auth_cert(chain, key).expect("a pair")
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("node-b.c1.twinscale").expect("a name");
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

async fn raw_client(address: SocketAddr, files: &CredentialFiles) -> RawClient {
    let tls = tls(address, files, true).await.expect("TLS");
    let (sender, driver) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(tls))
        .await
        .expect("HTTP/2");
    let mut drivers = JoinSet::new();
    drivers.spawn(async move { drop(driver.await) });
    RawClient {
        sender,
        _driver: drivers,
    }
}

#[derive(Clone, Copy)]
struct Headers {
    cluster: &'static str,
    from: &'static str,
    to: &'static str,
    bytes: Option<usize>,
    encoding: Option<&'static str>,
}

const RIGHT: Headers = Headers {
    cluster: "c1",
    from: "node/a",
    to: "b",
    bytes: None,
    encoding: None,
};

/// One gRPC message: a flag, its length, and its bytes.
fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(u8::from(is_compressed));
    frame.put_u32(u32::try_from(message.len()).expect("small"));
    frame.put_slice(message);
    frame.freeze()
}

impl RawClient {
    async fn send(
        &mut self,
        method: &str,
        headers: Headers,
        body: Bytes,
    ) -> (Option<String>, String) {
        let mut request = Request::post(format!("https://b/twinscale.wire.v1.Wire/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("twinscale-cluster", headers.cluster)
            .header("twinscale-from", headers.from)
            .header("twinscale-to", headers.to);
        if let Some(bytes) = headers.bytes {
            request = request.header("twinscale-bytes", bytes.to_string());
        }
        if let Some(encoding) = headers.encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let response = self.sender.send_request(request).await.expect("a response");
        said(response).await
    }
}

/// The refusal that a response tells, and its text.
async fn said(response: Response<Incoming>) -> (Option<String>, String) {
    let (parts, body) = response.into_parts();
    let trailers = body
        .collect()
        .await
        .ok()
        .and_then(|body| body.trailers().cloned());
    let read = |name: &str| {
        let value = parts.headers.get(name);
        let value = value.or_else(|| trailers.as_ref().and_then(|trailers| trailers.get(name)));
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    (
        read("twinscale-refusal"),
        read("grpc-message").unwrap_or_default(),
    )
}

async fn server_and_client() -> (Server, WireMetrics, RawClient, Arc<Answering>, Authority) {
    let authority = Authority::of("c1");
    let answering = Answering::new();
    let (server, served) = serve(authority.credentials("node/b"), Arc::clone(&answering)).await;
    let client = raw_client(server.address(), &authority.files("node/a")).await;
    (server, served, client, answering, authority)
}

#[tokio::test]
async fn headers_that_do_not_fit_the_certificate_are_refused() {
    let (_server, served, mut client, answering, _authority) = server_and_client().await;
    let body = framed(sealed(ECHO, &1).bytes(), false);
    let cases = [
        (
            Headers {
                cluster: "c2",
                ..RIGHT
            },
            "other-cluster",
            "cluster `c2`",
        ),
        (
            Headers {
                from: "node/c",
                ..RIGHT
            },
            "other-identity",
            "it is node/a",
        ),
        (
            Headers {
                from: "operator/a",
                ..RIGHT
            },
            "other-identity",
            "it is node/a",
        ),
        (
            Headers { from: "", ..RIGHT },
            "other-identity",
            "it is node/a",
        ),
        (
            Headers { to: "c", ..RIGHT },
            "misrouted",
            "this is node `b`",
        ),
    ];
    for (headers, reason, text) in cases {
        for method in ["Hello", "Call", "Stream"] {
            let (refusal, message) = client.send(method, headers, body.clone()).await;
            assert_eq!(refusal.as_deref(), Some(reason), "{message}");
            let message = message.replace("%60", "`").replace("%20", " ");
            assert!(message.contains(text), "{message}");
        }
    }
    let refused = served.counts().refused;
    assert_eq!(refused["other-identity"], 9);
    assert_eq!((refused["other-cluster"], refused["misrouted"]), (3, 3));
    assert_eq!(
        answering.entered.load(Ordering::SeqCst),
        0,
        "the handler is not asked"
    );
}

#[tokio::test]
async fn what_is_no_envelope_is_refused() {
    let (_server, served, mut client, answering, _authority) = server_and_client().await;
    let good = sealed(ECHO, &vec![7_u8; 100]);
    let mut damaged = good.bytes().to_vec();
    damaged[50] ^= 1;
    let cut = good.bytes().slice(..40);
    let mut long = good.bytes().to_vec();
    long.push(0);
    for bad in [&b""[..], b"hello", &damaged, &cut, &long] {
        let (refusal, message) = client.send("Call", RIGHT, framed(bad, false)).await;
        assert_eq!(refusal.as_deref(), Some("malformed"), "{message}");
    }
    let mut newer = good.bytes().to_vec();
    newer[4] = 9;
    let (refusal, message) = client.send("Call", RIGHT, framed(&newer, false)).await;
    assert_eq!(refusal.as_deref(), Some("unknown-kind"), "{message}");
    let (refusal, _) = client
        .send("Dance", RIGHT, framed(good.bytes(), false))
        .await;
    assert_eq!(refusal.as_deref(), Some("unknown-kind"));
    assert_eq!(served.counts().refused["malformed"], 5);
    assert_eq!(
        answering.entered.load(Ordering::SeqCst),
        0,
        "the handler is not asked"
    );
    let (refusal, message) = client
        .send("Call", RIGHT, framed(good.bytes(), false))
        .await;
    assert_eq!(refusal, None, "{message}");
    assert_eq!(answering.entered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_random_body_never_harms_the_server() {
    let (_server, served, mut client, answering, _authority) = server_and_client().await;
    let mut bytes = vec![1_u8, 2, 3];
    for round in 0..200_u64 {
        let mut next = bytes.clone();
        for byte in &mut next {
            *byte = byte
                .wrapping_mul(31)
                .wrapping_add(u8::try_from(round % 251).expect("small"));
        }
        next.push(u8::try_from(round).expect("small"));
        bytes.clone_from(&next);
        let method = if round % 2 == 0 { "Call" } else { "Stream" };
        // Neither the frame nor what is in it is right.
        let _said = client.send(method, RIGHT, Bytes::from(next)).await;
    }
    // The handler of a stream is asked before its first item; none ever saw an item.
    let streams = answering.streams.lock().expect("not poisoned").clone();
    assert!(streams.iter().all(|(bytes, ..)| *bytes == 0), "{streams:?}");
    let (refusal, _) = client
        .send("Call", RIGHT, framed(sealed(FAIL, &()).bytes(), false))
        .await;
    assert_eq!(
        refusal, None,
        "the server lives, and so does the connection"
    );
    until(
        "the places to be free",
        || served.counts().served_in_flight,
        |count| *count == 0,
    )
    .await;
}

#[tokio::test]
async fn what_is_larger_than_told_or_allowed_is_refused() {
    let (_server, served, mut client, answering, _authority) = server_and_client().await;
    let good = sealed(ECHO, &vec![7_u8; 10_000]);
    let body = framed(good.bytes(), false);
    let told = |bytes| Headers {
        bytes: Some(bytes),
        ..RIGHT
    };
    for headers in [told(ENVELOPE_BYTES_MAX + 1), told(usize::MAX), told(100)] {
        let (refusal, message) = client.send("Call", headers, body.clone()).await;
        assert_eq!(refusal.as_deref(), Some("oversize"), "{message}");
    }
    // A frame that announces four gigabytes.
    let mut announced = BytesMut::new();
    announced.put_u8(0);
    announced.put_u32(u32::MAX);
    announced.put_slice(&[0; 100]);
    let announced = announced.freeze();
    let (refusal, message) = client.send("Call", RIGHT, announced.clone()).await;
    assert_eq!(refusal.as_deref(), Some("oversize"), "{message}");
    let (_, message) = client.send("Stream", RIGHT, announced).await;
    assert!(message.contains("limit"), "{message}");
    assert_eq!(served.counts().refused["oversize"], 5);
    assert_eq!(
        answering.entered.load(Ordering::SeqCst),
        1,
        "only the handler of the stream"
    );
    let (refusal, _) = client.send("Call", told(good.bytes().len()), body).await;
    assert_eq!(refusal, None);
}

#[tokio::test]
async fn a_compressed_bomb_is_refused_before_it_is_unpacked() {
    let (_server, served, mut client, answering, _authority) = server_and_client().await;
    // A gigabyte of zeros in about a hundred kilobytes; unpacking stops at the limit of a message.
    let bomb = zstd::stream::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 30), 3);
    let bomb = bomb.expect("packs");
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let headers = Headers {
        encoding: Some("zstd"),
        ..RIGHT
    };
    let (_, message) = client.send("Stream", headers, framed(&bomb, true)).await;
    assert!(message.contains("limit"), "{message}");
    assert_eq!(served.counts().refused["oversize"], 1);
    assert_eq!(answering.streams.lock().expect("not poisoned")[0].0, 0);
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = Authority::of("c1");
    let (server, served) = serve(authority.credentials("node/b"), Answering::new()).await;
    let files = authority.files("node/a");
    // In TLS 1.3 the client's side of the handshake ends first; the refusal follows.
    if let Ok(mut tls) = tls(server.address(), &files, false).await {
        let read = tls.read(&mut [0; 16]).await;
        assert!(read.is_err() || read.is_ok_and(|read| read == 0));
    }
    let count = || served.counts().refused.get("no-certificate").copied();
    until("the refusal", count, |count| *count == Some(1)).await;
}

#[tokio::test]
async fn a_caller_of_another_cluster_is_refused_though_its_authority_is_trusted() {
    let (ours, theirs) = (Authority::of("c1"), Authority::of("c2"));
    let files = ours.files("node/b");
    let both = [&files.trusted, &theirs.files("node/x").trusted]
        .map(|file| std::fs::read_to_string(file).expect("reads"));
    std::fs::write(&files.trusted, both.concat()).expect("writes");
    let credentials = load(files, Arc::new(DefaultTimeProvider));
    let (server, served) = serve(credentials, Answering::new()).await;
    let mut foreign = theirs.files("node/a");
    foreign.trusted = ours.files("node/x").trusted;
    let mut tls = tls(server.address(), &foreign, true).await.expect("TLS");
    let read = tls.read(&mut [0; 16]).await;
    assert!(read.is_err() || read.is_ok_and(|read| read == 0), "closed");
    let count = || served.counts().refused.get("other-cluster").copied();
    until("the refusal", count, |count| *count == Some(1)).await;
}

#[tokio::test]
async fn a_caller_that_speaks_no_tls_is_refused() {
    let authority = Authority::of("c1");
    let (server, served) = serve(authority.credentials("node/b"), Answering::new()).await;
    let mut plain = TcpStream::connect(server.address())
        .await
        .expect("connects");
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: b\r\n\r\n")
        .await
        .expect("writes");
    let mut rest = Vec::new();
    drop(plain.read_to_end(&mut rest).await);
    let count = || served.counts().refused.get("not-tls").copied();
    until("the refusal", count, |count| *count == Some(1)).await;
}

#[tokio::test]
async fn callers_that_begin_and_stop_are_dropped_and_are_bounded_in_number() {
    let authority = Authority::of("c1");
    let settings = WireSettings {
        connect_timeout: Duration::from_millis(300),
        connections_max: 5,
        ..quick()
    };
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let credentials = authority.credentials("node/b");
    let served = serve_at(loopback, credentials, Answering::new(), settings).await;
    let (server, served) = served;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(
            TcpStream::connect(server.address())
                .await
                .expect("connects"),
        );
    }
    let count = |reason| served.counts().refused.get(reason).copied().unwrap_or(0);
    until(
        "the surplus",
        || count("too-many-connections"),
        |count| *count >= 1,
    )
    .await;
    let all = || count("too-many-connections") + count("handshake-timeout");
    until("all twenty", all, |count| *count == 20).await;
    let a = caller(authority.credentials("node/a"), &[("b", server.address())]);
    eventually("a good caller", || async {
        a.call("b", sealed(ECHO, &1)).await.map(drop)
    })
    .await;
}
