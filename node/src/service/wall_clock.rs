//! The system's clock as domain time: passed in, so that tests choose the time.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};
use twinscale_protocol::DomainTime;

/// Says what time it is.
pub trait WallClock: Debug + Send + Sync {
    /// Seconds since 1970, UTC.
    fn now(&self) -> DomainTime;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is injected elsewhere"
    )]
    fn now(&self) -> DomainTime {
        // A clock before 1970 is as good as none.
        let passed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        DomainTime(i64::try_from(passed.as_secs()).unwrap_or(i64::MAX))
    }
}
