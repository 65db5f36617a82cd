//! System time for latency figures; nothing in the log decides by it.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// A clock that never goes back, for measuring.
pub trait MonotonicClock: Debug + Send + Sync {
    /// Returns the time since some fixed moment.
    fn elapsed(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemMonotonicClock {
    origin: Instant,
}

impl SystemMonotonicClock {
    /// Starts a clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others get injected"
    )]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl MonotonicClock for SystemMonotonicClock {
    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
