//! Fells actors of a replaying node at chosen steps, and sees them come back.

use std::time::Duration;

use futures::future::{BoxFuture, join};
use serde::Serialize;
use tokio::time::Instant;
use twinscale::assembly::{Node, NodeTwin};
use twinscale::replay::{StepRecord, StepSink};
use twinscale::summary::FirstSteps;
use twinscale::workload::ReplayCustomer;
use twinscale_forecaster::actor::{ForecasterFault, ForecasterRequest};
use twinscale_optimizer::{OptimizerFault, OptimizerRequest};
use twinscale_protocol::optimizer::PlanAllocation;
use twinscale_protocol::provisioner::ObservedAllocation;
use twinscale_provisioner::{ProvisionerFault, ProvisionerRequest};
use twinscale_supervision::{ChildState, Supervised};
use twinscale_twin::{TwinFault, TwinMessage};

use crate::node_audit::audit_node;

/// System time within which a felled actor must be back: many times the longest back-off.
const BACK_LIMIT: Duration = Duration::from_secs(30);

/// Which actor is felled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Victim {
    /// The twin of the customer at this place.
    Twin(usize),
    /// The forecaster.
    Forecaster,
    /// The optimizer.
    Optimizer,
    /// The provisioner.
    Provisioner,
}

/// How it is felled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blow {
    /// Its handler fails, behind the messages that wait already.
    Panic,
    /// Its supervisor kills it, wherever it is.
    Kill,
}

/// One actor that is to be felled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Strike {
    /// At which step of the replay.
    pub step: usize,
    /// Which actor.
    pub victim: Victim,
    /// How.
    pub blow: Blow,
    /// How long after the step began, in system time: a step takes some milliseconds.
    pub delay: Duration,
}

/// A strike after which the actor was back under a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Felt {
    /// The strike.
    pub strike: Strike,
    /// System time until it was back.
    pub recovery: Duration,
}

/// What a twin had decided and seen after the turn of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The customer's place.
    pub customer: usize,
    /// The step.
    pub step: usize,
    /// What its plan allocates.
    pub allocation: Option<PlanAllocation>,
    /// What it saw running.
    pub observed: ObservedAllocation,
}

/// Follows a replay, strikes, and looks at what is left at the end.
#[derive(Debug)]
pub(crate) struct StrikingSink<'a> {
    customers: &'a [ReplayCustomer],
    strikes: Vec<Strike>,
    pub(crate) first_steps: FirstSteps,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) felt: Vec<Felt>,
    pub(crate) violations: Vec<String>,
}

impl<'a> StrikingSink<'a> {
    pub(crate) fn new(customers: &'a [ReplayCustomer], strikes: &[Strike]) -> Self {
        Self {
            customers,
            strikes: strikes.to_vec(),
            first_steps: FirstSteps::default(),
            decisions: Vec::new(),
            felt: Vec::new(),
            violations: Vec::new(),
        }
    }

    async fn strike(&mut self, step: usize, node: &Node, twins: &[NodeTwin]) {
        let due: Vec<Strike> = self
            .strikes
            .iter()
            .filter(|strike| strike.step == step)
            .copied()
            .collect();
        for strike in due {
            tokio::time::sleep(strike.delay).await;
            match fell_victim(strike, node, twins).await {
                Ok(recovery) => self.felt.push(Felt { strike, recovery }),
                Err(reason) => self.violations.push(format!("{strike:?}: {reason}")),
            }
        }
    }
}

impl StepSink for StrikingSink<'_> {
    fn step(
        &mut self,
        index: usize,
        customer: &ReplayCustomer,
        step: usize,
        record: &StepRecord,
    ) -> anyhow::Result<()> {
        self.decisions.push(Decision {
            customer: index,
            step,
            allocation: record.plan.as_ref().map(|plan| plan.allocation.clone()),
            observed: record.observed.clone(),
        });
        self.first_steps.step(index, customer, step, record)
    }

    fn beside<'a>(
        &'a mut self,
        step: usize,
        node: &'a Node,
        twins: &'a [NodeTwin],
    ) -> BoxFuture<'a, ()> {
        Box::pin(self.strike(step, node, twins))
    }

    fn finished(&mut self, node: &Node, _twins: &[NodeTwin]) -> anyhow::Result<()> {
        self.violations.extend(audit_node(node, self.customers));
        Ok(())
    }
}

async fn fell_victim(strike: Strike, node: &Node, twins: &[NodeTwin]) -> Result<Duration, String> {
    let blow = strike.blow;
    match strike.victim {
        Victim::Twin(place) => {
            let twin = twins
                .get(place)
                .ok_or_else(|| format!("there are {} twins only", twins.len()))?;
            let fault = TwinMessage::Fault(TwinFault::Panic);
            // The supervisor holds domain time as soon as it knows, which for a panic is a moment late.
            let until_known = (blow == Blow::Panic).then(|| twin.clock.begin());
            let mut report = twin.actor.report();
            let restarts = twin.actor.restarts();
            let known = async move {
                // A supervisor that is gone is told by the other future.
                drop(report.wait_for(|report| report.restarts > restarts).await);
                drop(until_known);
            };
            join(fell(&twin.actor, blow, fault), known).await.0
        }
        Victim::Forecaster => {
            let fault = ForecasterRequest::Fault(ForecasterFault::Panic);
            fell(node.forecaster(), blow, fault).await
        }
        Victim::Optimizer => {
            let fault = OptimizerRequest::Fault(OptimizerFault::Panic);
            fell(node.optimizer(), blow, fault).await
        }
        Victim::Provisioner => {
            let fault = ProvisionerRequest::Fault(ProvisionerFault::Panic);
            fell(node.provisioner(), blow, fault).await
        }
    }
}

/// Fells a child and waits until it runs under another id.
async fn fell<M: Send + 'static>(
    child: &Supervised<M>,
    blow: Blow,
    fault: M,
) -> Result<Duration, String> {
    let mut report = child.report();
    let restarts = child.restarts();
    let running = child.address().running(BACK_LIMIT);
    let mailbox = running.await.map_err(|error| error.to_string())?;
    let begun = Instant::now();
    match blow {
        Blow::Panic => mailbox
            .send(fault)
            .await
            .map_err(|error| error.to_string())?,
        Blow::Kill => child.kill_child(),
    }
    let back =
        report.wait_for(|report| report.restarts > restarts && report.state == ChildState::Running);
    match tokio::time::timeout(BACK_LIMIT, back).await {
        Ok(Ok(_running)) => {}
        Ok(Err(_closed)) => return Err("its supervisor ended".to_owned()),
        Err(_late) => return Err(format!("not back within {BACK_LIMIT:?}")),
    }
    let recovery = begun.elapsed();
    let next = child.address().running(BACK_LIMIT);
    let next = next.await.map_err(|error| error.to_string())?;
    if next.actor_id() == mailbox.actor_id() {
        return Err(format!("back under the same id {}", next.actor_id()));
    }
    Ok(recovery)
}
