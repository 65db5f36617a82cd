//! What a picture of a cluster means. Pure.

use super::{Check, Outcome};
use twinscale_cluster::admin::{
    CertificateLevel, GroupHealth, Heard, MemberLine, MemberState, MembersReply, ShardLine,
    ShardsReply,
};
use twinscale_wire::{Expiry, ExpiryLevel};

/// Clocks this far apart are not kept by anything: turns of one customer jump when its leader changes.
const CLOCK_WARN_MS: u64 = 1_000;

/// A fifth of what gossip bears before it refuses a node.
const CLOCK_FAIL_MS: u64 = 60_000;

/// A replica this far behind gets a snapshot rather than entries.
const LAG_WARN: u64 = 10_000;

/// Names that a line lists; more are counted.
const NAMES_MAX: usize = 5;

/// Judges a cluster: its nodes, clocks, shards, certificates and versions.
pub fn judge(members: &MembersReply, shards: &ShardsReply, own: Expiry) -> Vec<Check> {
    let nodes: Vec<&MemberLine> = members
        .members
        .iter()
        .filter(|line| line.state != MemberState::Decommissioned)
        .collect();
    vec![
        leader(members),
        alive(&nodes),
        clocks(&nodes),
        quorums(shards),
        behind(shards),
        certificates(&nodes, own),
        versions(&nodes),
    ]
}

/// `a, b and 3 more`.
fn names<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    let shown = all
        .iter()
        .take(NAMES_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn leader(members: &MembersReply) -> Check {
    let name = "group 0";
    match members.seen_by.meta_leader {
        Some(leader) => Check::passed(name, format!("node {leader} leads it")),
        None => Check::failed(
            name,
            "no node leads it: no command is taken and nothing is repaired",
            "start a majority of its voters; `twinscale members` shows who they are",
        ),
    }
}

fn alive(nodes: &[&MemberLine]) -> Check {
    let name = "members";
    let missing = || {
        let missing = nodes
            .iter()
            .filter(|line| line.heard != Heard::Alive || line.silent.is_some());
        missing.map(|line| line.name.clone())
    };
    let (all, count) = (nodes.len(), missing().count());
    let found = format!("{} of {all} nodes are heard and answer", all - count);
    if count == 0 {
        return Check::passed(name, found);
    }
    let found = format!("{found}; missing: {}", names(missing()));
    let remedy = "start them, or take them out: twinscale decommission NODE --gone";
    if count * 2 >= all {
        Check::failed(name, found, remedy)
    } else {
        Check::warned(name, found, remedy)
    }
}

fn clocks(nodes: &[&MemberLine]) -> Check {
    let name = "clocks";
    let offsets = nodes.iter().filter_map(|line| {
        let offset = line.clock_offset_ms?;
        Some((offset.unsigned_abs(), offset, &line.name))
    });
    let Some((size, offset, node)) = offsets.max() else {
        return Check::warned(name, "no node told its clock", "see the line members");
    };
    let found = format!("the farthest off is that of {node}, by {offset:+} ms");
    let remedy = "keep the clocks in step (timedatectl set-ntp true on each node)";
    if size >= CLOCK_FAIL_MS {
        Check::failed(name, found, remedy)
    } else if size >= CLOCK_WARN_MS {
        Check::warned(name, found, remedy)
    } else {
        Check::passed(name, found)
    }
}

fn group(line: &ShardLine) -> String {
    line.shard
        .map_or_else(|| "group 0".to_owned(), |shard| format!("shard {shard}"))
}

fn quorums(shards: &ShardsReply) -> Check {
    let name = "quorums";
    let of = |healths: &'static [GroupHealth]| {
        let lines = shards.shards.iter();
        lines.filter(move |line| healths.contains(&line.health))
    };
    let lost = of(&[GroupHealth::NoMajority, GroupHealth::NoLeader]);
    let all = shards.shards.len();
    if lost.clone().count() > 0 {
        let found = format!(
            "{} of {all} groups serve nobody: {}",
            lost.clone().count(),
            names(lost.map(group))
        );
        return Check::failed(
            name,
            found,
            "start the nodes of their voters; `twinscale shards --unsound`",
        );
    }
    let weak = of(&[
        GroupHealth::Degraded,
        GroupHealth::Unfounded,
        GroupHealth::Unknown,
    ]);
    if weak.clone().count() > 0 {
        let found = format!(
            "{} of {all} groups miss a voter, or are not founded or known: {}",
            weak.clone().count(),
            names(weak.map(group))
        );
        return Check::warned(
            name,
            found,
            "bring the missing nodes back before another one goes",
        );
    }
    Check::passed(name, format!("all voters of {all} groups answer"))
}

