//! How far the cluster is from what is wanted, and what each move waits for.

use super::candidates::Candidates;
use super::choose::{at_limit, needs, plan};
use super::drive::drive;
use super::observed::Observed;
use super::view::View;
use crate::limits::WAITS_REPORTED_MAX;
use crate::state::MetaState;
use crate::stored::v1::{GroupId, Move, NodeState, NodeWish};
use std::fmt;
use twinscale_protocol::NodeNumber;

/// Why something does not go on yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing is left to do.
    NothingToDo,
    /// An effect is being carried out.
    Carrying,
    /// No leader reported of the group.
    NoReport,
    /// The group has no leader.
    NoLeader,
    /// Too few of the group's voters are heard and have a replica.
    NoMajority {
        /// Those that are not.
        unheard: Vec<NodeNumber>,
        /// Of how many.
        voters: usize,
    },
    /// A new replica copies.
    CatchingUp {
        /// Where.
        node: NodeNumber,
        /// Entries to go; the largest number while it is not known.
        lag: u64,
    },
    /// No serving node without a replica of the group can take one.
    NoCandidate,
    /// Enough moves go on at the same time.
    MovesAtOnce {
        /// The setting.
        limit: u16,
    },
    /// The next step can be taken.
    Ready,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToDo => f.write_str("nothing is left to do"),
            Self::Carrying => f.write_str("an effect is being carried out"),
            Self::NoReport => f.write_str("no node reports of the group: start its nodes"),
            Self::NoLeader => f.write_str("the group elects a leader"),
            Self::NoMajority { unheard, voters } => {
                let short = unheard.len();
                write!(
                    f,
                    "{short} of {voters} voters are not heard or have no replica: bring back one of"
                )?;
                unheard.iter().try_for_each(|node| write!(f, " {node}"))
            }
            Self::CatchingUp { node, lag } => write!(f, "node {node} copies, {lag} entries behind"),
            Self::NoCandidate => f.write_str("no serving node can take the replica: add a node"),
            Self::MovesAtOnce { limit } => {
                write!(
                    f,
                    "{limit} moves go on already: wait, or raise the setting moves at once"
                )
            }
            Self::Ready => f.write_str("the next step is due"),
        }
    }
}

/// A move under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    /// The group.
    pub group: GroupId,
    /// The move.
    pub one: Move,
    /// What it waits for.
    pub waits: Wait,
}

/// How far a node is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeProgress {
    /// The node.
    pub node: NodeNumber,
    /// Replicas that have left.
    pub done: u32,
    /// Replicas that it held at first.
    pub total: u32,
}

/// How far the cluster is from what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Moves that ended since the cluster exists.
    pub done: u64,
    /// Moves that ended, go on, or are still needed; what only makes things more even is not counted
    /// before it begins.
    pub total: u64,
    /// Moves under way.
    pub moves: Vec<MoveProgress>,
    /// Groups that need a move and why it has not begun; the first of them.
    pub waiting: Vec<(GroupId, Wait)>,
    /// Shards that have no group yet.
    pub unfounded: u32,
    /// Nodes that are being emptied.
    pub nodes: Vec<NodeProgress>,
}

/// Reports how far the cluster is from what is wanted.
pub fn progress(state: &MetaState, observed: &Observed) -> Progress {
    let view = View::new(state, observed);
    let under_way = state.groups().filter_map(|(group, record)| {
        let one = record.under_way.clone()?;
        let waits = drive(&view, group, record).err().unwrap_or(Wait::Ready);
        Some(MoveProgress { group, one, waits })
    });
    let moves: Vec<MoveProgress> = under_way.collect();
    let candidates = Candidates::new(&view);
    let needs = needs(&view);
    let limit = state.settings().moves_at_once;
    let full = at_limit(&view);
    let waiting = needs.iter().take(WAITS_REPORTED_MAX).map(|need| {
        let planned = plan(&view, &candidates, need.group, need.record, need.wanted);
        let wait = match planned {
            Err(wait) => wait,
            Ok(_) if full => Wait::MovesAtOnce { limit },
            Ok(_) => Wait::Ready,
        };
        (need.group, wait)
    });
    let waiting = waiting.collect();
    let (finished, rolled_back) = state.moves_ended();
    let done = finished.saturating_add(rolled_back);
    let open = u64::try_from(moves.len() + needs.len()).unwrap_or(u64::MAX);
    let unfounded = state.groups().filter(|(_, group)| !group.founded).count();
    Progress {
        done,
        total: done.saturating_add(open),
        moves,
        waiting,
        unfounded: u32::try_from(unfounded).unwrap_or(u32::MAX),
        nodes: emptied(state),
    }
}

fn emptied(state: &MetaState) -> Vec<NodeProgress> {
    let leaving = state
        .nodes()
        .iter()
        .filter(|node| node.wish != NodeWish::Serve && node.state != NodeState::Decommissioned);
    let progress = leaving.map(|record| {
        let node = record.number;
        let held = state.replicas_of(node);
        let total = record.held_at_first.max(held);
        NodeProgress {
            node,
            done: total - held,
            total,
        }
    });
    progress.collect()
}
