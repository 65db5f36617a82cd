//! Where an actor is found, whichever incarnation of it runs at the moment.

use crate::mailbox::{Mailbox, SendError};
use ractor::ActorId;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Where an answer goes.
pub type ReplyTo<R> = oneshot::Sender<R>;

/// Gives an answer whose asker may be gone.
pub fn answer<R>(reply_to: ReplyTo<R>, reply: R) {
    // Nobody waits any more: the answer has no other use.
    drop(reply_to.send(reply));
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AskError {
    /// No answer within the limit.
    #[error("{name} did not answer within {limit:?}")]
    Timeout {
        /// Who was asked.
        name: String,
        /// The limit.
        limit: Duration,
    },
    /// Its mailbox is full.
    #[error("{name} is overloaded: {capacity} messages wait; try again later")]
    Overloaded {
        /// Who was asked.
        name: String,
        /// The mailbox's bound, in messages.
        capacity: usize,
    },
    /// Its supervisor gave up or was stopped.
    #[error("{name} is gone: its supervisor has ended")]
    Gone {
        /// Who was asked.
        name: String,
    },
}

/// The address of a supervised actor; it stays the same over restarts.
#[derive(Debug)]
pub struct Address<M: Send + 'static> {
    name: String,
    current: watch::Receiver<Option<Mailbox<M>>>,
}

impl<M: Send + 'static> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            current: self.current.clone(),
        }
    }
}

impl<M: Send + 'static> Address<M> {
    pub(crate) fn new(name: String, current: watch::Receiver<Option<Mailbox<M>>>) -> Self {
        Self { name, current }
    }

    /// Reads the actor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds the mailbox of the incarnation that runs now; `None` while it is down.
    pub fn current(&self) -> Option<Mailbox<M>> {
        self.current.borrow().clone()
    }

    /// Waits until an incarnation runs.
    ///
    /// # Errors
    /// [`AskError::Timeout`] and [`AskError::Gone`].
    pub async fn running(&self, limit: Duration) -> Result<Mailbox<M>, AskError> {
        self.other_than(None, Instant::now() + limit, limit).await
    }

    /// Asks and waits for the answer; when the actor ends in between, asks its next incarnation, until
    /// the limit of system time is over. So what is asked must be safe to ask twice. An actor that drops
    /// a reply without ending is waited for until the limit.
    ///
    /// # Errors
    /// [`AskError`]; `Overloaded` at once when the mailbox is full.
    pub async fn ask<R, F>(&self, limit: Duration, request: F) -> Result<R, AskError>
    where
        R: Send,
        F: Fn(ReplyTo<R>) -> M + Send + Sync,
    {
        let deadline = Instant::now() + limit;
        let mut ended = None;
        loop {
            let mailbox = self.other_than(ended, deadline, limit).await?;
            let (reply_to, reply) = oneshot::channel();
            match mailbox.try_send(request(reply_to)) {
                Ok(()) => match tokio::time::timeout_at(deadline, reply).await {
                    Ok(Ok(reply)) => return Ok(reply),
                    Ok(Err(_ended)) => ended = Some(mailbox.actor_id()),
                    Err(_late) => return Err(self.timeout(limit)),
                },
                Err(SendError::Stopped) => ended = Some(mailbox.actor_id()),
                Err(SendError::Overloaded { capacity }) => {
                    return Err(AskError::Overloaded {
                        name: self.name.clone(),
                        capacity,
                    });
                }
            }
        }
    }

    async fn other_than(
        &self,
        ended: Option<ActorId>,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Mailbox<M>, AskError> {
        let mut current = self.current.clone();
        let found = current.wait_for(|mailbox| {
            mailbox
                .as_ref()
                .is_some_and(|mailbox| Some(mailbox.actor_id()) != ended)
        });
        match tokio::time::timeout_at(deadline, found).await {
            Ok(Ok(mailbox)) => mailbox.clone().ok_or_else(|| AskError::Gone {
                name: self.name.clone(),
            }),
            Ok(Err(_closed)) => Err(AskError::Gone {
                name: self.name.clone(),
            }),
            Err(_late) => Err(self.timeout(limit)),
        }
    }

    fn timeout(&self, limit: Duration) -> AskError {
        AskError::Timeout {
            name: self.name.clone(),
            limit,
        }
    }
}