fn behind(shards: &ShardsReply) -> Check {
    let name = "replicas";
    let slow = shards
        .shards
        .iter()
        .filter(|line| line.lag.is_some_and(|lag| lag > LAG_WARN));
    let moving = shards
        .shards
        .iter()
        .filter(|line| line.moving.is_some())
        .count();
    if slow.clone().count() > 0 {
        let found = format!(
            "replicas lag more than {LAG_WARN} entries: {}",
            names(slow.map(group))
        );
        let remedy = "look at disk and network of their nodes: twinscale shards --unsound";
        return Check::warned(name, found, remedy);
    }
    Check::passed(
        name,
        format!("none is far behind; {moving} groups move a replica"),
    )
}

fn certificates(nodes: &[&MemberLine], own: Expiry) -> Check {
    let name = "certificates";
    let own_level = match own.level {
        ExpiryLevel::Fine => CertificateLevel::Fine,
        ExpiryLevel::Soon => CertificateLevel::Soon,
        ExpiryLevel::Urgent => CertificateLevel::Urgent,
        ExpiryLevel::Expired => CertificateLevel::Expired,
    };
    let theirs = nodes.iter().filter_map(|line| {
        let certificate = line.certificate?;
        Some((
            certificate.level,
            certificate.not_after,
            line.name.to_string(),
        ))
    });
    let mut all: Vec<_> = theirs.collect();
    all.push((own_level, own.not_after, "your own".to_owned()));
    let worst = all
        .iter()
        .map(|(level, ..)| *level)
        .max()
        .unwrap_or(CertificateLevel::Fine);
    let first = all.iter().map(|(_, end, _)| *end).min().unwrap_or_default();
    let date = jiff::Timestamp::from_second(first).map(|time| time.to_string());
    let date = date.unwrap_or_default();
    if worst == CertificateLevel::Fine {
        return Check::passed(name, format!("the first ends {date}"));
    }
    let due = all
        .into_iter()
        .filter(|(level, ..)| *level > CertificateLevel::Fine);
    let found = format!(
        "the first ends {date}; due: {}",
        names(due.map(|(.., name)| name))
    );
    let remedy = "issue new ones into the same folders: twinscale ca issue; nodes take them without a restart";
    let outcome = if worst == CertificateLevel::Expired {
        Outcome::Failed
    } else {
        Outcome::Warned
    };
    Check {
        name,
        outcome,
        found,
        remedy: Some(remedy.to_owned()),
    }
}

