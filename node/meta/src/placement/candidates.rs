//! Which node takes a replica: an unused zone first, then the least loaded.

use super::view::View;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::{NodeNumber, ZoneName};

/// How a node compares: replicas, observed load, number.
type Rank = (u32, u64, NodeNumber);

/// The open nodes of each zone, least loaded first.
pub(super) struct Candidates<'a> {
    zones: BTreeMap<&'a ZoneName, BTreeSet<Rank>>,
    ranks: BTreeMap<NodeNumber, (&'a ZoneName, Rank)>,
    zone_of: BTreeMap<NodeNumber, &'a ZoneName>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(view: &View<'a>) -> Self {
        let nodes = view.state.nodes().iter();
        let zone_of = nodes.map(|node| (node.number, &node.facts.zone)).collect();
        let mut candidates = Self {
            zones: BTreeMap::new(),
            ranks: BTreeMap::new(),
            zone_of,
        };
        for node in view.open_nodes() {
            let Some(zone) = view.zone(node) else {
                continue;
            };
            let load = view.node(node).map_or(0, |seen| seen.load);
            let rank = (view.load(node), load, node);
            candidates.zones.entry(zone).or_default().insert(rank);
            candidates.ranks.insert(node, (zone, rank));
        }
        candidates
    }

    /// Chooses the node that best joins `voters`; never one of them, and none of `avoided`.
    pub(super) fn best(&self, voters: &[NodeNumber], avoided: &[NodeNumber]) -> Option<NodeNumber> {
        let used = self.uses(voters);
        let ranked = self.zones.iter().filter_map(|(zone, ranks)| {
            let rank = first_free(ranks, voters, avoided)?;
            Some((used.get(zone).copied().unwrap_or_default(), rank))
        });
        ranked.min().map(|(_, (_, _, node))| node)
    }

    /// As [`Self::best`], among zones in which at most `used_max` of the voters stand, and only a node
    /// with less than `below` replicas.
    pub(super) fn best_within(
        &self,
        voters: &[NodeNumber],
        avoided: &[NodeNumber],
        (used_max, below): (usize, u32),
    ) -> Option<NodeNumber> {
        let used = self.uses(voters);
        let ranked = self.zones.iter().filter_map(|(zone, ranks)| {
            let fits = used.get(zone).copied().unwrap_or_default() <= used_max;
            let rank = fits.then(|| first_free(ranks, voters, avoided)).flatten()?;
            (rank.0 < below).then_some(rank)
        });
        ranked.min().map(|(_, _, node)| node)
    }

    /// Counts the voters in each zone.
    pub(super) fn uses(&self, voters: &[NodeNumber]) -> BTreeMap<&'a ZoneName, usize> {
        let mut used = BTreeMap::new();
        for zone in voters.iter().filter_map(|node| self.zone_of.get(node)) {
            *used.entry(*zone).or_default() += 1;
        }
        used
    }

    /// How many zones have an open node.
    pub(super) fn zones(&self) -> usize {
        self.zones.len()
    }

    pub(super) fn zone_of(&self, node: NodeNumber) -> Option<&'a ZoneName> {
        self.zone_of.get(&node).copied()
    }

    /// The smallest number of replicas of an open node.
    pub(super) fn load_min(&self) -> Option<u32> {
        let firsts = self.zones.values().filter_map(BTreeSet::first);
        firsts.map(|rank| rank.0).min()
    }

    /// Counts one more replica of a node.
    pub(super) fn take(&mut self, node: NodeNumber) {
        let Some((zone, rank)) = self.ranks.get_mut(&node) else {
            return;
        };
        let ranks = self.zones.entry(zone).or_default();
        ranks.remove(rank);
        rank.0 += 1;
        ranks.insert(*rank);
    }
}

fn first_free(
    ranks: &BTreeSet<Rank>,
    voters: &[NodeNumber],
    avoided: &[NodeNumber],
) -> Option<Rank> {
    let taken = |node| voters.contains(&node) || avoided.contains(&node);
    ranks.iter().find(|rank| !taken(rank.2)).copied()
}
