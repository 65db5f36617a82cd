//! How many series and customers without a policy this node takes.
//!
//! Invariant: memory for names that clients invent is bounded. Counts may be off by what concurrent
//! requests add at the same moment; they are set right by counting again now and then.

use crate::service::api::RefusalCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use twinscale_protocol::{CustomerId, SeriesKey};
use twinscale_twin::Twins;

/// What is admitted.
#[derive(Debug)]
pub struct Admission {
    series_max: usize,
    unconfigured_max: usize,
    series: AtomicUsize,
    unconfigured: AtomicUsize,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Customers without a policy.
    pub unconfigured: usize,
    /// Series of all customers.
    pub series: usize,
}

impl Admission {
    /// Starts with what a node holds.
    pub fn new(series_max: usize, unconfigured_max: usize, twins: &dyn Twins) -> Self {
        let admission = Self {
            series_max,
            unconfigured_max,
            series: AtomicUsize::new(0),
            unconfigured: AtomicUsize::new(0),
        };
        admission.recount(twins);
        admission
    }

    /// Counts again what a node holds.
    pub fn recount(&self, twins: &dyn Twins) {
        let mut counted = Counted::default();
        for customer in twins.customers() {
            let Some(outline) = twins.outline(&customer) else {
                continue;
            };
            counted.unconfigured += usize::from(!outline.is_configured());
            counted.series = counted.series.saturating_add(outline.series as usize);
        }
        self.series.store(counted.series, Ordering::Relaxed);
        self.unconfigured
            .store(counted.unconfigured, Ordering::Relaxed);
    }

    /// What was counted last, with what was admitted since.
    pub fn counted(&self) -> Counted {
        Counted {
            unconfigured: self.unconfigured.load(Ordering::Relaxed),
            series: self.series.load(Ordering::Relaxed),
        }
    }

    /// Whether samples of a customer are taken: it has a twin, or there is room for one.
    ///
    /// # Errors
    /// Code and words of the rule that refuses it.
    pub fn admit_customer(
        &self,
        twins: &dyn Twins,
        customer: &CustomerId,
    ) -> Result<(), (RefusalCode, String)> {
        if twins.knows(customer) {
            return Ok(());
        }
        let limit = self.unconfigured_max;
        if !add_below(&self.unconfigured, limit) {
            let message = format!(
                "customer `{customer}` has no policy, and {limit} such customers send already: configure \
                 it first (PUT /v1/customers/{customer}/policy or /stack), or raise \
                 node.unconfigured_max"
            );
            return Err((RefusalCode::NodeCustomersFull, message));
        }
        Ok(())
    }

    /// Whether samples of a series are taken: it is known, or there is room for one more.
    ///
    /// # Errors
    /// Code and words of the rule that refuses it.
    pub fn admit_series(
        &self,
        twins: &dyn Twins,
        customer: &CustomerId,
        series: &SeriesKey,
    ) -> Result<(), (RefusalCode, String)> {
        let (is_known, count) = twins
            .read(customer, |state| {
                let is_known = state.newest_sample_at(series).is_some();
                (is_known, if is_known { 0 } else { state.series().count() })
            })
            .unwrap_or_default();
        // What is past a twin's own limit is refused by the twin, and takes no room.
        if is_known || count >= twinscale_twin::limits::SERIES_MAX {
            return Ok(());
        }
        let limit = self.series_max;
        if add_below(&self.series, limit) {
            return Ok(());
        }
        let message = format!(
            "series {series} of customer `{customer}` is new, and this node holds {limit} series \
             already: send fewer, or raise node.series_max"
        );
        Err((RefusalCode::NodeSeriesFull, message))
    }
}

fn add_below(count: &AtomicUsize, limit: usize) -> bool {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < limit).then_some(count + 1)
        })
        .is_ok()
}
