//! Who is cut from whom.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A partition of hosts, numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cut {
    /// One side and the others do not hear each other.
    Half {
        /// The side.
        side: BTreeSet<usize>,
    },
    /// What some send does not arrive at others; the other way it does.
    OneWay {
        /// Whose sending is lost.
        from: BTreeSet<usize>,
        /// At whom.
        to: BTreeSet<usize>,
    },
    /// Two hosts do not hear each other, and all others hear both.
    Pair {
        /// One.
        one: usize,
        /// The other.
        other: usize,
    },
}

impl Cut {
    /// The pairs (sender, receiver) between which everything is dropped, of so many hosts.
    pub fn drops(&self, hosts: usize) -> BTreeSet<(usize, usize)> {
        let all = || 0..hosts;
        let pairs = all().flat_map(|from| all().map(move |to| (from, to)));
        let is_dropped = |(from, to): &(usize, usize)| match self {
            Self::Half { side } => side.contains(from) != side.contains(to),
            Self::OneWay {
                from: senders,
                to: receivers,
            } => senders.contains(from) && receivers.contains(to),
            Self::Pair { one, other } => (from, to) == (one, other) || (from, to) == (other, one),
        };
        pairs
            .filter(|pair| pair.0 != pair.1)
            .filter(is_dropped)
            .collect()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Half { side } => write!(f, "{side:?} cut from the others"),
            Self::OneWay { from, to } => write!(f, "{to:?} deaf to {from:?}"),
            Self::Pair { one, other } => write!(f, "{one} and {other} cut from each other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cut;

    #[test]
    fn each_kind_drops_its_pairs_and_no_others() {
        let half = Cut::Half {
            side: [0, 1].into(),
        };
        assert_eq!(
            half.drops(3),
            [(0, 2), (2, 0), (1, 2), (2, 1)].into(),
            "the sides hear themselves"
        );
        let one_way = Cut::OneWay {
            from: [0].into(),
            to: [0, 1, 2].into(),
        };
        assert_eq!(one_way.drops(3), [(0, 1), (0, 2)].into());
        let pair = Cut::Pair { one: 2, other: 0 };
        assert_eq!(pair.drops(3), [(0, 2), (2, 0)].into());
    }

    #[test]
    fn hosts_that_are_not_there_are_not_dropped() {
        let pair = Cut::Pair { one: 0, other: 7 };
        assert!(pair.drops(3).is_empty());
    }
}
