//! A twin's entries, its stored parts, and its state machine.

use std::collections::BTreeMap;
use twinscale_protocol::envelope::{ENVELOPE_VERSION, EnvelopeKind, MAGIC};
use twinscale_protocol::{CustomerId, PlanNumber};
use twinscale_twin::TwinState;
use twinscale_twin::state::PartKey;
use twinscale_twin::stored::entry;
use twinscale_twin::stored::v1::{self, TwinCommand};

/// Commands that one input holds at most: enough for every step of a turn, several times.
const COMMANDS_MAX: usize = 64;

/// An entry that can be read is written and read again as the same.
pub fn stored_entry(bytes: &[u8]) {
    drop(entry::decode(bytes));
    let payload = entry_of(bytes);
    if let Ok((customer, command)) = entry::decode(&payload) {
        assert_eq!(customer.as_str(), "acme");
        let again = entry::encode(&customer, &command).expect("it was read, so it fits");
        let (_, same) = entry::decode(&again).expect("it was just written");
        assert_eq!(format!("{same:?}"), format!("{command:?}"));
    }
}

/// Any commands are applied without a panic, twice to the same bytes, and a store that follows the
/// changes gives back the whole state.
pub fn twin_apply(bytes: &[u8]) {
    let (mut one, mut other) = (new_twin(), new_twin());
    let mut stored: BTreeMap<PartKey, Vec<u8>> = BTreeMap::new();
    for body in frames(bytes).take(COMMANDS_MAX) {
        let Some(command) = command_of(body) else {
            continue;
        };
        let result = one.apply(command.clone());
        assert_eq!(format!("{:?}", other.apply(command)), format!("{result:?}"));
        for (part, value) in one.take_changes().expect("its parts are bounded") {
            match value {
                Some(value) => stored.insert(part, value),
                None => stored.remove(&part),
            };
        }
    }
    if stored.is_empty() {
        // A twin that took no command is not stored.
        return;
    }
    let whole = one.encode_all().expect("its parts are bounded");
    assert_eq!(other.encode_all().expect("its parts are bounded"), whole);
    // A part that never held anything is not stored, and means an empty one.
    let restored = TwinState::restore(acme(), stored).expect("it was just written");
    assert_eq!(restored.encode_all().expect("its parts are bounded"), whole);
}

/// Parts that hold anything make a state or name the part that is wrong. A state that they make takes
/// commands without a panic.
pub fn stored_state(bytes: &[u8]) {
    let mut parts = BTreeMap::new();
    for frame in frames(bytes).take(COMMANDS_MAX) {
        let Some((&[kind, number], body)) = frame.split_first_chunk::<2>() else {
            continue;
        };
        let number = u32::from(number);
        let (part, kind) = match kind % 10 {
            0 => (PartKey::Meta, v1::META),
            1 => (PartKey::Config, v1::CONFIG),
            2 => (PartKey::Series(number), v1::SERIES),
            3 => (PartKey::Events, v1::EVENTS),
            4 => (PartKey::Forecast, v1::FORECAST),
            5 => (PartKey::Calibration(number), v1::CALIBRATION),
            6 => (PartKey::Plan(PlanNumber(u64::from(number))), v1::PLAN),
            7 => (PartKey::Allocation, v1::ALLOCATION),
            8 => (PartKey::Intents, v1::INTENTS),
            _ => (PartKey::Feedback, v1::FEEDBACK),
        };
        parts.insert(part, sealed(kind, body));
    }
    match TwinState::restore(acme(), parts) {
        Ok(mut state) => {
            drop(state.encode_all().expect("its parts are bounded"));
            drop(state.apply(TwinCommand::LiftQuarantine));
            drop(state.report());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn acme() -> CustomerId {
    CustomerId::new("acme").expect("an id")
}

fn new_twin() -> TwinState {
    TwinState::new(acme())
}

fn command_of(body: &[u8]) -> Option<TwinCommand> {
    entry::decode(&entry_of(body))
        .ok()
        .map(|(_, command)| command)
}

fn entry_of(body: &[u8]) -> Vec<u8> {
    let mut payload = vec![4];
    payload.extend_from_slice(b"acme");
    payload.extend(sealed(v1::COMMAND, body));
    payload
}

/// A body in an envelope whose length and checksum are right.
pub(crate) fn sealed(kind: EnvelopeKind, body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&ENVELOPE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&kind.0.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Bodies behind their lengths.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (body, behind) = rest.split_at(length);
        bytes = behind;
        Some(body)
    })
}

/// A body behind its length, as `frames` reads it.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("seeds are short");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}
