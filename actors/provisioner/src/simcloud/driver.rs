//! The simulated cloud behind the trait of all providers.

use crate::driver::{CallContext, DriverFuture, Listing, ProviderDriver, VmSpec};
use crate::simcloud::cloud::{Answer, Change, SimCloud};
use crate::simcloud::config::SimCloudConfig;
use std::sync::{Arc, Mutex, PoisonError};
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{CustomerId, DomainTime, MicroDollars, VmId};

/// A handle on a simulated cloud; clones share the cloud, which outlives every actor.
#[derive(Clone, Debug)]
pub struct SimCloudDriver {
    name: String,
    checks_generations: bool,
    cloud: Arc<Mutex<SimCloud>>,
}

impl SimCloudDriver {
    /// Makes a cloud and a handle on it.
    #[must_use]
    pub fn new(config: SimCloudConfig) -> Self {
        Self {
            name: config.name.clone(),
            checks_generations: config.checks.generations,
            cloud: Arc::new(Mutex::new(SimCloud::new(config))),
        }
    }

    /// Looks into the cloud, for reports and checks; calls wait meanwhile.
    pub fn with_cloud<R>(&self, look: impl FnOnce(&mut SimCloud) -> R) -> R {
        // A panic cannot leave the cloud half changed in a way that matters: its ledger is written last.
        look(&mut self.cloud.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<'a>(&'a self, context: &'a CallContext, change: Change<'a>) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let answer = self.with_cloud(|cloud| cloud.change(context, change));
            wait(answer).await
        })
    }
}

impl ProviderDriver for SimCloudDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn checks_generations(&self) -> bool {
        self.checks_generations
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        self.change(context, Change::Launch(spec))
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        self.change(context, Change::Terminate(vm))
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        self.change(context, Change::ResizeVolume(volume))
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        self.change(context, Change::ResizeLink(link))
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        Box::pin(async move {
            let answer = self.with_cloud(|cloud| cloud.list(customer, now));
            wait(answer).await
        })
    }

    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        Box::pin(async move {
            Ok(self.with_cloud(|cloud| {
                let cost = |customer| Some(cloud.cost(customer, until).total());
                customers.iter().map(cost).collect()
            }))
        })
    }
}

async fn wait<T>(answer: Answer<T>) -> Result<T, crate::driver::DriverError> {
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    answer.result
}
