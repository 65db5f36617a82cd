//! Processes of contenders.

use anyhow::Context as _;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long a contender may take until it serves.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// Ticks of a second in /proc, and bytes of a page, as Linux has them on this platform.
const TICKS: u64 = 100;
const PAGE_BYTES: u64 = 4_096;

/// A process, killed when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a program with what it says going to a file.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("write {}", log.display()))?;
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn();
        let child = started.with_context(|| format!("start {}", program.display()))?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Says whether a program is found.
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.arg("--version").stdout(Stdio::null());
    quiet.stderr(Stdio::null()).status().is_ok()
}

/// Processor time that a process has taken, and its resident bytes.
pub fn cpu_time(process: u32) -> anyhow::Result<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; what follows it does not.
    let (_, fields) = stat.rsplit_once(')').context("an odd line of /proc")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |place: usize| -> anyhow::Result<u64> {
        Ok(fields
            .get(place)
            .context("a short line of /proc")?
            .parse()?)
    };
    let ticks = number(11)? + number(12)?;
    let pages = number(21)?;
    Ok((
        Duration::from_millis(ticks * 1_000 / TICKS),
        pages * PAGE_BYTES,
    ))
}

/// Addresses that are free now.
pub fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    // All are held until the last is found, so that none comes twice.
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

/// Tries until it works, or the time is over.
pub async fn until_ready<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        match attempt().await {
            Ok(ready) => return Ok(ready),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("{what} does not serve after {READY_LIMIT:?}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
