//! Whether it is worth waiting on this node for the leader of a shard. Pure.
//!
//! While a shard elects, its voters answer and one of them leads soon: a request waits. Where the voters that
//! answer are no majority, nobody that they elect could serve, and where a leader is named that this node
//! cannot reach, waiting does not help either: another node is asked sooner when the request is refused here.

use crate::error::ShardsError;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use twinscale_protocol::ShardId;

/// What asking the voters of a shard, each once, came to.
#[derive(Debug)]
pub(crate) struct Round {
    begun: Instant,
    answered: BTreeSet<u64>,
    missed: BTreeSet<u64>,
    /// Who leads, as one that answered says.
    named: Option<u64>,
}

/// What this node sees of the voters of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A majority answers: a leader is there soon.
    Sound,
    /// No majority answers this node.
    CutOff {
        /// Voters that answer, this node included where it is one.
        heard: usize,
        /// All voters.
        voters: usize,
    },
    /// A majority answers and names a leader that lives, and that does not answer this node.
    Apart {
        /// The leader.
        leader: u64,
    },
}

/// Since when shards are seen in a way that makes waiting vain; shared by all requests of a node, so that
/// only the first of them waits.
#[derive(Debug, Default)]
pub(crate) struct Doubts(BTreeMap<ShardId, Doubt>);

#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    last: Instant,
}

/// A doubt that nobody confirmed for this long is over: it may be another partition by now.
const DOUBT_AGE_MAX: Duration = Duration::from_secs(5);

impl Round {
    pub(crate) fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            answered: BTreeSet::new(),
            missed: BTreeSet::new(),
            named: None,
        }
    }

    /// When the first of it was asked.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Takes what a node answered, or that it did not; the own node always answers itself.
    pub(crate) fn note(&mut self, node: u64, own: u64, error: &ShardsError) {
        let is_missed = matches!(
            error,
            ShardsError::Unreachable { .. } | ShardsError::OutcomeUnknown { .. }
        );
        if is_missed && node != own {
            self.missed.insert(node);
            return;
        }
        self.answered.insert(node);
        if let ShardsError::NotLeader {
            leader: Some(leader),
            ..
        } = error
        {
            self.named = Some(*leader);
        }
    }

    /// Judges after all voters were asked; `is_silent` says who is held for dead, whose leadership others may
    /// still name until they have elected another.
    pub(crate) fn judge(&self, own: u64, voters: &[u64], is_silent: impl Fn(u64) -> bool) -> Sight {
        let answers = |voter: &&u64| self.answered.contains(voter) || **voter == own;
        let heard = voters.iter().filter(answers).count();
        if !voters.is_empty() && heard * 2 <= voters.len() {
            return Sight::CutOff {
                heard,
                voters: voters.len(),
            };
        }
        let apart = self
            .named
            .filter(|leader| *leader != own && self.missed.contains(leader) && !is_silent(*leader));
        apart.map_or(Sight::Sound, |leader| Sight::Apart { leader })
    }
}

impl Doubts {
    /// Takes what was seen of a shard from a moment on, and returns for how long it has been so.
    pub(crate) fn note(
        &mut self,
        shard: ShardId,
        sight: Sight,
        (begun, now): (Instant, Instant),
    ) -> Duration {
        if sight == Sight::Sound {
            self.clear(shard);
            return Duration::ZERO;
        }
        let fresh = self
            .0
            .get(&shard)
            .filter(|doubt| begun.saturating_duration_since(doubt.last) <= DOUBT_AGE_MAX);
        let since = fresh.map_or(begun, |doubt| doubt.since);
        self.0.insert(shard, Doubt { since, last: now });
        now.saturating_duration_since(since)
    }

    /// The shard answered.
    pub(crate) fn clear(&mut self, shard: ShardId) {
        self.0.remove(&shard);
    }
}

impl Sight {
    /// Why waiting on this node is vain; `None` where it is not.
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self::Sound => None,
            Self::CutOff { heard, voters } => {
                Some(format!("it hears {heard} of {voters} voters of the shard"))
            }
            Self::Apart { leader } => Some(format!(
                "node {leader} leads the shard, and this node cannot reach it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(17);
    const VOTERS: [u64; 3] = [1, 2, 3];

    fn not_leader(leader: Option<u64>) -> ShardsError {
        ShardsError::NotLeader {
            shard: SHARD,
            leader,
        }
    }

    fn unreachable(node: u64) -> ShardsError {
        ShardsError::Unreachable {
            shard: SHARD,
            node,
            reason: "the link is cut".to_owned(),
        }
    }

    fn judged(own: u64, answers: &[(u64, ShardsError)], silent: &[u64]) -> Sight {
        let mut round = Round::begin(Instant::now());
        for (node, error) in answers {
            round.note(*node, own, error);
        }
        round.judge(own, &VOTERS, |node| silent.contains(&node))
    }

    #[test]
    fn a_majority_that_answers_is_waited_for() {
        let elects = [
            (1, not_leader(None)),
            (2, not_leader(None)),
            (3, unreachable(3)),
        ];
        assert_eq!(judged(1, &elects, &[3]), Sight::Sound);
        assert_eq!(judged(9, &elects, &[3]), Sight::Sound);
        let stale = [
            (1, not_leader(Some(3))),
            (2, not_leader(Some(3))),
            (3, unreachable(3)),
        ];
        assert_eq!(judged(1, &stale, &[3]), Sight::Sound, "3 died a moment ago");
        assert_eq!(judged(1, &stale, &[]), Sight::Apart { leader: 3 });
    }

    #[test]
    fn who_hears_no_majority_is_cut_off() {
        let alone = [
            (1, not_leader(Some(2))),
            (2, unreachable(2)),
            (3, unreachable(3)),
        ];
        let (heard, voters) = (1, 3);
        assert_eq!(judged(1, &alone, &[2, 3]), Sight::CutOff { heard, voters });
        let none = [
            (1, unreachable(1)),
            (2, unreachable(2)),
            (3, unreachable(3)),
        ];
        let (heard, voters) = (0, 3);
        assert_eq!(judged(9, &none, &[]), Sight::CutOff { heard, voters });
        let nobody = Round::begin(Instant::now()).judge(9, &[], |_| false);
        assert_eq!(nobody, Sight::Sound, "a node that knows no voters yet");
    }

    #[test]
    fn a_doubt_lasts_over_requests_and_ends_with_an_answer_or_by_age() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cut = Sight::CutOff {
            heard: 1,
            voters: 3,
        };
        let mut doubts = Doubts::default();
        assert_eq!(doubts.note(SHARD, cut, (at(0), at(5))).as_millis(), 5);
        assert_eq!(
            doubts.note(SHARD, cut, (at(900), at(1_000))).as_millis(),
            1_000
        );
        doubts.note(SHARD, Sight::Sound, (at(1_100), at(1_200)));
        assert_eq!(
            doubts.note(SHARD, cut, (at(1_300), at(1_300))).as_millis(),
            0
        );
        doubts.clear(SHARD);
        assert_eq!(
            doubts.note(SHARD, cut, (at(2_000), at(2_100))).as_millis(),
            100
        );
        assert_eq!(
            doubts
                .note(SHARD, cut, (at(60_000), at(60_010)))
                .as_millis(),
            10,
            "nobody asked for a minute"
        );
    }
}
