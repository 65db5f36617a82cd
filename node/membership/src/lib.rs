//! Who is in the cluster, by gossip that only holders of the cluster key can read or write.
//!
//! chitchat spreads a few typed documents per member and judges who is alive; every datagram of it goes
//! through a sealed transport: encrypted and authenticated, bound to the cluster, accepted at most once.
//!
//! Invariants: nothing here owns anything, a leader hint is only a hint; bytes from the network never
//! panic and are counted by reason when refused; time, entropy and network are passed in
//! ([`Environment`]). Which node owns a shard is decided by consensus, elsewhere.

pub mod clock;
mod config;
mod datagrams;
mod error;
pub mod faults;
mod gate;
mod gossiped;
mod ids;
mod inspect;
mod key;
pub mod limits;
mod membership;
mod observer;
mod refusal;
mod replay;
mod ring;
mod roster;
mod seal;
mod start;
mod tracker;
mod transport;
mod view;

pub use clock::{SystemWallClock, WallClock};
pub use config::{Environment, MembershipConfig, SessionSalt};
pub use datagrams::{DatagramSocket, Datagrams, UdpDatagrams};
pub use error::{ConfigError, EntropyError, PublishError, StartError};
pub use gossiped::{Endpoint, EndpointError, Identity, Load, MemberState, SchemaRange};
pub use ids::Incarnation;
pub use key::{ClusterKey, KeyError, KeyId};
pub use membership::{LeaveReport, Membership};
pub use refusal::{ClockReport, RefusalReason, RefusalReport};
pub use ring::{KeyReport, KeyRing, KeyRingError, KeyState, SharedKeyRing};
pub use view::{
    Change, Duplicate, GossipState, LeaderHint, Liveness, Member, MembershipView, Standing,
};
