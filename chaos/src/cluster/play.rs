//! Carries a schedule out, one fault after another.
//!
//! A round that this machine cannot have (a partition without namespaces) is left out and counted: the run
//! goes on and says what it did not try. Invariants: one fault at a time, and before each blow every node
//! runs; one that ended by itself is a finding, and is started again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::deployment::{Deployment, StoreDamage};
use super::faults::{Fault, Faults};
use super::schedule::{FaultKind, Round, Victim};
use crate::error::ChaosError;

/// What a runner lends to a player.
pub struct Stage<'a, D> {
    /// Waits so long, while the clients go on; false = the run is to end.
    pub wait: &'a mut dyn FnMut(Duration) -> bool,
    /// The nodes that lead the twins now, as far as the cluster tells.
    pub leaders: &'a mut dyn FnMut(&mut D) -> Leaders,
    /// The twins, by their numbers.
    pub twins: &'a [String],
    /// Measures how a node makes its store anew, once it is started again.
    pub repaired: &'a mut dyn FnMut(&mut D, usize) -> Result<Repair, ChaosError>,
    /// Told of each round that begins: its place, from 0, and what befalls whom.
    pub tell: &'a mut dyn FnMut(usize, &Fault),
}

/// How a node made its store anew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Repair {
    /// The number of the fault.
    pub fault: u64,
    /// How the store was damaged.
    pub damage: StoreDamage,
    /// From the start of its process until it served and lagged no more, in milliseconds.
    pub took_ms: u64,
    /// Bytes of the store that was made.
    pub bytes: u64,
}

/// The node that leads a twin, from 0, by the twin's name.
pub type Leaders = BTreeMap<String, usize>;

/// What came of the schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Played {
    /// Blows that fell, by kind.
    pub struck: BTreeMap<FaultKind, u64>,
    /// Who led which twin just before each blow, by the number of the fault.
    #[serde(skip)]
    pub led: BTreeMap<u64, Leaders>,
    /// Blows on the node that led a twin at that moment.
    pub leaders: u64,
    /// Blows meant for a leader that nobody knew, and that fell on some node.
    pub leaders_unknown: u64,
    /// Stores that were made anew.
    pub repairs: Vec<Repair>,
    /// Rounds that cannot be had here, by kind, with the reason.
    pub left_out: BTreeMap<FaultKind, LeftOut>,
    /// Nodes that were found to have ended by themselves: the round, from 0, and the node.
    pub ended_by_themselves: Vec<(usize, usize)>,
    /// Whether the run was ended before the schedule was.
    pub was_cut_short: bool,
}

/// Rounds that were left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// Why the first one was.
    pub because: String,
}

/// Plays the rounds; all faults have ended when it returns.
///
/// # Errors
/// [`ChaosError`] when a blow fails half way, or its end does: what follows would prove nothing.
pub fn play<D: Deployment>(
    faults: &mut Faults<D>,
    rounds: &[Round],
    stage: &mut Stage<'_, D>,
) -> Result<Played, ChaosError> {
    let mut played = Played::default();
    for (place, round) in rounds.iter().enumerate() {
        if !(stage.wait)(round.rest) {
            played.was_cut_short = true;
            break;
        }
        restart_ended(faults, place, &mut played)?;
        let leaders = (stage.leaders)(faults.deployment());
        let nodes = faults.deployment().nodes();
        let victim = find(nodes, round.victim, (&leaders, stage.twins), &mut played);
        let fault = round.fault(victim, nodes);
        (stage.tell)(place, &fault);
        match faults.begin(fault.clone()) {
            Ok(number) => {
                played.led.insert(number, leaders);
                *played.struck.entry(round.kind).or_default() += 1;
                played.was_cut_short = !(stage.wait)(round.hold);
                faults.end(number)?;
                if let Fault::Store { node, damage } = fault {
                    let repair = (stage.repaired)(faults.deployment(), node)?;
                    played.repairs.push(Repair {
                        fault: number,
                        damage,
                        ..repair
                    });
                }
            }
            Err(ChaosError::NotHere { because, .. }) => {
                let left_out = played.left_out.entry(round.kind);
                let left_out = left_out.or_insert(LeftOut { count: 0, because });
                left_out.count += 1;
            }
            Err(error) => return Err(error),
        }
        if played.was_cut_short {
            break;
        }
    }
    restart_ended(faults, rounds.len(), &mut played)?;
    Ok(played)
}

fn restart_ended<D: Deployment>(
    faults: &mut Faults<D>,
    place: usize,
    played: &mut Played,
) -> Result<(), ChaosError> {
    let deployment = faults.deployment();
    for node in 0..deployment.nodes() {
        if deployment.pid(node).is_none() {
            played.ended_by_themselves.push((place, node));
            deployment.start(node)?;
        }
    }
    Ok(())
}

fn find(
    nodes: usize,
    victim: Victim,
    (leaders, twins): (&Leaders, &[String]),
    played: &mut Played,
) -> usize {
    let nodes = nodes.max(1);
    match victim {
        Victim::Node { node } => node % nodes,
        Victim::LeaderOf { twin } => match twins.get(twin).and_then(|name| leaders.get(name)) {
            Some(&node) if node < nodes => {
                played.leaders += 1;
                node
            }
            _ => {
                played.leaders_unknown += 1;
                twin % nodes
            }
        },
    }
}

