//! A driver whose calls can be held on their way: as a node does that stops between its last check and its call.

use std::sync::Arc;
use tokio::sync::watch;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{CustomerId, DomainTime, Generation, VmId};
use twinscale_provisioner::SimCloudDriver;
use twinscale_provisioner::driver::{
    CallContext, DriverError, DriverFuture, Listing, ProviderDriver, VmSpec,
};

/// Which node's calls are held, and what came of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(watch::Sender<GateState>);

#[derive(Debug, Default)]
struct GateState {
    is_armed: bool,
    /// The node whose launch came first, with its generation.
    held: Option<(u64, Generation)>,
    is_open: bool,
    answers: Vec<Result<(), DriverError>>,
}

impl Gate {
    /// The next launch is held, and with it all of its node.
    pub(crate) fn arm(&self) {
        self.0.send_modify(|state| state.is_armed = true);
    }

    /// Waits until a launch is held; whose.
    pub(crate) async fn held(&self) -> (u64, Generation) {
        let mut seen = self.0.subscribe();
        let state = seen.wait_for(|state| state.held.is_some()).await;
        state.expect("the gate is there").held.expect("waited for")
    }

    /// Lets all go on, and waits for the answer to the first that was held.
    pub(crate) async fn open(&self) -> Result<(), DriverError> {
        self.0.send_modify(|state| state.is_open = true);
        let mut seen = self.0.subscribe();
        let state = seen.wait_for(|state| !state.answers.is_empty()).await;
        state.expect("the gate is there").answers[0].clone()
    }

    /// Takes a launch; whether it is held.
    fn take(&self, node: u64, generation: Generation) -> bool {
        let mut is_held = false;
        self.0.send_if_modified(|state| {
            let is_first = state.is_armed && state.held.is_none();
            if is_first {
                state.held = Some((node, generation));
            }
            is_held = !state.is_open && state.held.is_some_and(|(held, _)| held == node);
            is_first
        });
        is_held
    }

    async fn wait(&self) {
        let mut seen = self.0.subscribe();
        // The gate lives as long as the test.
        drop(seen.wait_for(|state| state.is_open).await);
    }
}

/// The simulated cloud behind a gate, as one node sees it.
#[derive(Clone, Debug)]
pub(crate) struct HeldCloud {
    pub(crate) node: u64,
    pub(crate) cloud: SimCloudDriver,
    pub(crate) gate: Gate,
}

impl ProviderDriver for HeldCloud {
    fn name(&self) -> &str {
        self.cloud.name()
    }

    fn checks_generations(&self) -> bool {
        self.cloud.checks_generations()
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        if !self.gate.take(self.node, context.generation) {
            return self.cloud.launch(context, spec);
        }
        // On its way whatever becomes of the caller.
        let (held, context, spec) = (self.clone(), context.clone(), spec.clone());
        let call = tokio::runtime::Handle::current().spawn(async move {
            held.gate.wait().await;
            let answer = held.cloud.launch(&context, &spec).await;
            let told = answer.clone();
            held.gate.0.send_modify(|state| state.answers.push(told));
            answer
        });
        Box::pin(async move { call.await.expect("it does not panic") })
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        self.cloud.terminate(context, vm)
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        self.cloud.resize_volume(context, volume)
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        self.cloud.resize_link(context, link)
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        self.cloud.list(customer, now)
    }
}

/// What a member of the cluster is given.
pub(crate) fn driver(node: u64, cloud: &SimCloudDriver, gate: &Gate) -> Arc<dyn ProviderDriver> {
    Arc::new(HeldCloud {
        node,
        cloud: cloud.clone(),
        gate: gate.clone(),
    })
}
