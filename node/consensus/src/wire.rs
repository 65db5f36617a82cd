//! What peers say to each other: an envelope around one request or reply.
//!
//! A changed message gets a new envelope kind; the golden bytes are in the tests.

use bytes::Bytes;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};
use twinscale_protocol::NodeNumber;
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};

use crate::ids::{ClusterTag, GroupId, LogPosition, StoredVote};
use crate::machine::AppliedMark;
use crate::types::{EntryRecord, TypeConfig};

pub(crate) const REQUEST: EnvelopeKind = EnvelopeKind(0x0700);
const REPLY: EnvelopeKind = EnvelopeKind(0x0701);

/// A request of one node to another for one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) cluster: ClusterTag,
    pub(crate) from: NodeNumber,
    pub(crate) to: NodeNumber,
    pub(crate) group: GroupId,
    pub(crate) body: RequestBody,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RequestBody {
    Append(AppendBody),
    Vote {
        vote: StoredVote,
        last: Option<LogPosition>,
    },
    Chunk(ChunkBody),
    /// Stand for election, once the log reaches this place.
    Elect {
        last: Option<LogPosition>,
    },
    /// Say whether you would vote for me, whose log ends here; it binds nobody.
    WouldVote {
        last: Option<LogPosition>,
    },
}

/// Entries, or none as a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppendBody {
    vote: StoredVote,
    previous: Option<LogPosition>,
    entries: Vec<EntryRecord>,
    committed: Option<LogPosition>,
}

/// A part of a snapshot file; the file has checksums of its own, and the envelope one of the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChunkBody {
    /// Tells the attempts of one sender apart.
    pub(crate) transfer: u64,
    pub(crate) vote: StoredVote,
    pub(crate) mark: AppliedMark,
    pub(crate) file_bytes: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Append(AppendReply),
    Vote {
        vote: StoredVote,
        is_granted: bool,
        last: Option<LogPosition>,
    },
    /// The receiver of a snapshot has this many bytes of it.
    ChunkWanted {
        offset: u64,
    },
    /// The snapshot was taken over, or the receiver knows a later leader.
    Installed {
        vote: StoredVote,
    },
    /// Whether the node stands for election.
    Elect {
        stands: bool,
    },
    Refused {
        reason: String,
    },
    /// Whether the node would vote for the one that asks.
    WouldVote {
        would: bool,
    },
}

/// The answer to entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendReply {
    Success,
    PartialSuccess(Option<LogPosition>),
    Conflict,
    HigherVote(StoredVote),
}

impl RequestBody {
    /// Who stands or leads with it: a node does so for itself alone.
    pub(crate) fn stands_for(&self) -> Option<NodeNumber> {
        match self {
            Self::Append(AppendBody { vote, .. })
            | Self::Vote { vote, .. }
            | Self::Chunk(ChunkBody { vote, .. }) => vote.of(),
            Self::Elect { .. } | Self::WouldVote { .. } => None,
        }
    }
}

impl AppendReply {
    /// Says that the sender leads no more, so that it is not the leader that was heard.
    pub(crate) fn is_of_later_leader(&self) -> bool {
        matches!(self, Self::HigherVote(_))
    }
}

impl Request {
    pub(crate) fn encode(&self) -> Result<Bytes, EnvelopeError> {
        envelope::seal(REQUEST, self).map(Bytes::from)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        envelope::open(REQUEST, bytes)
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Result<Bytes, EnvelopeError> {
        envelope::seal(REPLY, self).map(Bytes::from)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        envelope::open(REPLY, bytes)
    }

    pub(crate) fn refused(reason: impl ToString) -> Self {
        Self::Refused {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn of_append(
        outcome: Result<AppendEntriesResponse<NodeNumber>, RaftError<NodeNumber>>,
    ) -> Self {
        match outcome {
            Ok(AppendEntriesResponse::Success) => Self::Append(AppendReply::Success),
            Ok(AppendEntriesResponse::PartialSuccess(matching)) => {
                Self::Append(AppendReply::PartialSuccess(matching.map(Into::into)))
            }
            Ok(AppendEntriesResponse::Conflict) => Self::Append(AppendReply::Conflict),
            Ok(AppendEntriesResponse::HigherVote(vote)) => {
                Self::Append(AppendReply::HigherVote(vote.into()))
            }
            Err(error) => Self::refused(error),
        }
    }

    pub(crate) fn of_vote(
        outcome: Result<VoteResponse<NodeNumber>, RaftError<NodeNumber>>,
    ) -> Self {
        match outcome {
            Ok(response) => Self::Vote {
                vote: response.vote.into(),
                is_granted: response.vote_granted,
                last: response.last_log_id.map(Into::into),
            },
            Err(error) => Self::refused(error),
        }
    }
}

impl From<AppendReply> for AppendEntriesResponse<NodeNumber> {
    fn from(reply: AppendReply) -> Self {
        match reply {
            AppendReply::Success => Self::Success,
            AppendReply::PartialSuccess(matching) => Self::PartialSuccess(matching.map(Into::into)),
            AppendReply::Conflict => Self::Conflict,
            AppendReply::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

impl From<AppendEntriesRequest<TypeConfig>> for AppendBody {
    fn from(request: AppendEntriesRequest<TypeConfig>) -> Self {
        Self {
            vote: request.vote.into(),
            previous: request.prev_log_id.map(Into::into),
            entries: request.entries.iter().map(Into::into).collect(),
            committed: request.leader_commit.map(Into::into),
        }
    }
}

impl From<AppendBody> for AppendEntriesRequest<TypeConfig> {
    fn from(body: AppendBody) -> Self {
        Self {
            vote: body.vote.into(),
            prev_log_id: body.previous.map(Into::into),
            entries: body.entries.into_iter().map(Into::into).collect(),
            leader_commit: body.committed.map(Into::into),
        }
    }
}

impl From<VoteRequest<NodeNumber>> for RequestBody {
    fn from(request: VoteRequest<NodeNumber>) -> Self {
        Self::Vote {
            vote: request.vote.into(),
            last: request.last_log_id.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests;
