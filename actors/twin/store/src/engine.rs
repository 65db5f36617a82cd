//! What an embedded engine must do; checksums, digest and limits lie above it.

mod fjall_engine;
mod memory;
mod sled_engine;

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub(crate) use memory::MemoryEngine;

pub use memory::MemoryDisk;

use crate::options::{EngineKind, StoreOptions};
use crate::state_store::Visit;

/// Keys and what becomes of them: a sealed value, or `None` to delete.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Why an engine failed.
#[derive(Debug)]
pub(crate) enum EngineError {
    /// The surroundings refuse (no permission, no space): the stored bytes may well be sound.
    Surroundings(io::Error),
    /// Anything else: what the engine holds is not to be trusted.
    Broken(String),
}

/// An ordered map of bytes with atomic batches.
pub(crate) trait Engine: Debug + Send + Sync {
    fn name(&self) -> &'static str;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Visits `start..end` in order; without `end` to the last key.
    fn scan(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Makes all changes or none of them.
    fn write(&self, changes: Vec<Change>) -> Result<(), EngineError>;

    fn flush(&self) -> Result<(), EngineError>;
}

impl EngineError {
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Surroundings(error) => error.to_string(),
            Self::Broken(reason) => reason.clone(),
        }
    }

    fn from_io(error: io::Error) -> Self {
        let is_of_surroundings = matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::OutOfMemory
                | io::ErrorKind::ResourceBusy
                | io::ErrorKind::WouldBlock
        ) || matches!(
            error.raw_os_error(),
            Some(TOO_MANY_FILES | TOO_MANY_FILES_IN_SYSTEM)
        );
        if is_of_surroundings {
            Self::Surroundings(error)
        } else {
            Self::Broken(error.to_string())
        }
    }
}

/// EMFILE.
const TOO_MANY_FILES: i32 = 24;

/// ENFILE.
const TOO_MANY_FILES_IN_SYSTEM: i32 = 23;

/// Opens an engine in its directory, making it when absent.
pub(crate) fn open_engine(
    directory: &Path,
    options: StoreOptions,
) -> Result<Box<dyn Engine>, EngineError> {
    match options.engine {
        EngineKind::Sled => sled_engine::open(directory, options),
        EngineKind::Fjall => fjall_engine::open(directory, options),
    }
}
