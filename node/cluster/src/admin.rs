//! What people ask of the cluster, and what is done about it.
//!
//! Any node takes any question or command of a person and sends it on to the node that leads group 0, with
//! the name of the person. Invariants: a command of a person is applied once, however often it is sent, since
//! it names what it changes from or finds it changed; who asked is kept in the audit of group 0. Not here: what
//! twins and actors of a node are asked, which is for the node that holds them.

mod answers;
mod ask;
mod command;
mod look;
mod message;
mod picture;
mod probe;
mod schema;
mod standing;
mod weights;
mod words;

pub(crate) use answers::{Admin, AdminParts, ProbeAnswers, ReadAnswers, WriteAnswers};
pub use ask::{AskError, ClusterClient, Tried};
pub use message::{
    Asked, CLUSTER_READ, CLUSTER_READ_REPLY, CLUSTER_WRITE, CLUSTER_WRITE_REPLY, MoveTask,
    NODE_PROBE, NODE_PROBE_REPLY, Outcome, ReadReply, ReadRequest, Routed, Standing, Task,
    WeightsOrder, WriteReply, WriteRequest, admit_person,
};
pub use picture::{
    AuditLine, AuditReply, Certificate, CertificateLevel, GroupHealth, Heard, MemberLine,
    MemberState, MemberWish, MembersReply, MetaPart, MoveLine, SchemaLine, SchemaReply, SeenBy,
    ShardLine, ShardsReply,
};
pub use probe::ProbeReply;
pub use weights::{
    DecisionLine, FiguresLine, TrialLine, WeightsLine, WeightsReply, weights_picture,
};
