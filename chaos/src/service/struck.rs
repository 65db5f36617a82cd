//! What striking actors of a daemon came to.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use serde::Serialize;
use twinscale::service::fault_port::{StrikeBlow, StrikeVictim};

use super::turns::{Follower, TurnTally, Window};
use super::verdict::millis;

/// Longest time without an acknowledgement that counts as going on: a busy machine pauses for a second.
const ACK_GAP_MS_MAX: u64 = 5_000;

/// By how much the turn of a twin that was not struck may be later than its step, in seconds.
const LATE_S_MAX: u64 = 5;

/// The strikes of one kind, with times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StruckKind {
    /// The kind of actor.
    pub victim: StrikeVictim,
    /// How it was struck.
    pub blow: StrikeBlow,
    /// How often.
    pub strikes: u64,
    /// Median until it was back: running under a new id, or after a job, done with the next one.
    pub back_p50_ms: u64,
    /// 99 of 100 were back within this time.
    pub back_p99_ms: u64,
    /// Longest time until it was back.
    pub back_max_ms: u64,
    /// Median until the next turn with nothing wanting, of the struck twin or of all twins.
    pub fresh_p50_ms: u64,
    /// 99 of 100 had it within this time.
    pub fresh_p99_ms: u64,
    /// Longest time until then.
    pub fresh_max_ms: u64,
}

/// What befell the actors of a daemon under load, and what others noticed of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorsUnderLoad {
    /// Actors that were struck and came back.
    pub strikes: u64,
    /// By kind and blow.
    pub kinds: Vec<StruckKind>,
    /// Longest time without an acknowledgement, in milliseconds.
    pub longest_ack_gap_ms: u64,
    /// The most that is allowed.
    pub ack_gap_ms_max: u64,
    /// Looks at which the node was not ready.
    pub unready: u64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// By how much a turn may be later than its step, in seconds, unless its own or a shared actor is down.
    pub late_s_max: u64,
    /// Turns while nobody was struck.
    pub quiet: TurnTally,
    /// Turns of the other twins while a twin was struck.
    pub beside: TurnTally,
    /// Turns of the struck twins.
    pub own: TurnTally,
    /// Turns while an actor was struck that all twins need.
    pub shared: TurnTally,
    /// Promises that did not hold.
    pub violations: Vec<String>,
}

/// The times after one strike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) back: Duration,
    pub(super) fresh: Duration,
}

/// The times by kind and blow.
pub(super) type Recoveries = BTreeMap<(StrikeVictim, StrikeBlow), Vec<Recovery>>;

impl ActorsUnderLoad {
    pub(super) fn of(
        recoveries: &Recoveries,
        follower: &Follower,
        windows: &[Window],
        interval_s: u32,
    ) -> Self {
        let tallies = follower.tally(windows, interval_s);
        let mut found = Self {
            strikes: recoveries.values().map(|times| times.len() as u64).sum(),
            kinds: recoveries.iter().map(kind).collect(),
            longest_ack_gap_ms: follower.longest_ack_gap_ms(),
            ack_gap_ms_max: ACK_GAP_MS_MAX,
            unready: follower.unready(),
            interval_s,
            late_s_max: LATE_S_MAX,
            quiet: tallies.quiet,
            beside: tallies.beside,
            own: tallies.own,
            shared: tallies.shared,
            violations: Vec::new(),
        };
        found.violations = found.broken();
        found
    }

    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.longest_ack_gap_ms > self.ack_gap_ms_max {
            broken.push(format!(
                "nothing was acknowledged for {} ms",
                self.longest_ack_gap_ms
            ));
        }
        if self.unready > 0 {
            broken.push(format!("the node was not ready at {} looks", self.unready));
        }
        for (name, tally) in [("nobody", self.quiet), ("another twin", self.beside)] {
            if tally.impaired > 0 {
                broken.push(format!(
                    "{} turns were stale or impaired while {name} was struck",
                    tally.impaired
                ));
            }
            if tally.longest_gap_s > u64::from(self.interval_s) + self.late_s_max {
                broken.push(format!(
                    "a twin had no turn for {} s while {name} was struck",
                    tally.longest_gap_s
                ));
            }
        }
        broken
    }

    pub(super) fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

fn kind(((victim, blow), times): (&(StrikeVictim, StrikeBlow), &Vec<Recovery>)) -> StruckKind {
    let sorted = |pick: fn(&Recovery) -> Duration| {
        let mut sorted: Vec<Duration> = times.iter().map(pick).collect();
        sorted.sort_unstable();
        sorted
    };
    let (back, fresh) = (sorted(|one| one.back), sorted(|one| one.fresh));
    StruckKind {
        victim: *victim,
        blow: *blow,
        strikes: times.len() as u64,
        back_p50_ms: percentile(&back, 50),
        back_p99_ms: percentile(&back, 99),
        back_max_ms: percentile(&back, 100),
        fresh_p50_ms: percentile(&fresh, 50),
        fresh_p99_ms: percentile(&fresh, 99),
        fresh_max_ms: percentile(&fresh, 100),
    }
}

/// The least of the sorted times that so many of a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().map_or(0, millis)
}

impl Display for ActorsUnderLoad {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "  {} actors struck and back; longest time without an acknowledgement {} ms",
            self.strikes, self.longest_ack_gap_ms
        )?;
        for kind in &self.kinds {
            write!(
                formatter,
                "\n  {:?} {:?}, {} times: back p50 {} ms, p99 {} ms, longest {} ms; fresh turn p50 {} ms, \
                 p99 {} ms, longest {} ms",
                kind.victim,
                kind.blow,
                kind.strikes,
                kind.back_p50_ms,
                kind.back_p99_ms,
                kind.back_max_ms,
                kind.fresh_p50_ms,
                kind.fresh_p99_ms,
                kind.fresh_max_ms
            )?;
        }
        for (name, tally) in [
            ("nobody was struck", self.quiet),
            ("another twin was struck", self.beside),
            ("the twin itself was struck", self.own),
            ("a shared actor was struck", self.shared),
        ] {
            write!(
                formatter,
                "\n  while {name}: {} turns, {} steps skipped, {} stale, {} impaired, longest gap {} s",
                tally.turns, tally.skipped, tally.stale, tally.impaired, tally.longest_gap_s
            )?;
        }
        for violation in &self.violations {
            write!(formatter, "\n  violated: {violation}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let sorted: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), 5);
        assert_eq!(percentile(&sorted, 99), 10);
        assert_eq!(percentile(&sorted, 100), 10);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn late_stale_and_silent_times_of_others_are_violations() {
        let sound = ActorsUnderLoad {
            strikes: 1,
            kinds: Vec::new(),
            longest_ack_gap_ms: ACK_GAP_MS_MAX,
            ack_gap_ms_max: ACK_GAP_MS_MAX,
            unready: 0,
            interval_s: 4,
            late_s_max: LATE_S_MAX,
            quiet: TurnTally::default(),
            beside: TurnTally {
                turns: 3,
                longest_gap_s: 9,
                ..TurnTally::default()
            },
            own: TurnTally::default(),
            shared: TurnTally {
                turns: 9,
                skipped: 3,
                stale: 2,
                impaired: 2,
                longest_gap_s: 60,
            },
            violations: Vec::new(),
        };
        assert_eq!(sound.broken(), [""; 0]);
        let mut broken = sound;
        broken.beside.longest_gap_s = 10;
        broken.quiet.impaired = 1;
        broken.longest_ack_gap_ms += 1;
        broken.unready = 2;
        assert_eq!(broken.broken().len(), 4);
    }
}
