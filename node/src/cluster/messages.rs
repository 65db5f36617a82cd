//! What nodes ask each other on behalf of people and programs: requests of the API, and samples.

use crate::service::api::RefusalCode;
use serde::{Deserialize, Serialize};
use twinscale_protocol::envelope::EnvelopeKind;
use twinscale_protocol::twin::{IngestReply, IngestRequest};
use twinscale_protocol::{SeriesKey, ShardId, WireError};
use twinscale_shards::ShardsError;

/// An [`ApiCall`].
pub const API_REQUEST: EnvelopeKind = EnvelopeKind(0x0810);

/// An [`ApiReply`].
pub const API_REPLY: EnvelopeKind = EnvelopeKind(0x0811);

/// An [`IngestCall`].
pub const INGEST_REQUEST: EnvelopeKind = EnvelopeKind(0x0812);

/// An [`IngestAnswer`].
pub const INGEST_REPLY: EnvelopeKind = EnvelopeKind(0x0813);

/// A request of the HTTP API that another node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiCall {
    /// The shard that the answering node must lead; `None` = it answers for itself.
    pub shard: Option<ShardId>,
    /// The method, such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers that matter to the API.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body as the client sent it.
    pub body: Vec<u8>,
}

/// The answer to an [`ApiCall`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// The status line.
    pub status: u16,
    /// The headers that matter to the client.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer, or why there is none from this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiReply(pub Result<ApiAnswer, ShardsError>);

/// Samples of customers of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestCall {
    /// The shard that the answering node must lead.
    pub shard: ShardId,
    /// One per customer.
    pub requests: Vec<IngestRequest>,
}

/// What became of an [`IngestCall`], by customer in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestAnswer(pub Result<Vec<Taken>, ShardsError>);

/// What became of a customer's samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What the twin says; an error that may pass concerns all of them.
    pub outcome: Result<IngestReply, WireError>,
    /// Samples that bounds of the node keep out: of one series, or of all, with code and words.
    pub refused: Vec<(Option<SeriesKey>, RefusalCode, String)>,
}
