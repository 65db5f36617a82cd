//! Pure: from what gossip reports, round by round, to the view.
//!
//! Invariants: a member is shown once, in its newest incarnation that lives, else in the newest that lived;
//! an incarnation never seen alive is not shown; refusal is for good.

use chitchat::ChitchatId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::NodeNumber;

use crate::gossiped::Document;
use crate::ids::{Incarnation, member_from_canonical};
use crate::view::{Duplicate, GossipState, Liveness, Member, MembershipView, Standing};

/// One incarnation at one address; in order, the older first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) member: NodeNumber,
    pub(crate) incarnation: Incarnation,
    pub(crate) address: SocketAddr,
}

impl Life {
    /// Reads chitchat's id; `None` for one that no member of this cluster writes.
    pub(crate) fn from_chitchat(id: &ChitchatId) -> Option<Self> {
        Some(Self {
            member: member_from_canonical(&id.node_id)?,
            incarnation: Incarnation(id.generation_id),
            address: id.gossip_advertise_addr,
        })
    }
}

/// What gossip reports of one incarnation.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) life: Life,
    pub(crate) alive: bool,
    pub(crate) heartbeat: u64,
    pub(crate) version: u64,
    /// Read anew when the version changed.
    pub(crate) document: Option<Document>,
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Since the start, never going back: decides.
    pub(crate) elapsed: Duration,
    /// For people.
    pub(crate) unix_ms: u64,
}

#[derive(Debug)]
struct Track {
    liveness: Liveness,
    /// Whether it was ever alive, and so is shown.
    shown: bool,
    since_unix_ms: u64,
    heartbeat: u64,
    heartbeat_rose_at: Duration,
    version: u64,
    document: Arc<Document>,
}

/// Follows the incarnations and makes views.
#[derive(Debug)]
pub(crate) struct Tracker {
    own: Life,
    duplicate_after: Duration,
    lives: BTreeMap<Life, Track>,
    deaths: BTreeMap<NodeNumber, u64>,
    /// Since when several incarnations of a member live.
    rivalries: BTreeMap<NodeNumber, Duration>,
    view: MembershipView,
}

impl Tracker {
    pub(crate) fn new(own: Life, duplicate_after: Duration) -> Self {
        let view = MembershipView {
            number: 0,
            own: own.member,
            standing: Standing::Checking,
            gossip: GossipState::Running,
            members: BTreeMap::new(),
            duplicates: Vec::new(),
        };
        Self {
            own,
            duplicate_after,
            lives: BTreeMap::new(),
            deaths: BTreeMap::new(),
            rivalries: BTreeMap::new(),
            view,
        }
    }

    /// The version of an incarnation's documents that was read last.
    pub(crate) fn version_of(&self, life: &Life) -> Option<u64> {
        self.lives.get(life).map(|track| track.version)
    }

    pub(crate) fn view(&self) -> &MembershipView {
        &self.view
    }

    /// Takes in a round; true when the view changed.
    pub(crate) fn observe(&mut self, round: Vec<Observed>, moment: Moment) -> bool {
        let mut before = std::mem::take(&mut self.lives);
        for observed in round {
            let life = observed.life;
            let track = before.remove(&life);
            let track = self.follow(track, observed, moment);
            self.lives.insert(life, track);
        }
        let duplicates = self.find_duplicates(moment.elapsed);
        let standing = self.judge_standing(&duplicates, moment.elapsed);
        let next = MembershipView {
            number: self.view.number,
            own: self.own.member,
            standing,
            gossip: self.view.gossip.clone(),
            members: self.members(),
            duplicates,
        };
        self.deaths.retain(|id, _| next.members.contains_key(id));
        self.replace(next)
    }

    /// Notes that gossip ended.
    pub(crate) fn stop(&mut self, why: String) -> bool {
        let gossip = GossipState::Stopped { why };
        let next = MembershipView {
            gossip,
            ..self.view.clone()
        };
        self.replace(next)
    }

    fn replace(&mut self, mut next: MembershipView) -> bool {
        let changed = next != self.view;
        if changed {
            next.number += 1;
            self.view = next;
        }
        changed
    }

