//! How actors of a node live: bounded mailboxes, supervisors with back-off, compute threads under a
//! watchdog, and domain time apart from system time.
//!
//! Invariants: a message is sent only by who holds a permit of the receiver's mailbox ([`mailbox`]);
//! domain time moves only when nothing is in flight ([`clock`]); a child that ended comes back under a
//! new actor id or its supervisor gives up and says so ([`supervisor`]). Nothing here knows a business
//! rule; the actors themselves live in their own crates.

pub mod address;
mod away;
pub mod clock;
pub mod compute;
pub mod health;
pub mod mailbox;
mod pause;
pub mod supervisor;
mod watched;

pub use address::{Address, AskError, ReplyTo, answer};
pub use away::{Away, ChildWatch};
pub use clock::{DomainClock, InFlight, WakeUp};
pub use compute::{ComputeError, ComputeThread, hang_thread};
pub use health::{Failure, FailureScope, Health, Oversight};
pub use mailbox::{Mailbox, Permitted, SendError};
pub use pause::PAUSE_MAX;
pub use supervisor::{ChildSpec, ChildState, RestartPolicy, Supervised, supervise};
