//! Who is told what the parts of a node do.

use std::sync::Arc;
use twinscale_consensus::{GroupsObserver, NoGroupsObserver};
use twinscale_log::{LogObserver, NoObserver};
use twinscale_wire::WireMetrics;

/// Who is told what the parts of a node do; nobody by default.
#[derive(Clone, Debug)]
pub struct NodeObservers {
    /// Told of every batch of the log.
    pub log: Arc<dyn LogObserver>,
    /// Told of proposals, elections and snapshots.
    pub groups: Arc<dyn GroupsObserver>,
    /// Counts of the wire, which may have an observer as well.
    pub wire: WireMetrics,
}

impl Default for NodeObservers {
    fn default() -> Self {
        Self {
            log: Arc::new(NoObserver),
            groups: Arc::new(NoGroupsObserver),
            wire: WireMetrics::default(),
        }
    }
}
