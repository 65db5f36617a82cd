//! What the planner is shown. All of it is a report and may be late; nothing here owns anything.

use super::step::Effect;
use crate::stored::v1::{GroupId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::{NodeNumber, Seconds};

/// What was observed.
///
/// Two demands on the caller: it puts in no membership that was not committed, and what it shows of a
/// group never goes back to an older [`GroupObserved::membership_index`].
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The time now, by the clock that stamps the commands.
    pub now: UnixMillis,
    /// Nodes that were heard of.
    pub nodes: BTreeMap<NodeNumber, NodeObserved>,
    /// Groups that somebody reported of.
    pub groups: BTreeMap<GroupId, GroupObserved>,
    /// Effects under way, that have neither answered nor passed their deadline.
    pub busy: BTreeMap<GroupId, Effect>,
}

/// What was heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeObserved {
    /// Whether it is heard now.
    pub alive: bool,
    /// Whether it says that it is ready to serve.
    pub ready: bool,
    /// The start that was heard of.
    pub incarnation: u64,
    /// Since when it is heard, or not heard.
    pub since: UnixMillis,
    /// Its load in any one unit, such as twins; it decides between nodes with as many replicas.
    pub load: u64,
}

/// What the leader of a group reported, and who holds a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupObserved {
    /// The leader, when there is one.
    pub leader: Option<NodeNumber>,
    /// The log index of the committed membership: what effects compare with, so that a late one fails.
    pub membership_index: u64,
    /// Its voters: one set, or two during a joint change.
    pub voters: Vec<BTreeSet<NodeNumber>>,
    /// Its learners.
    pub learners: BTreeMap<NodeNumber, LearnerProgress>,
    /// Voters by how many entries they lag.
    pub lag: BTreeMap<NodeNumber, u64>,
    /// Nodes that say that they hold a replica.
    pub held_by: BTreeSet<NodeNumber>,
}

/// How far a learner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnerProgress {
    /// Log entries behind the leader.
    pub lag: u64,
    /// For how long neither its log nor its snapshot has grown.
    pub stalled_for: Seconds,
}
