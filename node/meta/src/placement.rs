//! The planner: what to do next, from what group 0 keeps and what was observed.
//!
//! [`next_step`] is asked again and again by the leader of group 0, after each step and each
//! observation. It keeps nothing between two calls: a step that was lost is asked for again, one that
//! was repeated finds its work done. Invariants: a group has one move at a time, and each effect carries
//! what it rests on, so that one that comes late is refused. Not here: who carries steps out.

mod balance;
mod candidates;
mod choose;
mod drive;
mod even_out;
mod found;
mod leaders;
mod leftovers;
mod observed;
mod report;
mod step;
mod view;

pub use even_out::even_out;
pub use observed::{GroupObserved, LearnerProgress, NodeObserved, Observed};
pub use report::{MoveProgress, NodeProgress, Progress, Wait, progress};
pub use step::{Effect, Step};

use crate::state::MetaState;
use view::View;

/// Says what to do next; `None` = nothing until something changes.
///
/// Effects are asked for one group at a time: the caller puts the group among [`Observed::busy`] until
/// the effect has answered or its deadline passed, and asks again. Order: nodes that came or went, moves
/// under way, shards without a home, new moves, leaders, leftovers. Cost: one pass over the shard map.
pub fn next_step(state: &MetaState, observed: &Observed) -> Option<Step> {
    state.cluster()?;
    let view = View::new(state, observed);
    found::node_news(&view)
        .or_else(|| drive::step(&view))
        .or_else(|| found::step(&view))
        .or_else(|| leftovers::absent(&view))
        .or_else(|| choose::step(&view))
        .or_else(|| leaders::step(&view))
        .or_else(|| leftovers::step(&view))
        .or_else(|| found::farewell(&view))
}

#[cfg(test)]
mod tests;
