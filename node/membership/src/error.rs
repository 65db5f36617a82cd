//! What can go wrong, with value, place and remedy.

use std::io;
use std::net::SocketAddr;

use crate::limits::{LEADS_MAX, VALUE_BYTES_MAX};
use crate::view::Duplicate;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A time that must be positive is zero.
    #[error("{key} is zero; give a positive time")]
    Zero {
        /// The setting.
        key: &'static str,
    },
    /// The detector would suspect everyone at once, or no one.
    #[error("the phi threshold is {given}; use 1 to 100 (8 is usual)")]
    Phi {
        /// What was given, as text.
        given: String,
    },
    /// The address that others are told cannot be reached.
    #[error(
        "members would be told to reach this one at {0}, which is no address of a machine; set the advertised gossip address"
    )]
    Unreachable(SocketAddr),
}

/// Why membership did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Own documents cannot be told.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The socket cannot be opened.
    #[error("cannot open the gossip socket at {address}; free the address or choose another")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// chitchat did not start.
    #[error("gossip did not start: {0}")]
    Gossip(String),
}

/// Why something was not told to the others.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The text is too long.
    #[error("{key} has {bytes} bytes, but up to {VALUE_BYTES_MAX} can be told; tell less")]
    TooLarge {
        /// The document.
        key: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// Too many shards.
    #[error(
        "{count} led shards are too many to tell, up to {LEADS_MAX} fit; spread them over more nodes"
    )]
    TooManyLeads {
        /// How many were given.
        count: usize,
    },
    /// The identity breaks a rule.
    #[error("the identity cannot be told: {what}")]
    Identity {
        /// The rule.
        what: String,
    },
    /// It cannot be written as JSON.
    #[error("{key} cannot be written")]
    Encode {
        /// The document.
        key: &'static str,
        /// The writer's answer.
        #[source]
        source: serde_json::Error,
    },
    /// Whether the id is taken is not known yet.
    #[error(
        "it is not yet known whether another process has this node id; wait until the standing is clear"
    )]
    StandingUnknown,
    /// Another process has the id.
    #[error("this node refuses to serve: {0}")]
    Refused(Duplicate),
}

/// Why no salt was made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct EntropyError(pub(crate) String);
