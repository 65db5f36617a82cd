//! Making a connection: TCP, TLS, HTTP/2, and the greeting that tells a refusal apart from a failure.

use super::call::{Outcome, Sending};
use crate::credentials::{Credentials, Loaded};
use crate::error::CallError;
use crate::headers::RequestHeaders;
use crate::identity::node_dns_name;
use crate::recorded::{Recorded, TlsFailure, tls_error};
use crate::refusal::{Refusal, RefusalReason};
use crate::settings::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, WireSettings};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use twinscale_protocol::NodeId;

/// What is needed to make a connection.
#[derive(Debug)]
pub(super) struct Dialing<'a> {
    pub(super) peer: &'a NodeId,
    pub(super) address: &'a str,
    pub(super) loaded: &'a Arc<Loaded>,
    pub(super) credentials: &'a Credentials,
    pub(super) settings: &'a WireSettings,
    pub(super) number: u64,
}

/// A connection on which calls can be made; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) sender: http2::SendRequest<Body>,
    pub(super) number: u64,
    pub(super) version: Arc<str>,
}

pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) driver: Driver,
}

/// Moves the bytes of a connection; ends with it.
pub(super) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Why a connection could not be made.
#[derive(Clone, Debug)]
pub(super) enum DialError {
    /// One end refuses the other.
    Refused(Refusal),
    /// The peer is not there, or not well.
    Failed(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

pub(super) async fn dial(dialing: Dialing<'_>) -> Result<Connected, DialError> {
    let limit = dialing.settings.connect_timeout;
    match tokio::time::timeout(limit, connect(&dialing)).await {
        Ok(connected) => connected,
        Err(_) => Err(DialError::Failed(format!(
            "{} did not answer within {} ms: the process is stuck, or the link is cut",
            dialing.address,
            limit.as_millis()
        ))),
    }
}

async fn connect(dialing: &Dialing<'_>) -> Result<Connected, DialError> {
    let (tls, failure) = Recorded::new(secure(dialing).await?);
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(dialing.settings.keep_alive_interval)
        .keep_alive_timeout(dialing.settings.keep_alive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_local_error_reset_streams(None)
        .handshake(TokioIo::new(tls))
        .await;
    let (sender, driver) = handshake.map_err(|error| dialing.failed(&failure, &error))?;
    let mut driver: Driver = Box::pin(driver);
    let mut connection = Connection {
        sender,
        number: dialing.number,
        version: Arc::from(""),
    };
    let greeted = tokio::select! {
        biased;
        greeted = greet(dialing, &connection) => greeted,
        ended = &mut driver => Err(DialError::Failed(match ended {
            Ok(()) => "the peer closed the connection".to_owned(),
            Err(error) => error.to_string(),
        })),
    };
    match greeted {
        Ok(version) => connection.version = Arc::from(version),
        Err(error) => {
            // The refusal of our certificate comes as the answer to our first bytes, on its own way.
            drop(tokio::time::timeout(dialing.settings.connect_timeout, driver).await);
            return Err(dialing.refusal(&failure).unwrap_or(error));
        }
    }
    Ok(Connected { connection, driver })
}

async fn secure(dialing: &Dialing<'_>) -> Result<TlsStream<TcpStream>, DialError> {
    let address = dialing.address;
    let failed = |error: io::Error| {
        DialError::Failed(format!(
            "{address}: {error}; check that the node runs and the address"
        ))
    };
    let tcp = TcpStream::connect(address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let name = node_dns_name(dialing.peer, dialing.credentials.cluster())
        .map_err(|error| DialError::Refused(Refusal::from(error)))?;
    let connector = TlsConnector::from(Arc::clone(&dialing.loaded.client));
    let secured = connector.connect(ServerName::DnsName(name), tcp).await;
    secured.map_err(|error| {
        let refusal = tls_error(&error).and_then(|error| dialing.refusal_of(error));
        refusal.map_or_else(|| failed(error), DialError::Refused)
    })
}

async fn greet(dialing: &Dialing<'_>, connection: &Connection) -> Result<String, DialError> {
    let headers = RequestHeaders {
        deadline: dialing.settings.connect_timeout,
        trace: None,
        bytes: None,
    };
    let sending = Sending::new(dialing.credentials, dialing.peer, connection, &headers);
    match sending.hello().await {
        Outcome::Done(Ok(version)) => Ok(version),
        Outcome::Done(Err(CallError::Refused { refusal, .. })) => Err(DialError::Refused(refusal)),
        Outcome::Done(Err(error)) => Err(DialError::Failed(error.to_string())),
        Outcome::NeverTaken => Err(DialError::Failed(format!(
            "{} closed the connection before the greeting",
            dialing.address
        ))),
    }
}

impl Dialing<'_> {
    fn refusal_of(&self, error: &rustls::Error) -> Option<Refusal> {
        Refusal::of_peer(
            error,
            self.peer,
            self.credentials.cluster(),
            self.address,
            &self.credentials.own_validity(),
        )
    }

    fn refusal(&self, failure: &TlsFailure) -> Option<DialError> {
        let error = failure.get()?;
        let refusal = self.refusal_of(&error).unwrap_or_else(|| {
            Refusal::new(
                RefusalReason::BadTls,
                format!("TLS with {} failed: {error}", self.address),
            )
        });
        Some(DialError::Refused(refusal))
    }

    fn failed(&self, failure: &TlsFailure, error: &hyper::Error) -> DialError {
        self.refusal(failure)
            .unwrap_or_else(|| DialError::Failed(format!("{}: {error}", self.address)))
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
