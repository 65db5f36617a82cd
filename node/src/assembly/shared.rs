//! Starts the actors that all twins of a node share.

use super::{ForecastWeights, WatchLimits};
use std::num::NonZeroUsize;
use std::sync::Arc;
use twinscale_forecaster::actor::{Forecaster, ForecasterArguments, ForecasterRequest};
use twinscale_forecaster::serving::Serving;
use twinscale_optimizer::actor::{Optimizer, OptimizerArguments, OptimizerRequest, WorkerPolicy};
use twinscale_provisioner::memory::SharedMemory;
use twinscale_provisioner::{
    ProviderDriver, Provisioner, ProvisionerArguments, ProvisionerRequest, RetryPolicy,
};
use twinscale_supervision::{
    ChildSpec, DomainClock, FailureScope, Health, Oversight, RestartPolicy, Supervised, supervise,
};

/// Requests that wait for a shared actor: one per twin of a busy node, with room.
pub const SHARED_MAILBOX: usize = 1_024;

/// Starts a forecaster without a node, for benchmarks.
///
/// # Errors
/// When its supervisor cannot be started.
pub async fn start_forecaster(
    weights: &ForecastWeights,
    clock: &DomainClock,
) -> anyhow::Result<Supervised<ForecasterRequest>> {
    let start = SharedStart {
        clock,
        health: &Health::default(),
        watch: WatchLimits::patient(),
    };
    start
        .forecaster(&weights.serving(), FailureScope::Node)
        .await
}

/// What the shared actors of a node have in common when they are started.
pub(super) struct SharedStart<'a> {
    pub(super) clock: &'a DomainClock,
    pub(super) health: &'a Health,
    pub(super) watch: WatchLimits,
}

impl SharedStart<'_> {
    pub(super) async fn forecaster(
        &self,
        serving: &Serving,
        scope: FailureScope,
    ) -> anyhow::Result<Supervised<ForecasterRequest>> {
        let arguments = ForecasterArguments {
            serving: serving.clone(),
            job_limit: self.watch.forecast_job,
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        let mut spec = self.spec("forecaster", || Forecaster, arguments);
        spec.oversight.scope = scope;
        Ok(supervise(spec).await?)
    }

    pub(super) async fn optimizer(
        &self,
        workers: NonZeroUsize,
    ) -> anyhow::Result<Supervised<OptimizerRequest>> {
        let arguments = OptimizerArguments {
            policy: WorkerPolicy {
                workers,
                job_limit: self.watch.plan_job,
            },
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        Ok(supervise(self.spec("optimizer", || Optimizer, arguments)).await?)
    }

    pub(super) async fn provisioner(
        &self,
        driver: Arc<dyn ProviderDriver>,
        retry: RetryPolicy,
        memory: SharedMemory,
    ) -> anyhow::Result<Supervised<ProvisionerRequest>> {
        let arguments = ProvisionerArguments {
            driver,
            memory,
            retry: RetryPolicy {
                request_limit: self.watch.shared_message,
                ..retry
            },
            clock: self.clock.clone(),
        };
        Ok(supervise(self.spec("provisioner", || Provisioner, arguments)).await?)
    }

    fn spec<C: ractor::Actor>(
        &self,
        name: &'static str,
        make: fn() -> C,
        arguments: C::Arguments,
    ) -> ChildSpec<C> {
        ChildSpec {
            name: name.to_owned(),
            make: Arc::new(make),
            arguments,
            mailbox_capacity: SHARED_MAILBOX,
            policy: RestartPolicy {
                message_limit: self.watch.shared_message,
                restarts_max: self.watch.shared_restarts_max,
                ..RestartPolicy::default()
            },
            clock: self.clock.clone(),
            oversight: Oversight {
                health: self.health.clone(),
                kind: name,
                scope: FailureScope::Node,
            },
        }
    }
}
