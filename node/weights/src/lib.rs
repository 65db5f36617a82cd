//! Weights files of a node.
//!
//! Purpose: [`WeightsFiles`] keeps weights with their cards in a folder of the data directory; [`Assembly`] puts
//! a file together of chunks; [`ChunkCall`] and [`ChunkReply`] are how chunks travel. Invariants: a file is
//! there whole and durably or not at all; nothing is handed out whose hash is not the one that was asked for;
//! no input makes more be read or kept than its limit. Not here: which weights are wanted, and from whom they
//! come.

mod assembly;
mod files;
pub mod limits;
mod message;

pub use assembly::{Assembly, AssemblyError};
pub use files::{FileError, FileName, WeightsFiles, sha256};
pub use message::{CHUNK_REPLY, CHUNK_REQUEST, ChunkCall, ChunkReply, Part};
