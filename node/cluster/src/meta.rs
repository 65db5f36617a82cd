//! Consensus group 0 in running code.
//!
//! Group 0 keeps what the cluster agrees on ([`MetaMachine`], [`MetaWriter`]); its leader drives moves of
//! replicas ([`MetaDriver`]) by errands to nodes ([`Carrier`], [`Hands`]); each node keeps the replicas that
//! it was told to keep ([`ReplicaKeeper`]) and reports of them ([`Reporter`]), whose answers bring it the
//! state of group 0 ([`MetaShown`]). Invariant: what is planned rests on committed state and on reports, and
//! an errand that is late does no harm. Not here: the wire, and which move is wise (`twinscale-meta`).

mod carry;
mod driver;
mod errand;
mod error;
mod found;
mod hands;
mod heard;
mod keeper;
mod machine;
mod records;
mod replica;
mod report;
mod reporter;
mod reports;
mod shown;
mod writer;

pub use driver::{DriverParts, MetaDriver};
pub use errand::{
    Carrier, ERRAND_REPLY, ERRAND_REQUEST, Errand, ErrandRequest, decode_errand_reply,
    encode_errand_reply,
};
pub use error::MetaError;
pub use found::{FIRST_NODE, found_cluster};
pub use hands::Hands;
pub(crate) use heard::with_silent;
pub use heard::{Heard, HeardMembers};
pub use keeper::{KeeperError, KeeperParts, ReplicaKeeper};
pub use machine::MetaMachine;
pub use records::RecordsError;
pub(crate) use records::has_records;
pub use report::{LedGroup, MetaCopy, NODE_REPORT, NodeReport, REPORT_REPLY, ReportReply};
pub use reporter::{ReportDesk, ReportNetwork, Reporter};
pub use reports::Reports;
pub use shown::MetaShown;
pub use writer::MetaWriter;
