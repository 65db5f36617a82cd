//! Nodes come, come back, and go.

use super::*;
use crate::state::Applied;
use crate::stored::v1::DiskId;

fn join(
    state: &mut MetaState,
    facts: crate::stored::v1::NodeFacts,
    claims: Option<u64>,
) -> Outcome {
    let claims = claims.map(NodeNumber);
    state.apply(&operator(MetaCommand::JoinNode { facts, claims }))
}

#[test]
fn a_restarted_node_keeps_its_number_and_a_wiped_one_needs_a_new_name() {
    let mut state = cluster(1, 1, &["zone-1", "zone-2"]);
    let mut back = facts(2, "zone-2");
    back.incarnation = 2;
    back.software = "0.2.0".to_owned();
    let joined = Applied::Joined(NodeNumber(2));
    assert_eq!(
        join(&mut state, back.clone(), Some(2)),
        Outcome::Applied(joined)
    );
    assert_eq!(
        join(&mut state, back.clone(), None),
        Outcome::Unchanged(joined)
    );
    assert_eq!(state.node_state(NodeNumber(2)), Some(NodeState::Serving));
    let mut wiped = facts(2, "zone-2");
    wiped.disk = DiskId([9; 16]);
    let node = NodeNumber(2);
    let name = wiped.name.clone();
    let taken = Refusal::NameTaken { name, node };
    assert_eq!(
        join(&mut state, wiped.clone(), None),
        Outcome::Refused(taken)
    );
    wiped.name = twinscale_protocol::NodeId::new("node-2b").expect("a name");
    let joined = Applied::Joined(NodeNumber(3));
    assert_eq!(join(&mut state, wiped, None), Outcome::Applied(joined));
}

#[test]
fn a_dead_node_that_comes_back_serves_or_drains_as_it_was_wanted() {
    let mut state = cluster(1, 1, &["zone-1", "zone-2", "zone-3"]);
    let node = NodeNumber(2);
    must(&mut state, MetaCommand::DrainNode { node });
    must(
        &mut state,
        MetaCommand::NoteDead {
            node,
            incarnation: 1,
        },
    );
    let mut back = facts(2, "zone-2");
    back.incarnation = 2;
    join(&mut state, back, Some(2));
    assert_eq!(state.node_state(node), Some(NodeState::Joining));
    must(
        &mut state,
        MetaCommand::NoteServing {
            node,
            incarnation: 2,
        },
    );
    assert_eq!(state.node_state(node), Some(NodeState::Draining));
    must(&mut state, MetaCommand::FillNode { node });
    assert_eq!(state.node_state(node), Some(NodeState::Serving));
}

#[test]
fn the_gate_rises_when_all_support_it_and_then_admits_no_older_node() {
    let mut state = cluster(1, 1, &["zone-1", "zone-2"]);
    must(&mut state, MetaCommand::RaiseSchema { to: 2 });
    assert_eq!(state.schema(), 2);
    let mut old = facts(3, "zone-1");
    old.schema.newest = 1;
    let refused = Refusal::SchemaOfNode {
        oldest: 1,
        newest: 1,
        gate: 2,
    };
    assert_eq!(join(&mut state, old, None), Outcome::Refused(refused));
}
