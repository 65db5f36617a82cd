//! Each datagram is accepted at most once, in whatever order datagrams arrive.
//!
//! Invariant: a session's counter is accepted once; what lies too far behind to tell is refused; a session
//! is forgotten only when its datagrams are too old to be accepted by their time.

use std::collections::BTreeMap;

use crate::ids::{Incarnation, MemberId};
use crate::limits::{REPLAY_WINDOW, SESSIONS_MAX};

const WORD_BITS: u64 = 64;
const WORDS: usize = 16;
const _: () = assert!(WORDS as u64 * WORD_BITS == REPLAY_WINDOW);

/// Which counters of one session were seen: the newest, and a bit for each of those just behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    newest: u64,
    /// Bit `counter % REPLAY_WINDOW` stands for the one counter in the window with that remainder.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(crate) const fn new() -> Self {
        Self {
            newest: 0,
            seen: [0; WORDS],
        }
    }

    /// Accepts a counter unless it was accepted before or lies behind the window. Counters start at 1.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        if counter == 0 {
            return false;
        }
        if counter > self.newest {
            self.advance_to(counter);
        } else if self.newest - counter >= REPLAY_WINDOW {
            return false;
        }
        self.mark(counter)
    }

    fn advance_to(&mut self, counter: u64) {
        if counter - self.newest >= REPLAY_WINDOW {
            self.seen = [0; WORDS];
        } else {
            for between in self.newest + 1..=counter {
                let (word, bit) = place(between);
                if let Some(word) = self.seen.get_mut(word) {
                    *word &= !bit;
                }
            }
        }
        self.newest = counter;
    }

    /// Sets a counter's bit; false when it was set.
    fn mark(&mut self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        let Some(word) = self.seen.get_mut(word) else {
            return false;
        };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }
}

fn place(counter: u64) -> (usize, u64) {
    let bit = counter % REPLAY_WINDOW;
    let word = usize::try_from(bit / WORD_BITS).unwrap_or(usize::MAX);
    (word, 1 << (bit % WORD_BITS))
}

/// One life of a sender's transport. The salt is random, so two processes that share a member id and an
/// incarnation by mistake are still two sessions, and get reported as a duplicate rather than half heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Session {
    pub(crate) member: MemberId,
    pub(crate) incarnation: Incarnation,
    pub(crate) salt: [u8; 16],
}

/// What the guard says of an authentic datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Accepted,
    Replayed,
    TooManySessions,
}

#[derive(Debug)]
struct Tracked {
    window: ReplayWindow,
    /// What was forgotten when this window began: the session may have been among it, so what is not
    /// younger may have been accepted before.
    forgotten_until_ms: u64,
    last_received_ms: u64,
    newest_sent_at_ms: u64,
}

/// The windows of all senders.
#[derive(Debug)]
pub(crate) struct ReplayGuard {
    own: Session,
    sessions: BTreeMap<Session, Tracked>,
    keep_for_ms: u64,
    /// A session that is not known and whose datagram is not younger than this may be one that was
    /// forgotten. It matters only after the own clock went back.
    forgotten_until_ms: u64,
}

impl ReplayGuard {
    /// A guard for the receiver with session `own`, whose datagrams are accepted up to `clock_bound_ms` off.
    pub(crate) fn new(own: Session, clock_bound_ms: u64) -> Self {
        Self {
            own,
            sessions: BTreeMap::new(),
            keep_for_ms: clock_bound_ms.saturating_mul(2),
            forgotten_until_ms: 0,
        }
    }

    /// Judges a datagram whose authenticity and time were checked.
    pub(crate) fn judge(
        &mut self,
        session: Session,
        counter: u64,
        sent_at_ms: u64,
        now_ms: u64,
    ) -> Judgement {
        // Our own datagram, sent back to us.
        if session == self.own {
            return Judgement::Replayed;
        }
        if !self.sessions.contains_key(&session)
            && let Some(refused) = self.admit(session, sent_at_ms, now_ms)
        {
            return refused;
        }
        let Some(tracked) = self.sessions.get_mut(&session) else {
            return Judgement::TooManySessions;
        };
        if sent_at_ms <= tracked.forgotten_until_ms || !tracked.window.accept(counter) {
            return Judgement::Replayed;
        }
        tracked.last_received_ms = tracked.last_received_ms.max(now_ms);
        tracked.newest_sent_at_ms = tracked.newest_sent_at_ms.max(sent_at_ms);
        Judgement::Accepted
    }

    fn admit(&mut self, session: Session, sent_at_ms: u64, now_ms: u64) -> Option<Judgement> {
        if self.sessions.len() >= SESSIONS_MAX {
            self.forget_stale(now_ms);
        }
        if sent_at_ms <= self.forgotten_until_ms {
            return Some(Judgement::Replayed);
        }
        if self.sessions.len() >= SESSIONS_MAX {
            return Some(Judgement::TooManySessions);
        }
        let tracked = Tracked {
            window: ReplayWindow::new(),
            forgotten_until_ms: self.forgotten_until_ms,
            last_received_ms: now_ms,
            newest_sent_at_ms: sent_at_ms,
        };
        self.sessions.insert(session, tracked);
        None
    }

