//! The actor of one provider: receives, passes on to a customer's lane, answers. It decides nothing.
//!
//! A customer's calls are serial because they share a lane, an actor of its own; other customers do not
//! wait for them. A lane that fails takes the provisioner with it: its supervisor restarts both, and
//! whoever asked asks again, which is safe because every call carries its key.

mod lane;

#[cfg(test)]
mod tests;

use crate::actor::lane::{Lane, LaneArguments, LaneRequest};
use crate::driver::ProviderDriver;
use crate::execute::RetryPolicy;
use crate::memory::SharedMemory;
use crate::reconcile::reconcile;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinscale_protocol::provisioner::{
    ExecuteReply, ExecuteRequest, ObserveReply, ObserveRequest, ReconcileReply, ReconcileRequest,
};
use twinscale_protocol::{CustomerId, WireError, WireErrorCode};
use twinscale_supervision::{DomainClock, Mailbox, Permitted, ReplyTo, answer};

/// Requests that wait in one customer's lane: a twin has one or two under way.
const LANE_CAPACITY: usize = 16;

/// Lanes kept at once; past it, idle ones end. A lane holds a few kilobytes.
const LANES_MAX: usize = 4_096;

/// What a provisioner is asked.
#[derive(Debug)]
pub enum ProvisionerRequest {
    /// Find what must change; pure.
    Reconcile(Box<ReconcileRequest>, ReplyTo<ReconcileReply>),
    /// Carry committed intents out. An error means that nothing was tried.
    Execute(
        Box<ExecuteRequest>,
        ReplyTo<Result<ExecuteReply, WireError>>,
    ),
    /// Read back what runs. An error means that the caller is blind.
    Observe(ObserveRequest, ReplyTo<Result<ObserveReply, WireError>>),
    /// Fail on purpose.
    Fault(ProvisionerFault),
}

/// How tests and chaos runs make a provisioner fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisionerFault {
    /// The provisioner panics.
    Panic,
    /// The lane of a customer panics, and the provisioner ends with it.
    PanicLane(CustomerId),
    /// Its handler never ends; its supervisor restarts it when the limit of a message is over.
    Hang,
    /// The lane of a customer never ends; past the limit of a request it fails, and the provisioner with
    /// it.
    HangLane(CustomerId),
}

/// What a provisioner is given when it starts; what must outlive it is behind shared handles.
#[derive(Clone, Debug)]
pub struct ProvisionerArguments {
    /// The provider.
    pub driver: Arc<dyn ProviderDriver>,
    /// What is remembered of it over restarts.
    pub memory: SharedMemory,
    /// How calls are repeated.
    pub retry: RetryPolicy,
    /// The domain clock that waits for the lanes' work.
    pub clock: DomainClock,
}

/// What a provisioner holds while it runs.
#[derive(Debug)]
pub struct ProvisionerState {
    arguments: ProvisionerArguments,
    lanes: BTreeMap<CustomerId, LaneHandle>,
}

#[derive(Debug)]
struct LaneHandle {
    mailbox: Mailbox<LaneRequest>,
    cell: ActorCell,
}

/// The actor of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Provisioner;

