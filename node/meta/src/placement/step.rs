//! What the planner asks for.

use crate::stored::v1::{GroupId, MetaCommand};
use twinscale_protocol::NodeNumber;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Commit a command in group 0, as the planner.
    Propose(MetaCommand),
    /// Have an effect carried out; a repetition does no harm.
    Carry {
        /// On which group.
        group: GroupId,
        /// The number of the group's last move. A replica that is made keeps it as its own number.
        number: u64,
        /// What.
        effect: Effect,
    },
}

/// Something that the leader of a group, or a node, is asked to do.
///
/// The leader compares `at_membership` with the log index of its membership and refuses when they
/// differ: so a late or repeated effect of an older move changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The voters make empty replicas, and the group begins with them. A node that has the replica
    /// already, or has deleted it, does nothing.
    Found {
        /// The first voters.
        voters: Vec<NodeNumber>,
    },
    /// A voter that was not there when its group began makes its empty replica. A node that has one, or
    /// remembers one, does nothing: a replica that was lost may have voted.
    MakeReplica {
        /// The node.
        node: NodeNumber,
    },
    /// The nodes make empty replicas under the step's number, and the leader adds those that answered as
    /// learners. A node that still has a replica keeps its content and takes the newer number; one that
    /// deleted a replica up to this number refuses.
    AddLearners {
        /// The nodes.
        learners: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// The leader changes the voters in one joint change, or ends the one under way; voters that leave
    /// may stay as learners.
    ChangeVoters {
        /// The voters afterwards, ascending.
        voters: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// The leader removes learners.
    RemoveLearners {
        /// The nodes.
        learners: Vec<NodeNumber>,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// A replica that nobody names is deleted, in two parts. First the leader, if the node is no member,
    /// commits its membership once more: whatever still travels to make the node a member rests on an
    /// older one, and fails. Then the node deletes its replica, if the replica's own number is not above
    /// `made_up_to`, and remembers that number: a replica that was made again since stays, and a late
    /// effect makes none.
    DropReplica {
        /// The node.
        node: NodeNumber,
        /// The newest number that may be deleted.
        made_up_to: u64,
        /// The membership that it rests on.
        at_membership: u64,
    },
    /// The leader hands over.
    TransferLeader {
        /// The voter that leads next.
        to: NodeNumber,
    },
}
