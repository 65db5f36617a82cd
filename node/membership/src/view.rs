//! What one node sees of the cluster at a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use twinscale_protocol::NodeNumber;

use crate::gossiped::{Identity, Load, MemberState};
use crate::ids::Incarnation;

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is heard from.
    Alive,
    /// It was alive and is silent.
    Dead,
    /// It said that it leaves.
    Left,
}

/// One member, in its newest incarnation that lives or lived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: NodeNumber,
    /// Which life of it this is.
    pub incarnation: Incarnation,
    /// Where it gossips.
    pub gossip: SocketAddr,
    /// Whether it is there.
    pub liveness: Liveness,
    /// Since when that is so, by the own clock, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// How often it was seen to die since this node started.
    pub deaths: u64,
    /// Who it says it is; `None` until it is heard.
    pub identity: Option<Identity>,
    /// What it says it does.
    pub state: Option<MemberState>,
    /// How busy it says it is.
    pub load: Option<Load>,
    /// Shards that it says it leads, with the term; only hints.
    pub leads: BTreeMap<u32, u64>,
    /// What it told and this version cannot read, and why.
    pub unreadable: Vec<String>,
}

/// Who seems to lead a shard: good for a first try, never for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The member that says so.
    pub member: NodeNumber,
    /// The term in which it leads.
    pub term: u64,
}

/// Two or more processes that live under one node id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The id.
    pub member: NodeNumber,
    /// The lives, oldest first: incarnation and gossip address.
    pub lives: Vec<(Incarnation, SocketAddr)>,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node id {} is in use by", self.member)?;
        for (index, (incarnation, address)) in self.lives.iter().enumerate() {
            let before = if index == 0 { "" } else { " and" };
            write!(f, "{before} {address} (incarnation {incarnation})")?;
        }
        f.write_str("; stop the wrong process, give it a node id and a data directory of its own, and start it again")
    }
}

/// Whether this node may serve under its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not known yet: the cluster was not heard for long enough, or an earlier life still seems to live.
    Checking,
    /// No other process has the id.
    Clear,
    /// An older process lives under the same id. It stays so until a restart: two nodes of one id would
    /// spoil consensus.
    Refused(Duplicate),
}

/// Whether gossip itself runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipState {
    /// It runs.
    Running,
    /// It has ended; membership must be started again.
    Stopped {
        /// Why.
        why: String,
    },
}

/// What one node sees of the cluster at a moment; itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipView {
    /// Rises with every change.
    pub number: u64,
    /// This node.
    pub own: NodeNumber,
    /// Whether this node may serve.
    pub standing: Standing,
    /// Whether gossip runs.
    pub gossip: GossipState,
    /// Members that were ever seen alive and are not forgotten.
    pub members: BTreeMap<NodeNumber, Member>,
    /// Node ids that several processes use.
    pub duplicates: Vec<Duplicate>,
}

/// What became different between two views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A member was seen alive for the first time.
    Appeared(NodeNumber),
    /// A new incarnation of it lives.
    Restarted(NodeNumber),
    /// It fell silent.
    Died(NodeNumber),
    /// It was dead, and is heard again.
    Returned(NodeNumber),
    /// It left on purpose.
    Left(NodeNumber),
    /// It was dead or gone for long and is forgotten.
    Forgotten(NodeNumber),
    /// It told something new.
    Told(NodeNumber),
}

impl MembershipView {
    /// Counts the members that are alive, this node included.
    pub fn alive(&self) -> usize {
        let alive = |one: &&Member| one.liveness == Liveness::Alive;
        self.members.values().filter(alive).count()
    }

    /// Reads whether a member is there; `None` for one that was never seen alive or is forgotten.
    pub fn liveness(&self, member: NodeNumber) -> Option<Liveness> {
        self.members.get(&member).map(|one| one.liveness)
    }

    /// Names the living member that says it leads a shard, in the highest term.
    pub fn leader_hint(&self, shard: u32) -> Option<LeaderHint> {
        let alive = self.members.values();
        let alive = alive.filter(|one| one.liveness == Liveness::Alive);
        alive
            .filter_map(|one| {
                let term = *one.leads.get(&shard)?;
                let member = one.id;
                Some(LeaderHint { member, term })
            })
            .max_by_key(|hint| (hint.term, hint.member))
    }

    /// Lists what became different since an earlier view.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        let ids: BTreeSet<_> = self.members.keys().chain(earlier.members.keys()).collect();
        ids.into_iter()
            .flat_map(|id| changes(*id, earlier.members.get(id), self.members.get(id)))
            .collect()
    }
}

fn changes(id: NodeNumber, before: Option<&Member>, now: Option<&Member>) -> Vec<Change> {
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (None, Some(now)) => {
            let appeared = Change::Appeared(id);
            return std::iter::once(appeared)
                .chain(liveness_change(id, Liveness::Alive, now.liveness))
                .collect();
        }
        (Some(_), None) => return vec![Change::Forgotten(id)],
        (None, None) => return Vec::new(),
    };
    let mut changes = Vec::new();
    if before.incarnation != now.incarnation || before.gossip != now.gossip {
        changes.push(Change::Restarted(id));
        changes.extend(liveness_change(id, Liveness::Alive, now.liveness));
    } else {
        changes.extend(liveness_change(id, before.liveness, now.liveness));
    }
    let told = |one: &Member| {
        (
            one.identity.clone(),
            one.state.clone(),
            one.load,
            one.leads.clone(),
        )
    };
    if told(before) != told(now) {
        changes.push(Change::Told(id));
    }
    changes
}

fn liveness_change(id: NodeNumber, before: Liveness, now: Liveness) -> Option<Change> {
    match (before, now) {
        (Liveness::Dead | Liveness::Left, Liveness::Alive) => Some(Change::Returned(id)),
        (Liveness::Alive, Liveness::Dead) => Some(Change::Died(id)),
        (Liveness::Alive | Liveness::Dead, Liveness::Left) => Some(Change::Left(id)),
        _ => None,
    }
}
