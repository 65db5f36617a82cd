//! Starts, watches and removes the containers of a run.

use super::arguments::{RUN_LABEL, RunSettings, run_arguments};
use super::cgroup::CpuAccount;
use crate::clock::now;
use crate::plan::ContainerSpec;
use crate::warning::warn;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

/// Pause between two looks at a state that is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Looks at what is left, when cleaning up: a container may be made while its command is ended.
const CLEANINGS: u32 = 3;
/// Lines of a container's log in an error.
const LOG_LINES: &str = "12";

/// Why the engine does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// None answers.
    #[error("no container engine answers: {0}; start one, or set DOCKER_HOST")]
    None(String),
    /// The image is not there.
    #[error("the engine has no image {image}: INCLUDE=redis-server scripts/base-image.sh {image}")]
    NoImage {
        /// Which one.
        image: String,
    },
    /// A command failed.
    #[error("docker {command}: {detail}")]
    Failed {
        /// The command.
        command: String,
        /// What the engine said.
        detail: String,
    },
    /// No network can be made.
    #[error("the engine has no free network: {0}; docker network prune")]
    NoNetwork(String),
    /// A container ended that should run.
    #[error("container {name} has ended ({state}); its last words:\n{log}")]
    Ended {
        /// Which one.
        name: String,
        /// How.
        state: String,
        /// The end of its log.
        log: String,
    },
    /// A container does not get ready.
    #[error("container {name} is not ready after {limit_s} s: {last}")]
    NotReady {
        /// Which one.
        name: String,
        /// How long it had.
        limit_s: u64,
        /// Why it was not, the last time.
        last: String,
    },
    /// Its CPU account cannot be read.
    #[error("the CPU account of container {name}: {source}; the engine must run on this machine")]
    Account {
        /// Which one.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The command itself cannot be run.
    #[error("docker cannot be run: {0}")]
    Io(#[from] io::Error),
}

/// The `docker` command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine;

impl Engine {
    /// Asks whether an engine answers; tells its version.
    ///
    /// # Errors
    /// [`EngineError::None`].
    pub async fn version(self) -> Result<String, EngineError> {
        let asked = self
            .ask(&["version", "--format", "{{.Server.Version}}"])
            .await;
        asked.map_err(|error| EngineError::None(error.to_string()))
    }

    /// Checks that an image is there.
    ///
    /// # Errors
    /// [`EngineError::NoImage`].
    pub async fn has_image(self, image: &str) -> Result<(), EngineError> {
        let asked = self
            .ask(&["image", "inspect", "--format", "{{.Id}}", image])
            .await;
        asked.map(drop).map_err(|_absent| EngineError::NoImage {
            image: image.to_owned(),
        })
    }

    async fn ask(self, arguments: &[&str]) -> Result<String, EngineError> {
        let mut command = tokio::process::Command::new("docker");
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // Away from the terminal's group: Ctrl-C is for this program, which then cleans up.
        command.process_group(0);
        answer(arguments, command.output().await?)
    }
}

fn answer(arguments: &[&str], output: Output) -> Result<String, EngineError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let detail = String::from_utf8_lossy(&output.stderr);
    let command: Vec<&str> = arguments.iter().take(2).copied().collect();
    Err(EngineError::Failed {
        command: command.join(" "),
        detail: detail.trim().to_owned(),
    })
}

/// Everything that a run has made on the engine; dropping it removes all of it.
#[derive(Debug)]
pub struct Run {
    engine: Engine,
    settings: RunSettings,
}

impl Run {
    /// Makes the network of a run.
    ///
    /// # Errors
    /// [`EngineError::NoNetwork`].
    pub async fn begin(engine: Engine, settings: RunSettings) -> Result<Self, EngineError> {
        let run = Self { engine, settings };
        let name = &run.settings.run;
        let label = format!("{RUN_LABEL}={name}");
        let asked = engine
            .ask(&["network", "create", "--label", &label, name])
            .await;
        match asked {
            Err(EngineError::Failed { detail, .. }) => Err(EngineError::NoNetwork(detail)),
            Err(error) => Err(error),
            Ok(_) => Ok(run),
        }
    }

