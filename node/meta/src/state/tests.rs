//! Rules of the state: what is refused and why, what is repeated without harm, what fits into bytes.

mod nodes;
mod refusals;
mod weights;

use super::*;
use crate::limits::{
    ADDRESS_BYTES_MAX, AUDIT_RECORDS_MAX, DEFAULTS_BYTES_MAX, NODES_ACTIVE_MAX, NODES_EVER_MAX,
    SHARDS_MAX,
};
use crate::stored::v1::samples::{
    START, cluster, commands, facts, full_record, must, nodes as numbers, operator,
};
use crate::stored::v1::{
    AuditOutcome, Avoided, By, COMMAND, MetaCommand, MetaEntry, MoveReason, NodeWish, SCHEMA,
    SNAPSHOT, UnixMillis,
};
use proptest::prelude::*;
use twinscale_protocol::AccountName;
use twinscale_protocol::envelope;
use twinscale_protocol::envelope::BODY_BYTES_MAX;

#[test]
fn a_state_survives_its_bytes() {
    let state = MetaState::from_record(full_record());
    let bytes = state.encode().expect("fits");
    assert_eq!(MetaState::decode(&bytes).expect("sound"), state);
}

#[test]
fn the_largest_state_fits_into_half_an_envelope() {
    let mut state = cluster(SHARDS_MAX, 7, &["zone-1"; 7]);
    let filled = |number: u64, active: bool| {
        let mut facts = facts(number, "z".repeat(63).as_str());
        facts.name = twinscale_protocol::NodeId::new(format!("{number:0>63}")).expect("a name");
        facts.software = "v".repeat(64);
        if active {
            facts.peer_address = "a".repeat(ADDRESS_BYTES_MAX);
            facts.api_address = "a".repeat(ADDRESS_BYTES_MAX);
        }
        let mut node = super::nodes::new_node(NodeNumber(number), facts, START);
        node.wish = NodeWish::Leave;
        node
    };
    let ever = u64::try_from(NODES_EVER_MAX).expect("small");
    let active = u64::try_from(NODES_ACTIVE_MAX).expect("small");
    state.record.nodes = (1..=ever)
        .map(|number| filled(number, number <= active))
        .collect();
    let high = |from: u64| {
        (from..from + 7)
            .map(|one| NodeNumber(ever - one))
            .rev()
            .collect()
    };
    for group in &mut state.record.shards {
        group.voters = high(10);
        group.founded = true;
        group.last_move = u64::MAX;
        group.version = u64::MAX;
        let until = UnixMillis(u64::MAX);
        group.avoided = vec![
            Avoided {
                node: NodeNumber(ever),
                until
            };
            4
        ];
        group.under_way = Some(Move {
            number: u64::MAX,
            add: vec![NodeNumber(ever - 1), NodeNumber(ever)],
            remove: vec![],
            stage: MoveStage::Learn,
            started_at: START,
            stage_at: START,
            reason: MoveReason::Operator,
        });
    }
    state.record.last_move = u64::MAX;
    state.record.defaults.bytes = vec![255; DEFAULTS_BYTES_MAX];
    for _ in 0..=AUDIT_RECORDS_MAX {
        let mut entry = operator(MetaCommand::DrainNode {
            node: NodeNumber(ever),
        });
        entry.by = By::Operator(AccountName::new("o".repeat(63)).expect("a name"));
        state.apply(&entry);
    }
    assert_eq!(state.record.audit.len(), AUDIT_RECORDS_MAX);
    let bytes = state.encode().expect("fits");
    assert!(bytes.len() < BODY_BYTES_MAX / 2, "{} bytes", bytes.len());
    assert_eq!(MetaState::decode(&bytes).expect("sound"), state);
}

