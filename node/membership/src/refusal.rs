//! What was refused, counted by reason, and whose clock is off.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use twinscale_protocol::NodeNumber;

use crate::limits::CLOCK_REPORTS_MAX;

/// Why a datagram was refused, or could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalReason {
    /// Longer than a datagram may be, or than it may be after decompression.
    TooLarge,
    /// No header of this protocol, or contents that chitchat would not write.
    Malformed,
    /// Of another cluster.
    OtherCluster,
    /// Under a key that the ring does not accept.
    UnknownKey,
    /// Under an accepted key's name, but not sealed with it: forged or damaged.
    Forged,
    /// Stamped too far from the own clock.
    Clock,
    /// Accepted before, or too far behind to tell.
    Replayed,
    /// From one sender's session too many.
    TooManySessions,
    /// Names more incarnations than gossip can keep.
    TooManyIncarnations,
    /// Own message that does not fit a datagram.
    OutgoingTooLarge,
    /// Own datagram that the system did not take.
    SendFailed,
}

impl RefusalReason {
    /// Every reason, in order.
    pub const ALL: [Self; 11] = [
        Self::TooLarge,
        Self::Malformed,
        Self::OtherCluster,
        Self::UnknownKey,
        Self::Forged,
        Self::Clock,
        Self::Replayed,
        Self::TooManySessions,
        Self::TooManyIncarnations,
        Self::OutgoingTooLarge,
        Self::SendFailed,
    ];

    /// Names the reason for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::OtherCluster => "other-cluster",
            Self::UnknownKey => "unknown-key",
            Self::Forged => "forged",
            Self::Clock => "clock",
            Self::Replayed => "replayed",
            Self::TooManySessions => "too-many-sessions",
            Self::TooManyIncarnations => "too-many-incarnations",
            Self::OutgoingTooLarge => "outgoing-too-large",
            Self::SendFailed => "send-failed",
        }
    }

    /// What helps, for people.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TooLarge | Self::Malformed => {
                "no member sends this: keep strangers off the port of gossip"
            }
            Self::OtherCluster => {
                "its sender is of another cluster: correct the seeds of one of the two"
            }
            Self::UnknownKey => {
                "its sender has a gossip key that this node lacks: give both the same file of keys"
            }
            Self::Forged => {
                "it was made without the key, or changed on its way: keep strangers off the port of gossip"
            }
            Self::Clock => "set the wrong clock of the two right, for instance with chrony",
            Self::Replayed => {
                "it came before: one now and then is the network's, many are a stranger's, whom to keep off the \
                 port of gossip"
            }
            Self::TooManySessions | Self::TooManyIncarnations => {
                "nodes are started again too often: look why, and wait until the old starts are forgotten"
            }
            Self::OutgoingTooLarge => "this node tells more than a datagram holds: report a defect",
            Self::SendFailed => "the system did not send it: look at this node's network",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member whose clock and ours differ too much; which of the two is wrong, an operator must tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReport {
    /// Whose datagrams are refused.
    pub member: NodeNumber,
    /// Its clock minus ours, in milliseconds.
    pub offset_ms: i64,
    /// When its last datagram came, by our clock, in milliseconds since 1970.
    pub last_unix_ms: u64,
}

impl fmt::Display for ClockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.offset_ms.unsigned_abs() / 1_000;
        let side = if self.offset_ms < 0 {
            "behind"
        } else {
            "ahead of"
        };
        write!(
            f,
            "the clock of node {} is {seconds} s {side} ours, so neither hears the other; set the wrong one right, for instance with chrony",
            self.member
        )
    }
}

/// What was refused since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalReport {
    /// How often, for every reason.
    pub counts: BTreeMap<RefusalReason, u64>,
    /// Members whose clocks are off.
    pub clocks: Vec<ClockReport>,
}

impl RefusalReport {
    /// Reads one count.
    pub fn count(&self, reason: RefusalReason) -> u64 {
        self.counts.get(&reason).copied().unwrap_or(0)
    }
}

/// Counters that the transport writes and anyone reads.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: [AtomicU64; RefusalReason::ALL.len()],
    clocks: Mutex<BTreeMap<NodeNumber, ClockReport>>,
}

impl Refusals {
    pub(crate) fn note(&self, reason: RefusalReason) {
        let place = RefusalReason::ALL.iter().position(|one| *one == reason);
        if let Some(count) = place.and_then(|place| self.counts.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_clock(&self, report: ClockReport) {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if clocks.len() < CLOCK_REPORTS_MAX || clocks.contains_key(&report.member) {
            clocks.insert(report.member, report);
        }
    }

    /// A member was heard with a good clock: it is no longer reported.
    pub(crate) fn clear_clock(&self, member: NodeNumber) {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.remove(&member);
    }

    pub(crate) fn report(&self) -> RefusalReport {
        let counts = RefusalReason::ALL
            .iter()
            .zip(&self.counts)
            .map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
            .collect();
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        RefusalReport {
            counts,
            clocks: clocks.values().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_name_of_its_own_and_a_remedy() {
        let names = RefusalReason::ALL.map(RefusalReason::as_str);
        let unique: std::collections::BTreeSet<_> = names.into_iter().collect();
        assert_eq!(unique.len(), names.len());
        for reason in RefusalReason::ALL {
            assert!(reason.remedy().contains(' '), "{reason}");
        }
    }
}
