//! What stands between the network and gossip: authenticity, cluster, time and novelty of a datagram.
//!
//! Pure: keys, bytes and time are passed in.

use crate::refusal::{ClockReport, RefusalReason};
use crate::replay::{Judgement, ReplayGuard, Session};
use crate::ring::KeyRing;
use crate::seal::{ClusterBinding, open};

/// Admits authentic datagrams of this cluster, each once.
#[derive(Debug)]
pub(crate) struct Gate {
    cluster: ClusterBinding,
    guard: ReplayGuard,
    clock_bound_ms: u64,
}

/// A datagram that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) session: Session,
    pub(crate) message: Vec<u8>,
}

/// A datagram that may not; the clock is told only for authentic ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) clock: Option<ClockReport>,
}

impl From<RefusalReason> for Refused {
    fn from(reason: RefusalReason) -> Self {
        Self {
            reason,
            clock: None,
        }
    }
}

impl Gate {
    pub(crate) fn new(cluster: ClusterBinding, own: Session, clock_bound_ms: u64) -> Self {
        Self {
            cluster,
            guard: ReplayGuard::new(own, clock_bound_ms),
            clock_bound_ms,
        }
    }

    /// Admits a datagram, at most once.
    ///
    /// The clock is judged before novelty, so that a sender whose clock is off takes no room in the guard,
    /// and so that the guard may forget what is too old to be admitted.
    pub(crate) fn admit(
        &mut self,
        keys: &KeyRing,
        datagram: &[u8],
        now_ms: u64,
    ) -> Result<Admitted, Refused> {
        let opened = open(&self.cluster, keys, datagram)?;
        keys.note_opened(opened.key, now_ms);
        if opened.sent_at_ms.abs_diff(now_ms) > self.clock_bound_ms {
            return Err(Refused {
                reason: RefusalReason::Clock,
                clock: Some(ClockReport {
                    member: opened.session.member,
                    offset_ms: offset_ms(opened.sent_at_ms, now_ms),
                    last_unix_ms: now_ms,
                }),
            });
        }
        let judgement = self
            .guard
            .judge(opened.session, opened.counter, opened.sent_at_ms, now_ms);
        match judgement {
            Judgement::Accepted => Ok(Admitted {
                session: opened.session,
                message: opened.message,
            }),
            Judgement::Replayed => Err(RefusalReason::Replayed.into()),
            Judgement::TooManySessions => Err(RefusalReason::TooManySessions.into()),
        }
    }
}

fn offset_ms(theirs_ms: u64, ours_ms: u64) -> i64 {
    let size = i64::try_from(theirs_ms.abs_diff(ours_ms)).unwrap_or(i64::MAX);
    if theirs_ms < ours_ms { -size } else { size }
}
