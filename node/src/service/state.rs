//! What the handlers of the API share.

use super::admission::Admission;
use super::api::{ApiError, Refusals};
use super::keeper::Keeper;
use super::limits::{INGESTS_AT_ONCE, READS_AT_ONCE};
use super::wall_clock::WallClock;
use crate::assembly::Node;
use crate::cluster::forward::Forwarder;
use crate::observe::collect::Collector;
use crate::weights::reader::WeightsReader;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Semaphore, SemaphorePermit};
use twinscale_cluster::node::FiguresReader;
use twinscale_cluster_config::NodeSettings;
use twinscale_protocol::DomainTime;
use twinscale_protocol::twin::IngestReply;
use twinscale_twin::Twins;

/// What the handlers of the API share.
#[derive(Debug)]
pub struct Service {
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    forwarder: Option<Arc<Forwarder>>,
    figures: Option<FiguresReader>,
    weights: OnceLock<WeightsReader>,
    wall: Arc<dyn WallClock>,
    settings: NodeSettings,
    admission: Admission,
    counters: ServiceCounters,
    collector: Collector,
    ingests: Semaphore,
    reads: Semaphore,
    is_stopping: AtomicBool,
    started_at: DomainTime,
    listen: SocketAddr,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    /// Requests with samples that were answered, whatever the answer.
    pub telemetry_requests: AtomicU64,
    /// Samples stored for the first time.
    pub accepted: AtomicU64,
    /// Samples that were there already with the same value.
    pub duplicates: AtomicU64,
    /// Samples that were there already with another value.
    pub corrected: AtomicU64,
    /// Lines refused.
    pub refused: AtomicU64,
    /// Requests that were told to come back.
    pub overloaded: AtomicU64,
}

impl Service {
    /// Joins a node with its keeper behind an address; an owner of shards may share the keeper.
    pub fn new(
        node: Arc<Node>,
        keeper: impl Into<Arc<Keeper>>,
        wall: Arc<dyn WallClock>,
        settings: NodeSettings,
        listen: SocketAddr,
    ) -> Self {
        let admission =
            Admission::new(settings.series_max, settings.unconfigured_max, node.twins());
        Self {
            started_at: wall.now(),
            collector: Collector::new(node.instruments().clone()),
            node,
            keeper: keeper.into(),
            forwarder: None,
            figures: None,
            weights: OnceLock::new(),
            wall,
            settings,
            admission,
            counters: ServiceCounters::default(),
            ingests: Semaphore::new(INGESTS_AT_ONCE),
            reads: Semaphore::new(READS_AT_ONCE),
            is_stopping: AtomicBool::new(false),
            listen,
        }
    }

    /// Sends on what another node must answer.
    #[must_use]
    pub fn among(mut self, forwarder: Arc<Forwarder>) -> Self {
        self.forwarder = Some(forwarder);
        self
    }

    /// Tells of its part in a cluster.
    #[must_use]
    pub fn telling(mut self, figures: FiguresReader) -> Self {
        self.figures = Some(figures);
        self
    }

    /// What it tells of its part in a cluster; `None` = this node is alone.
    pub fn figures(&self) -> Option<&FiguresReader> {
        self.figures.as_ref()
    }

    /// Tells of weights from now on; what tells of them starts after the service.
    pub fn tell_weights(&self, weights: WeightsReader) {
        let first = self.weights.set(weights).is_ok();
        debug_assert!(first, "a node has one of these");
    }

    /// What it tells of weights; `None` = not yet.
    pub fn weights(&self) -> Option<&WeightsReader> {
        self.weights.get()
    }

    /// The way to the nodes that lead; `None` = this node is alone.
    pub fn forwarder(&self) -> Option<&Forwarder> {
        self.forwarder.as_deref()
    }

    /// Gives the actors back; `None` where something else still holds them.
    pub fn into_node(self) -> Option<Node> {
        let Self { node, keeper, .. } = self;
        drop(keeper);
        Arc::into_inner(node)
    }

    /// The actors.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// All twins that the node serves.
    pub fn twins(&self) -> &dyn Twins {
        self.node.twins()
    }

    /// Who drives the twins.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The time.
    pub fn now(&self) -> DomainTime {
        self.wall.now()
    }

    /// How this node is set up.
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// Which series and customers are taken.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Counts since the start.
    pub fn counters(&self) -> &ServiceCounters {
        &self.counters
    }

    /// Who reads all of it into the metrics.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// When it started.
    pub fn started_at(&self) -> DomainTime {
        self.started_at
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// From now on nothing new is taken.
    pub fn stop_taking(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Takes part in the bound on requests that bring something.
    ///
    /// # Errors
    /// Overloaded, or stopping.
    pub fn begin_ingest(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if self.is_stopping() {
            return Err(ApiError::stopping());
        }
        self.ingests.try_acquire().map_err(|_full| {
            self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
            ApiError::overloaded(format!(
                "{INGESTS_AT_ONCE} requests with samples or events are under way"
            ))
        })
    }

    /// Takes part in the bound on requests that read.
    ///
    /// # Errors
    /// Overloaded.
    pub fn begin_read(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.reads.try_acquire().map_err(|_full| {
            ApiError::overloaded(format!("{READS_AT_ONCE} requests that read are under way"))
        })
    }
}

impl ServiceCounters {
    /// Counts what became of samples.
    pub fn count(&self, reply: &IngestReply, refusals: &Refusals) {
        let add = |counter: &AtomicU64, count: u64| counter.fetch_add(count, Ordering::Relaxed);
        add(&self.accepted, u64::from(reply.stored));
        add(&self.duplicates, u64::from(reply.duplicates));
        add(&self.corrected, u64::from(reply.replaced));
        add(&self.refused, refusals.count);
    }
}
