//! Errors of the store: each names the value, the place and what to do.

use std::io;
use std::path::PathBuf;

use twinscale_log::LogIndex;

use crate::options::EngineKind;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another part of this one, has the store open.
    #[error(
        "store {path} is in use by another opener; stop the other node or give this one its own \
         data directory"
    )]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The store was written by a newer version of the product; it was left untouched.
    #[error(
        "store {path} has format version {found}, this build reads up to {supported}; run the newer \
         build that wrote it, or move the directory away to rebuild the state from the log"
    )]
    FormatTooNew {
        /// The store's directory.
        path: PathBuf,
        /// The version in its marker.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// The store was written by another engine than the one asked for; it was left untouched.
    #[error(
        "store {path} belongs to engine {found}, engine {wanted} is asked for; ask for {found}, or \
         move the directory away to rebuild the state from the log"
    )]
    OtherEngine {
        /// The store's directory.
        path: PathBuf,
        /// The engine that wrote it.
        found: EngineKind,
        /// The engine asked for.
        wanted: EngineKind,
    },
    /// A customer id that no key may be made of.
    #[error(
        "customer id {id:?} is not 1 to 63 characters of a-z, 0-9 and -; correct the id at its source"
    )]
    InvalidCustomer {
        /// The id, cut to a printable length.
        id: String,
    },
    /// A key outside the versioned key space.
    #[error("key {key:?} is refused: {rule}; build keys with the functions of the key module")]
    InvalidKey {
        /// The key, escaped.
        key: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A value that is larger than the store takes.
    #[error("value of {bytes} bytes under {key:?} exceeds the limit of {limit}; split it")]
    ValueTooLarge {
        /// The key, escaped.
        key: String,
        /// The value's size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A batch whose index does not follow what was applied already.
    #[error(
        "batch of entry {given} refused, entries through {applied} are applied; apply entries once, \
         in the order of the log"
    )]
    AppliedAlready {
        /// The index of the batch.
        given: LogIndex,
        /// The last applied index.
        applied: LogIndex,
    },
    /// Stored bytes are not those that were written.
    #[error(
        "store is broken at {key:?}: {reason}; close it and open it again, which sets it aside and \
         rebuilds the state from the log"
    )]
    Broken {
        /// The key, escaped; empty when the whole store is meant.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine failed; the store takes nothing more until it is opened again.
    #[error(
        "engine {engine} failed to {operation}: {reason}; close the store and open it again, which \
         checks it and rebuilds it where needed"
    )]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// What was tried.
        operation: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// The file system refused; the store was left as it was.
    #[error("failed to {operation} {path}; repair access or free space, the state is untouched")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.into(),
            source,
        }
    }

    pub(crate) fn broken(key: &[u8], reason: impl Into<String>) -> Self {
        Self::Broken {
            key: key.escape_ascii().to_string(),
            reason: reason.into(),
        }
    }

    /// Says whether the state must be rebuilt: close the store and call [`crate::rebuild_store`].
    pub fn needs_rebuild(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Engine { .. })
    }
}