    fn follow(&mut self, before: Option<Track>, observed: Observed, moment: Moment) -> Track {
        let mut track = before.unwrap_or_else(|| Track {
            liveness: Liveness::Dead,
            shown: false,
            since_unix_ms: moment.unix_ms,
            heartbeat: observed.heartbeat,
            heartbeat_rose_at: Duration::ZERO,
            version: 0,
            document: Arc::default(),
        });
        if let Some(document) = observed.document {
            track.document = Arc::new(document);
            track.version = observed.version;
        }
        if observed.heartbeat > track.heartbeat {
            track.heartbeat = observed.heartbeat;
            track.heartbeat_rose_at = moment.elapsed;
        }
        track.shown |= observed.alive;
        let liveness = match (track.document.has_left(), observed.alive) {
            (true, _) => Liveness::Left,
            (false, true) => Liveness::Alive,
            (false, false) => Liveness::Dead,
        };
        if liveness != track.liveness {
            if liveness == Liveness::Dead {
                *self.deaths.entry(observed.life.member).or_insert(0) += 1;
            }
            track.liveness = liveness;
            track.since_unix_ms = moment.unix_ms;
        }
        track
    }

    /// Incarnations of one member that live side by side, by member.
    fn rivals(&self) -> BTreeMap<NodeNumber, Vec<(Life, Duration)>> {
        let mut living: BTreeMap<NodeNumber, Vec<_>> = BTreeMap::new();
        for (life, track) in &self.lives {
            if track.liveness == Liveness::Alive {
                let lives = living.entry(life.member).or_default();
                lives.push((*life, track.heartbeat_rose_at));
            }
        }
        living.retain(|_, lives| lives.len() > 1);
        living
    }

    /// A restart leaves two living incarnations too, until the silence of the old one is noticed. So only
    /// those count whose heartbeats still rise some time after the two were first seen together.
    fn find_duplicates(&mut self, now: Duration) -> Vec<Duplicate> {
        let rivals = self.rivals();
        self.rivalries.retain(|id, _| rivals.contains_key(id));
        let mut duplicates = Vec::new();
        for (member, lives) in rivals {
            let since = *self.rivalries.entry(member).or_insert(now);
            let lives: Vec<_> = lives
                .into_iter()
                .filter(|(_, rose_at)| *rose_at >= since + self.duplicate_after)
                .map(|(life, _)| (life.incarnation, life.address))
                .collect();
            if lives.len() > 1 {
                duplicates.push(Duplicate { member, lives });
            }
        }
        duplicates
    }

    fn judge_standing(&self, duplicates: &[Duplicate], now: Duration) -> Standing {
        if let Standing::Refused(_) = self.view.standing {
            return self.view.standing.clone();
        }
        let own = (self.own.incarnation, self.own.address);
        let older_lives = |one: &&Duplicate| {
            one.member == self.own.member && one.lives.first().is_some_and(|first| *first < own)
        };
        if let Some(duplicate) = duplicates.iter().find(older_lives) {
            return Standing::Refused(duplicate.clone());
        }
        let older_seems_alive = self.lives.iter().any(|(life, track)| {
            life.member == self.own.member && *life < self.own && track.liveness == Liveness::Alive
        });
        let settled = now >= self.duplicate_after && !older_seems_alive;
        if settled || self.view.standing == Standing::Clear {
            Standing::Clear
        } else {
            Standing::Checking
        }
    }

    fn members(&self) -> BTreeMap<NodeNumber, Member> {
        let mut members: BTreeMap<NodeNumber, Member> = BTreeMap::new();
        // Lives come older first, so a later one replaces an earlier one unless only the earlier lives.
        for (life, track) in self.lives.iter().filter(|(_, track)| track.shown) {
            let only_earlier_lives = members.get(&life.member).is_some_and(|earlier| {
                earlier.liveness == Liveness::Alive && track.liveness != Liveness::Alive
            });
            if !only_earlier_lives {
                members.insert(life.member, self.member(life, track));
            }
        }
        members
    }

    fn member(&self, life: &Life, track: &Track) -> Member {
        let document = Document::clone(&track.document);
        Member {
            id: life.member,
            incarnation: life.incarnation,
            gossip: life.address,
            liveness: track.liveness,
            since_unix_ms: track.since_unix_ms,
            deaths: self.deaths.get(&life.member).copied().unwrap_or(0),
            identity: document.identity,
            state: document.state,
            load: document.load,
            leads: document.leads,
            unreadable: document.unreadable,
        }
    }
}

#[cfg(test)]
mod tests;
