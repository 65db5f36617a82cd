//! Tells the instruments of the log's batches.

use super::Instruments;
use super::catalogue::{
    LOG_BATCH_BYTES, LOG_BATCH_ENTRIES, LOG_BATCH_SECONDS, LOG_BYTES, LOG_ENTRIES, LOG_POISONED,
    LOG_WRITES_REFUSED,
};
use twinscale_log::{BatchCommitted, LogObserver};

/// Tells the instruments of the log's batches.
#[derive(Clone, Debug)]
pub struct ObservedLog(pub Instruments);

impl LogObserver for ObservedLog {
    fn batch_committed(&self, batch: &BatchCommitted) {
        self.0.time(&LOG_BATCH_SECONDS, &[], batch.append_latency);
        self.0
            .observe(&LOG_BATCH_ENTRIES, &[], batch.entries as f64);
        self.0.observe(&LOG_BATCH_BYTES, &[], batch.bytes as f64);
        self.0.add(&LOG_ENTRIES, &[], batch.entries);
        self.0.add(&LOG_BYTES, &[], batch.bytes);
    }

    fn write_refused(&self, _reason: &str) {
        self.0.add(&LOG_WRITES_REFUSED, &[], 1);
    }

    fn poisoned(&self, _reason: &str) {
        // The reason is logged by who handles it.
        self.0.set(&LOG_POISONED, &[], 1.0);
    }
}
