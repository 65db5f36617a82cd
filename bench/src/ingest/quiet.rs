//! Waits until this process writes next to nothing any more.
//!
//! The product's store writes behind, up to half a second after the acknowledgement: whoever comes next
//! must not pay for it. Slices are as long as that, so most of such work falls into the slice it is of. What
//! goes on for ever are a few pages and one fsync of the store each half second.

use std::time::Duration;
use tokio::time::Instant;

/// Time with next to no writes after which a process is quiet: a little longer than the store waits.
const QUIET: Duration = Duration::from_millis(550);

/// Bytes that a quiet process may write in that time.
const QUIET_BYTES: u64 = 512 * 1_024;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Longest wait; past it the run goes on, and the disk is busier than it should be.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits until the process is quiet, or the limit is over.
pub async fn wait() -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut last = (written()?, Instant::now());
    while last.1.elapsed() < QUIET && begun.elapsed() < LIMIT {
        tokio::time::sleep(LOOK).await;
        let now = written()?;
        if now - last.0 > QUIET_BYTES {
            last = (now, Instant::now());
        }
    }
    Ok(())
}

/// Bytes that this process caused to be written to the disk so far.
fn written() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let bytes = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))
        .and_then(|number| number.trim().parse().ok());
    bytes.ok_or_else(|| anyhow::anyhow!("/proc/self/io has no write_bytes"))
}
