//! Answers other nodes, operators and viewers.

use super::gather::Gather;
use super::local::LocalWeights;
use super::message::{
    PutCall, WEIGHTS_NODE, WEIGHTS_NODE_REPLY, WEIGHTS_PUT, WEIGHTS_PUT_REPLY, WEIGHTS_READ,
    WEIGHTS_READ_REPLY,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use twinscale_cluster::admin::{Asked, admit_person};
use twinscale_cluster::meta::MetaShown;
use twinscale_cluster::network::{Answer, answered, opened};
use twinscale_meta::stored::v2::SCHEMA;
use twinscale_protocol::{NodeNumber, WireError, WireErrorCode};
use twinscale_weights::{CHUNK_REPLY, CHUNK_REQUEST, ChunkCall, ChunkReply, FileName, Part};
use twinscale_wire::{Call, Envelope};

/// Gives files to other nodes.
#[derive(Debug)]
pub(super) struct ChunkAnswers {
    pub(super) local: Arc<LocalWeights>,
    pub(super) shown: Arc<MetaShown>,
}

impl ChunkAnswers {
    pub(super) async fn chunk(&self, call: ChunkCall) -> Result<ChunkReply, WireError> {
        let state = self.shown.state();
        let mut known = state.weights().known.iter();
        let known = known.find(|one| one.notice.digest == call.digest);
        let notice = known.map(|one| &one.notice).ok_or_else(|| {
            let text = "these weights are not registered, as far as this node knows";
            WireError::new(WireErrorCode::NotFound, text)
        })?;
        let name = FileName {
            id: notice.id.clone(),
            part: call.part,
            digest: match call.part {
                Part::Weights => notice.digest,
                Part::Card => notice.summary.digest,
            },
        };
        let (offset, is_first) = (call.offset, call.offset == 0);
        let length_at = move |total| (call.length_in(total), offset);
        let bytes = self.local.chunk(name, length_at, is_first).await?;
        Ok(ChunkReply { bytes })
    }
}

impl Answer for ChunkAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let reply = self.chunk(opened(&call, CHUNK_REQUEST)?).await?;
            answered(CHUNK_REPLY, &reply)
        })
    }
}

/// Takes files of operators.
#[derive(Debug)]
pub(super) struct PutAnswers {
    pub(super) local: Arc<LocalWeights>,
    pub(super) shown: Arc<MetaShown>,
}

impl Answer for PutAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked: Asked<PutCall> = opened(&call, WEIGHTS_PUT)?;
            admit_person(&call.caller, asked.by)?;
            let gate = self.shown.state().schema();
            if gate < SCHEMA {
                let text = format!(
                    "weights in service need schema {SCHEMA}, and the cluster's is {gate}: upgrade every node, \
                     then `twinscale schema raise`"
                );
                return Err(WireError::new(WireErrorCode::Conflict, text));
            }
            let reply = self.local.put(asked.request).await?;
            answered(WEIGHTS_PUT_REPLY, &reply)
        })
    }
}

/// Tells other nodes of this one.
#[derive(Debug)]
pub(super) struct NodeAnswers(pub(super) Gather);

impl Answer for NodeAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let () = opened(&call, WEIGHTS_NODE)?;
            answered(WEIGHTS_NODE_REPLY, &self.0.own())
        })
    }
}

/// Tells people of all nodes.
#[derive(Debug)]
pub(super) struct ReadAnswers(pub(super) Gather);

impl Answer for ReadAnswers {
    fn answer(
        &self,
        _node: Option<NodeNumber>,
        call: Call,
    ) -> BoxFuture<'_, Result<Envelope, WireError>> {
        Box::pin(async move {
            let asked: Asked<()> = opened(&call, WEIGHTS_READ)?;
            admit_person(&call.caller, asked.by)?;
            answered(WEIGHTS_READ_REPLY, &self.0.shown().await)
        })
    }
}
