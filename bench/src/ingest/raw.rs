//! What the disk allows: write and fdatasync, one after the other.

use super::slice::{Latencies, SliceOutcome};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A file that grows.
pub struct RawFile {
    file: File,
    length: u64,
}

impl RawFile {
    /// Makes the file.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            length: 0,
        })
    }

    /// Writes `bytes` at its end and syncs, over and over; each time stands for `samples` of `requests`.
    pub fn slice(
        &mut self,
        bytes: usize,
        (requests, samples): (u64, u64),
        length: Duration,
    ) -> anyhow::Result<SliceOutcome> {
        let piece = vec![0x5a_u8; bytes.max(1)];
        let mut latencies = Latencies::new()?;
        let mut syncs = 0;
        let begun = Instant::now();
        while begun.elapsed() < length {
            let asked = Instant::now();
            self.file.write_all_at(&piece, self.length)?;
            self.file.sync_data()?;
            latencies.note(asked.elapsed());
            self.length += piece.len() as u64;
            syncs += 1;
        }
        Ok(SliceOutcome {
            requests: requests * syncs,
            samples: samples * syncs,
            commits: syncs,
            took: begun.elapsed(),
            latencies,
        })
    }
}
