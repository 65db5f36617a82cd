//! Counters of the log and the hook through which a node exports them.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One batch that became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCommitted {
    /// Proposals in the batch.
    pub proposals: u64,
    /// Entries in the batch.
    pub entries: u64,
    /// Bytes written, headers included.
    pub bytes: u64,
    /// From the first byte written to the return of fdatasync.
    pub append_latency: Duration,
}

/// Told of every batch, on the writer thread: it must be quick and must not call the log.
pub trait LogObserver: Debug + Send + Sync {
    /// A batch became durable.
    fn batch_committed(&self, batch: &BatchCommitted);

    /// The disk took no batch, for want of room; the log goes on.
    fn write_refused(&self, reason: &str);

    /// A write or sync failed and the log is poisoned.
    fn poisoned(&self, reason: &str);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoObserver;

impl LogObserver for NoObserver {
    fn batch_committed(&self, _batch: &BatchCommitted) {}

    fn write_refused(&self, _reason: &str) {}

    fn poisoned(&self, _reason: &str) {}
}

/// Totals since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMetrics {
    /// Batches that became durable, one fdatasync each.
    pub batches: u64,
    /// Proposals in them.
    pub proposals: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Proposals refused because the queue was full.
    pub overloaded: u64,
    /// Proposals that the disk had no room for.
    pub refused: u64,
    /// Sum of the batches' append latencies.
    pub append_latency_total: Duration,
    /// The longest append latency.
    pub append_latency_max: Duration,
    /// The most proposals that one batch carried.
    pub batch_proposals_max: u64,
}

/// The counters behind [`LogMetrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    batches: AtomicU64,
    proposals: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    overloaded: AtomicU64,
    refused: AtomicU64,
    latency_total_ns: AtomicU64,
    latency_max_ns: AtomicU64,
    batch_proposals_max: AtomicU64,
}

impl Counters {
    pub(crate) fn count_batch(&self, batch: &BatchCommitted) {
        // 2^64 ns are 584 years, so the sum does not wrap.
        let latency_ns = u64::try_from(batch.append_latency.as_nanos()).unwrap_or(u64::MAX);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.proposals.fetch_add(batch.proposals, Ordering::Relaxed);
        self.entries.fetch_add(batch.entries, Ordering::Relaxed);
        self.bytes.fetch_add(batch.bytes, Ordering::Relaxed);
        self.latency_total_ns
            .fetch_add(latency_ns, Ordering::Relaxed);
        self.latency_max_ns.fetch_max(latency_ns, Ordering::Relaxed);
        self.batch_proposals_max
            .fetch_max(batch.proposals, Ordering::Relaxed);
    }

    pub(crate) fn count_overloaded(&self) {
        self.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, proposals: u64) {
        self.refused.fetch_add(proposals, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LogMetrics {
        LogMetrics {
            batches: self.batches.load(Ordering::Relaxed),
            proposals: self.proposals.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            overloaded: self.overloaded.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            append_latency_total: Duration::from_nanos(
                self.latency_total_ns.load(Ordering::Relaxed),
            ),
            append_latency_max: Duration::from_nanos(self.latency_max_ns.load(Ordering::Relaxed)),
            batch_proposals_max: self.batch_proposals_max.load(Ordering::Relaxed),
        }
    }
}
