//! A simulated cluster: groups that change members the way consensus does, effects that travel.

use super::checks;
use super::group::{SimGroup, arrive_drop, end_joint};
use crate::placement::{
    Effect, GroupObserved, LearnerProgress, NodeObserved, Observed, Step, next_step,
};
use crate::state::{MetaState, Outcome};
use crate::stored::v1::samples::{creation, facts};
use crate::stored::v1::{
    By, COMMAND, GroupId, MetaCommand, MetaEntry, MoveReason, NodeState, SCHEMA, Setting,
    UnixMillis,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::{NodeNumber, Seconds, ShardId, envelope};

/// What goes wrong, in percent of the chances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) lost: u32,
    pub(super) repeated: u32,
    pub(super) stale: u32,
    pub(super) death: u32,
    pub(super) stuck: u32,
    pub(super) down_max: usize,
}

impl Faults {
    pub(super) const fn harsh() -> Self {
        Self {
            lost: 15,
            repeated: 15,
            stale: 40,
            death: 3,
            stuck: 5,
            down_max: 1,
        }
    }

    pub(super) const fn none() -> Self {
        Self {
            lost: 0,
            repeated: 0,
            stale: 0,
            death: 0,
            stuck: 0,
            down_max: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SimNode {
    pub(super) alive: bool,
    pub(super) since: UnixMillis,
    pub(super) incarnation: u64,
}

#[derive(Clone, Debug)]
enum Travelling {
    Effect {
        group: GroupId,
        number: u64,
        effect: Effect,
    },
    Command(MetaCommand),
}

#[derive(Debug)]
pub(super) struct Sim {
    rng: ChaCha8Rng,
    pub(super) faults: Faults,
    pub(super) now: UnixMillis,
    pub(super) state: MetaState,
    pub(super) log: Vec<Vec<u8>>,
    pub(super) nodes: BTreeMap<NodeNumber, SimNode>,
    pub(super) groups: BTreeMap<GroupId, SimGroup>,
    seen: BTreeMap<GroupId, GroupObserved>,
    busy: BTreeMap<GroupId, (UnixMillis, Effect)>,
    travelling: Vec<(UnixMillis, Travelling)>,
    zones: u64,
}

impl Sim {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let zones = rng.random_range(1..=4);
        let nodes: u64 = rng.random_range(5..=10);
        let shards = rng.random_range(1..=24);
        let mut sim = Self::empty(rng, faults, zones);
        sim.create(shards, 3, 3);
        for _ in 1..nodes {
            sim.join();
        }
        sim
    }

    /// A cluster without faults.
    pub(super) fn calm(nodes: u64, zones: u64, shards: u32, replication: u8) -> Self {
        let mut sim = Self::empty(ChaCha8Rng::seed_from_u64(1), Faults::none(), zones);
        sim.create(shards, replication, u16::try_from(nodes).expect("few"));
        for _ in 1..nodes {
            sim.join();
        }
        sim
    }

    fn create(&mut self, shards: u32, replication: u8, nodes_expected: u16) {
        let created = creation(shards, replication, nodes_expected);
        self.commit(MetaCommand::CreateCluster(created));
        let first = NodeNumber(1);
        let group_0 = SimGroup {
            voters: vec![BTreeSet::from([first])],
            held: BTreeMap::from([(first, 0)]),
            leader: Some(first),
            ..SimGroup::default()
        };
        self.groups.insert(GroupId::Meta, group_0);
        self.start_node(first, 1);
        self.commit(MetaCommand::ChangeSetting(Setting::DeadAfter(Seconds(30))));
    }

    fn empty(rng: ChaCha8Rng, faults: Faults, zones: u64) -> Self {
        Self {
            rng,
            faults,
            now: UnixMillis(1_000_000),
            state: MetaState::default(),
            log: Vec::new(),
            nodes: BTreeMap::new(),
            groups: BTreeMap::new(),
            seen: BTreeMap::new(),
            busy: BTreeMap::new(),
            travelling: Vec::new(),
            zones,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Commits a command, and applies it; the log keeps its bytes for the other replicas.
    pub(super) fn commit(&mut self, command: MetaCommand) -> Outcome {
        let entry = MetaEntry {
            schema: SCHEMA,
            by: By::Planner,
            at: self.now,
            command,
        };
        self.log
            .push(envelope::seal(COMMAND, &entry).expect("small"));
        let before = self.state.clone();
        let outcome = self.state.apply(&entry);
        checks::outcome(&before, &self.state, &outcome);
        outcome
    }

    fn start_node(&mut self, node: NodeNumber, incarnation: u64) {
        let since = self.now;
        self.nodes.insert(
            node,
            SimNode {
                alive: true,
                since,
                incarnation,
            },
        );
    }

    pub(super) fn join(&mut self) {
        let number = u64::try_from(self.state.nodes().len()).expect("few") + 1;
        self.join_in(&format!("zone-{}", number % self.zones + 1));
    }

    pub(super) fn join_in(&mut self, zone: &str) {
        let number = u64::try_from(self.state.nodes().len()).expect("few") + 1;
        let facts = facts(number, zone);
        let outcome = self.commit(MetaCommand::JoinNode {
            facts,
            claims: None,
        });
        if matches!(outcome, Outcome::Applied(_)) {
            self.start_node(NodeNumber(number), 1);
        }
    }

    /// An operator does something; it may be refused.
    pub(super) fn operate(&mut self) {
        if !self.chance(4) || !self.meta_has_leader() {
            return;
        }
        let count = u64::try_from(self.state.nodes().len()).expect("few");
        let node = NodeNumber(self.rng.random_range(1..=count));
        let unreachable: Vec<NodeNumber> = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.alive)
            .map(|(number, _)| *number)
            .collect();
        let replication = [1, 2, 3, 3, 3, 5, 5, 7][self.rng.random_range(0..8)];
        let command = match self.rng.random_range(0..8) {
            0 => MetaCommand::DrainNode { node },
            1 | 2 => MetaCommand::FillNode { node },
            3 => MetaCommand::DecommissionNode { node, unreachable },
            4 if self.nodes.get(&node).is_some_and(|node| !node.alive) => {
                MetaCommand::RemoveNode { node, unreachable }
            }
            5 if replication > 1 || self.faults.down_max > 1 => {
                MetaCommand::ChangeSetting(Setting::Replication(replication))
            }
            6 if count < 14 => return self.join(),
            _ => self.any_move(count),
        };
        self.commit(command);
    }

    fn any_move(&mut self, count: u64) -> MetaCommand {
        let shard = ShardId(self.rng.random_range(0..24));
        let group = GroupId::Shard(shard);
        let version = self.state.group(group).map_or(0, |group| group.version);
        let add = vec![NodeNumber(self.rng.random_range(1..=count))];
        let remove = vec![NodeNumber(self.rng.random_range(1..=count))];
        let reason = MoveReason::Operator;
        MetaCommand::StartMove {
            group,
            version,
            add,
            remove,
            reason,
        }
    }

    /// A second passes.
    pub(super) fn tick(&mut self) {
        self.now = self.now.plus(Seconds(1));
        self.live_and_die();
        self.elect_and_copy();
        self.arrive();
        self.look();
        for _ in 0..4 {
            if !self.meta_has_leader() {
                break;
            }
            let observed = self.observed();
            let Some(step) = next_step(&self.state, &observed) else {
                break;
            };
            checks::step(self, &step);
            self.send(step);
        }
        checks::safety(self);
    }

    fn meta_has_leader(&self) -> bool {
        self.groups
            .get(&GroupId::Meta)
            .is_some_and(|group| group.leader.is_some())
    }

    fn live_and_die(&mut self) {
        let numbers: Vec<NodeNumber> = self.nodes.keys().copied().collect();
        for number in numbers {
            let down = self.nodes.values().filter(|node| !node.alive).count();
            let node = self.nodes[&number];
            let dies = node.alive && down < self.faults.down_max && self.chance(self.faults.death);
            // Some come back within the grace period, some after it.
            let returns = !node.alive && self.faults.down_max > 0 && self.chance(4);
            if dies {
                self.turn(number, false);
            } else if returns && self.meta_has_leader() {
                self.bring_back(number);
            }
        }
    }

    pub(super) fn turn(&mut self, number: NodeNumber, alive: bool) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&number) {
            node.alive = alive;
            node.since = now;
        }
    }

    /// A node comes back: after a pause as it was, or after a restart with the next incarnation.
    pub(super) fn bring_back(&mut self, number: NodeNumber) {
        self.turn(number, true);
        let restarted = self.chance(50);
        let record = self.state.node(number).expect("known");
        if !restarted || record.state == NodeState::Decommissioned {
            return;
        }
        let mut facts = record.facts.clone();
        facts.incarnation += 1;
        let incarnation = facts.incarnation;
        let outcome = self.commit(MetaCommand::JoinNode {
            facts,
            claims: Some(number),
        });
        if matches!(outcome, Outcome::Applied(_)) {
            self.start_node(number, incarnation);
        }
    }

    fn elect_and_copy(&mut self) {
        let alive = self.alive();
        let stuck = self.chance(self.faults.stuck);
        for group in self.groups.values_mut() {
            if self.rng.random_range(0..3) == 0 {
                arrive_drop(group, &alive);
            }
            let held: BTreeSet<NodeNumber> = group.held.keys().copied().collect();
            let ready: BTreeSet<NodeNumber> = held.intersection(&alive).copied().collect();
            let available = group
                .voters
                .iter()
                .all(|set| set.iter().filter(|node| ready.contains(node)).count() * 2 > set.len());
            let last = group.voters.last().cloned().unwrap_or_default();
            let fit = |node: &NodeNumber| ready.contains(node) && last.contains(node);
            if !available {
                group.leader = None;
                continue;
            }
            let leader = group.leader.filter(fit);
            group.leader = leader.or_else(|| last.iter().copied().find(fit));
            if group.voters.len() > 1 && self.rng.random_range(0..3) > 0 {
                end_joint(group, self.rng.random_range(0..2) > 0);
            }
            for (node, progress) in &mut group.learners {
                if stuck || !alive.contains(node) {
                    progress.stalled_for = Seconds(progress.stalled_for.0 + 1);
                } else {
                    *progress = LearnerProgress {
                        lag: progress.lag / 3,
                        stalled_for: Seconds(0),
                    };
                }
            }
        }
    }

    pub(super) fn alive(&self) -> BTreeSet<NodeNumber> {
        let alive = self.nodes.iter().filter(|(_, node)| node.alive);
        alive.map(|(number, _)| *number).collect()
    }

    /// Refreshes what is known of the groups, some of it late.
    fn look(&mut self) {
        let ids: Vec<GroupId> = self.groups.keys().copied().collect();
        for id in ids {
            if self.chance(self.faults.stale) {
                continue;
            }
            let group = &self.groups[&id];
            let held = group.held.keys().copied();
            let held_by = held.filter(|node| self.nodes[node].alive).collect();
            let Some(leader) = group.leader else {
                if let Some(seen) = self.seen.get_mut(&id) {
                    seen.leader = None;
                    seen.held_by = held_by;
                }
                continue;
            };
            let voters = group.voters.iter().flatten().copied();
            let lag = voters.map(|node| (node, if self.nodes[&node].alive { 0 } else { 9_999 }));
            let seen = GroupObserved {
                leader: Some(leader),
                membership_index: group.index,
                voters: group.voters.clone(),
                learners: group.learners.clone(),
                lag: lag.collect(),
                held_by,
            };
            self.seen.insert(id, seen);
        }
        let now = self.now;
        self.busy.retain(|_, (deadline, _)| *deadline > now);
    }

    pub(super) fn observed(&self) -> Observed {
        let nodes = self.nodes.iter().map(|(number, node)| {
            let seen = NodeObserved {
                alive: node.alive,
                ready: true,
                incarnation: node.incarnation,
                since: node.since,
                load: 0,
            };
            (*number, seen)
        });
        Observed {
            now: self.now,
            nodes: nodes.collect(),
            groups: self.seen.clone(),
            busy: self
                .busy
                .iter()
                .map(|(id, (_, effect))| (*id, effect.clone()))
                .collect(),
        }
    }

    fn send(&mut self, step: Step) {
        let lost = self.chance(self.faults.lost);
        let repeated = self.chance(self.faults.repeated);
        let late = self.now.plus(Seconds(self.rng.random_range(1..90)));
        let travelling = match step {
            Step::Propose(command) => {
                if !lost {
                    self.commit(command.clone());
                }
                Travelling::Command(command)
            }
            Step::Carry {
                group,
                number,
                effect,
            } => {
                let deadline = self.now.plus(Seconds(5));
                self.busy.insert(group, (deadline, effect.clone()));
                let soon = self.now.plus(Seconds(self.rng.random_range(0..4)));
                let travelling = Travelling::Effect {
                    group,
                    number,
                    effect,
                };
                if !lost {
                    self.travelling.push((soon, travelling.clone()));
                }
                travelling
            }
        };
        if repeated {
            self.travelling.push((late, travelling));
        }
    }

    fn arrive(&mut self) {
        let now = self.now;
        let due = |(at, _): &(UnixMillis, Travelling)| *at <= now;
        let (arrived, rest) = std::mem::take(&mut self.travelling)
            .into_iter()
            .partition(due);
        self.travelling = rest;
        let arrived: Vec<(UnixMillis, Travelling)> = arrived;
        for (_, one) in arrived {
            match one {
                Travelling::Command(command) => {
                    if self.meta_has_leader() {
                        self.commit(command);
                    }
                }
                Travelling::Effect {
                    group,
                    number,
                    effect,
                } => self.carry(group, number, &effect),
            }
        }
    }

    fn carry(&mut self, id: GroupId, number: u64, effect: &Effect) {
        let alive = self.alive();
        self.groups
            .entry(id)
            .or_default()
            .carry(number, effect, &alive);
        checks::safety(self);
    }

    /// Ends all faults; nodes that are down come back, but for a few.
    pub(super) fn calm_down(&mut self) {
        self.faults = Faults {
            down_max: self.faults.down_max,
            ..Faults::none()
        };
        let numbers: Vec<NodeNumber> = self.nodes.keys().copied().collect();
        for number in numbers {
            if !self.nodes[&number].alive {
                self.bring_back(number);
            }
        }
        self.faults.down_max = 0;
    }

    /// Goes on until nothing is left to do.
    pub(super) fn converge(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
            let quiet = self.travelling.is_empty()
                && self.busy.is_empty()
                && self.state.moves_under_way() == 0
                && next_step(&self.state, &self.observed()).is_none()
                && self.state.groups().all(|(_, group)| {
                    group
                        .avoided
                        .iter()
                        .all(|avoided| avoided.until <= self.now)
                });
            if quiet {
                return;
            }
        }
        let progress = crate::placement::progress(&self.state, &self.observed());
        let next = next_step(&self.state, &self.observed());
        let busy = (&self.busy, &self.travelling);
        panic!("not done after {ticks} ticks: {progress:#?}, next {next:?}, under way {busy:?}");
    }
}
