//! The state machine of group 0.
//!
//! Nothing of it is kept on disk but what consensus keeps: after a restart the newest snapshot and the log
//! behind it give the state again, a few thousand small commands.

use super::shown::MetaShown;
use bytes::Bytes;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use twinscale_consensus::{AppliedMark, CommittedBatch, MachineError, StateImage, StateMachine};
use twinscale_meta::MetaState;
use twinscale_meta::stored::v1::{OUTCOME, SchemaRange};
use twinscale_protocol::envelope::{self, BODY_BYTES_MAX, HEADER_BYTES};

/// The state machine of group 0.
#[derive(Debug)]
pub struct MetaMachine {
    held: Mutex<Held>,
    shown: Arc<MetaShown>,
    schemas: SchemaRange,
}

/// The state with how far it is; one changes with the other.
#[derive(Debug, Default)]
struct Held {
    state: MetaState,
    mark: Option<AppliedMark>,
}

impl MetaMachine {
    /// Begins empty; what it applies is shown, as long as this program knows the schema.
    pub fn new(shown: Arc<MetaShown>, schemas: SchemaRange) -> Self {
        Self {
            held: Mutex::default(),
            shown,
            schemas,
        }
    }

    /// Below the gate all replicas pass over the same unreadable entries; behind a gate that this program
    /// does not know it would pass over what the others apply, and must not go on.
    fn check(&self, state: &MetaState) -> Result<(), MachineError> {
        let gate = state.schema();
        if gate <= self.schemas.newest {
            return Ok(());
        }
        Err(MachineError::new(format!(
            "the cluster's schema is {gate}, and this program knows {} at most: start a newer one",
            self.schemas.newest
        )))
    }

    /// A panic inside leaves the state as it was after some command; the group stops all the same.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, held: &Held, mark: &AppliedMark) {
        let state = || Arc::new(held.state.clone());
        self.shown.show(mark.position().index, state);
    }
}

impl StateMachine for MetaMachine {
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError> {
        Ok(self.held().mark.clone())
    }

    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError> {
        let mut held = self.held();
        let outcomes = batches.iter().map(|batch| {
            let outcome = held.state.apply_bytes(&batch.commands);
            let sealed = envelope::seal(OUTCOME, &outcome).map_err(MachineError::new)?;
            Ok(Bytes::from(sealed))
        });
        let outcomes = outcomes.collect::<Result<Vec<Bytes>, MachineError>>()?;
        held.mark = Some(mark.clone());
        // Shown all the same, so that the node learns why its replica stops.
        self.show(&held, mark);
        self.check(&held.state)?;
        Ok(outcomes)
    }

    fn image(&self) -> Result<Option<StateImage>, MachineError> {
        let held = self.held();
        let Some(mark) = held.mark.clone() else {
            return Ok(None);
        };
        let contents = held.state.encode().map_err(MachineError::new)?;
        Ok(Some(StateImage {
            mark,
            contents: Box::new(Cursor::new(contents)),
        }))
    }

    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        let bytes_max = HEADER_BYTES.saturating_add(BODY_BYTES_MAX) as u64;
        let mut bounded = contents.take(bytes_max);
        bounded.read_to_end(&mut bytes).map_err(MachineError::new)?;
        let state = MetaState::decode(&bytes).map_err(MachineError::new)?;
        let mut held = self.held();
        *held = Held {
            state,
            mark: Some(mark.clone()),
        };
        self.show(&held, mark);
        self.check(&held.state)
    }
}
