//! The end that is called.
//!
//! Invariants: every connection is a task that ends with the server; a connection is served only after
//! its certificate was verified, and only as long as it would be again.

mod connection;
mod service;

use crate::admission::Callers;
use crate::credentials::Credentials;
use crate::handler::Handler;
use crate::identity::{CertifiedIdentity, Identity};
use crate::metrics::WireMetrics;
use crate::refusal::{Refusal, RefusalReason};
use crate::settings::WireSettings;
use crate::task::Task;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinscale_protocol::{ClusterId, NodeId};

/// Pause after the system refused to accept, as it does when all file handles are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reason is a warning in the log at most this often; the counts have them all.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate is not that of a node.
    #[error("the certificate is of {identity}: a server needs one of a node")]
    NotNode {
        /// Whose it is.
        identity: Identity,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: choose another address, or end what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server that runs; dropping it cuts its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<Stop>,
    ended: watch::Receiver<Option<Drained>>,
    task: Task,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections whose calls had not ended in time, and were cut.
    pub cut: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// Take nothing new, and end within this.
    Within(Duration),
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) credentials: Credentials,
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) settings: WireSettings,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) callers: Callers,
    pub(crate) metrics: WireMetrics,
    /// When each reason was last told as a warning.
    pub(crate) told: Mutex<BTreeMap<RefusalReason, Instant>>,
}

impl Server {
    /// Listens and serves.
    ///
    /// # Errors
    /// [`ServeError`] for a certificate that is no node's, and for an address that is not to be had.
    pub async fn bind(
        address: SocketAddr,
        credentials: Credentials,
        settings: WireSettings,
        handler: Arc<dyn Handler>,
        metrics: WireMetrics,
    ) -> Result<Self, ServeError> {
        let Identity::Node(node) = credentials.identity().clone() else {
            return Err(ServeError::NotNode {
                identity: credentials.identity().clone(),
            });
        };
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared {
            cluster: credentials.cluster().clone(),
            credentials,
            node,
            settings,
            handler,
            callers: Callers::default(),
            metrics,
            told: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(Stop::No);
        let (end, ended) = watch::channel(None);
        let task = Task::start(async move {
            let drained = accept(shared, listener, stopped).await;
            end.send_replace(Some(drained));
        });
        Ok(Self {
            address,
            stop,
            ended,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connection and no new call, and lets those under way end within `drain`.
    pub async fn shutdown(mut self, drain: Duration) -> Drained {
        self.stop.send_replace(Stop::Within(drain));
        self.task.ended().await;
        let drained = *self.ended.borrow();
        drained.unwrap_or(Drained { cut: 0 })
    }
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut stopped: watch::Receiver<Stop>,
) -> Drained {
    let mut connections = JoinSet::new();
    let drain = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => take(&shared, &mut connections, stream, from, &stopped),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            changed = stopped.changed() => match *stopped.borrow_and_update() {
                Stop::Within(drain) => break drain,
                Stop::No if changed.is_err() => break Duration::ZERO,
                Stop::No => {}
            }
        }
    };
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Those that remain are counted below and cut with the set.
    drop(tokio::time::timeout(drain, all_ended).await);
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}

fn take(
    shared: &Arc<Shared>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    from: SocketAddr,
    stopped: &watch::Receiver<Stop>,
) {
    let limit = shared.settings.connections_max;
    if connections.len() >= limit {
        let text = format!("{limit} connections are held, as many as may be");
        shared.refuse(
            &from.to_string(),
            &Refusal::new(RefusalReason::TooManyConnections, text),
        );
        return;
    }
    let shared = Arc::clone(shared);
    let stopped = stopped.clone();
    connections.spawn(async move {
        if let Err(refusal) = connection::serve(&shared, stream, stopped).await {
            shared.refuse(&from.to_string(), &refusal);
        }
    });
}

impl Shared {
    /// Counts and logs a refusal.
    pub(crate) fn refuse(&self, caller: &str, refusal: &Refusal) {
        self.metrics.refused(refusal.reason);
        if self.is_told_again(refusal.reason) {
            tracing::warn!(caller, reason = %refusal.reason, "refused: {refusal}");
        } else {
            tracing::debug!(caller, reason = %refusal.reason, "refused: {refusal}");
        }
    }

    /// Whether a reason was not told for a while: a caller that knocks again and again must not fill
    /// the log.
    fn is_told_again(&self, reason: RefusalReason) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told
            .get(&reason)
            .is_none_or(|last| now.duration_since(*last) >= TOLD_EVERY);
        if is_due {
            told.insert(reason, now);
        }
        is_due
    }

    /// Checks that a caller belongs to this cluster.
    pub(crate) fn check_cluster(&self, caller: &CertifiedIdentity) -> Result<(), Refusal> {
        if caller.cluster == self.cluster {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalReason::OtherCluster,
            format!(
                "the caller's certificate is of {caller} and this node is of cluster `{}`: correct \
                 the caller's addresses, and give each cluster an authority of its own",
                self.cluster
            ),
        ))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
