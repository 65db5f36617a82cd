//! The groups and routers of a node joined to the wire.
//!
//! Nodes know each other by number in consensus and by name on the wire: the [`Directory`] joins the two.
//! Invariant: what a node asks is answered only when its certificate names a node of the directory.

mod calls;
mod directory;
mod dispatch;
mod late;
mod peers;
mod receive;

pub use calls::NodeCalls;
pub use directory::{Directory, NodePlace};
pub use dispatch::{Answer, Callers, Dispatch, answered, opened};
pub(crate) use dispatch::{invalid, sealed};
pub use late::LateAnswer;
pub use peers::WirePeers;
pub use receive::{ConsensusAnswers, ShardAnswers};
