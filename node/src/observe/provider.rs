//! A provider's driver that is timed and traced, call by call.

use super::Instruments;
use super::catalogue::PROVIDER_CALL_SECONDS;
use std::future::Future;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::Instrument as _;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{CustomerId, DomainTime, MicroDollars, VmId};
use twinscale_provisioner::driver::{
    CallContext, DriverError, DriverFuture, Listing, ProviderDriver, VmSpec,
};

/// A driver whose calls are told to the instruments, each in a span of its own.
#[derive(Debug)]
pub struct ObservedDriver {
    inner: Arc<dyn ProviderDriver>,
    instruments: Instruments,
}

impl ObservedDriver {
    /// Observes a driver.
    pub fn new(inner: Arc<dyn ProviderDriver>, instruments: Instruments) -> Self {
        Self { inner, instruments }
    }

    fn observed<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        customer: &CustomerId,
        call: impl Future<Output = Result<T, DriverError>> + Send + 'a,
    ) -> DriverFuture<'a, T> {
        let span = tracing::info_span!(
            "provider_call",
            %customer,
            operation,
            outcome = tracing::field::Empty
        );
        let mut telling = Telling {
            instruments: &self.instruments,
            operation,
            outcome: "given_up",
            begun: Instant::now(),
            span: span.clone(),
        };
        let told = async move {
            let result = call.await;
            telling.outcome = result.as_ref().map_or_else(outcome, |_done| "done");
            drop(telling);
            result
        };
        Box::pin(told.instrument(span))
    }
}

/// Tells of a call when it ends, also when whoever waited for it gave it up.
struct Telling<'a> {
    instruments: &'a Instruments,
    operation: &'static str,
    outcome: &'static str,
    begun: Instant,
    span: tracing::Span,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome);
        let labels = [self.operation, self.outcome];
        self.instruments
            .time(&PROVIDER_CALL_SECONDS, &labels, self.begun.elapsed());
    }
}

fn outcome(error: &DriverError) -> &'static str {
    match error {
        DriverError::Refused { .. } => "refused",
        DriverError::StaleGeneration { .. } => "stale_generation",
        DriverError::Throttled => "throttled",
        DriverError::Unknown { .. } => "unknown",
    }
}

impl ProviderDriver for ObservedDriver {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn checks_generations(&self) -> bool {
        self.inner.checks_generations()
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        let call = self.inner.launch(context, spec);
        self.observed("launch", &context.customer, call)
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        let call = self.inner.terminate(context, vm);
        self.observed("terminate", &context.customer, call)
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        let call = self.inner.resize_volume(context, volume);
        self.observed("resize_volume", &context.customer, call)
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        let call = self.inner.resize_link(context, link);
        self.observed("resize_link", &context.customer, call)
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        let call = self.inner.list(customer, now);
        self.observed("list", customer, call)
    }

    // What people look at is no work of the provisioner, so it is not timed as its calls.
    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        self.inner.costs(customers, until)
    }
}
