//! What this node shows of its own twins and actors.

use super::message::{
    ActorLine, ActorName, ActorState, LastTurnLine, NodeActors, TwinLine, TwinShown,
};
use crate::assembly::{SHARED_MAILBOX, TWIN_MAILBOX};
use crate::clients::{BorrowCounts, Forecasters};
use crate::service::api::{state_word, twin_reply, word};
use crate::service::keeper::{KeptTwin, LastTurn};
use crate::service::state::Service;
use twinscale_protocol::{CustomerId, NodeNumber, ShardId, WireError, WireErrorCode};
use twinscale_supervision::{ChildState, Supervised};
use twinscale_twin::TwinState;

/// Twins that a tree names; more are counted.
const TREE_TWINS_MAX: usize = 200;

/// This node, as lines name it.
pub(super) struct Here<'a> {
    pub(super) service: &'a Service,
    pub(super) node: NodeNumber,
    pub(super) name: String,
    pub(super) shard_of: &'a (dyn Fn(&CustomerId) -> Option<ShardId> + Sync),
}

impl Here<'_> {
    /// Customers whose shard this node leads, in the order of their names.
    pub(super) fn customers(&self) -> Vec<CustomerId> {
        let mut customers = self.service.twins().customers();
        let authorities = self.service.node().authorities();
        customers.retain(|customer| authorities.of(customer).is_some());
        customers.sort_unstable();
        customers
    }

    /// The twin of a customer, where this node leads its shard.
    pub(super) fn line(&self, customer: &CustomerId) -> Option<TwinLine> {
        self.service.node().authorities().of(customer)?;
        let kept = self.service.keeper().find(customer);
        let twin = self.service.twins().find(customer)?;
        let shard = (self.shard_of)(customer)?;
        Some(twin.read(|state| self.line_of(state, shard, kept.as_deref())))
    }

    fn line_of(&self, state: &TwinState, shard: ShardId, kept: Option<&KeptTwin>) -> TwinLine {
        let vms = &state.observed().vms;
        let serving = vms.iter().filter(|vm| vm.serving_since.is_some()).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let is_running = kept.is_some_and(|kept| kept.child().0 == ChildState::Running);
        TwinLine {
            customer: state.customer().clone(),
            shard,
            node: self.node,
            node_name: self.name.clone(),
            state: state_word(state, is_running),
            mode: state.config().map(|config| word(config.policy.mode)),
            plan: state.target_plan().map(|plan| plan.number.0),
            serving: count(serving),
            starting: count(vms.len().saturating_sub(serving)),
            last_turn: kept.and_then(KeptTwin::last_turn).map(last_turn),
            restarts: kept.map_or(0, |kept| kept.child().1),
        }
    }

    /// The twin of a customer at length.
    pub(super) fn shown(&self, customer: &CustomerId) -> Result<Option<TwinShown>, WireError> {
        let Some(line) = self.line(customer) else {
            return Ok(None);
        };
        let kept = self.service.keeper().find(customer);
        let Some(twin) = self.service.twins().find(customer) else {
            return Ok(None);
        };
        let reply = twin.read(|state| twin_reply(state, kept.as_deref()));
        let json = serde_json::to_string(&reply)
            .map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))?;
        Ok(Some(TwinShown { line, json }))
    }

    /// All actors.
    pub(super) fn tree(&self) -> NodeActors {
        let driven: Vec<CustomerId> = self
            .customers()
            .into_iter()
            .filter(|customer| self.service.keeper().find(customer).is_some())
            .collect();
        let shared = [
            ActorName::Forecaster,
            ActorName::Optimizer,
            ActorName::Provisioner,
        ];
        let shown = driven.iter().take(TREE_TWINS_MAX).cloned();
        let names = shared.into_iter().chain(shown.map(ActorName::Twin));
        let actors: Vec<ActorLine> = names.filter_map(|name| self.actor(&name)).collect();
        let left_out = driven.len().saturating_sub(TREE_TWINS_MAX);
        NodeActors {
            node: self.node,
            name: self.name.clone(),
            actors,
            twins: driven.len() as u64,
            twins_left_out: left_out as u64,
        }
    }

    /// One actor; `None` for a twin that is not driven here.
    pub(super) fn actor(&self, name: &ActorName) -> Option<ActorLine> {
        let node = self.service.node();
        Some(match name {
            ActorName::Forecaster => {
                let line = actor_line(name, node.forecaster(), SHARED_MAILBOX);
                ActorLine {
                    reason: forecaster_note(node.forecasters()).or(line.reason),
                    ..line
                }
            }
            ActorName::Optimizer => actor_line(name, node.optimizer(), SHARED_MAILBOX),
            ActorName::Provisioner => actor_line(name, node.provisioner(), SHARED_MAILBOX),
            ActorName::Twin(customer) => {
                let kept = self.service.keeper().find(customer)?;
                actor_line(name, kept.actor(), TWIN_MAILBOX)
            }
        })
    }
}

/// Why the forecaster of a node does not forecast, and what becomes of its twins.
fn forecaster_note(forecasters: &Forecasters) -> Option<String> {
    let reason = forecasters.unfit()?;
    if !forecasters.may_borrow() {
        return Some(reason);
    }
    let BorrowCounts { borrowed, in_vain } = forecasters.counts();
    Some(format!(
        "{reason}; twins borrow from other nodes: {borrowed} forecasts so far, {in_vain} rounds in vain"
    ))
}

/// How an actor is.
pub(super) fn actor_line<M: Send + 'static>(
    name: &ActorName,
    child: &Supervised<M>,
    mailbox_max: usize,
) -> ActorLine {
    let report = child.report().borrow().clone();
    let paused = child.paused_for();
    let (state, reason) = match report.state {
        ChildState::Running if paused.is_some() => (ActorState::Paused, None),
        ChildState::Running => (ActorState::Running, None),
        ChildState::Restarting { reason } => (ActorState::Restarting, Some(reason)),
        ChildState::GivenUp { reason } => (ActorState::GivenUp, Some(reason)),
    };
    let mailbox = child.address().current();
    ActorLine {
        actor: name.to_string(),
        state,
        reason,
        incarnation: mailbox
            .as_ref()
            .map(|mailbox| mailbox.actor_id().to_string()),
        restarts: report.restarts,
        mailbox: mailbox.map_or(0, |mailbox| mailbox.depth()) as u64,
        mailbox_max: mailbox_max as u64,
        paused_for_ms: paused.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn last_turn(turn: LastTurn) -> LastTurnLine {
    let (stale, failures) = match turn.outcome {
        Ok(summary) => (summary.stale, summary.failures),
        Err(error) => (true, vec![error]),
    };
    LastTurnLine {
        at: turn.at.0,
        took_ms: u64::try_from(turn.took.as_millis()).unwrap_or(u64::MAX),
        stale,
        failures,
    }
}
