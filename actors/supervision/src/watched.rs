//! A child as its supervisor starts it: under a limit for each message, and with domain time held from
//! the moment its handler fails until the supervisor knows.
//!
//! A handler that panics drops what it held while it unwinds, and the supervisor hears of it a moment
//! later. Without a mark of its own for that moment, domain time could pass what the child must not miss.

use crate::clock::{DomainClock, InFlight};
use crate::health::ActorVitals;
use crate::pause::Pause;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where a handler that did not end well leaves its mark.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostMark(Arc<Mutex<Option<InFlight>>>);

impl LostMark {
    /// Lets go of a mark that was left, once the supervisor holds one or nothing is to be waited for.
    pub(crate) fn clear(&self) {
        drop(self.replace(None));
    }

    fn replace(&self, mark: Option<InFlight>) -> Option<InFlight> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, mark)
    }
}

/// What an incarnation is watched with.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) lost: LostMark,
    pub(crate) clock: DomainClock,
    pub(crate) message_limit: Duration,
    pub(crate) vitals: Arc<ActorVitals>,
    pub(crate) pause: Pause,
}

impl Watch {
    /// Runs a handler; one that fails, panics or is killed leaves its mark behind.
    async fn guard<F>(&self, handled: F) -> Result<(), ActorProcessingErr>
    where
        F: Future<Output = Result<(), ActorProcessingErr>> + Send,
    {
        let mut leaving = Leaving {
            mark: Some(self.clock.begin()),
            lost: self.lost.clone(),
        };
        let limit = self.message_limit;
        let result = match tokio::time::timeout(limit, handled).await {
            Ok(result) => result,
            Err(_elapsed) => {
                self.vitals.count_hung();
                Err(format!("a message took longer than {limit:?}").into())
            }
        };
        if result.is_ok() {
            leaving.mark = None;
        }
        result
    }
}

/// A child that is watched.
#[derive(Debug)]
pub(crate) struct Watched<C> {
    child: C,
    watch: Watch,
}

impl<C> Watched<C> {
    pub(crate) fn new(child: C, watch: Watch) -> Self {
        Self { child, watch }
    }
}

/// Leaves its mark where the supervisor finds it, also while a panic unwinds.
struct Leaving {
    mark: Option<InFlight>,
    lost: LostMark,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.take() {
            drop(self.lost.replace(Some(mark)));
        }
    }
}

impl<C: Actor> Actor for Watched<C> {
    type Msg = C::Msg;
    type State = C::State;
    type Arguments = C::Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        self.child.pre_start(myself, arguments).await
    }

    async fn post_start(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.child.post_start(myself, state).await
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Outside of the limit: an actor that is held is not hung.
        self.watch.pause.over().await;
        self.watch
            .guard(self.child.handle(myself, message, state))
            .await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.watch
            .guard(self.child.handle_supervisor_evt(myself, event, state))
            .await
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.child.post_stop(myself, state).await
    }
}
