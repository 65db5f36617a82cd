//! A bounded mailbox on top of ractor's unbounded one.
//!
//! A sender must hold a permit; the permit travels with the message and returns when the message has
//! been handled. The raw `ActorRef` never leaves this file, so nobody can go round the bound.

use crate::clock::{DomainClock, InFlight};
use crate::health::{ActorVitals, WaitingMark};
use ractor::{ActorId, ActorRef};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A message on its way, with what it holds until it is handled.
#[derive(Debug)]
pub struct Permitted<M> {
    /// The message.
    pub message: M,
    _permit: OwnedSemaphorePermit,
    _in_flight: InFlight,
    _waiting: Option<WaitingMark>,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// The mailbox is full; the caller sheds or waits.
    #[error("mailbox full: {capacity} messages wait; try again later")]
    Overloaded {
        /// The mailbox's bound, in messages.
        capacity: usize,
    },
    /// The actor has ended; ask its supervisor for the new one.
    #[error("actor stopped")]
    Stopped,
}

/// The only way to send to an actor.
#[derive(Debug)]
pub struct Mailbox<M: Send + 'static> {
    actor: ActorRef<Permitted<M>>,
    permits: Arc<Semaphore>,
    capacity: usize,
    clock: DomainClock,
    vitals: Option<Arc<ActorVitals>>,
}

impl<M: Send + 'static> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            permits: Arc::clone(&self.permits),
            capacity: self.capacity,
            clock: self.clock.clone(),
            vitals: self.vitals.clone(),
        }
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// Bounds an actor's mailbox to `capacity` messages.
    #[must_use]
    pub fn new(actor: ActorRef<Permitted<M>>, capacity: usize, clock: DomainClock) -> Self {
        Self {
            actor,
            permits: Arc::new(Semaphore::new(capacity)),
            capacity,
            clock,
            vitals: None,
        }
    }

    /// Counts its messages among those of one kind of actor.
    pub(crate) fn counted_by(mut self, vitals: Arc<ActorVitals>) -> Self {
        self.vitals = Some(vitals);
        self
    }

    /// Names the actor behind this mailbox; a restarted one has another id.
    pub fn actor_id(&self) -> ActorId {
        self.actor.get_id()
    }

    /// Counts the messages that wait or are being handled.
    pub fn depth(&self) -> usize {
        self.capacity
            .saturating_sub(self.permits.available_permits())
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// [`SendError::Overloaded`] when the mailbox is full, [`SendError::Stopped`] when the actor ended.
    pub fn try_send(&self, message: M) -> Result<(), SendError> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => self.deliver(message, permit),
            Err(_full) => {
                if let Some(vitals) = &self.vitals {
                    vitals.count_refused();
                }
                Err(SendError::Overloaded {
                    capacity: self.capacity,
                })
            }
        }
    }

    /// Waits for room, then sends: the back-pressure of a producer that may be slow.
    ///
    /// # Errors
    /// [`SendError::Stopped`] when the actor ended.
    pub async fn send(&self, message: M) -> Result<(), SendError> {
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => self.deliver(message, permit),
            Err(_closed) => Err(SendError::Stopped),
        }
    }

    /// Ends the actor at its next await, as a crash would.
    pub(crate) fn kill(&self) {
        self.actor.kill();
    }

    /// Ends the actor behind the message that it handles now.
    pub(crate) fn stop(&self, reason: &str) {
        self.actor.stop(Some(reason.to_owned()));
    }

    fn deliver(&self, message: M, permit: OwnedSemaphorePermit) -> Result<(), SendError> {
        let permitted = Permitted {
            message,
            _permit: permit,
            _in_flight: self.clock.begin(),
            _waiting: self.vitals.clone().map(ActorVitals::take),
        };
        self.actor
            .cast(permitted)
            .map_err(|_stopped| SendError::Stopped)
    }
}
