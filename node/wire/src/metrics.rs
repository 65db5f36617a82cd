//! What the wire counts.

use crate::refusal::RefusalReason;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use twinscale_protocol::envelope::EnvelopeKind;

/// Upper bounds of the latency buckets in microseconds; a last bucket has none.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
];

/// The outcome of a call that was answered, and not by an error.
pub const ANSWERED: &str = "answered";

/// Told of every call: it must be quick and must not call a peer.
pub trait WireObserver: Debug + Send + Sync {
    /// A call to a peer ended: `answered`, or the reason why it failed.
    fn called(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration);

    /// The handler answered a call of a peer: `answered`, or the code of its error.
    fn served(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration);
}

/// What the wire of one node counts; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct WireMetrics {
    counts: Arc<Counts>,
    observer: Option<Arc<dyn WireObserver>>,
}

#[derive(Debug, Default)]
struct Counts {
    calls_made: AtomicU64,
    calls_served: AtomicU64,
    streams_made: AtomicU64,
    streams_served: AtomicU64,
    made_in_flight: AtomicI64,
    served_in_flight: AtomicI64,
    connections: AtomicI64,
    connects: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    latency_sum_us: AtomicU64,
    failed: Mutex<BTreeMap<&'static str, u64>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Calls made and ended, failed ones included.
    pub calls_made: u64,
    /// Calls answered by the handler, its errors included.
    pub calls_served: u64,
    /// Streams opened.
    pub streams_made: u64,
    /// Streams answered by the handler.
    pub streams_served: u64,
    /// Calls and streams under way to peers.
    pub made_in_flight: i64,
    /// Calls and streams under way from peers.
    pub served_in_flight: i64,
    /// Connections that the server holds, authenticated.
    pub connections: i64,
    /// Connections made to peers.
    pub connects: u64,
    /// Calls made that were answered, by latency: as many as [`LATENCY_BOUNDS_US`], and one without bound.
    pub latency: Vec<u64>,
    /// Sum of their latencies in microseconds.
    pub latency_sum_us: u64,
    /// Calls and streams made that failed, by reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// What was refused here, as a server or as a client, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

impl WireMetrics {
    /// Reads the counts.
    pub fn counts(&self) -> WireCounts {
        let counts = &*self.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WireCounts {
            calls_made: read(&counts.calls_made),
            calls_served: read(&counts.calls_served),
            streams_made: read(&counts.streams_made),
            streams_served: read(&counts.streams_served),
            made_in_flight: counts.made_in_flight.load(Ordering::Relaxed),
            served_in_flight: counts.served_in_flight.load(Ordering::Relaxed),
            connections: counts.connections.load(Ordering::Relaxed),
            connects: read(&counts.connects),
            latency: counts.latency.iter().map(read).collect(),
            latency_sum_us: read(&counts.latency_sum_us),
            failed: by_reason(&counts.failed).clone(),
            refused: by_reason(&counts.refused).clone(),
        }
    }

    /// Tells an observer of every call too.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn WireObserver>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    pub(crate) fn called(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration) {
        if let Some(observer) = &self.observer {
            observer.called(kind, outcome, took);
        }
    }

    pub(crate) fn served_call(&self, kind: EnvelopeKind, outcome: &'static str, took: Duration) {
        if let Some(observer) = &self.observer {
            observer.served(kind, outcome, took);
        }
    }

    pub(crate) fn refused(&self, reason: RefusalReason) {
        add(&self.counts.refused, reason.as_str());
    }

    pub(crate) fn failed(&self, reason: &'static str) {
        add(&self.counts.failed, reason);
    }

    pub(crate) fn connected(&self) {
        self.counts.connects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn call_made(&self) {
        self.counts.calls_made.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stream_made(&self) {
        self.counts.streams_made.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn call_served(&self) {
        self.counts.calls_served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stream_served(&self) {
        self.counts.streams_served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered_within(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.counts.latency.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.counts
            .latency_sum_us
            .fetch_add(micros, Ordering::Relaxed);
    }

    /// Counts one more under way to a peer, until the mark is dropped.
    pub(crate) fn made(&self) -> InFlightMark {
        InFlightMark::new(&self.counts, |counts| &counts.made_in_flight)
    }

    /// Counts one more under way from a peer, until the mark is dropped.
    pub(crate) fn served(&self) -> InFlightMark {
        InFlightMark::new(&self.counts, |counts| &counts.served_in_flight)
    }

    /// Counts one more connection, until the mark is dropped.
    pub(crate) fn connection(&self) -> InFlightMark {
        InFlightMark::new(&self.counts, |counts| &counts.connections)
    }
}

#[derive(Debug)]
pub(crate) struct InFlightMark {
    counts: Arc<Counts>,
    gauge: fn(&Counts) -> &AtomicI64,
}

impl InFlightMark {
    fn new(counts: &Arc<Counts>, gauge: fn(&Counts) -> &AtomicI64) -> Self {
        gauge(counts).fetch_add(1, Ordering::Relaxed);
        Self {
            counts: Arc::clone(counts),
            gauge,
        }
    }
}

impl Drop for InFlightMark {
    fn drop(&mut self) {
        (self.gauge)(&self.counts).fetch_sub(1, Ordering::Relaxed);
    }
}

fn by_reason<'a>(
    map: &'a Mutex<BTreeMap<&'static str, u64>>,
) -> std::sync::MutexGuard<'a, BTreeMap<&'static str, u64>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(map: &Mutex<BTreeMap<&'static str, u64>>, reason: &'static str) {
    *by_reason(map).entry(reason).or_default() += 1;
}
