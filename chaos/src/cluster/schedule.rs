//! Which faults befall a cluster, and when: a function of the seed.
//!
//! Whom a blow hits is often known only when it falls: the node that leads some twin then. So a round names its
//! victim as that, and the rest of the fault, such as the side of a partition, is picked around the victim.
//! Invariant: but for [`FaultKind::PowerCutAll`], a majority of the nodes is left with its power, and one
//! side of a partition is a majority.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::deployment::StoreDamage;
use super::fabric::cut::Cut;
use super::faults::Fault;

/// A kind of fault.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL of one node.
    Kill,
    /// SIGTERM of one node, which hands its leaderships over and ends.
    Restart,
    /// SIGSTOP of one node, and SIGCONT.
    Pause,
    /// A minority with the victim in it, cut from the others.
    PartitionHalf,
    /// The victim is not heard, or does not hear.
    PartitionOneWay,
    /// The victim and another do not hear each other.
    PartitionPair,
    /// The power of a minority with the victim in it.
    PowerCut,
    /// The power of all nodes at once.
    PowerCutAll,
    /// The disk of one node fills up.
    DiskFull,
    /// SIGKILL of one node, whose store is then deleted.
    StoreLost,
    /// SIGKILL of one node, whose store is then damaged.
    StoreCorrupted,
}

/// Whom a blow hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "victim", rename_all = "kebab-case")]
pub enum Victim {
    /// A node.
    Node {
        /// Its number, from 0.
        node: usize,
    },
    /// The node that leads a twin when the blow falls.
    LeaderOf {
        /// The twin's number, from 0.
        twin: usize,
    },
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between the end of a fault and the next blow, at least; up to twice as long.
    pub rest: Duration,
    /// From a blow to its end, at least; up to half as long again.
    pub hold: Duration,
    /// The same for pauses.
    pub pause: Duration,
}

/// One fault to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// What.
    pub kind: FaultKind,
    /// Whom.
    pub victim: Victim,
    /// How long all is well before it.
    pub rest: Duration,
    /// How long it goes on.
    pub hold: Duration,
    /// Picks what is around the victim.
    seed: u64,
}

/// Plans so many faults of each kind, in a mixed order; every second one hits the leader of some twin.
pub fn schedule(
    counts: &BTreeMap<FaultKind, u32>,
    (nodes, twins): (usize, usize),
    pace: Pace,
    seed: u64,
) -> Vec<Round> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut kinds: Vec<FaultKind> = Vec::new();
    for (kind, count) in counts {
        kinds.extend((0..*count).map(|_| *kind));
    }
    kinds.shuffle(&mut random);
    let mut rounds = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let victim = if twins > 0 && random.random() {
            Victim::LeaderOf {
                twin: random.random_range(0..twins),
            }
        } else {
            Victim::Node {
                node: random.random_range(0..nodes.max(1)),
            }
        };
        let hold = if kind == FaultKind::Pause {
            pace.pause
        } else {
            pace.hold
        };
        rounds.push(Round {
            kind,
            victim,
            rest: pace.rest.mul_f64(random.random_range(1.0..2.0)),
            hold: hold.mul_f64(random.random_range(1.0..1.5)),
            seed: random.random(),
        });
    }
    rounds
}

impl Round {
    /// The fault, around the victim that was found, among so many nodes.
    pub fn fault(&self, victim: usize, nodes: usize) -> Fault {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut others: Vec<usize> = (0..nodes).filter(|node| *node != victim).collect();
        others.shuffle(&mut random);
        match self.kind {
            FaultKind::Kill => Fault::Kill { node: victim },
            FaultKind::Restart => Fault::Restart { node: victim },
            FaultKind::Pause => Fault::Pause { node: victim },
            FaultKind::DiskFull => Fault::DiskFull { node: victim },
            FaultKind::StoreLost => Fault::Store {
                node: victim,
                damage: StoreDamage::Lost,
            },
            FaultKind::StoreCorrupted => Fault::Store {
                node: victim,
                damage: StoreDamage::Corrupted,
            },
            FaultKind::PartitionHalf => {
                let side = minority(&mut random, victim, &others);
                let cut = Cut::Half { side };
                Fault::Partition { cut }
            }
            FaultKind::PartitionOneWay => {
                let (one, rest) = ([victim].into(), others.into_iter().collect());
                let (from, to) = if random.random() {
                    (one, rest)
                } else {
                    (rest, one)
                };
                let cut = Cut::OneWay { from, to };
                Fault::Partition { cut }
            }
            FaultKind::PartitionPair => {
                let other = others.first().copied().unwrap_or(victim);
                let cut = Cut::Pair { one: victim, other };
                Fault::Partition { cut }
            }
            FaultKind::PowerCut => Fault::PowerCut {
                nodes: minority(&mut random, victim, &others),
            },
            FaultKind::PowerCutAll => Fault::PowerCut {
                nodes: (0..nodes).collect(),
            },
        }
    }
}