fn versions(nodes: &[&MemberLine]) -> Check {
    let name = "versions";
    let mut found: Vec<&str> = nodes.iter().map(|line| line.software.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    if found.len() <= 1 {
        return Check::passed(name, names(found));
    }
    Check::warned(
        name,
        format!("nodes run {}", names(found)),
        "bring all to one version, one node after the other",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use twinscale_cluster::admin::{Certificate, MemberWish, MetaPart, SeenBy};
    use twinscale_protocol::{NodeId, NodeNumber, ShardId, ZoneName};

    fn seen_by() -> SeenBy {
        SeenBy {
            node: NodeNumber(1),
            meta_leader: Some(NodeNumber(1)),
            at_unix_ms: 0,
        }
    }

    fn member(number: u64) -> MemberLine {
        MemberLine {
            number: NodeNumber(number),
            name: NodeId::new(format!("node-{number}")).expect("an id"),
            zone: ZoneName::new("z").expect("a zone"),
            state: MemberState::Serving,
            wish: MemberWish::Serve,
            heard: Heard::Alive,
            heard_since_unix_ms: Some(0),
            deaths: 0,
            peer_address: String::new(),
            api_address: String::new(),
            software: "1".to_owned(),
            incarnation: 1,
            twins: None,
            cpu_per_mille: None,
            meta: MetaPart::Voter,
            replicas: 1,
            leads: Some(1),
            clock_offset_ms: Some(3),
            certificate: Some(Certificate {
                not_after: 2_000_000_000,
                level: CertificateLevel::Fine,
            }),
            silent: None,
        }
    }

    fn shard(number: u32) -> ShardLine {
        ShardLine {
            shard: Some(ShardId(number)),
            voters: vec![NodeNumber(1), NodeNumber(2), NodeNumber(3)],
            learners: Vec::new(),
            leader: Some(NodeNumber(1)),
            term: Some(1),
            answering: 3,
            health: GroupHealth::Sound,
            lag: Some(0),
            moving: None,
        }
    }

    /// The outcomes other than passed, after a change to a sound cluster.
    fn found(
        change: impl FnOnce(&mut MembersReply, &mut ShardsReply, &mut Expiry),
    ) -> Vec<(&'static str, Outcome)> {
        let mut members = MembersReply {
            seen_by: seen_by(),
            members: (1..=3).map(member).collect(),
        };
        let mut shards = ShardsReply {
            seen_by: seen_by(),
            names: BTreeMap::new(),
            shards: (0..8).map(shard).collect(),
        };
        let mut own = Expiry {
            not_after: 2_000_000_000,
            remaining_s: 1,
            level: ExpiryLevel::Fine,
        };
        change(&mut members, &mut shards, &mut own);
        let checks = judge(&members, &shards, own).into_iter();
        let checks = checks.filter(|check| check.outcome != Outcome::Passed);
        let shown = checks.inspect(|check| assert!(check.remedy.is_some(), "{check:?}"));
        shown.map(|check| (check.name, check.outcome)).collect()
    }

    #[test]
    fn a_sound_cluster_passes() {
        assert_eq!(found(|_, _, _| {}), []);
        let gone = |members: &mut MembersReply| {
            members.members[2].state = MemberState::Decommissioned;
            members.members[2].heard = Heard::Left;
        };
        assert_eq!(found(|members, _, _| gone(members)), [], "it left for good");
    }

    #[test]
    fn each_trouble_has_its_severity() {
        use Outcome::{Failed, Warned};
        let line = |outcome| vec![outcome];
        assert_eq!(
            found(|members, _, _| members.seen_by.meta_leader = None),
            line(("group 0", Failed))
        );
        assert_eq!(
            found(|members, _, _| members.members[1].heard = Heard::Dead),
            line(("members", Warned))
        );
        let silent = |members: &mut MembersReply| {
            members.members[1].silent = Some("late".to_owned());
            members.members[2].heard = Heard::Never;
        };
        assert_eq!(
            found(|members, _, _| silent(members)),
            line(("members", Failed))
        );
        for (offset, outcome) in [(-1_000, Warned), (60_000, Failed)] {
            let set =
                |members: &mut MembersReply| members.members[0].clock_offset_ms = Some(offset);
            assert_eq!(
                found(|members, _, _| set(members)),
                line(("clocks", outcome))
            );
        }
        for (health, outcome) in [
            (GroupHealth::Degraded, Warned),
            (GroupHealth::Unfounded, Warned),
            (GroupHealth::NoLeader, Failed),
            (GroupHealth::NoMajority, Failed),
        ] {
            let set = |shards: &mut ShardsReply| shards.shards[5].health = health;
            assert_eq!(
                found(|_, shards, _| set(shards)),
                line(("quorums", outcome))
            );
        }
        assert_eq!(
            found(|_, shards, _| shards.shards[0].lag = Some(LAG_WARN + 1)),
            line(("replicas", Warned))
        );
        assert_eq!(
            found(|_, _, own| own.level = ExpiryLevel::Urgent),
            line(("certificates", Warned))
        );
        let expired = |members: &mut MembersReply| {
            let certificate = members.members[0].certificate.as_mut().expect("it has one");
            certificate.level = CertificateLevel::Expired;
        };
        assert_eq!(
            found(|members, _, _| expired(members)),
            line(("certificates", Failed))
        );
        assert_eq!(
            found(|members, _, _| members.members[0].software = "2".to_owned()),
            line(("versions", Warned))
        );
    }
}
