//! What is kept of a replay's steps.

use crate::assembly::{Node, NodeTwin};
use crate::workload::ReplayCustomer;
use futures::future::{BoxFuture, ready};
use std::collections::BTreeMap;
use twinscale_protocol::DomainTime;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::provisioner::ObservedAllocation;
use twinscale_protocol::twin::Miss;
use twinscale_twin::TurnSummary;
use twinscale_twin::stored::v1::ForecastRecord;

/// One customer's state right after the turn of a step.
#[derive(Clone, Debug)]
pub struct StepRecord {
    /// Start of the step.
    pub at: DomainTime,
    /// How the turn went.
    pub summary: TurnSummary,
    /// The newest forecast.
    pub forecast: Option<ForecastRecord>,
    /// The target plan.
    pub plan: Option<Plan>,
    /// What was observed to run.
    pub observed: ObservedAllocation,
    /// Steps that are over and were found to be missed, since the record before.
    pub misses: Vec<Miss>,
}

/// Takes the steps of a replay.
pub trait StepSink: Send {
    /// Takes one step of the customer at `index`.
    ///
    /// # Errors
    /// What writing it says.
    fn step(
        &mut self,
        index: usize,
        customer: &ReplayCustomer,
        step: usize,
        record: &StepRecord,
    ) -> anyhow::Result<()>;

    /// Runs beside the turns of a step; a test fells actors here. Nothing by default.
    fn beside<'a>(
        &'a mut self,
        _step: usize,
        _node: &'a Node,
        _twins: &'a [NodeTwin],
    ) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }

    /// Looks at the node after the last step, before it is stopped. Nothing by default.
    ///
    /// # Errors
    /// What looking says.
    fn finished(&mut self, _node: &Node, _twins: &[NodeTwin]) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A sink that keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl StepSink for Unwatched {
    fn step(
        &mut self,
        _index: usize,
        _customer: &ReplayCustomer,
        _step: usize,
        _record: &StepRecord,
    ) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Failures of a customer's turns, each text once.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(BTreeMap<String, u64>);

impl Failures {
    pub(super) fn note(&mut self, summary: &TurnSummary) {
        for failure in &summary.failures {
            *self.0.entry(failure.clone()).or_default() += 1;
        }
    }

    pub(super) fn into_list(self) -> Vec<(String, u64)> {
        self.0.into_iter().collect()
    }
}
