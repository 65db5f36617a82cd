//! Which schema a stored kind belongs to. A program reads all from the oldest to the newest that it knows,
//! and writes a newer one only once every node of its cluster knows it.

use super::v1::TwinCommand;

/// The oldest schema that this program reads.
pub const OLDEST_SCHEMA: u32 = 1;

/// The newest schema that this program reads. Schema 2 brings the register of weights of group 0
/// (`twinscale_meta::stored::v2`) and nothing that a twin stores.
pub const NEWEST_SCHEMA: u32 = if cfg!(feature = "next-schema") { 3 } else { 2 };

impl TwinCommand {
    /// The schema that it needs: a replica that does not know it would stop.
    pub const fn schema(&self) -> u32 {
        // Each kind by name, so that a new one must say its own.
        match self {
            Self::Configure(_)
            | Self::RecordSamples { .. }
            | Self::RecordEvents { .. }
            | Self::StoreForecast { .. }
            | Self::NoteStaleTurn { .. }
            | Self::CommitPlan { .. }
            | Self::NoteInfeasibleTurn { .. }
            | Self::CommitIntents { .. }
            | Self::CommitOutcomes { .. }
            | Self::ObserveAllocation { .. }
            | Self::LiftQuarantine
            | Self::ConfigureIf { .. } => 1,
            #[cfg(feature = "next-schema")]
            Self::Annotate(_) => 3,
        }
    }
}

#[cfg(all(test, not(feature = "next-schema")))]
mod tests {
    use crate::state::{PartKey, RestoreError, TwinState};
    use crate::stored::entry::{self, EntryError};
    use twinscale_protocol::CustomerId;

    /// What the program of the next schema wrote.
    const NEXT: &str = include_str!("golden/v3.txt");

    fn written(name: &str) -> Vec<u8> {
        let mut lines = NEXT.lines().filter_map(|line| line.split_once(' '));
        let (_, hex) = lines.find(|(of, _)| *of == name).expect("it is there");
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|pair| {
                let pair = str::from_utf8(pair).expect("ascii");
                u8::from_str_radix(pair, 16).expect("hex")
            })
            .collect()
    }

    #[test]
    fn what_the_next_program_writes_stops_this_one_and_is_no_damage() {
        let customer = CustomerId::new("acme").expect("an id");
        let entry = [&[4][..], b"acme", &written("annotate")].concat();
        let decoded = entry::decode(&entry);
        assert!(
            matches!(decoded, Err(EntryError::Newer { .. })),
            "{decoded:?}"
        );
        let parts = [(PartKey::Meta, written("meta"))];
        let refused = TwinState::restore(customer, parts).expect_err("unknown");
        assert!(matches!(refused, RestoreError::Value { .. }), "{refused}");
        assert!(!refused.needs_rebuild(), "{refused}");
        assert!(PartKey::from_key(b"/v1/customer/acme/notes").is_none());
    }
}
