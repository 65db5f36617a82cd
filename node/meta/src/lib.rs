//! What the cluster agrees on, and the planner that moves replicas.
//!
//! Purpose: [`MetaState`] is what consensus group 0 keeps: who is a node, which node holds which shard,
//! settings, defaults, the schema gate, and the register of weights. [`next_step`] reads it and what was observed, and says what
//! to do next. Invariants: nothing here reads a clock, draws randomness or does IO, and stored numbers
//! are integers, so that each replica of the log comes to the same bytes. Not here: consensus itself,
//! the wire, and who carries the steps out.

pub mod limits;
mod placement;
mod shard_of;
mod state;
pub mod stored;

pub use placement::{
    Effect, GroupObserved, LearnerProgress, MoveProgress, NodeObserved, NodeProgress, Observed,
    Progress, Step, Wait, even_out, next_step, progress,
};
pub use shard_of::shard_of;
pub use state::{Applied, MetaState, Outcome, Refusal, RestoreError, id_of_digest};
pub use stored::v1::{
    Creation, GroupId, MetaCommand, MetaEntry, MoveReason, MoveStage, NodeFacts, NodeState,
    NodeWish, ShardCount, UnixMillis,
};
pub use stored::v2::{WeightsChoice, WeightsCommand};
