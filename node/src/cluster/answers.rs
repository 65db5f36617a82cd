//! Answers other nodes: requests of the API and samples for shards that this node leads.

use super::forward::{Forwarder, HereAnswers, sealed};
use super::messages::{
    API_REPLY, API_REQUEST, ApiReply, INGEST_REPLY, INGEST_REQUEST, IngestAnswer,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use twinscale_cluster::network::{Answer, opened};
use twinscale_protocol::{NodeNumber, WireError};
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
            let asked = opened(&call, API_REQUEST)?;
            let reply = self.forwarder.api_here(asked, &*self.here).await;
            sealed(API_REPLY, &ApiReply(reply))
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
            let asked = opened(&call, INGEST_REQUEST)?;
            let reply = self.forwarder.ingest_here(asked, &*self.here).await;
            sealed(INGEST_REPLY, &IngestAnswer(reply))
        })
    }
}
