//! Samples for tests.

mod all;

pub(crate) use all::{commands, full_record, refusals};

use super::*;
use crate::state::{MetaState, Outcome};
use twinscale_protocol::{AccountName, ClusterId, NodeId, NodeNumber, ZoneName};

pub(crate) const START: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).expect("a zone")
}

pub(crate) fn facts(number: u64, zone_name: &str) -> NodeFacts {
    let mut disk = [0; 16];
    disk[..8].copy_from_slice(&number.to_le_bytes());
    NodeFacts {
        name: NodeId::new(format!("node-{number}")).expect("a name"),
        disk: DiskId(disk),
        incarnation: 1,
        peer_address: format!("10.0.0.{number}:7000"),
        api_address: format!("10.0.0.{number}:8000"),
        zone: zone(zone_name),
        software: "0.1.0".to_owned(),
        schema: SchemaRange {
            oldest: 1,
            newest: 2,
        },
    }
}

pub(crate) fn creation(shard_count: u32, replication: u8, nodes_expected: u16) -> Creation {
    Creation {
        cluster: ClusterId::new("test").expect("an id"),
        shard_count,
        replication,
        nodes_expected,
        schema: SCHEMA,
        first_node: facts(1, "zone-1"),
    }
}

pub(crate) fn operator(command: MetaCommand) -> MetaEntry {
    MetaEntry {
        schema: SCHEMA,
        by: By::Operator(AccountName::new("ada").expect("a name")),
        at: START,
        command,
    }
}

pub(crate) fn nodes(numbers: &[u64]) -> Vec<NodeNumber> {
    numbers.iter().copied().map(NodeNumber).collect()
}

/// Applies a command that must take effect.
pub(crate) fn must(state: &mut MetaState, command: MetaCommand) {
    let outcome = state.apply(&operator(command.clone()));
    assert!(
        matches!(outcome, Outcome::Applied(_)),
        "{command:?}: {outcome:?}"
    );
}

/// A cluster whose nodes all serve: as many as `zones` has names.
pub(crate) fn cluster(shards: u32, replication: u8, zones: &[&str]) -> MetaState {
    let mut state = MetaState::default();
    let mut created = creation(
        shards,
        replication,
        u16::try_from(zones.len()).expect("few"),
    );
    created.first_node = facts(1, zones[0]);
    must(&mut state, MetaCommand::CreateCluster(created));
    for (number, zone_name) in (1..).zip(zones) {
        if number > 1 {
            let facts = facts(number, zone_name);
            must(
                &mut state,
                MetaCommand::JoinNode {
                    facts,
                    claims: None,
                },
            );
        }
        let node = NodeNumber(number);
        must(
            &mut state,
            MetaCommand::NoteServing {
                node,
                incarnation: 1,
            },
        );
    }
    state
}
