//! Remembers that a forecaster failed, so that not every twin waits for it anew.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a failure keeps twins away: a hung job ends after minutes, a restart after seconds, and one
/// question in this time is what finding out costs.
const LASTS: Duration = Duration::from_secs(10);

/// What is known of the newest failure.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<Failed>>);

#[derive(Debug)]
struct Failed {
    reason: String,
    until: Instant,
}

impl Trouble {
    /// The newest failure, while it counts.
    pub(super) fn reason(&self) -> Option<String> {
        let failed = self.failed();
        failed.as_ref().map(|failed| failed.reason.clone())
    }

    /// Why it is not to be asked now. Once the failure is old, one asker finds out how it is, for which it has
    /// the time `probe`; the others stay away meanwhile.
    pub(super) fn keeps_away(&self, probe: Duration) -> Option<String> {
        let mut failed = self.failed();
        let failed = failed.as_mut()?;
        let now = Instant::now();
        if now < failed.until {
            return Some(failed.reason.clone());
        }
        failed.until = now + probe;
        None
    }

    pub(super) fn begin(&self, reason: &str) {
        *self.failed() = Some(Failed {
            reason: reason.to_owned(),
            until: Instant::now() + LASTS,
        });
    }

    pub(super) fn end(&self) {
        *self.failed() = None;
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_asker_finds_out_whether_it_is_over() {
        let trouble = Trouble::default();
        let probe = Duration::from_secs(15);
        assert_eq!(trouble.keeps_away(probe), None);
        trouble.begin("hung");
        assert_eq!(trouble.keeps_away(probe).as_deref(), Some("hung"));
        tokio::time::advance(LASTS).await;
        assert_eq!(trouble.keeps_away(probe), None, "it finds out");
        let other = trouble.keeps_away(probe);
        assert_eq!(other.as_deref(), Some("hung"), "and the others wait for it");
        tokio::time::advance(probe).await;
        assert_eq!(trouble.keeps_away(probe), None, "it never came back");
        trouble.end();
        assert_eq!((trouble.reason(), trouble.keeps_away(probe)), (None, None));
    }
}
