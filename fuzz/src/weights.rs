//! Weights in service: the register's entries and snapshots, chunks of files, and cards.

use crate::twin::{frames, sealed};
use std::sync::OnceLock;
use twinscale_forecaster::card::WeightsCard;
use twinscale_meta::stored::v1::{By, COMMAND, DiskId, SNAPSHOT, SchemaRange};
use twinscale_meta::stored::v2;
use twinscale_meta::{Creation, MetaCommand, MetaEntry, MetaState, NodeFacts, Outcome, UnixMillis};
use twinscale_protocol::envelope::{self, EnvelopeError, EnvelopeKind};
use twinscale_protocol::{ClusterId, NodeId, ZoneName};
use twinscale_weights::limits::CHUNK_BYTES;
use twinscale_weights::{
    Assembly, CHUNK_REPLY, CHUNK_REQUEST, ChunkCall, ChunkReply, Part, sha256,
};

/// Entries that one input holds at most.
const ENTRIES_MAX: usize = 64;

/// Any entries are applied without a panic, twice to the same bytes, and what they make reads back; a snapshot is
/// read as what would be written, or refused.
pub fn weights_register(bytes: &[u8]) {
    let (mut one, mut other) = (opened(), opened());
    for body in frames(bytes).take(ENTRIES_MAX) {
        let entry = sealed(COMMAND, body);
        assert_eq!(one.apply_bytes(&entry), other.apply_bytes(&entry));
        for kind in [SNAPSHOT, v2::SNAPSHOT] {
            match MetaState::decode(&sealed(kind, body)) {
                Ok(state) => assert_eq!(again(&state), state),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    assert_eq!(one, other);
    assert_eq!(again(&one), one);
}

fn again(state: &MetaState) -> MetaState {
    let bytes = state.encode().expect("its parts are bounded");
    MetaState::decode(&bytes).expect("it was just written")
}

/// A cluster of one node whose gate is open for the register.
fn opened() -> MetaState {
    static OPENED: OnceLock<MetaState> = OnceLock::new();
    let made = OPENED.get_or_init(|| {
        let facts = NodeFacts {
            name: NodeId::new("node-1").expect("a name"),
            disk: DiskId([1; 16]),
            incarnation: 1,
            peer_address: "10.0.0.1:7000".to_owned(),
            api_address: "10.0.0.1:8000".to_owned(),
            zone: ZoneName::new("zone-1").expect("a zone"),
            software: "0.1.0".to_owned(),
            schema: SchemaRange {
                oldest: 1,
                newest: v2::SCHEMA,
            },
        };
        let cluster = ClusterId::new("fuzz").expect("an id");
        let mut state = MetaState::default();
        for command in [
            MetaCommand::CreateCluster(Creation::new(cluster, facts, 1)),
            MetaCommand::RaiseSchema { to: v2::SCHEMA },
        ] {
            let outcome = state.apply(&MetaEntry {
                schema: 1,
                by: By::Planner,
                at: UnixMillis(1),
                command,
            });
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        }
        state
    });
    made.clone()
}

/// Calls and replies that open are those that would be written, within their bounds; chunks in any order give the
/// file that was announced, or none.
pub fn weights_chunks(bytes: &[u8]) {
    if let Some(call) = opened_again::<ChunkCall>(CHUNK_REQUEST, bytes) {
        for total in [0, 1, CHUNK_BYTES, Part::Weights.bytes_max(), u64::MAX] {
            let length = call.length_in(total) as u64;
            assert!(length <= CHUNK_BYTES && length <= total.saturating_sub(call.offset));
        }
    }
    opened_again::<ChunkReply>(CHUNK_REPLY, bytes);
    let mut frames = frames(bytes);
    let file = frames.next().unwrap_or_default();
    let total = file.len() as u64;
    let Ok(mut assembly) = Assembly::new(Part::Card, sha256(file), total) else {
        assert!(file.is_empty(), "a card may be so long");
        return;
    };
    for frame in frames.take(ENTRIES_MAX) {
        let Some((offset, chunk)) = frame.split_first_chunk::<2>() else {
            continue;
        };
        let before = assembly.have();
        let taken = assembly.take(u64::from(u16::from_le_bytes(*offset)), chunk);
        assert_eq!(taken.is_ok(), assembly.have() > before);
        assert!(assembly.have() <= total);
    }
    let is_whole = assembly.next().is_none();
    if let Ok(found) = assembly.finish() {
        assert!(is_whole && found == file);
    }
}

/// Opens a body in a sound envelope, and makes sure that it is written and read again as the same.
fn opened_again<T>(kind: EnvelopeKind, body: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let opened: Result<T, EnvelopeError> = envelope::open(kind, &sealed(kind, body));
    let value = opened.ok()?;
    let bytes = envelope::seal(kind, &value).expect("it was read, so it fits");
    let again: T = envelope::open(kind, &bytes).expect("it was just sealed");
    assert_eq!(again, value);
    Some(value)
}

/// Cards of weights are read, written and read again as the same, or refused in words.
pub fn weights_card(bytes: &[u8]) {
    match WeightsCard::from_json(bytes) {
        Ok(card) => {
            let text = card.to_json().expect("it was read, so it can be written");
            let again = WeightsCard::from_json(text.as_bytes()).expect("it was just written");
            // Numbers may be written otherwise than they were read, once.
            assert_eq!(again.to_json().expect("it is the same"), text);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
