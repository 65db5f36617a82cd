//! Puts pictures together. Pure: registry, gossip, reports and answers in, lines out.

use super::picture::{GroupHealth, MemberLine, MetaPart, MoveLine, SeenBy, ShardLine, ShardsReply};
use super::probe::Probed;
use super::words;
use std::collections::BTreeMap;
use twinscale_membership::{Member, MembershipView};
use twinscale_meta::stored::v1::{GroupRecord, NodeRecord};
use twinscale_meta::{GroupId, GroupObserved, MetaState, NodeState, Observed, Wait, progress};
use twinscale_protocol::{NodeNumber, ShardId};

/// What is known of the groups at the leader of group 0.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// As the planner is shown it.
    pub(super) observed: Observed,
    /// The term in which each group is led.
    pub(super) terms: BTreeMap<GroupId, u64>,
}

/// What a picture of the nodes rests on.
pub(super) struct Members<'a> {
    pub(super) state: &'a MetaState,
    pub(super) view: &'a MembershipView,
    /// Known only where group 0 is led.
    pub(super) known: Option<&'a Known>,
    pub(super) meta_leader: Option<NodeNumber>,
    pub(super) probed: &'a BTreeMap<NodeNumber, Probed>,
}

pub(super) fn shard_of(group: GroupId) -> Option<ShardId> {
    match group {
        GroupId::Meta => None,
        GroupId::Shard(shard) => Some(shard),
    }
}

pub(super) fn group_of(shard: Option<ShardId>) -> GroupId {
    shard.map_or(GroupId::Meta, GroupId::Shard)
}

/// Counts the shards that a node leads, as it reports.
pub(super) fn leads(known: &Known, node: NodeNumber) -> u32 {
    let led = known.observed.groups.iter();
    let led = led.filter(|(group, seen)| **group != GroupId::Meta && seen.leader == Some(node));
    u32::try_from(led.count()).unwrap_or(u32::MAX)
}

impl Members<'_> {
    /// All nodes of the registry.
    pub(super) fn lines(&self) -> Vec<MemberLine> {
        let replicas = replicas(self.state);
        let nodes = self.state.nodes().iter();
        nodes.map(|node| self.line(node, &replicas)).collect()
    }

    fn line(&self, node: &NodeRecord, replicas: &BTreeMap<NodeNumber, u32>) -> MemberLine {
        let number = node.number;
        let member: Option<&Member> = self.view.members.get(&number);
        let probed = self.probed.get(&number);
        let answered = probed.and_then(|probed| probed.as_ref().ok());
        let load = member.and_then(|member| member.load);
        MemberLine {
            number,
            name: node.facts.name.clone(),
            zone: node.facts.zone.clone(),
            state: words::member_state(node.state),
            wish: words::member_wish(node.wish),
            heard: words::heard(member.map(|member| member.liveness)),
            heard_since_unix_ms: member.map(|member| member.since_unix_ms),
            deaths: member.map_or(0, |member| member.deaths),
            peer_address: node.facts.peer_address.clone(),
            api_address: node.facts.api_address.clone(),
            software: node.facts.software.clone(),
            incarnation: node.facts.incarnation,
            twins: load.map(|load| load.twins),
            cpu_per_mille: load.map(|load| load.cpu_per_mille),
            meta: self.meta_part(number),
            replicas: replicas.get(&number).copied().unwrap_or_default(),
            leads: self.known.map(|known| leads(known, number)),
            clock_offset_ms: answered.map(|(offset, _)| *offset),
            certificate: answered.map(|(_, reply)| reply.certificate),
            silent: probed.and_then(|probed| probed.as_ref().err().cloned()),
        }
    }

    fn meta_part(&self, node: NodeNumber) -> MetaPart {
        let Some(meta) = self.state.group(GroupId::Meta) else {
            return MetaPart::None;
        };
        if self.meta_leader == Some(node) {
            MetaPart::Leader
        } else if meta.voters.contains(&node) {
            MetaPart::Voter
        } else if meta.learners().contains(&node) {
            MetaPart::Learner
        } else {
            MetaPart::None
        }
    }
}

/// Replicas by node, in one pass over the shard map.
fn replicas(state: &MetaState) -> BTreeMap<NodeNumber, u32> {
    let mut counts: BTreeMap<NodeNumber, u32> = BTreeMap::new();
    for (_, group) in state.groups() {
        let learners = group.learners().iter();
        let learners = learners.filter(|node| !group.voters.contains(node));
        for node in group.voters.iter().chain(learners) {
            *counts.entry(*node).or_default() += 1;
        }
    }
    counts
}

/// Nodes that are asked of themselves: those that have an address and may be up.
pub(super) fn asked(state: &MetaState) -> Vec<NodeNumber> {
    let nodes = state.nodes().iter();
    let nodes = nodes.filter(|node| node.state != NodeState::Decommissioned);
    nodes.map(|node| node.number).collect()
}

/// Groups with who leads them and what goes on.
pub(super) fn shards(
    seen_by: SeenBy,
    state: &MetaState,
    known: Option<&Known>,
    only: Option<ShardId>,
) -> ShardsReply {
    let waits: BTreeMap<GroupId, Wait> = known
        .map(|known| progress(state, &known.observed).moves)
        .unwrap_or_default()
        .into_iter()
        .map(|moving| (moving.group, moving.waits))
        .collect();
    let wanted = |group: &GroupId| only.is_none_or(|only| *group == GroupId::Shard(only));
    let groups = state.groups().filter(|(group, _)| wanted(group));
    let names = state.nodes().iter();
    ShardsReply {
        seen_by,
        names: names
            .map(|node| (node.number, node.facts.name.clone()))
            .collect(),
        shards: groups
            .map(|(group, record)| line(group, record, known, waits.get(&group)))
            .collect(),
    }
}

fn line(
    group: GroupId,
    record: &GroupRecord,
    known: Option<&Known>,
    waits: Option<&Wait>,
) -> ShardLine {
    let seen = known.and_then(|known| known.observed.groups.get(&group));
    let answering = seen.map_or(0, |seen| {
        let held = record.voters.iter();
        held.filter(|node| seen.held_by.contains(node)).count()
    });
    let lag = seen.and_then(|seen| seen.lag.values().copied().max());
    let moving = record.under_way.as_ref().map(|one| MoveLine {
        number: one.number,
        add: one.add.clone(),
        remove: one.remove.clone(),
        stage: one.stage.to_string(),
        reason: words::reason(one.reason).to_owned(),
        waits: waits.map(ToString::to_string).unwrap_or_default(),
        started_unix_ms: one.started_at.0,
    });
    ShardLine {
        shard: shard_of(group),
        voters: record.voters.clone(),
        learners: record.learners().to_vec(),
        leader: seen.and_then(|seen| seen.leader),
        term: known.and_then(|known| known.terms.get(&group).copied()),
        answering: u32::try_from(answering).unwrap_or(u32::MAX),
        health: health(record, known.is_some(), seen, answering),
        lag: lag.filter(|lag| *lag < u64::MAX),
        moving,
    }
}

fn health(
    record: &GroupRecord,
    is_known: bool,
    seen: Option<&GroupObserved>,
    answering: usize,
) -> GroupHealth {
    if !record.founded {
        GroupHealth::Unfounded
    } else if !is_known {
        GroupHealth::Unknown
    } else if answering * 2 <= record.voters.len() {
        GroupHealth::NoMajority
    } else if seen.is_none_or(|seen| seen.leader.is_none()) {
        GroupHealth::NoLeader
    } else if answering < record.voters.len() {
        GroupHealth::Degraded
    } else {
        GroupHealth::Sound
    }
}
