//! Twins sharded over consensus groups: who applies, who proposes, and who is asked.
//!
//! A customer belongs to one shard by a stable hash, a shard is one consensus group, and the group's leader
//! owns the shard's twins. [`ShardMachine`] applies what a group committed; [`ShardHost`] proposes on the
//! node that leads; [`Router`] takes any request on any node and finds the one that leads.
//!
//! Invariants: a command is answered once it is on the disks of a majority and applied; a command under a
//! request id takes effect once, however often it is sent; whatever waits has a bound. Not here: who holds
//! which shard, and what twins decide.

mod error;
mod host;
mod machine;
mod places;
mod reach;
mod request;
mod request_ids;
mod router;
mod twin_writer;
mod writer;

pub use error::ShardsError;
pub use host::{HostedShard, ShardHost};
pub use machine::ShardMachine;
pub use places::{Places, ShardNetwork};
pub use request::{
    SHARD_REQUEST, SHARD_RESPONSE, ShardAnswer, ShardRequest, decode_request, encode_answer,
};
pub use request_ids::RequestIds;
pub use router::{Router, RouterCounts, RouterOptions, of_wire};
pub use twin_writer::LeaderWriter;
pub use writer::{Proposal, ShardWriter, WriterOptions};

use twinscale_consensus::GroupId;
use twinscale_protocol::ShardId;

/// The group of a shard: group 0 is the cluster's own.
#[must_use]
pub fn group_of(shard: ShardId) -> GroupId {
    GroupId(shard.0.saturating_add(1))
}
