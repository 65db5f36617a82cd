//! The ingesting process: it acknowledges on its standard output until it is ended.

use std::io::{self, Write};
use std::path::Path;

use crate::error::ChaosError;
use crate::workload::Workload;

/// The first byte on the pipe: the product is open.
pub(crate) const READY: u8 = b'R';

/// How many sequences are in flight at once; their acknowledgements fit one atomic pipe write.
const SEQUENCES_IN_FLIGHT: u64 = 16;

/// Ingests sequences from `first_sequence` on and writes each to `acknowledgements` (8 bytes,
/// little-endian) once it is acknowledged. Runs until it is killed or something fails.
///
/// # Errors
/// Whatever ends it: the product refuses, or the reader of the pipe is gone.
pub fn run_worker(
    workload: &dyn Workload,
    directory: &Path,
    first_sequence: u64,
    acknowledgements: &mut dyn Write,
) -> Result<(), ChaosError> {
    let pipe_error = |error: io::Error| ChaosError::io("write to", "the parent's pipe", error);
    let mut product = workload.open(directory)?;
    acknowledgements.write_all(&[READY]).map_err(pipe_error)?;
    acknowledgements.flush().map_err(pipe_error)?;
    let mut next = first_sequence;
    loop {
        // One alone and many at once take turns, as lone and crowded proposers do.
        let count = 1 + next % SEQUENCES_IN_FLIGHT;
        let sequences: Vec<u64> = (next..next + count).collect();
        product.ingest(&sequences)?;
        let bytes: Vec<u8> = sequences
            .iter()
            .flat_map(|sequence| sequence.to_le_bytes())
            .collect();
        acknowledgements.write_all(&bytes).map_err(pipe_error)?;
        acknowledgements.flush().map_err(pipe_error)?;
        next += count;
    }
}
