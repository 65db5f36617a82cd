//! Deadlines of a search, the one place of this crate that reads the system clock.

use std::time::{Duration, Instant};

/// Share of a deadline that the search may plan to use; the rest is for its last generation being slower
/// than those before, and for the check of the winner.
const SEARCH_SHARE: f64 = 0.95;

/// Tells a search whether the next generation still fits a deadline.
#[derive(Debug)]
pub struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// Starts the clock.
    #[must_use]
    pub fn starting_now(limit: Duration) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a deadline is about system time; it truncates a search and decides nothing else"
        )]
        let started = Instant::now();
        Self { started, limit }
    }

    /// Whether `next` evaluations are likely to end in time, at the rate of the `used` ones before.
    pub fn may_start(&self, used: u64, next: u64) -> bool {
        let elapsed = self.started.elapsed();
        if used == 0 {
            return elapsed < self.limit;
        }
        let rate = elapsed.as_secs_f64() / used as f64;
        elapsed.as_secs_f64() + rate * next as f64 <= self.limit.as_secs_f64() * SEARCH_SHARE
    }

    /// System time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A share of a number of evaluations.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a u64"
)]
pub(crate) fn part(evaluations: u64, share: f64) -> u64 {
    (evaluations as f64 * share) as u64
}

/// Evaluations that fit a deadline on one core of a small server, by the size of the problem.
///
/// A plan made under a deadline is a function of this number (and of the generation at which a slow
/// machine cut it short), neither of the machine's speed nor of the threads. Measured: an evaluation
/// takes about 0.4 us and 2.5 ns per step of the horizon.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
pub fn evaluations_within(limit: Duration, steps: usize) -> u64 {
    let each = 0.4e-6 + 2.5e-9 * steps as f64;
    (limit.as_secs_f64() / each).clamp(1.0, 1e12) as u64
}
