//! The wire from outside, over real sockets on loopback.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "tests fail by panic, wait on their own thread, and start tasks that they wait for"
)]

mod calls;
mod faults;
mod raw;
mod refusals;
mod rotation;
mod streams;
mod support;
