//! Each refusal is provoked once, names what it must, and changes nothing.

mod table;

use super::*;
use crate::limits::{MOVES_MAX, SHARDS_PER_COMMAND_MAX};
use crate::stored::v1::samples::{creation, refusals};
use crate::stored::v1::{NodeFacts, Placement};
use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use table::{after, at_once, base, join, start};

fn refused(state: &mut MetaState, command: MetaCommand, text: &str) -> Discriminant<Refusal> {
    let before = state.clone();
    let outcome = state.apply(&operator(command.clone()));
    let Outcome::Refused(refusal) = outcome else {
        panic!("{command:?} is {outcome:?}");
    };
    let told = refusal.to_string();
    assert!(told.contains(text), "`{told}` does not name `{text}`");
    assert!(
        told.contains(": ") || told.contains("; "),
        "`{told}` names no remedy"
    );
    let mut same = state.clone().into_record();
    let kept = before.into_record();
    same.audit = kept.audit.clone();
    same.audited = kept.audited;
    same.unread = kept.unread;
    assert_eq!(same, kept, "{command:?} was refused and changed something");
    discriminant(&refusal)
}

fn seen_of_cluster() -> Vec<Discriminant<Refusal>> {
    let mut state = MetaState::default();
    let mut entry = operator(MetaCommand::DrainNode {
        node: NodeNumber(1),
    });
    entry.schema = 0;
    let none = state.apply(&entry);
    assert_eq!(none, Outcome::Refused(Refusal::NoCluster));
    let unread = state.apply_bytes(&[]);
    assert_eq!(unread, Outcome::Refused(Refusal::Unreadable));
    let many = MetaCommand::CreateCluster(creation(5_000, 3, 3));
    let mut base = base();
    let mut entry = operator(MetaCommand::RaiseSchema { to: 1 });
    entry.schema = 2;
    let gate = Refusal::BeyondGate { schema: 2, gate: 1 };
    assert_eq!(base.apply(&entry), Outcome::Refused(gate.clone()));
    vec![
        discriminant(&Refusal::NoCluster),
        discriminant(&Refusal::Unreadable),
        discriminant(&gate),
        refused(&mut state, many, "5000 shards: use 1 to 4096"),
    ]
}

fn seen_at_most_moves() -> Discriminant<Refusal> {
    let mut busy = base();
    for chunk in (3..u32::try_from(MOVES_MAX).expect("small") + 3)
        .collect::<Vec<_>>()
        .chunks(SHARDS_PER_COMMAND_MAX)
    {
        let voters = || numbers(&[1, 2, 3]);
        let placements = chunk.iter().map(|shard| Placement {
            shard: ShardId(*shard),
            voters: voters(),
        });
        must(
            &mut busy,
            MetaCommand::PlaceShards {
                placements: placements.collect(),
            },
        );
        let shards: Vec<ShardId> = chunk.iter().copied().map(ShardId).collect();
        must(
            &mut busy,
            MetaCommand::NoteFounded {
                shards: shards.clone(),
            },
        );
        for shard in shards {
            let group = GroupId::Shard(shard);
            let (add, remove) = (numbers(&[4]), numbers(&[1]));
            let reason = MoveReason::Operator;
            must(
                &mut busy,
                MetaCommand::StartMove {
                    group,
                    version: 2,
                    add,
                    remove,
                    reason,
                },
            );
        }
    }
    refused(&mut busy, start(2, &[4], &[1]), "256 moves are under way")
}

fn seen_at_limits() -> Vec<Discriminant<Refusal>> {
    let mut full = base();
    let active = u64::try_from(NODES_ACTIVE_MAX).expect("small");
    for number in 5..=active {
        must(
            &mut full,
            MetaCommand::JoinNode {
                facts: facts(number, "zone-1"),
                claims: None,
            },
        );
    }
    let one_more = join(|one| *one = facts(active + 1, "zone-1"), None);
    let nodes = refused(&mut full, one_more, "2048 nodes");
    let moves = seen_at_most_moves();
    let mut gone = base();
    let node = NodeNumber(4);
    must(
        &mut gone,
        MetaCommand::DecommissionNode {
            node,
            unreachable: vec![],
        },
    );
    must(&mut gone, MetaCommand::FinishDecommission { node });
    let back = join(
        |one| {
            *one = NodeFacts {
                incarnation: 2,
                ..facts(4, "zone-1")
            }
        },
        Some(4),
    );
    vec![
        nodes,
        moves,
        refused(&mut gone, back, "node 4 is decommissioned for good"),
    ]
}

#[test]
fn each_refusal_is_provoked_named_and_without_effect() {
    let mut seen: Vec<Discriminant<Refusal>> = seen_of_cluster();
    seen.extend(seen_at_limits());
    for (text, command) in at_once() {
        seen.push(refused(&mut base(), command, text));
    }
    for (text, before, command) in after() {
        let mut state = base();
        for one in before {
            must(&mut state, one);
        }
        seen.push(refused(&mut state, command, text));
    }
    for refusal in refusals() {
        assert!(
            seen.contains(&discriminant(&refusal)),
            "{refusal:?} is never provoked"
        );
    }
    let texts: BTreeSet<String> = refusals().iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), refusals().len());
}
