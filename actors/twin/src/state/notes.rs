//! Notes on a customer: written down, kept in order, bounded.

use super::apply::{ApplyResult, NotApplied, invalid};
use super::{PartKey, TwinState};
use crate::limits::{NOTE_AUTHOR_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX};
use crate::stored::v1;
use crate::stored::v3::{META, Meta, NOTES, Note, NotesRecord};
use twinscale_protocol::envelope::{self, EnvelopeError};

/// The notes of a twin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    taken: u64,
    kept: Vec<Note>,
}

/// Checks one note; the text names the rule and the remedy.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check_note(note: &Note) -> Result<(), String> {
    let bytes = note.text.len();
    if bytes == 0 || bytes > NOTE_BYTES_MAX {
        return Err(format!(
            "the note has {bytes} bytes: write 1 to {NOTE_BYTES_MAX}"
        ));
    }
    let bytes = note.author.len();
    if bytes > NOTE_AUTHOR_BYTES_MAX {
        return Err(format!(
            "the author has {bytes} bytes: use at most {NOTE_AUTHOR_BYTES_MAX}"
        ));
    }
    Ok(())
}

impl TwinState {
    /// The newest notes, in the order in which they came.
    pub fn notes(&self) -> &[Note] {
        &self.notes.kept
    }

    /// Notes that were ever taken.
    pub fn notes_taken(&self) -> u64 {
        self.notes.taken
    }

    pub(super) fn apply_note(&mut self, note: Note) -> Result<ApplyResult, NotApplied> {
        check_note(&note).map_err(invalid)?;
        let notes = &mut self.notes;
        // The same again: whoever did not get the answer sent it once more.
        if !notes.kept.contains(&note) {
            notes.taken = notes.taken.saturating_add(1);
            notes.kept.push(note);
            let too_many = notes.kept.len().saturating_sub(NOTES_MAX);
            notes.kept.drain(..too_many);
            self.mark(PartKey::Notes);
            self.mark(PartKey::Meta);
        }
        Ok(ApplyResult::Annotated {
            notes_taken: self.notes.taken,
        })
    }

    pub(super) fn encode_notes(&self) -> Result<Option<Vec<u8>>, EnvelopeError> {
        if self.notes.kept.is_empty() {
            return Ok(None);
        }
        let kept = self.notes.kept.clone();
        envelope::seal(NOTES, &NotesRecord { kept }).map(Some)
    }

    pub(super) fn restore_notes(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        let NotesRecord { kept } = envelope::open(NOTES, bytes)?;
        self.notes.kept = kept;
        Ok(())
    }

    /// The head in the layout that its content needs: which one that is follows from committed commands
    /// alone, so that it is the same on every replica.
    pub(super) fn encode_meta(&self) -> Result<Vec<u8>, EnvelopeError> {
        if self.notes.taken == 0 {
            return envelope::seal(v1::META, &self.meta);
        }
        let meta = Meta {
            notes_taken: self.notes.taken,
            head: self.meta.clone(),
        };
        envelope::seal(META, &meta)
    }

    pub(super) fn restore_meta(&mut self, bytes: &[u8]) -> Result<(), EnvelopeError> {
        if envelope::peek_kind(bytes)? != META {
            self.meta = envelope::open(v1::META, bytes)?;
            return Ok(());
        }
        let Meta { notes_taken, head } = envelope::open(META, bytes)?;
        self.notes.taken = notes_taken;
        self.meta = head;
        Ok(())
    }
}
