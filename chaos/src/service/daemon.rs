//! The daemon as a child process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;
use twinscale::load::client::ApiClient;
use twinscale::service::daemon::ADDRESS_FILE;

use super::load::get_status;
use crate::error::ChaosError;

/// Generous: a daemon that takes longer to start, to end or to notice has failed.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// Pause between two looks at a state that is waited for.
pub(super) const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// How many bytes of its last words are shown.
const LAST_WORDS_BYTES_MAX: i64 = 1_500;

/// How a daemon is started.
#[derive(Clone, Debug)]
pub(super) struct DaemonCommand {
    pub(super) program: PathBuf,
    pub(super) data_dir: PathBuf,
    /// On another disk than its data.
    pub(super) log_file: PathBuf,
    pub(super) seed: u64,
    /// Further arguments.
    pub(super) more: Vec<OsString>,
}

/// A running daemon; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log_file: PathBuf,
}

impl Daemon {
    pub(super) fn start(command: &DaemonCommand) -> Result<Self, ChaosError> {
        // One that was killed leaves its address behind.
        let address = command.data_dir.join(ADDRESS_FILE);
        match fs::remove_file(&address) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ChaosError::io("remove", address, error));
            }
            _ => {}
        }
        let log_file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&command.log_file)
            .map_err(|error| ChaosError::io("open", &command.log_file, error))?;
        let child = Command::new(&command.program)
            .args(["node", "run", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&command.data_dir)
            .args(["--seed", &command.seed.to_string()])
            .args(&command.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(|error| ChaosError::io("start", &command.program, error))?;
        Ok(Self {
            child,
            log_file: command.log_file.clone(),
        })
    }

    /// Waits until a path answers with one of the statuses; returns how long that took.
    pub(super) async fn wait_for(
        &mut self,
        client: &ApiClient,
        path: &str,
        statuses: &[u16],
    ) -> Result<Duration, ChaosError> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                return Err(self.failure(&format!("ended with {status}, waiting for {path}")));
            }
            last = get_status(client, path).await;
            if last.is_some_and(|status| statuses.contains(&status)) {
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(self.failure(&format!("{path} answered {last:?} and not {statuses:?}")))
    }

    /// Waits until it ends by itself.
    pub(super) async fn wait_for_end(&mut self) -> Result<ExitStatus, ChaosError> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Err(self.failure("did not end by itself"))
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(super) fn kill(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> Result<ExitStatus, ChaosError> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)
            .map_err(|error| ChaosError::io("stop", "the daemon", error.into()))?;
        self.wait_for_end().await
    }

    /// The product failed: says how, with its last words.
    pub(super) fn failure(&self, what: &str) -> ChaosError {
        let words = last_words(&self.log_file).unwrap_or_default();
        ChaosError::Product {
            reason: format!("daemon {what}; its last words: {words}"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn last_words(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
    file.seek(SeekFrom::End(-length.min(LAST_WORDS_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    // What is written meanwhile does not belong to it.
    (&file)
        .take(LAST_WORDS_BYTES_MAX.unsigned_abs())
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