/// What the error must name, and what spoils a record.
type Spoilt = (&'static str, fn(&mut MetaRecord));

#[test]
fn an_unsound_snapshot_is_refused() {
    let spoilt: [Spoilt; 7] = [
        ("numbered", |record| record.nodes.swap(0, 1)),
        ("name", |record| {
            record.nodes[0].facts.name = record.nodes[1].facts.name.clone();
        }),
        ("directory", |record| {
            record.nodes[0].facts.disk = record.nodes[1].facts.disk;
        }),
        ("shards", |record| record.shards.truncate(2)),
        ("voters of shard 1", |record| {
            record.shards[1].voters = numbers(&[1, 2, 9]);
        }),
        ("even voters", |record| {
            record.shards[0].voters = numbers(&[1, 2]);
        }),
        ("move of shard 1", |record| {
            record.shards[1].under_way.as_mut().expect("a move").number = 0;
        }),
    ];
    for (what, spoil) in spoilt {
        let mut record = full_record();
        spoil(&mut record);
        let bytes = envelope::seal(SNAPSHOT, &record).expect("encodes");
        let error = MetaState::decode(&bytes).expect_err("unsound").to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
    assert!(matches!(
        MetaState::decode(b"TWSC"),
        Err(RestoreError::Envelope(_))
    ));
}

#[test]
fn an_entry_beyond_the_gate_leaves_the_same_bytes_on_old_and_new_software() {
    let mut old = cluster(1, 1, &["zone-1"]);
    let mut new = old.clone();
    // Old software cannot read a kind of a later schema; new software reads it and sees the gate.
    let unknown = envelope::seal(envelope::EnvelopeKind(COMMAND.0 + 0x10), &7_u32).expect("small");
    assert_eq!(
        old.apply_bytes(&unknown),
        Outcome::Refused(Refusal::Unreadable)
    );
    let entry = MetaEntry {
        schema: SCHEMA + 1,
        ..operator(MetaCommand::RaiseSchema { to: 1 })
    };
    let refused = Refusal::BeyondGate { schema: 2, gate: 1 };
    assert_eq!(new.apply(&entry), Outcome::Refused(refused));
    assert_eq!(old.encode().expect("fits"), new.encode().expect("fits"));
    assert_eq!(old.unread(), 1);
}

#[test]
fn people_are_audited_and_the_planner_does_not_push_them_out() {
    let mut state = cluster(1, 1, &["zone-1"]);
    let before = state.audited();
    let mut planned = operator(MetaCommand::FillNode {
        node: NodeNumber(9),
    });
    planned.by = By::Planner;
    state.apply(&planned);
    assert_eq!(state.audited(), before);
    state.apply(&operator(planned.command));
    assert_eq!(state.audited(), before + 1);
    let last = state.audit().last().expect("audited");
    let node = NodeNumber(9);
    assert_eq!(
        last.outcome,
        AuditOutcome::Refused(Refusal::UnknownNode { node })
    );
    assert_eq!(
        last.by,
        By::Operator(AccountName::new("ada").expect("a name"))
    );
}

proptest! {
    /// Every command is safe to repeat, in any order, and gives the same bytes each time.
    #[test]
    fn any_commands_replay_to_the_same_bytes(picks in prop::collection::vec((0_usize..60, 1_u64..6), 0..80)) {
        let all = commands();
        let mut one = cluster(8, 3, &["zone-1", "zone-2", "zone-3", "zone-3"]);
        let mut other = one.clone();
        for (pick, by) in picks {
            let Some((_, command)) = all.get(pick) else { continue };
            let mut entry = operator(command.clone());
            entry.by = By::Node(NodeNumber(by));
            let outcome = one.apply(&entry);
            let bytes = envelope::seal(COMMAND, &entry).expect("small");
            prop_assert_eq!(other.apply_bytes(&bytes), outcome);
            let stored = one.encode().expect("fits");
            prop_assert_eq!(&other.encode().expect("fits"), &stored);
            other = MetaState::decode(&stored).expect("sound");
        }
    }
}