impl Actor for Provisioner {
    type Msg = Permitted<ProvisionerRequest>;
    type State = ProvisionerState;
    type Arguments = ProvisionerArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(ProvisionerState {
            arguments,
            lanes: BTreeMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        permitted: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match permitted.message {
            ProvisionerRequest::Reconcile(request, reply_to) => {
                answer(reply_to, reconcile(&request));
                Ok(())
            }
            ProvisionerRequest::Execute(request, reply_to) => {
                let lane = state.lane(&myself, &request.customer).await?;
                match overloaded(lane, &request.customer) {
                    Some(error) => answer(reply_to, Err(error)),
                    None => lane.try_send(LaneRequest::Execute(request, reply_to))?,
                }
                Ok(())
            }
            ProvisionerRequest::Observe(request, reply_to) => {
                let lane = state.lane(&myself, &request.customer).await?;
                match overloaded(lane, &request.customer) {
                    Some(error) => answer(reply_to, Err(error)),
                    None => lane.try_send(LaneRequest::Observe(request, reply_to))?,
                }
                Ok(())
            }
            ProvisionerRequest::Fault(fault) => state.fail(&myself, fault).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(lane, error) => {
                Err(format!("lane {} failed: {error}", lane.get_id()).into())
            }
            SupervisionEvent::ActorTerminated(lane, _, reason) if state.has_lane(lane.get_id()) => {
                let reason = reason.unwrap_or_default();
                Err(format!("lane {} ended unasked: {reason}", lane.get_id()).into())
            }
            _ => Ok(()),
        }
    }
}

impl ProvisionerState {
    /// Finds a customer's lane, or starts it.
    async fn lane(
        &mut self,
        myself: &ActorRef<Permitted<ProvisionerRequest>>,
        customer: &CustomerId,
    ) -> Result<&Mailbox<LaneRequest>, ActorProcessingErr> {
        if !self.lanes.contains_key(customer) {
            self.end_idle_lanes();
            let lane = self.start_lane(myself).await?;
            self.lanes.insert(customer.clone(), lane);
        }
        let lane = self.lanes.get(customer);
        lane.map(|lane| &lane.mailbox)
            .ok_or_else(|| format!("no lane for customer {customer}").into())
    }

    async fn start_lane(
        &self,
        myself: &ActorRef<Permitted<ProvisionerRequest>>,
    ) -> Result<LaneHandle, ActorProcessingErr> {
        let arguments = LaneArguments {
            driver: Arc::clone(&self.arguments.driver),
            memory: self.arguments.memory.clone(),
            retry: self.arguments.retry,
        };
        let (lane, _join) = Actor::spawn_linked(None, Lane, arguments, myself.get_cell()).await?;
        let cell = lane.get_cell();
        let clock = self.arguments.clock.clone();
        Ok(LaneHandle {
            mailbox: Mailbox::new(lane, LANE_CAPACITY, clock),
            cell,
        })
    }

    /// Makes room for one more lane; busy lanes stay, so the number may pass the bound by those.
    fn end_idle_lanes(&mut self) {
        if self.lanes.len() < LANES_MAX {
            return;
        }
        self.lanes.retain(|_, lane| {
            // Only this actor sends to it, so what is idle stays idle.
            let busy = lane.mailbox.depth() > 0;
            if !busy {
                lane.cell.stop(None);
            }
            busy
        });
    }

    fn has_lane(&self, id: ActorId) -> bool {
        self.lanes.values().any(|lane| lane.cell.get_id() == id)
    }

    async fn fail(
        &mut self,
        myself: &ActorRef<Permitted<ProvisionerRequest>>,
        fault: ProvisionerFault,
    ) -> Result<(), ActorProcessingErr> {
        match fault {
            ProvisionerFault::Panic => panic_on_purpose(),
            ProvisionerFault::PanicLane(customer) => {
                let lane = self.lane(myself, &customer).await?;
                lane.try_send(LaneRequest::Panic)?;
            }
            ProvisionerFault::Hang => std::future::pending().await,
            ProvisionerFault::HangLane(customer) => {
                let lane = self.lane(myself, &customer).await?;
                lane.try_send(LaneRequest::Hang)?;
            }
        }
        Ok(())
    }
}

fn overloaded(lane: &Mailbox<LaneRequest>, customer: &CustomerId) -> Option<WireError> {
    (lane.depth() >= LANE_CAPACITY).then(|| {
        let message = format!(
            "{LANE_CAPACITY} provider requests of customer {customer} wait already: try again later"
        );
        WireError::new(WireErrorCode::Overloaded, message)
    })
}

#[expect(clippy::panic, reason = "what tests and chaos runs ask for")]
fn panic_on_purpose() {
    panic!("asked to panic");
}