    /// Starts a container; tells its address in the network.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let arguments = run_arguments(spec, &self.settings);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.engine.ask(&arguments).await?;
        let form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.inspect(spec, form).await?;
        if address.is_empty() {
            return Err(self.ended(spec).await);
        }
        Ok(address)
    }

    /// The account of a container's CPU time.
    ///
    /// # Errors
    /// [`EngineError::Account`].
    pub async fn account(&self, spec: &ContainerSpec) -> Result<CpuAccount, EngineError> {
        let pid = self.inspect(spec, "{{.State.Pid}}").await?;
        CpuAccount::of_process(pid.parse().unwrap_or(0)).map_err(|source| EngineError::Account {
            name: spec.name(),
            source,
        })
    }

    /// Waits until `check` has nothing to say against a container any more.
    ///
    /// # Errors
    /// [`EngineError::Ended`] and [`EngineError::NotReady`].
    pub async fn ready<F>(
        &self,
        spec: &ContainerSpec,
        limit: Duration,
        check: impl Fn() -> F,
    ) -> Result<(), EngineError>
    where
        F: Future<Output = Result<(), String>>,
    {
        let begun = now();
        loop {
            let Err(last) = check().await else {
                return Ok(());
            };
            if self.inspect(spec, "{{.State.Running}}").await? != "true" {
                return Err(self.ended(spec).await);
            }
            if begun.elapsed() > limit {
                return Err(EngineError::NotReady {
                    name: spec.name(),
                    limit_s: limit.as_secs(),
                    last,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn inspect(&self, spec: &ContainerSpec, form: &str) -> Result<String, EngineError> {
        let name = self.full(spec);
        self.engine.ask(&["inspect", "--format", form, &name]).await
    }

    async fn ended(&self, spec: &ContainerSpec) -> EngineError {
        let form = "{{.State.Status}}, exit code {{.State.ExitCode}}";
        let state = self.inspect(spec, form).await.unwrap_or_default();
        let mut command = tokio::process::Command::new("docker");
        command.args(["logs", "--tail", LOG_LINES, &self.full(spec)]);
        let log = command.output().await.map(|output| {
            let mut all = output.stdout;
            all.extend(output.stderr);
            String::from_utf8_lossy(&all).trim().to_owned()
        });
        EngineError::Ended {
            name: spec.name(),
            state,
            log: log.unwrap_or_default(),
        }
    }

    fn full(&self, spec: &ContainerSpec) -> String {
        format!("{}-{}", self.settings.run, spec.name())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Err(error) = clean(Some(&self.settings.run)) {
            warn(&format!("{error}; twinscale-replica clean removes it"));
        }
    }
}

/// Removes all that a run has made on the engine, or all runs where none is named; tells how much it was.
///
/// # Errors
/// [`EngineError::Failed`] with what is left.
pub fn clean(run: Option<&str>) -> Result<usize, EngineError> {
    let label = run.map_or_else(
        || format!("label={RUN_LABEL}"),
        |run| format!("label={RUN_LABEL}={run}"),
    );
    let mut removed = 0;
    for _ in 0..CLEANINGS {
        let containers = list(&["ps", "--all", "--quiet", "--filter", &label])?;
        let networks = list(&["network", "ls", "--quiet", "--filter", &label])?;
        if containers.is_empty() && networks.is_empty() {
            return Ok(removed);
        }
        removed += containers.len() + networks.len();
        let remove = |what: &[&str], names: &[String]| {
            if !names.is_empty() {
                let names = names.iter().map(String::as_str);
                let arguments: Vec<&str> = what.iter().copied().chain(names).collect();
                // What could not be removed is seen at the next look.
                drop(list(&arguments));
            }
        };
        remove(&["rm", "--force", "--volumes"], &containers);
        remove(&["network", "rm"], &networks);
    }
    let left = list(&["ps", "--all", "--quiet", "--filter", &label])?;
    let networks = list(&["network", "ls", "--quiet", "--filter", &label])?;
    if left.is_empty() && networks.is_empty() {
        return Ok(removed);
    }
    Err(EngineError::Failed {
        command: "rm".to_owned(),
        detail: format!(
            "left on the engine: {} {}",
            left.join(" "),
            networks.join(" ")
        ),
    })
}

fn list(arguments: &[&str]) -> Result<Vec<String>, EngineError> {
    let output = std::process::Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    let text = answer(arguments, output)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
