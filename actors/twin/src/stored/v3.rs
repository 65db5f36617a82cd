//! What schema 3 adds to the stored kinds: notes on a twin, and a head that counts them.
//!
//! Invariant: as for version 1, the bytes never change; `golden/v3.txt` holds samples. A twin without a note
//! is stored in version 1 throughout, whatever program stores it: so replicas of two programs hold the same
//! bytes until the first note, which the schema gate lets in, comes.

use super::v1;
use serde::{Deserialize, Serialize};
use twinscale_protocol::DomainTime;
use twinscale_protocol::envelope::EnvelopeKind;

/// The newest notes of a twin.
pub const NOTES: EnvelopeKind = EnvelopeKind(0x011b);

/// The head of a twin with notes: takes the place of [`v1::META`].
pub const META: EnvelopeKind = EnvelopeKind(0x011c);

/// What somebody wrote down about a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: DomainTime,
    /// Who, as they say; may be empty.
    pub author: String,
    /// What.
    pub text: String,
}

/// The newest notes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotesRecord {
    /// In the order in which they came.
    pub kept: Vec<Note>,
}

/// The small part that nearly every command changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Notes that were ever taken; older ones than those that are kept are only counted.
    pub notes_taken: u64,
    /// As it was without notes.
    pub head: v1::Meta,
}
