//! Times of trials, as they were.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn note(&mut self, time: Duration) {
        self.0.push(time);
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = |index: usize| sorted.get(index).map_or(0, Duration::as_millis);
        let last = sorted.len().saturating_sub(1);
        write!(
            f,
            "{} times, min {}, p50 {}, p90 {}, max {}",
            sorted.len(),
            at(0),
            at(last / 2),
            at(last * 9 / 10),
            at(last)
        )
    }
}
