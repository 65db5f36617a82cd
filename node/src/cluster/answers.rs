//! Answers other nodes: requests of the API and samples for shards that this node leads.

use super::forward::{Forwarder, HereAnswers, sealed};
use super::messages::{
    API_REPLY, API_REQUEST, ApiReply, INGEST_REPLY, INGEST_REQUEST, IngestAnswer,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use twinscale_cluster::network::Answer;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_wire::{Call, Envelope};

/// Answers requests of the API that other nodes send on.
pub(crate) struct ApiAnswers {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) here: Arc<dyn HereAnswers>,
}

/// Takes samples that other nodes send on.
pub(crate) struct IngestAnswers {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) here: Arc<dyn HereAnswers>,
}

impl Answer for ApiAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked = call.envelope.open(API_REQUEST);
            let asked = asked.map_err(|error| invalid(&error))?;
            let answered = self.forwarder.api_here(asked, &*self.here).await;
            sealed(API_REPLY, &ApiReply(answered))
        })
    }
}

impl Answer for IngestAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked = call.envelope.open(INGEST_REQUEST);
            let asked = asked.map_err(|error| invalid(&error))?;
            let answered = self.forwarder.ingest_here(asked, &*self.here).await;
            sealed(INGEST_REPLY, &IngestAnswer(answered))
        })
    }
}

fn invalid(error: &impl ToString) -> WireError {
    WireError::new(WireErrorCode::Invalid, error.to_string())
}
