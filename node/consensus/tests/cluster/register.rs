//! The state of a test group: a register that counts its versions and keeps who wrote each.

use std::io::{Cursor, Read};
use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use twinscale_consensus::{AppliedMark, CommittedBatch, MachineError, StateImage, StateMachine};

/// The id of an operation; no two are alike.
pub(crate) type OperationId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Makes the next version.
    Write(OperationId),
    /// Makes the next version if the present one is this.
    CompareAndSet(OperationId, u64),
}

/// What a command found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) has_written: bool,
    /// The version after it.
    pub(crate) version: u64,
    /// Who wrote that version.
    pub(crate) writer: Option<OperationId>,
}

impl Command {
    pub(crate) fn encode(self) -> Bytes {
        let bytes = bincode::serde::encode_to_vec(self, bincode::config::standard());
        bytes.unwrap().into()
    }
}

impl Answer {
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let decoded = bincode::serde::decode_from_slice(bytes, bincode::config::standard());
        decoded.unwrap().0
    }
}

/// The register of one replica; forgets everything when its node is killed.
#[derive(Debug, Default)]
pub(crate) struct Register {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mark: Option<AppliedMark>,
    /// Who wrote version 1, 2, and so on.
    writers: Vec<OperationId>,
    installs: u64,
}

impl Register {
    pub(crate) fn read(&self) -> Answer {
        self.state.lock().unwrap().answer(false)
    }

    pub(crate) fn writers(&self) -> Vec<OperationId> {
        self.state.lock().unwrap().writers.clone()
    }

    /// How often a snapshot was installed.
    pub(crate) fn installs(&self) -> u64 {
        self.state.lock().unwrap().installs
    }
}

impl State {
    fn answer(&self, has_written: bool) -> Answer {
        Answer {
            has_written,
            version: self.writers.len() as u64,
            writer: self.writers.last().copied(),
        }
    }

    fn apply(&mut self, command: Command) -> Answer {
        match command {
            Command::CompareAndSet(_, expected) if expected != self.writers.len() as u64 => {
                self.answer(false)
            }
            Command::Write(id) | Command::CompareAndSet(id, _) => {
                self.writers.push(id);
                self.answer(true)
            }
        }
    }
}

impl StateMachine for Register {
    fn applied(&self) -> Result<Option<AppliedMark>, MachineError> {
        Ok(self.state.lock().unwrap().mark.clone())
    }

    fn apply(
        &self,
        batches: &[CommittedBatch],
        mark: &AppliedMark,
    ) -> Result<Vec<Bytes>, MachineError> {
        let mut state = self.state.lock().unwrap();
        if let Some(before) = &state.mark {
            assert!(
                before.position() < mark.position(),
                "places are applied in order"
            );
        }
        state.mark = Some(mark.clone());
        let config = bincode::config::standard();
        let mut answers = Vec::new();
        for batch in batches {
            let (command, _) = bincode::serde::decode_from_slice(&batch.commands, config)
                .map_err(MachineError::new)?;
            let answer = state.apply(command);
            let bytes = bincode::serde::encode_to_vec(answer, config);
            answers.push(bytes.map_err(MachineError::new)?.into());
        }
        Ok(answers)
    }

    fn image(&self) -> Result<Option<StateImage>, MachineError> {
        let state = self.state.lock().unwrap();
        let bytes = bincode::serde::encode_to_vec(&state.writers, bincode::config::standard());
        let contents = bytes.map_err(MachineError::new)?;
        Ok(state.mark.clone().map(|mark| StateImage {
            mark,
            contents: Box::new(Cursor::new(contents)),
        }))
    }

    fn install(&self, mark: &AppliedMark, contents: &mut dyn Read) -> Result<(), MachineError> {
        let mut bytes = Vec::new();
        contents
            .read_to_end(&mut bytes)
            .map_err(MachineError::new)?;
        let config = bincode::config::standard();
        let (writers, _) =
            bincode::serde::decode_from_slice(&bytes, config).map_err(MachineError::new)?;
        let mut state = self.state.lock().unwrap();
        state.writers = writers;
        state.mark = Some(mark.clone());
        state.installs += 1;
        Ok(())
    }
}