    fn forget_stale(&mut self, now_ms: u64) {
        let keep_for_ms = self.keep_for_ms;
        let mut forgotten_until_ms = self.forgotten_until_ms;
        self.sessions.retain(|_, tracked| {
            let keep = now_ms.saturating_sub(tracked.last_received_ms) <= keep_for_ms;
            if !keep {
                forgotten_until_ms = forgotten_until_ms.max(tracked.newest_sent_at_ms);
            }
            keep
        });
        self.forgotten_until_ms = forgotten_until_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn session(member: u64) -> Session {
        Session {
            member: MemberId(member),
            incarnation: Incarnation(1),
            salt: [3; 16],
        }
    }

    /// Counters as a network would deliver them: mostly near each other, repeated, now and then far off.
    fn counters() -> impl Strategy<Value = Vec<u64>> {
        let near = 1..3 * REPLAY_WINDOW;
        let far = prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), 1..u64::MAX];
        proptest::collection::vec(prop_oneof![9 => near, 1 => far], 0..3_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Against a plain model: a set of all that was accepted, and the newest.
        #[test]
        fn a_counter_is_accepted_at_most_once_and_just_when_the_window_allows(counters in counters()) {
            let mut window = ReplayWindow::new();
            let mut accepted = BTreeSet::new();
            let mut newest = 0;
            for counter in counters {
                let in_window = counter > newest || newest - counter < REPLAY_WINDOW;
                let expected = counter > 0 && in_window && !accepted.contains(&counter);
                prop_assert_eq!(window.accept(counter), expected, "counter {} after {}", counter, newest);
                if expected {
                    accepted.insert(counter);
                    newest = newest.max(counter);
                }
            }
        }

        /// Whatever arrives, from whom, with which times, and whatever the guard forgets.
        #[test]
        fn a_guard_accepts_each_datagram_at_most_once(
            deliveries in proptest::collection::vec((0..6_u64, 1..40_u64, 0..1_000_u64), 0..500),
        ) {
            let mut guard = ReplayGuard::new(session(99), 50);
            let mut accepted = BTreeSet::new();
            for (member, counter, now_ms) in deliveries {
                // A sender's clock and counter rise together; the receiver's clock jumps about.
                let judgement = guard.judge(session(member), counter, 1_000 + counter, now_ms);
                if now_ms % 7 == 0 {
                    guard.forget_stale(now_ms);
                }
                if judgement == Judgement::Accepted {
                    prop_assert!(accepted.insert((member, counter)), "{member}: {counter} twice");
                }
            }
        }
    }

    #[test]
    fn the_window_has_exactly_its_bounds() {
        let mut window = ReplayWindow::new();
        let newest = 10 * REPLAY_WINDOW;
        assert!(window.accept(newest));
        assert!(window.accept(newest - REPLAY_WINDOW + 1), "the last inside");
        assert!(!window.accept(newest - REPLAY_WINDOW), "the first outside");
        assert!(!window.accept(newest), "again");
        assert!(
            window.accept(newest + REPLAY_WINDOW),
            "a leap clears the window"
        );
        assert!(!window.accept(newest), "behind it now");
        assert!(window.accept(newest + 1));
    }

    /// Found by the property above: a session that comes back after it was forgotten has an empty window.
    #[test]
    fn a_session_that_was_forgotten_and_came_back_takes_no_datagram_of_its_past() {
        let mut guard = ReplayGuard::new(session(99), 50);
        assert_eq!(guard.judge(session(1), 22, 1_022, 10), Judgement::Accepted);
        guard.forget_stale(900);
        assert_eq!(guard.judge(session(1), 40, 1_040, 10), Judgement::Accepted);
        assert_eq!(guard.judge(session(1), 22, 1_022, 10), Judgement::Replayed);
    }

    #[test]
    fn a_reflected_datagram_is_a_replay() {
        let mut guard = ReplayGuard::new(session(1), 1_000);
        assert_eq!(guard.judge(session(1), 7, 0, 0), Judgement::Replayed);
    }

    #[test]
    fn sessions_are_bounded_and_stale_ones_make_room() {
        let mut guard = ReplayGuard::new(session(u64::MAX), 1_000);
        for member in 0..SESSIONS_MAX as u64 {
            assert_eq!(guard.judge(session(member), 1, 10, 10), Judgement::Accepted);
        }
        let one_more = session(SESSIONS_MAX as u64);
        assert_eq!(
            guard.judge(one_more, 1, 2_010, 2_010),
            Judgement::TooManySessions
        );
        assert_eq!(
            guard.judge(session(0), 2, 2_010, 2_010),
            Judgement::Accepted
        );
        assert_eq!(guard.judge(one_more, 1, 2_011, 2_011), Judgement::Accepted);
        assert_eq!(
            guard.sessions.len(),
            2,
            "the one heard lately, and the new one"
        );
        assert_eq!(
            guard.judge(session(5), 1, 10, 10),
            Judgement::Replayed,
            "forgotten, not fresh"
        );
    }
}
