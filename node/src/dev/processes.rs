//! The processes of a cluster on one machine: each node and the simulated cloud is one of this program.

use super::layout::{Layout, NodeLayout};
use crate::error::ExpectedError;
use crate::service::api::ReadyReply;
use crate::service::client::{ApiClient, Target};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How often a process is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Lines of a log that tell what went wrong.
const LAST_WORDS: usize = 8;

/// How long one question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);

/// A process of this program, killed when it is dropped.
#[derive(Debug)]
pub struct OwnProcess {
    name: String,
    log: PathBuf,
    child: Child,
}

impl OwnProcess {
    /// Starts a program with what it says going to a file, to which it is added.
    ///
    /// # Errors
    /// When file or program cannot be used.
    pub fn start(
        program: &Path,
        name: &str,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self, ExpectedError> {
        let opened = OpenOptions::new().create(true).append(true).open(&log);
        let file = opened.map_err(|source| ExpectedError::file("write", &log, source))?;
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn();
        let child = started.map_err(|source| ExpectedError::file("start", program, source))?;
        Ok(Self {
            name: name.to_owned(),
            log,
            child,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number at the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What went wrong, for people: its last words.
    pub fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// Asks it to end, and waits; what does not end in time is killed.
    pub async fn stop(mut self, limit: Duration) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.ended().is_none()) {
            let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let looks = limit.as_millis() / LOOK_PERIOD.as_millis().max(1);
            for _ in 0..looks {
                if asked.is_err() || self.ended().is_some() {
                    break;
                }
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        }
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        if self.ended().is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The last lines of a log.
#[must_use]
pub fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_WORDS);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// The arguments that start the simulated cloud of a cluster.
#[must_use]
pub fn cloud_arguments(layout: &Layout) -> Vec<String> {
    vec![
        "sim-cloud".to_owned(),
        "--data-dir".to_owned(),
        layout.cloud_dir.display().to_string(),
        "--listen".to_owned(),
        layout.cloud.to_string(),
    ]
}

/// The arguments that start a node; the first of a cluster founds it, when it was never started.
#[must_use]
pub fn node_arguments(node: &NodeLayout, is_first: bool) -> Vec<String> {
    let mut arguments = vec![
        "run".to_owned(),
        "--config".to_owned(),
        node.settings.display().to_string(),
    ];
    if is_first {
        arguments.push("--found".to_owned());
    }
    arguments
}

/// Starts the simulated cloud of a cluster.
///
/// # Errors
/// When the program cannot be started.
pub fn start_cloud(program: &Path, layout: &Layout) -> Result<OwnProcess, ExpectedError> {
    let dir = &layout.cloud_dir;
    std::fs::create_dir_all(dir).map_err(|source| ExpectedError::file("create", dir, source))?;
    let arguments = cloud_arguments(layout);
    OwnProcess::start(program, "cloud", &arguments, dir.with_extension("log"))
}

/// Starts a node; the first of a cluster founds it, when it was never started.
///
/// # Errors
/// When the program cannot be started.
pub fn start_node(
    program: &Path,
    node: &NodeLayout,
    is_first: bool,
) -> Result<OwnProcess, ExpectedError> {
    let arguments = node_arguments(node, is_first);
    OwnProcess::start(program, &node.name, &arguments, node.log())
}

/// Waits until a node says that it serves.
///
/// # Errors
/// When it ends before, with its last words, or the time is over, with what it says.
pub async fn ready(
    process: &mut OwnProcess,
    node: &NodeLayout,
    limit: Duration,
) -> Result<(), ExpectedError> {
    let client = ApiClient::new(Target::Url(format!("http://{}", node.api)));
    let client = client.with_request_limit(QUESTION_LIMIT);
    let deadline = Instant::now() + limit;
    let failed = |context: String| ExpectedError::Environment {
        context,
        hint: format!("look at {}", node.log().display()),
        source: None,
    };
    loop {
        if let Some(status) = process.ended() {
            let words = process.last_words();
            let name = process.name();
            return Err(failed(format!("{name} ended ({status}): {words}")));
        }
        let said = match client.get::<ReadyReply>("/v1/ready").await {
            Ok(reply) if reply.ready => return Ok(()),
            Ok(reply) => format!("{:?}", reply.reasons),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(failed(format!(
                "{} does not serve after {limit:?}: {said}",
                node.name
            )));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}