/// The victim and some of the others, fewer than half of all; of two nodes or one, the victim alone.
fn minority(random: &mut ChaCha8Rng, victim: usize, others: &[usize]) -> BTreeSet<usize> {
    let more_max = (others.len() / 2).saturating_sub(1);
    let more = random.random_range(0..=more_max);
    std::iter::once(victim)
        .chain(others.iter().copied().take(more))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fabric::cut::Cut;
    use super::super::faults::Fault;
    use super::{FaultKind, Pace, Round, Victim, schedule};
    use std::collections::BTreeMap;
    use std::time::Duration;

    const PACE: Pace = Pace {
        rest: Duration::from_secs(2),
        hold: Duration::from_secs(10),
        pause: Duration::from_secs(10),
    };

    fn rounds(seed: u64) -> Vec<Round> {
        let counts = BTreeMap::from([
            (FaultKind::Kill, 100),
            (FaultKind::Pause, 50),
            (FaultKind::PartitionHalf, 50),
            (FaultKind::PartitionOneWay, 50),
            (FaultKind::PartitionPair, 50),
            (FaultKind::PowerCut, 20),
            (FaultKind::PowerCutAll, 2),
        ]);
        schedule(&counts, (5, 200), PACE, seed)
    }

    #[test]
    fn a_seed_gives_one_schedule_with_as_many_of_each_kind_as_asked() {
        let found = rounds(1);
        assert_eq!(found, rounds(1));
        assert_ne!(found, rounds(2));
        let kills = found.iter().filter(|round| round.kind == FaultKind::Kill);
        assert_eq!((found.len(), kills.count()), (322, 100));
        let is_leader = |round: &&Round| matches!(round.victim, Victim::LeaderOf { .. });
        assert!((100..222).contains(&found.iter().filter(is_leader).count()));
        for Round { rest, hold, .. } in &found {
            assert!(PACE.rest <= *rest && *rest <= PACE.rest * 2);
            assert!(PACE.hold <= *hold && *hold <= PACE.hold * 2);
        }
    }

    #[test]
    fn the_victim_is_hit_and_a_majority_is_left() {
        for (round, nodes) in rounds(3).into_iter().zip([3, 5, 7].into_iter().cycle()) {
            let victim = nodes - 1;
            let fault = round.fault(victim, nodes);
            assert_eq!(fault, round.fault(victim, nodes), "picked once");
            match &fault {
                Fault::Kill { node }
                | Fault::Restart { node }
                | Fault::Pause { node }
                | Fault::Store { node, .. }
                | Fault::DiskFull { node } => {
                    assert_eq!(*node, victim);
                }
                Fault::PowerCut { nodes: cut } if round.kind == FaultKind::PowerCutAll => {
                    assert_eq!(cut.len(), nodes);
                }
                Fault::PowerCut { nodes: side }
                | Fault::Partition {
                    cut: Cut::Half { side },
                } => {
                    assert!(
                        side.contains(&victim) && side.len() * 2 < nodes,
                        "{fault:?}"
                    );
                }
                Fault::Partition { cut } => {
                    let drops = cut.drops(nodes);
                    let hits = |pair: &(usize, usize)| pair.0 == victim || pair.1 == victim;
                    assert!(!drops.is_empty() && drops.iter().all(hits), "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn all_sides_of_a_choice_come_up() {
        let mut sizes = BTreeMap::new();
        let mut deaf = 0;
        for round in rounds(4) {
            match round.fault(0, 5) {
                Fault::Partition {
                    cut: Cut::Half { side },
                } => *sizes.entry(side.len()).or_insert(0) += 1,
                Fault::Partition {
                    cut: Cut::OneWay { to, .. },
                } => deaf += usize::from(to.contains(&0)),
                _ => {}
            }
        }
        assert_eq!(sizes.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert!((10..40).contains(&deaf), "{deaf}");
    }
}
