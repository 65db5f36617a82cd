//! Memory of this process, read when it has come to rest: but for a few pages that the store writes each
//! half second.

use anyhow::Context as _;
use std::time::Duration;
use tokio::time::Instant;

/// Time with next to no writes after which the process is at rest: a little longer than the store writes
/// behind.
const REST: Duration = Duration::from_millis(600);

/// Bytes that a process at rest may write in that time.
const REST_BYTES: f64 = 512.0 * 1_024.0;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Longest wait: past it the figure includes work under way.
const LIMIT: Duration = Duration::from_secs(30);

/// Reads the resident memory in MiB once next to nothing is written any more.
pub(super) async fn at_rest() -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut written = field("/proc/self/io", "write_bytes:")?;
    let mut since = Instant::now();
    while since.elapsed() < REST && begun.elapsed() < LIMIT {
        tokio::time::sleep(LOOK).await;
        let now = field("/proc/self/io", "write_bytes:")?;
        if now - written > REST_BYTES {
            (written, since) = (now, Instant::now());
        }
    }
    Ok(field("/proc/self/status", "VmRSS:")? / 1_024.0)
}

fn field(path: &str, name: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    number.with_context(|| format!("{path} has no {name}"))
}
