//! One connection of a server: handshake, identity, service, and its end.

use super::service::{Caller, answer};
use super::{Shared, Stop};
use crate::identity::certified_identity;
use crate::refusal::{Refusal, RefusalReason};
use crate::settings::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, UNACCEPTED_RESETS_MAX};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Streams of one connection, calls included: more than a caller allows itself, so that the limits per
/// caller decide, which say what they refuse.
const HTTP2_STREAMS_MAX: u32 = 1_024;

pub(super) async fn serve(
    shared: &Arc<Shared>,
    stream: TcpStream,
    stopped: watch::Receiver<Stop>,
) -> Result<(), Refusal> {
    // A failure here would show as higher latency only.
    drop(stream.set_nodelay(true));
    let tls = handshake(shared, stream).await?;
    let chain: Vec<CertificateDer<'static>> = tls
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let caller = certified_identity(leaf)?;
    shared.check_cluster(&caller)?;
    let slots = shared.callers.slots(&caller.identity, &shared.settings);
    let caller = Arc::new(Caller {
        shared: Arc::clone(shared),
        identity: caller.identity,
        slots,
    });
    let _counted = shared.metrics.connection();
    serve_http2(shared, tls, &chain, caller, stopped).await
}

async fn handshake(
    shared: &Arc<Shared>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Refusal> {
    let config = Arc::clone(&shared.credentials.current().server);
    let limit = shared.settings.connect_timeout;
    let accepted = tokio::time::timeout(limit, TlsAcceptor::from(config).accept(stream)).await;
    match accepted {
        Ok(Ok(tls)) => Ok(tls),
        Ok(Err(error)) => Err(Refusal::of_caller(&error)),
        Err(_) => Err(Refusal::new(
            RefusalReason::HandshakeTimeout,
            format!("no TLS handshake within {} ms", limit.as_millis()),
        )),
    }
}

async fn serve_http2(
    shared: &Arc<Shared>,
    tls: TlsStream<TcpStream>,
    chain: &[CertificateDer<'static>],
    caller: Arc<Caller>,
    mut stopped: watch::Receiver<Stop>,
) -> Result<(), Refusal> {
    let service = service_fn(move |request| answer(Arc::clone(&caller), request));
    let settings = &shared.settings;
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keep_alive_interval)
        .keep_alive_timeout(settings.keep_alive_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(UNACCEPTED_RESETS_MAX)
        .max_local_error_reset_streams(None)
        .serve_connection(TokioIo::new(tls), service);
    let mut connection = std::pin::pin!(connection);
    let mut changes = shared.credentials.changes();
    let mut ticks = tokio::time::interval(settings.recheck_interval);
    let mut cut_at: Option<Instant> = None;
    let mut refused = None;
    loop {
        tokio::select! {
            // How a connection ended is told to its calls; here it is over either way.
            _ = connection.as_mut() => break,
            Ok(()) = stopped.changed() => connection.as_mut().graceful_shutdown(),
            _ = ticks.tick() => {}
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => break,
        }
        if refused.is_none()
            && let Err(refusal) = still_trusted(shared, chain)
        {
            refused = Some(refusal);
            cut_at = Some(Instant::now() + settings.revoked_grace);
            connection.as_mut().graceful_shutdown();
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Verifies a certificate again, which a rotation or the time may have ended.
fn still_trusted(shared: &Shared, chain: &[CertificateDer<'static>]) -> Result<(), Refusal> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Ok(());
    };
    let Some(now) = shared.credentials.time().current_time() else {
        return Ok(());
    };
    let verifier = Arc::clone(&shared.credentials.current().callers);
    match verifier.verify_client_cert(leaf, intermediates, now) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::of_caller(&std::io::Error::other(error))),
    }
}
