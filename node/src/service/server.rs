//! Serves connections: a bounded number, each with bounds on heads and waits, until asked to stop.

use super::limits::{HEAD_BYTES_MAX, HEAD_LIMIT, HEADERS_MAX, UNREAD_LIMIT};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Pause after a connection could not be taken, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves; then requests under way have `drain` to end. Returns how many connections
/// were cut off after that.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    drain: Duration,
    stop: impl Future<Output = ()>,
) -> usize {
    let room = Arc::new(Semaphore::new(connections_max.max(1)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        // Connections past the bound wait in the system's queue, which has a bound of its own.
        let permit = tokio::select! {
            () = &mut stop => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match stream {
            Ok((stream, _peer)) => {
                let connection = graceful.watch(connection(stream, router.clone()));
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown())
        .await
        .is_err()
    {
        while connections.try_join_next().is_some() {}
        let cut_off = connections.len();
        connections.shutdown().await;
        return cut_off;
    }
    connections.shutdown().await;
    0
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router) -> Connection {
    // Answers are small: they must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may wait");
    }
    // A client that does not read its answer must not keep its place for ever.
    let limit = u32::try_from(UNREAD_LIMIT.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, limit) {
        tracing::debug!(%error, "a client that does not read may stay");
    }
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
