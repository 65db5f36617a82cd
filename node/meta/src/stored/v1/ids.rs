//! Small types that commands and records share.

use crate::limits::SHARDS_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;
use twinscale_protocol::{Seconds, ShardId};

/// System time in milliseconds since the Unix epoch, as the proposer of a command read it. What is
/// stored keeps it and never asks a clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Tells whether at least `length` passed since `earlier`; clocks that went back count as no time.
    pub fn is_past(self, earlier: Self, length: Seconds) -> bool {
        self.0.saturating_sub(earlier.0) >= u64::from(length.0) * 1_000
    }

    /// Moves forward by a length of time.
    #[must_use]
    pub fn plus(self, length: Seconds) -> Self {
        Self(self.0.saturating_add(u64::from(length.0) * 1_000))
    }
}

/// The number of shards of a cluster: 1 to [`SHARDS_MAX`], fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ShardCount(u32);

impl ShardCount {
    /// Checks a number of shards; `None` when it is 0 or too large.
    pub fn new(count: u32) -> Option<Self> {
        (1..=SHARDS_MAX).contains(&count).then_some(Self(count))
    }

    /// Reads the number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ShardCount {
    type Error = String;
    fn try_from(count: u32) -> Result<Self, Self::Error> {
        Self::new(count).ok_or_else(|| format!("{count} shards: use 1 to {SHARDS_MAX}"))
    }
}

impl From<ShardCount> for u32 {
    fn from(count: ShardCount) -> Self {
        count.0
    }
}

/// The identity of a node's data directory, drawn when it was made. A wiped one has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskId(pub [u8; 16]);

/// A consensus group: group 0, or the group of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupId {
    /// Group 0, which keeps what this crate describes.
    Meta,
    /// The group of a shard.
    Shard(ShardId),
}

impl GroupId {
    /// The number by which consensus names the group: 0, and from 1 the shards.
    pub fn number(self) -> u64 {
        match self {
            Self::Meta => 0,
            Self::Shard(shard) => u64::from(shard.0) + 1,
        }
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta => f.write_str("group 0"),
            Self::Shard(shard) => write!(f, "shard {shard}"),
        }
    }
}
