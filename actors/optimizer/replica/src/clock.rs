//! Real time: this crate measures, so it reads the clock; nothing that decides does.

use std::time::Instant;

/// Reads the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "response times of real processes are measured here"
)]
pub fn now() -> Instant {
    Instant::now()
}
