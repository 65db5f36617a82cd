//! What all nodes reported, put together for the planner.
//!
//! Invariants: a later report of a node replaces its earlier ones only; the membership that is shown of a
//! group never goes back to an older one, whoever reports.

use super::report::{LedGroup, NodeReport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use twinscale_meta::{GroupId, GroupObserved, LearnerProgress, UnixMillis};
use twinscale_protocol::{NodeNumber, Seconds};

/// Past this age of its newest report a node says nothing any more: six reports were lost.
const FRESH: Seconds = Seconds(3);

/// What all nodes reported.
#[derive(Debug, Default)]
pub struct Reports {
    collected: Mutex<Collected>,
    /// Counts the reports that were taken.
    taken: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Collected {
    /// The newest report of each node and when it came.
    nodes: BTreeMap<NodeNumber, (NodeReport, UnixMillis)>,
    /// The newest membership of each group.
    members: BTreeMap<GroupId, Members>,
    /// How far each replica was when its log last grew, and when that was.
    grown: BTreeMap<(GroupId, NodeNumber), (Option<u64>, UnixMillis)>,
}

#[derive(Clone, Debug, Default)]
struct Members {
    index: u64,
    voters: Vec<BTreeSet<NodeNumber>>,
    learners: BTreeSet<NodeNumber>,
}

impl Reports {
    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report; one that is older than what is known of the node changes nothing.
    pub fn take(&self, report: NodeReport, now: UnixMillis) {
        let mut collected = self.collected();
        let known = collected.nodes.get(&report.node);
        if known.is_some_and(|(known, _)| known.number >= report.number) {
            return;
        }
        for led in &report.led {
            collected.note(led, now);
        }
        collected.nodes.insert(report.node, (report, now));
        drop(collected);
        self.taken.send_modify(|taken| *taken += 1);
    }

    /// Forgets what nodes reported, but not how new the memberships were: reports that came while another
    /// node led group 0 tell of no one now.
    pub fn forget(&self) {
        let mut collected = self.collected();
        collected.nodes.clear();
        collected.grown.clear();
    }

    /// Tells of reports.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// The nodes that reported lately.
    pub fn reporters(&self, now: UnixMillis) -> BTreeSet<NodeNumber> {
        let collected = self.collected();
        collected.fresh(now).map(|report| report.node).collect()
    }

    /// When the leader of a group last reported of it.
    pub fn reported_at(&self, group: GroupId) -> Option<UnixMillis> {
        let collected = self.collected();
        let leads = |report: &NodeReport| report.led.iter().any(|led| led.group == group);
        let nodes = collected.nodes.values();
        nodes
            .filter(|(report, _)| leads(report))
            .map(|(_, at)| *at)
            .max()
    }

    /// The term in which each group is led.
    pub fn terms(&self, now: UnixMillis) -> BTreeMap<GroupId, u64> {
        let collected = self.collected();
        let mut terms: BTreeMap<GroupId, u64> = BTreeMap::new();
        for led in collected.fresh(now).flat_map(|report| &report.led) {
            let term = terms.entry(led.group).or_default();
            *term = led.term.max(*term);
        }
        terms
    }

    /// Puts together what is known of all groups.
    pub fn observe(&self, now: UnixMillis) -> BTreeMap<GroupId, GroupObserved> {
        self.collected().observe(now)
    }
}

impl Collected {
    fn fresh(&self, now: UnixMillis) -> impl Iterator<Item = &NodeReport> {
        let nodes = self.nodes.values();
        nodes
            .filter(move |(_, at)| !now.is_past(*at, FRESH))
            .map(|(report, _)| report)
    }

    fn note(&mut self, led: &LedGroup, now: UnixMillis) {
        let members = self.members.entry(led.group).or_default();
        if members.voters.is_empty() || led.membership_index > members.index {
            let voters = led.voters.iter();
            *members = Members {
                index: led.membership_index,
                voters: voters.map(|set| set.iter().copied().collect()).collect(),
                learners: led.learners.iter().copied().collect(),
            };
        }
        for node in &led.learners {
            let matched = led.matched.get(node).copied().flatten();
            let grown = self.grown.entry((led.group, *node));
            let grown = grown.or_insert((matched, now));
            if grown.0 != matched {
                *grown = (matched, now);
            }
        }
        self.grown
            .retain(|(group, node), _| *group != led.group || led.learners.contains(node));
    }

    fn observe(&self, now: UnixMillis) -> BTreeMap<GroupId, GroupObserved> {
        let mut groups: BTreeMap<GroupId, GroupObserved> = BTreeMap::new();
        let mut leaders: BTreeMap<GroupId, (u64, NodeNumber, &LedGroup)> = BTreeMap::new();
        for report in self.fresh(now) {
            for group in report.held.keys() {
                let seen = groups.entry(*group).or_default();
                seen.held_by.insert(report.node);
            }
            for led in &report.led {
                let new = (led.term, report.node, led);
                let known = leaders.entry(led.group).or_insert(new);
                if known.0 < led.term {
                    *known = new;
                }
            }
        }
        for (group, members) in &self.members {
            let seen = groups.entry(*group).or_default();
            seen.membership_index = members.index;
            seen.voters.clone_from(&members.voters);
            let unknown = |node: &NodeNumber| (*node, self.progress(None, *group, *node, now));
            seen.learners = members.learners.iter().map(unknown).collect();
        }
        for (group, (_, leader, led)) in leaders {
            let seen = groups.entry(group).or_default();
            seen.leader = Some(leader);
            for (node, progress) in &mut seen.learners {
                *progress = self.progress(Some(led), group, *node, now);
            }
            let voters = seen.voters.iter().flatten();
            seen.lag = voters
                .map(|node| (*node, lag(led, leader, *node)))
                .collect();
        }
        groups
    }

    fn progress(
        &self,
        led: Option<&LedGroup>,
        group: GroupId,
        node: NodeNumber,
        now: UnixMillis,
    ) -> LearnerProgress {
        let since = self.grown.get(&(group, node)).map_or(now, |(_, at)| *at);
        let seconds = now.0.saturating_sub(since.0) / 1_000;
        LearnerProgress {
            lag: led.map_or(u64::MAX, |led| entries_behind(led, node)),
            stalled_for: Seconds(u32::try_from(seconds).unwrap_or(u32::MAX)),
        }
    }
}

fn lag(led: &LedGroup, leader: NodeNumber, node: NodeNumber) -> u64 {
    if node == leader {
        0
    } else {
        entries_behind(led, node)
    }
}

/// How many entries a replica lags behind its leader; all of them while it did not answer.
fn entries_behind(led: &LedGroup, node: NodeNumber) -> u64 {
    let entries = |index: Option<u64>| index.map_or(0, |index| index.saturating_add(1));
    match led.matched.get(&node).copied().flatten() {
        Some(matched) => entries(led.last_index).saturating_sub(entries(Some(matched))),
        // A log of a few entries is no sign that a silent replica has them.
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests;
