//! Each datagram is accepted at most once, in whatever order datagrams arrive.
//!
//! Invariant: a session's counter is accepted once; what lies too far behind to tell is refused; a session
//! is forgotten only when its datagrams are too old to be accepted by their time.

use std::collections::BTreeMap;
use twinscale_protocol::NodeNumber;

use crate::ids::Incarnation;
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
    pub(crate) member: NodeNumber,
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
mod tests;
