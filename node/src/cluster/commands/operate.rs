//! Operations on the actors of this node.

use super::message::{ActorDone, ActorLine, ActorName, ActorOperation, ActorOrder};
use super::show::{Here, actor_line};
use crate::assembly::{SHARED_MAILBOX, TWIN_MAILBOX};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Mutex;
use twinscale_protocol::{AccountName, RequestId, WireError, WireErrorCode};
use twinscale_supervision::{ChildState, Supervised};

/// How long a new incarnation is waited for.
const RESTART_LIMIT: Duration = Duration::from_secs(10);

/// Orders whose answers are kept, so that a repetition does nothing.
const REMEMBERED_MAX: usize = 256;

/// Does operations, one after the other.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// The newest orders with their answers; held while one is carried out.
    done: Mutex<VecDeque<(RequestId, ActorDone)>>,
}

impl Operations {
    /// Does what is ordered, unless it was done already.
    pub(super) async fn run(
        &self,
        here: &Here<'_>,
        by: &AccountName,
        order: &ActorOrder,
    ) -> Result<ActorDone, WireError> {
        let mut done = self.done.lock().await;
        let known = done.iter().find(|(request, _)| *request == order.request);
        if let Some((_, answer)) = known {
            return Ok(answer.clone());
        }
        let ordered = operate(here, order).await;
        // Also what was not seen to end was begun, and is not begun twice.
        let answer = match ordered {
            Ok(Some((actor, before, note))) => ActorDone::Done {
                node: here.node,
                name: here.name.clone(),
                actor,
                before,
                note,
            },
            Ok(None) => return Ok(ActorDone::NotHere),
            Err(error) => return Err(error),
        };
        tracing::warn!(
            actor = %order.actor, operation = ?order.operation, by = by.as_str(),
            "an operator operated an actor"
        );
        if done.len() >= REMEMBERED_MAX {
            done.pop_front();
        }
        done.push_back((order.request, answer.clone()));
        Ok(answer)
    }
}

/// How an actor is afterwards, its incarnation before, and what came of it.
type Operated = (ActorLine, Option<String>, String);

async fn operate(here: &Here<'_>, order: &ActorOrder) -> Result<Option<Operated>, WireError> {
    let node = here.service.node();
    let name = &order.actor;
    here.woken(name).await?;
    let operation = order.operation;
    let shared = SHARED_MAILBOX;
    let operated = match name {
        ActorName::Forecaster => on(name, node.forecaster(), shared, operation).await,
        ActorName::Optimizer => on(name, node.optimizer(), shared, operation).await,
        ActorName::Provisioner => on(name, node.provisioner(), shared, operation).await,
        ActorName::Twin(customer) => {
            let Some(kept) = here.service.keeper().find(customer) else {
                return Ok(None);
            };
            on(name, kept.actor(), TWIN_MAILBOX, operation).await
        }
    };
    operated.map(Some)
}

async fn on<M: Send + 'static>(
    name: &ActorName,
    child: &Supervised<M>,
    mailbox_max: usize,
    operation: ActorOperation,
) -> Result<Operated, WireError> {
    let before = actor_line(name, child, mailbox_max);
    if let ChildState::GivenUp { reason } = child.report().borrow().state.clone() {
        return Err(WireError::new(
            WireErrorCode::Unavailable,
            format!(
                "{name} was given up ({reason}): nothing starts it again but a restart of the node"
            ),
        ));
    }
    let note = match operation {
        ActorOperation::Restart => {
            child.restart_child();
            again(child, before.restarts).await
        }
        ActorOperation::Kill => {
            child.kill_child();
            again(child, before.restarts).await
        }
        ActorOperation::Pause { seconds } => {
            let time = child.pause_child(Duration::from_secs(u64::from(seconds)));
            format!(
                "it takes no message for {} s, or until it is resumed",
                time.as_secs()
            )
        }
        ActorOperation::Resume if child.resume_child() => "it takes messages again".to_owned(),
        ActorOperation::Resume => "it was not paused".to_owned(),
    };
    let after = actor_line(name, child, mailbox_max);
    Ok((after, before.incarnation, note))
}

/// Waits for the next incarnation.
async fn again<M: Send + 'static>(child: &Supervised<M>, restarts: u64) -> String {
    let mut report = child.report();
    let runs =
        report.wait_for(|report| report.restarts > restarts && report.state == ChildState::Running);
    match tokio::time::timeout(RESTART_LIMIT, runs).await {
        Ok(Ok(_)) => "a new incarnation runs".to_owned(),
        Ok(Err(_ended)) => {
            "its supervisor has ended: the node stops, or drives it no more".to_owned()
        }
        Err(_late) => format!(
            "no new incarnation runs after {} s: a message may still be handled; kill ends it at once",
            RESTART_LIMIT.as_secs()
        ),
    }
}