impl Played {
    /// Whether every round was played and no node ended by itself.
    pub fn is_whole(&self) -> bool {
        self.left_out.is_empty() && self.ended_by_themselves.is_empty() && !self.was_cut_short
    }
}

impl<D> std::fmt::Debug for Stage<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::deployment::Deployment as _;
    use super::super::disk::NodeDisk;
    use super::super::fabric::Fabric;
    use super::super::faults::Faults;
    use super::super::schedule::{FaultKind, Pace, Round, schedule};
    use super::super::sleepers::{Sleepers, clock};
    use super::{Leaders, Played, Stage, play};
    use crate::error::ChaosError;
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// Two nodes on addresses of this machine, which only kills and pauses can befall.
    fn faults() -> Faults<Sleepers> {
        let mut fabric = Fabric::build_on_loopback(2).expect("addresses");
        let mut sleepers = Sleepers::new(&mut fabric);
        sleepers.disks = (0..2)
            .map(|_| NodeDisk::plain().expect("a folder"))
            .collect();
        Faults::new(sleepers, fabric, clock())
    }

    fn rounds(counts: &[(FaultKind, u32)]) -> Vec<Round> {
        let counts: BTreeMap<_, _> = counts.iter().copied().collect();
        let pace = Pace {
            rest: Duration::from_secs(2),
            hold: Duration::from_secs(10),
            pause: Duration::from_secs(10),
        };
        schedule(&counts, (2, 8), pace, 1)
    }

    fn played(
        faults: &mut Faults<Sleepers>,
        rounds: &[Round],
        wait: &mut dyn FnMut(Duration) -> bool,
    ) -> Played {
        // Nobody knows who leads the odd twins.
        let twins: Vec<String> = (0..8).map(|twin| format!("twin-{twin}")).collect();
        let known: Leaders = twins
            .iter()
            .step_by(2)
            .map(|twin| (twin.clone(), 1))
            .collect();
        let mut stage = Stage {
            wait,
            leaders: &mut |_: &mut Sleepers| known.clone(),
            twins: &twins,
            repaired: &mut |_, node| {
                Err(ChaosError::NotHere {
                    what: format!("the repair of node {node}"),
                    because: "no store is damaged here".to_owned(),
                })
            },
            tell: &mut |_, _| {},
        };
        play(faults, rounds, &mut stage).expect("played")
    }

    #[test]
    fn what_can_be_had_is_struck_and_the_rest_is_counted_with_the_reason() {
        let mut faults = faults();
        let kinds = [
            (FaultKind::Kill, 6),
            (FaultKind::Pause, 5),
            (FaultKind::PartitionHalf, 3),
            (FaultKind::PowerCut, 2),
        ];
        let mut waited = Duration::ZERO;
        let found = played(&mut faults, &rounds(&kinds), &mut |time| {
            waited += time;
            true
        });
        assert_eq!(
            found.struck,
            [(FaultKind::Kill, 6), (FaultKind::Pause, 5)].into()
        );
        assert_eq!(found.left_out[&FaultKind::PartitionHalf].count, 3);
        let power_cut = &found.left_out[&FaultKind::PowerCut];
        assert!(power_cut.because.contains("root") && power_cut.count == 2);
        assert!(found.leaders > 0 && found.leaders_unknown > 0, "{found:?}");
        assert!(!found.is_whole());
        // 16 rests, and 11 blows were held.
        assert!(waited >= Duration::from_secs(16 * 2 + 11 * 10));
        let records = faults.records();
        assert_eq!(records.len(), 11);
        assert_eq!(found.led.len(), 11);
        assert!(records.iter().all(|record| record.ended_us.is_some()));
        let runs = |node| faults.deployment().pid(node).is_some();
        assert!([0, 1].map(runs) == [true, true]);
    }

    #[test]
    fn a_run_that_is_to_end_ends_its_fault_first() {
        let mut faults = faults();
        let mut waits = 0;
        let found = played(&mut faults, &rounds(&[(FaultKind::Kill, 5)]), &mut |_| {
            waits += 1;
            waits < 4
        });
        assert!(found.was_cut_short && !found.is_whole());
        assert_eq!(found.struck[&FaultKind::Kill], 2);
        assert!(faults.records()[1].ended_us.is_some());
        assert!((0..2).all(|node| faults.deployment().pid(node).is_some()));
    }

    #[test]
    fn a_node_that_ends_by_itself_is_found_and_started_again() {
        let mut faults = faults();
        faults.deployment().kill(1).expect("killed");
        let found = played(&mut faults, &rounds(&[(FaultKind::Pause, 1)]), &mut |_| {
            true
        });
        assert_eq!(found.ended_by_themselves, [(0, 1)]);
        assert_eq!(found.struck[&FaultKind::Pause], 1);
        assert!(!found.is_whole());
        assert!(faults.deployment().pid(1).is_some());
    }
}
