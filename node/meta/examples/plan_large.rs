//! Plans a cluster of 1,000 nodes and 4,096 shards, carries each step out at once, and prints how long
//! the planner took: `cargo run --release -p twinscale-meta --example plan_large [NODES] [SHARDS]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use twinscale_meta::stored::v1::{DiskId, SchemaRange};
use twinscale_meta::{
    Creation, Effect, GroupId, GroupObserved, LearnerProgress, MetaCommand, MetaEntry, MetaState,
    NodeFacts, NodeObserved, Observed, Outcome, Step, UnixMillis, next_step, progress,
};
use twinscale_protocol::{ClusterId, NodeId, NodeNumber, ParseIdError, ZoneName};

/// Zones of the cluster.
const ZONES: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let nodes = number(1_000)?;
    let shards = number(4_096)?;
    let mut world = World::default();
    let expected = u16::try_from(nodes)?;
    let mut creation = Creation::new(ClusterId::new("large")?, facts(1)?, expected);
    creation.shard_count = shards;
    world.commit(MetaCommand::CreateCluster(creation));
    world.start(NodeNumber(1));
    world.found_group_0();
    for node in 2..=u64::from(nodes) {
        world.join(node)?;
    }
    say(&format!(
        "{nodes} nodes in {ZONES} zones, {shards} shards, 3 replicas"
    ));
    world.settle("first placement, leaders evened");
    world.commit(MetaCommand::DrainNode {
        node: NodeNumber(7),
    });
    world.settle("node 7 drained");
    world.die(NodeNumber(8));
    world.settle("node 8 dead");
    for node in u64::from(nodes) + 1..=u64::from(nodes) + 10 {
        world.join(node)?;
    }
    world.settle("ten nodes joined");
    let bytes = world.state.encode()?;
    say(&format!("snapshot: {} bytes", bytes.len()));
    Ok(())
}

fn facts(number: u64) -> Result<NodeFacts, ParseIdError> {
    let mut disk = [0; 16];
    for (place, byte) in disk.iter_mut().zip(number.to_le_bytes()) {
        *place = byte;
    }
    Ok(NodeFacts {
        name: NodeId::new(format!("node-{number}"))?,
        disk: DiskId(disk),
        incarnation: 1,
        peer_address: format!("node-{number}:7000"),
        api_address: format!("node-{number}:8000"),
        zone: ZoneName::new(format!("zone-{}", number % ZONES))?,
        software: "0.1.0".to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 1,
        },
    })
}

/// A cluster in which every step works at once.
#[derive(Default)]
struct World {
    state: MetaState,
    observed: Observed,
}

impl World {
    fn commit(&mut self, command: MetaCommand) {
        let at = self.observed.now;
        let by = twinscale_meta::stored::v1::By::Planner;
        let entry = MetaEntry {
            schema: 1,
            by,
            at,
            command,
        };
        let outcome = self.state.apply(&entry);
        assert!(
            !matches!(outcome, Outcome::Refused(_)),
            "{entry:?}: {outcome:?}"
        );
    }

    fn start(&mut self, node: NodeNumber) {
        let since = self.observed.now;
        let seen = NodeObserved {
            alive: true,
            ready: true,
            incarnation: 1,
            since,
            load: 0,
        };
        self.observed.nodes.insert(node, seen);
    }

    fn join(&mut self, number: u64) -> Result<(), ParseIdError> {
        let facts = facts(number)?;
        self.commit(MetaCommand::JoinNode {
            facts,
            claims: None,
        });
        self.start(NodeNumber(number));
        Ok(())
    }

    fn found_group_0(&mut self) {
        let first = BTreeSet::from([NodeNumber(1)]);
        let seen = GroupObserved {
            leader: Some(NodeNumber(1)),
            voters: vec![first.clone()],
            lag: BTreeMap::from([(NodeNumber(1), 0)]),
            held_by: first,
            ..GroupObserved::default()
        };
        self.observed.groups.insert(GroupId::Meta, seen);
    }

    fn die(&mut self, node: NodeNumber) {
        let now = self.observed.now;
        if let Some(seen) = self.observed.nodes.get_mut(&node) {
            seen.alive = false;
            seen.since = now;
        }
        for seen in self.observed.groups.values_mut() {
            if seen.leader == Some(node) {
                let others = seen.voters.iter().flatten();
                seen.leader = others.copied().find(|one| *one != node);
            }
        }
        self.observed.now = UnixMillis(now.0 + 600_000);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "it measures the planner and decides nothing"
    )]
    fn settle(&mut self, what: &str) {
        let begun = Instant::now();
        let (mut steps, mut longest, mut planning) = (0_u32, Duration::ZERO, Duration::ZERO);
        loop {
            let asked = Instant::now();
            let step = next_step(&self.state, &self.observed);
            let took = asked.elapsed();
            longest = longest.max(took);
            planning += took;
            steps += 1;
            match step {
                Some(Step::Propose(command)) => self.commit(command),
                Some(Step::Carry { group, effect, .. }) => self.carry(group, effect),
                None => break,
            }
        }
        let progress = progress(&self.state, &self.observed);
        say(&format!(
            "{what}: {steps} steps, {:?} each, longest {longest:?}, {:?} in all; {} of {} moves done",
            planning / steps,
            begun.elapsed(),
            progress.done,
            progress.total,
        ));
    }

    fn carry(&mut self, group: GroupId, effect: Effect) {
        let seen = self.observed.groups.entry(group).or_default();
        match effect {
            Effect::Found { voters } => {
                seen.leader = voters.first().copied();
                seen.lag = voters.iter().map(|node| (*node, 0)).collect();
                seen.held_by = voters.iter().copied().collect();
                seen.voters = vec![voters.into_iter().collect()];
            }
            Effect::MakeReplica { node } => {
                seen.held_by.insert(node);
            }
            Effect::AddLearners { learners, .. } => {
                seen.held_by.extend(learners.iter().copied());
                let fresh = learners
                    .into_iter()
                    .map(|node| (node, LearnerProgress::default()));
                seen.learners.extend(fresh);
            }
            Effect::ChangeVoters { voters, .. } => {
                let leader = seen.leader.filter(|leader| voters.contains(leader));
                seen.leader = leader.or(voters.first().copied());
                seen.lag = voters.iter().map(|node| (*node, 0)).collect();
                seen.learners.clear();
                seen.voters = vec![voters.into_iter().collect()];
            }
            Effect::RemoveLearners { learners, .. } => {
                seen.learners.retain(|node, _| !learners.contains(node));
            }
            Effect::DropReplica { node, .. } => {
                seen.held_by.remove(&node);
            }
            Effect::TransferLeader { to } => seen.leader = Some(to),
        }
        seen.membership_index += 1;
    }
}

#[expect(clippy::print_stdout, reason = "an example prints what it found")]
fn say(line: &str) {
    println!("{line}");
}
