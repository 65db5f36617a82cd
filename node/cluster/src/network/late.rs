//! Answers of parts that are started after the node.

use super::dispatch::Answer;
use futures::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, OnceLock};
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope};

/// Answers through a part that is started after the node; until then callers are told to come back.
#[derive(Default)]
pub struct LateAnswer(OnceLock<Arc<dyn Answer>>);

impl fmt::Debug for LateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateAnswer")
            .field("is_set", &self.0.get().is_some())
            .finish()
    }
}

impl LateAnswer {
    /// Has the part answer from now on; returns whether it is the first.
    pub fn set(&self, answer: Arc<dyn Answer>) -> bool {
        self.0.set(answer).is_ok()
    }
}

impl Answer for LateAnswer {
    fn answer(
        &self,
        node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        match self.0.get() {
            Some(answer) => answer.answer(node, call),
            None => Box::pin(std::future::ready(Err(WireError::new(
                WireErrorCode::Unavailable,
                "this node is starting: ask again, or another node",
            )))),
        }
    }
}
