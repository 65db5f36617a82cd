//! The end that calls: a connection to each peer, kept up.
//!
//! Invariants: a call is sent once, or again only when the transport knows that the peer never took it
//! up; it ends by its deadline; a peer that cannot be reached fails calls at once, with the reason.

mod call;
mod connect;
mod lane;
mod link;
mod options;
mod replies;

use crate::credentials::Credentials;
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::headers::RequestHeaders;
use crate::identity::Identity;
use crate::metrics::{ANSWERED, WireMetrics};
use crate::settings::WireSettings;
use crate::task::Task;
use call::{Outcome, Sending};
use futures::stream::Stream;
use link::Link;
pub use options::{CallOptions, PeerState, PeerStatus, StreamOptions};
pub use replies::ReplyStream;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;
use twinscale_protocol::NodeId;

/// Where the nodes of the cluster listen, as `host:port`; the own one is ignored.
pub type Addresses = BTreeMap<NodeId, String>;

/// The peers of this end; clones share their connections, and the last one closes them.
#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    _membership: Arc<Task>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) credentials: Credentials,
    pub(crate) settings: WireSettings,
    pub(crate) metrics: WireMetrics,
    links: RwLock<BTreeMap<NodeId, Arc<Link>>>,
}

impl Peers {
    /// Connects to the peers that `addresses` names, and follows its changes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect(
        credentials: Credentials,
        mut addresses: watch::Receiver<Addresses>,
        settings: WireSettings,
        metrics: WireMetrics,
    ) -> Self {
        let shared = Arc::new(Shared {
            credentials,
            settings,
            metrics,
            links: RwLock::default(),
        });
        shared.follow(&addresses.borrow_and_update());
        let following = Arc::clone(&shared);
        let membership = Task::start(async move {
            while addresses.changed().await.is_ok() {
                following.follow(&addresses.borrow_and_update());
            }
        });
        Self {
            shared,
            _membership: Arc::new(membership),
        }
    }

    /// Calls a peer and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`]; its code tells whether the call may have happened.
    pub async fn call(
        &self,
        peer: &NodeId,
        envelope: Envelope,
        options: CallOptions,
    ) -> Result<Envelope, CallError> {
        let started = Instant::now();
        let kind = envelope.kind();
        let _mark = self.shared.metrics.made();
        let called = self.call_once_up(peer, envelope, options, started).await;
        self.shared.metrics.call_made();
        match &called {
            Ok(_) | Err(CallError::Answered { .. }) => {
                self.shared.metrics.answered_within(started.elapsed());
            }
            Err(_) => {}
        }
        if let Err(error) = &called {
            self.shared.metrics.failed(error.reason());
        }
        let outcome = called.as_ref().map_or_else(CallError::reason, |_| ANSWERED);
        self.shared.metrics.called(kind, outcome, started.elapsed());
        called
    }

    async fn call_once_up(
        &self,
        peer: &NodeId,
        envelope: Envelope,
        options: CallOptions,
        started: Instant,
    ) -> Result<Envelope, CallError> {
        let link = self.link(peer)?;
        let bytes = envelope.bytes().len();
        let overloaded = |limit| CallError::Overloaded {
            peer: peer.clone(),
            limit,
        };
        let _admitted = link.slots.admit_call(bytes).map_err(overloaded)?;
        let at = started + options.deadline;
        let was_sent = AtomicBool::new(false);
        let sent_until_taken = async {
            loop {
                let connection = link.calls.up(peer).await?;
                let headers = RequestHeaders {
                    deadline: at.saturating_duration_since(Instant::now()),
                    trace: options.trace,
                    bytes: Some(bytes),
                };
                was_sent.store(true, Ordering::Relaxed);
                let sending = Sending::new(&self.shared.credentials, peer, &connection, &headers);
                match sending.call(envelope.bytes().clone()).await {
                    Outcome::Done(done) => return done,
                    Outcome::NeverTaken => {
                        was_sent.store(false, Ordering::Relaxed);
                        link.calls.replaced(&connection).await;
                    }
                }
            }
        };
        let late = |_| CallError::Deadline {
            peer: peer.clone(),
            deadline: options.deadline,
            was_sent: was_sent.load(Ordering::Relaxed),
        };
        let ended = tokio::time::timeout_at(at, sent_until_taken).await;
        ended.map_err(late)?
    }

    /// Streams to a peer, and returns what it streams back; the peer holds `items` back as it reads.
    ///
    /// The deadline is that of the whole stream, from here to its last item. Dropping the reply ends both.
    ///
    /// # Errors
    /// [`CallError`], until the peer begins to answer; later ones are items of the reply.
    pub async fn stream(
        &self,
        peer: &NodeId,
        items: impl Stream<Item = Envelope> + Send + 'static,
        options: StreamOptions,
    ) -> Result<ReplyStream, CallError> {
        let mark = self.shared.metrics.made();
        let opened = self.stream_once_up(peer, items, options).await;
        self.shared.metrics.stream_made();
        match opened {
            Ok(replies) => Ok(replies.counted(mark, self.shared.metrics.clone())),
            Err(error) => {
                self.shared.metrics.failed(error.reason());
                Err(error)
            }
        }
    }

    async fn stream_once_up(
        &self,
        peer: &NodeId,
        items: impl Stream<Item = Envelope> + Send + 'static,
        options: StreamOptions,
    ) -> Result<ReplyStream, CallError> {
        let at = Instant::now() + options.deadline;
        let link = self.link(peer)?;
        let overloaded = |limit| CallError::Overloaded {
            peer: peer.clone(),
            limit,
        };
        let admitted = link.slots.admit_stream().map_err(overloaded)?;
        let was_sent = AtomicBool::new(false);
        let opened = async {
            let connection = link.streams.up(peer).await?;
            let headers = RequestHeaders {
                deadline: at.saturating_duration_since(Instant::now()),
                trace: options.trace,
                bytes: None,
            };
            was_sent.store(true, Ordering::Relaxed);
            let sending = Sending::new(&self.shared.credentials, peer, &connection, &headers);
            sending.stream(items, options.compress).await
        };
        let messages = match tokio::time::timeout_at(at, opened).await {
            Ok(opened) => opened?,
            Err(_) => {
                return Err(CallError::Deadline {
                    peer: peer.clone(),
                    deadline: options.deadline,
                    was_sent: was_sent.load(Ordering::Relaxed),
                });
            }
        };
        Ok(ReplyStream::new(
            peer,
            messages,
            (at, options.deadline),
            admitted,
        ))
    }

    /// Lists the peers and whether they can be called.
    pub fn status(&self) -> Vec<PeerStatus> {
        let links = self.shared.read_links();
        links.iter().map(|(peer, link)| link.status(peer)).collect()
    }

    fn link(&self, peer: &NodeId) -> Result<Arc<Link>, CallError> {
        let links = self.shared.read_links();
        links
            .get(peer)
            .map(Arc::clone)
            .ok_or_else(|| CallError::UnknownPeer { peer: peer.clone() })
    }
}

impl Shared {
    fn read_links(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<NodeId, Arc<Link>>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, addresses: &Addresses) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.retain(|peer, _| addresses.contains_key(peer));
        for (peer, address) in addresses {
            if matches!(self.credentials.identity(), Identity::Node(own) if own == peer) {
                continue;
            }
            if let Some(link) = links.get(peer) {
                link.move_to(address);
            } else {
                links.insert(peer.clone(), Arc::new(Link::start(self, peer, address)));
            }
        }
    }
}
