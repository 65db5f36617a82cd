//! What this node shows of its own twins and actors.

use super::message::{
    ActorLine, ActorName, ActorState, LastTurnLine, NodeActors, TwinLine, TwinShown,
};
use crate::assembly::{SHARED_MAILBOX, TWIN_MAILBOX};
use crate::clients::{BorrowCounts, Forecasters};
use crate::service::api::{state_word, twin_reply, word};
use crate::service::keeper::{Glance, LastTurn};
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
        let glance = self.service.keeper().glance(customer);
        let twin = self.service.twins().peek(customer)?;
        let shard = (self.shard_of)(customer)?;
        Some(twin.read(|state| self.line_of(state, shard, glance)))
    }

    fn line_of(&self, state: &TwinState, shard: ShardId, glance: Option<Glance>) -> TwinLine {
        let vms = &state.observed().vms;
        let serving = vms.iter().filter(|vm| vm.serving_since.is_some()).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let is_driven = glance.as_ref().is_some_and(|glance| glance.is_driven);
        TwinLine {
            customer: state.customer().clone(),
            shard,
            node: self.node,
            node_name: self.name.clone(),
            state: state_word(state, is_driven),
            mode: state.config().map(|config| word(config.policy.mode)),
            plan: state.target_plan().map(|plan| plan.number.0),
            serving: count(serving),
            starting: count(vms.len().saturating_sub(serving)),
            restarts: glance.as_ref().map_or(0, |glance| glance.restarts),
            last_turn: glance.and_then(|glance| glance.last_turn).map(last_turn),
        }
    }

    /// The twin of a customer at length.
    pub(super) fn shown(&self, customer: &CustomerId) -> Result<Option<TwinShown>, WireError> {
        let Some(line) = self.line(customer) else {
            return Ok(None);
        };
        let glance = self.service.keeper().glance(customer);
        let Some(twin) = self.service.twins().find(customer) else {
            return Ok(None);
        };
        let reply = twin.read(|state| twin_reply(state, glance.as_ref()));
        let json = serde_json::to_string(&reply)
            .map_err(|error| WireError::new(WireErrorCode::Internal, error.to_string()))?;
        Ok(Some(TwinShown { line, json }))
    }

    /// All actors; twins at rest have none and are counted with those that are left out.
    pub(super) fn tree(&self) -> NodeActors {
        let keeper = self.service.keeper();
        let mut kept = self.customers();
        kept.retain(|customer| keeper.keeps(customer));
        let twins = kept.len();
        let awake = |customer: &CustomerId| keeper.find(customer).is_some();
        let driven: Vec<CustomerId> = kept.into_iter().filter(awake).collect();
        let shared = [
            ActorName::Forecaster,
            ActorName::Optimizer,
            ActorName::Provisioner,
        ];
        let shown = driven.iter().take(TREE_TWINS_MAX).cloned();
        let names = shared.into_iter().chain(shown.map(ActorName::Twin));
        let actors: Vec<ActorLine> = names.filter_map(|name| self.actor(&name)).collect();
        let left_out = twins.saturating_sub(driven.len().min(TREE_TWINS_MAX));
        NodeActors {
            node: self.node,
            name: self.name.clone(),
            actors,
            twins: twins as u64,
            twins_left_out: left_out as u64,
        }
    }

    /// Wakes a twin whose actor is asked for; others run always.
    ///
    /// # Errors
    /// When its supervisor cannot be started.
    pub(super) async fn woken(&self, name: &ActorName) -> Result<(), WireError> {
        let ActorName::Twin(customer) = name else {
            return Ok(());
        };
        let woken = self.service.keeper().wake(customer).await;
        woken
            .map(drop)
            .map_err(|error| WireError::new(WireErrorCode::Unavailable, error.to_string()))
    }

    /// One actor; `None` for a twin that is not driven here, or rests: [`Here::woken`] comes first.
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
