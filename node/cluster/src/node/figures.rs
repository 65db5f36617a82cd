//! Figures of a node, for whoever exports them.

use super::start::ClusterNode;
use crate::meta::MetaShown;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use twinscale_consensus::{Group, GroupRole, Groups};
use twinscale_membership::{Liveness, Membership, MembershipView};
use twinscale_meta::NodeState;
use twinscale_shards::{Router, RouterCounts, ShardHost};
use twinscale_wire::{WireCounts, WireMetrics};

/// Reads figures of a node; it keeps none of its parts alive.
#[derive(Clone, Debug)]
pub struct FiguresReader {
    members: watch::Receiver<Arc<MembershipView>>,
    membership: Weak<Membership>,
    groups: Weak<Groups>,
    host: Weak<ShardHost>,
    router: Weak<Router>,
    shown: Arc<MetaShown>,
    wire: WireMetrics,
}

/// Figures of a node at a moment. Counts by word have every word, so that one that is 0 is there too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// Members by whether gossip hears them; this node is one of them.
    pub heard: BTreeMap<&'static str, u64>,
    /// Nodes by what group 0 says that they are, as far as this node knows.
    pub registered: BTreeMap<&'static str, u64>,
    /// Datagrams that were refused, by reason.
    pub datagrams_refused: BTreeMap<&'static str, u64>,
    /// Groups with a replica here, by the part that it plays.
    pub groups: BTreeMap<&'static str, u64>,
    /// Of these, groups of which no leader is known.
    pub leaderless: u64,
    /// Entries that the slowest replica of a group that this node leads lags behind.
    pub lag_max: u64,
    /// Entries that a replica here has in its log and has not applied, at most.
    pub unapplied_max: u64,
    /// Bytes that the log takes on disk.
    pub log_disk_bytes: u64,
    /// What the router counted.
    pub routed: RouterCounts,
    /// Commands under a request id that had taken effect before, as the replicas here saw them.
    pub repeated: u64,
    /// Moves of replicas under way in the cluster, as far as this node knows.
    pub moves_under_way: u64,
    /// Moves that ended as planned, since the cluster was made.
    pub moves_finished: u64,
    /// Moves that were given up and rolled back.
    pub moves_rolled_back: u64,
    /// What the wire counted.
    pub wire: WireCounts,
}

impl ClusterNode {
    /// Reads figures of this node, also while others use it.
    pub fn figures(&self) -> FiguresReader {
        FiguresReader {
            members: self.membership.watch(),
            membership: Arc::downgrade(&self.membership),
            groups: Arc::downgrade(self.keeper.groups()),
            host: Arc::downgrade(&self.host),
            router: Arc::downgrade(&self.router),
            shown: Arc::clone(self.keeper.shown()),
            wire: self.wire.clone(),
        }
    }
}

impl FiguresReader {
    /// Reads the figures of now; parts that have ended have none.
    pub fn read(&self) -> NodeFigures {
        let mut figures = NodeFigures {
            wire: self.wire.counts(),
            ..NodeFigures::default()
        };
        self.read_members(&mut figures);
        self.read_groups(&mut figures);
        self.read_shards(&mut figures);
        figures
    }

    fn read_members(&self, figures: &mut NodeFigures) {
        figures.heard = ["alive", "dead", "left"].map(|word| (word, 0)).into();
        let view = Arc::clone(&self.members.borrow());
        for member in view.members.values() {
            let word = match member.liveness {
                Liveness::Alive => "alive",
                Liveness::Dead => "dead",
                Liveness::Left => "left",
            };
            count(&mut figures.heard, word);
        }
        if let Some(membership) = self.membership.upgrade() {
            let refused = membership.refusals().counts.into_iter();
            figures.datagrams_refused = refused
                .map(|(reason, count)| (reason.as_str(), count))
                .collect();
        }
        figures.registered = NODE_STATES.map(|state| (word(state), 0)).into();
        let state = self.shown.state();
        for node in state.nodes() {
            count(&mut figures.registered, word(node.state));
        }
        let moving = state
            .groups()
            .filter(|(_, group)| group.under_way.is_some());
        figures.moves_under_way = moving.count() as u64;
        (figures.moves_finished, figures.moves_rolled_back) = state.moves_ended();
    }

    fn read_groups(&self, figures: &mut NodeFigures) {
        figures.groups = ["leader", "follower", "candidate", "learner", "stopped"]
            .map(|word| (word, 0))
            .into();
        let Some(groups) = self.groups.upgrade() else {
            return;
        };
        figures.log_disk_bytes = groups.log().disk_bytes();
        for id in groups.started() {
            look_at(figures, &groups.group(id));
        }
    }

    fn read_shards(&self, figures: &mut NodeFigures) {
        if let Some(router) = self.router.upgrade() {
            figures.routed = router.counts();
        }
        if let Some(host) = self.host.upgrade() {
            let held = host.all().into_iter();
            figures.repeated = held.map(|hosted| hosted.machine().repeated()).sum();
        }
    }
}

fn look_at(figures: &mut NodeFigures, group: &Group) {
    let Ok(status) = group.status() else {
        return;
    };
    let (role, leader, lag) = {
        let status = status.borrow();
        (
            status.role,
            status.leader,
            status.lag.values().max().copied(),
        )
    };
    let word = match role {
        GroupRole::Leader => "leader",
        GroupRole::Follower => "follower",
        GroupRole::Candidate => "candidate",
        GroupRole::Learner => "learner",
        GroupRole::Stopped => "stopped",
    };
    count(&mut figures.groups, word);
    figures.leaderless += u64::from(leader.is_none());
    figures.lag_max = figures.lag_max.max(lag.unwrap_or_default());
    if let Ok(metrics) = group.metrics() {
        let entries = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let applied = entries(metrics.applied.map(|place| place.index));
        let unapplied = entries(metrics.last_index).saturating_sub(applied);
        figures.unapplied_max = figures.unapplied_max.max(unapplied);
    }
}

const NODE_STATES: [NodeState; 5] = [
    NodeState::Joining,
    NodeState::Serving,
    NodeState::Draining,
    NodeState::Decommissioned,
    NodeState::Dead,
];

fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Serving => "serving",
        NodeState::Draining => "draining",
        NodeState::Decommissioned => "decommissioned",
        NodeState::Dead => "dead",
    }
}

fn count(counts: &mut BTreeMap<&'static str, u64>, word: &'static str) {
    *counts.entry(word).or_default() += 1;
}
