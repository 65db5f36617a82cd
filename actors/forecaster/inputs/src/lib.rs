//! What a customer's systems emit, turned into samples and events that its twin stores.
//!
//! [`logs`] reads application logs and counts their lines by severity and by mined template ([`templates`]);
//! [`activity`] counts the active users of a service without keeping who they are; [`calendar`] reads
//! iCalendar files as events; [`samples`] cleans usage samples before they become commands. What comes out are
//! [`twinscale_protocol::Sample`]s and [`twinscale_protocol::Event`]s; whose they are is the caller's to say.
//!
//! Invariants: no clock, no disk, no network, no runtime; the same input, time and secret give the same output on
//! every node. Bytes from outside never panic and never fail a whole file: what cannot be read is counted by its
//! reason, with the *shape* of the first example ([`fault`]), never with its text. Everything that grows has a limit
//! with a name. State that must outlive a process is sealed in the protocol's envelope (kinds 0x0900 to 0x09ff).

pub mod activity;
pub mod calendar;
pub mod fault;
pub mod lines;
pub mod logs;
pub mod samples;
pub mod templates;
pub mod windows;

mod moment;
mod sealed;
mod secret;

pub use sealed::StateError;
pub use secret::InputSecret;
