//! A daemon, its disk and its load, and the blows that fall on them.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::time::Instant;
use twinscale::load::client::{ApiClient, Target};
use twinscale::service::api::ReadyReply;
use twinscale::service::fault_port::{StrikeBlow, StrikeRequest, StrikeVictim};

use super::daemon::{Daemon, DaemonCommand, LOOK_PAUSE, PATIENCE};
use super::data_disk::DataDisk;
use super::load::{Load, LoadPace, audit, get_status, miscounted};
use super::strikes::{self, Strikes};
use super::verdict::ServiceVerdict;
use super::{
    BATCH, BATCH_WATCHED, GROWTH_BYTES_MAX, INTERVAL_S, LINGER_US_MAX, RATE, ServiceFault,
    ServiceOptions,
};
use crate::error::ChaosError;

/// One start in so many is struck again before it is done.
const EARLY_BLOW_ONE_IN: u32 = 8;

/// How long after its start an early blow falls at most, in microseconds: a start takes about a second.
const EARLY_US_MAX: u64 = 1_500_000;

/// Room that a nearly full disk keeps: less than the daemon's reserve.
const NEARLY_FULL_BYTES: u64 = 16 << 20;

/// The exit code of a daemon that cannot go on.
const EXIT_ENVIRONMENT: i32 = 4;

/// Everything of one scenario. Fields are dropped in order: processes before their disk.
pub(super) struct Scene {
    load: Load,
    daemon: Daemon,
    command: DaemonCommand,
    client: ApiClient,
    disk: DataDisk,
    fault: ServiceFault,
    strikes: Option<Strikes>,
    pub(super) verdict: ServiceVerdict,
    _scratch: TempDir,
}

impl Scene {
    pub(super) async fn set(options: &ServiceOptions) -> Result<Self, ChaosError> {
        let scratch = tempfile::tempdir()
            .map_err(|error| ChaosError::io("create", "a scratch directory", error))?;
        let disk = DataDisk::for_fault(options.fault)?;
        let command = DaemonCommand {
            program: options.program.clone(),
            data_dir: disk.data_dir(),
            log_file: scratch.path().join("node.log"),
            seed: options.seed,
            more: strikes::daemon_arguments(options, scratch.path())?,
        };
        let client = ApiClient::new(Target::DataDir(disk.data_dir()));
        let mut daemon = Daemon::start(&command)?;
        daemon.wait_for(&client, "/v1/ready", &[200]).await?;
        let pace = pace(options)?;
        let load = Load::start(options, pace, &disk.data_dir(), scratch.path())?;
        let strikes = match options.fault {
            ServiceFault::Actors => Some(Strikes::begin(options, &client, load.list()).await?),
            _ => None,
        };
        Ok(Self {
            load,
            strikes,
            daemon,
            command,
            client,
            disk,
            fault: options.fault,
            verdict: ServiceVerdict::new(options),
            _scratch: scratch,
        })
    }

    pub(super) async fn wait_for_growth(&mut self, bytes: u64) -> Result<(), ChaosError> {
        if let Some(status) = self.daemon.ended() {
            return Err(self
                .daemon
                .failure(&format!("ended with {status} by itself")));
        }
        self.load.wait_for_growth(bytes).await
    }

    /// Strikes once, and brings the daemon back.
    pub(super) async fn strike(&mut self, random: &mut ChaCha8Rng) -> Result<(), ChaosError> {
        self.verdict.blows += 1;
        match self.fault {
            ServiceFault::Kill9 => self.daemon.kill(),
            ServiceFault::PowerCut => self.cut_power()?,
            ServiceFault::DiskFull => self.fill_disk(random).await?,
            ServiceFault::FsyncError => self.fail_sync().await?,
            ServiceFault::HungThreads => self.exhaust_threads(random).await?,
            ServiceFault::Actors => return self.strike_actor(random).await,
        }
        if random.random_ratio(1, EARLY_BLOW_ONE_IN) {
            let early = Duration::from_micros(random.random_range(0..=EARLY_US_MAX));
            self.daemon = Daemon::start(&self.command)?;
            tokio::time::sleep(early).await;
            self.verdict.blows += 1;
            if self.fault == ServiceFault::PowerCut {
                self.cut_power()?;
            }
            self.daemon.kill();
        }
        self.daemon = Daemon::start(&self.command)?;
        let took = self
            .daemon
            .wait_for(&self.client, "/v1/ready", &[200])
            .await?;
        self.verdict.recoveries.push(took);
        Ok(())
    }

    /// Fells an actor; the daemon goes on.
    async fn strike_actor(&mut self, random: &mut ChaCha8Rng) -> Result<(), ChaosError> {
        match &mut self.strikes {
            Some(strikes) => strikes.strike(&mut self.daemon, random).await,
            None => Ok(()),
        }
    }

    /// Jobs hang until the daemon may lose no more threads: it says so, and ends with the exit code for it.
    async fn exhaust_threads(&mut self, random: &mut ChaCha8Rng) -> Result<(), ChaosError> {
        for _ in 0..strikes::ABANDONED_MAX {
            let victim = if random.random() {
                StrikeVictim::Forecaster
            } else {
                StrikeVictim::Optimizer
            };
            let strike = StrikeRequest {
                victim,
                customer: None,
                blow: StrikeBlow::HangJob,
                hang_s: None,
            };
            strikes::deal(&self.command.data_dir, &strike).await?;
        }
        self.daemon
            .wait_for(&self.client, "/v1/ready", &[503])
            .await?;
        let codes = self.reasons().await;
        if !codes.iter().any(|code| code == "threads-exhausted") {
            let text = format!("is not ready for {codes:?} and not for its hung threads");
            return Err(self.daemon.failure(&text));
        }
        let status = self.daemon.wait_for_end().await?;
        if status.code() != Some(EXIT_ENVIRONMENT) {
            let text = format!("lost its threads and ended with {status}");
            return Err(self.daemon.failure(&text));
        }
        self.verdict.ended_by_itself += 1;
        Ok(())
    }

    /// How much the list grows before a blow at most, and how much later the blow falls, in microseconds.
    pub(super) fn moment_max(&self) -> (u64, u64) {
        match &self.strikes {
            // The time counts and not the samples: blows fall into every part of a step and of a turn.
            Some(strikes) => (1, strikes.step_us()),
            None => (GROWTH_BYTES_MAX, LINGER_US_MAX),
        }
    }

    fn cut_power(&mut self) -> Result<(), ChaosError> {
        self.disk.cut_power()?;
        self.daemon.kill();
        self.disk.remount()
    }

    /// The disk fills up: the daemon refuses, shows what it has, and goes on when there is room.
    async fn fill_disk(&mut self, random: &mut ChaCha8Rng) -> Result<(), ChaosError> {
        let left = if random.random() {
            0
        } else {
            NEARLY_FULL_BYTES
        };
        self.disk.fill_but(left)?;
        self.daemon
            .wait_for(&self.client, "/v1/ready", &[503])
            .await?;
        self.expect_read_only().await?;
        if random.random() {
            // Started on a full disk it shows what it has and waits.
            self.daemon.kill();
            self.daemon = Daemon::start(&self.command)?;
            self.daemon
                .wait_for(&self.client, "/v1/ready", &[503])
                .await?;
            self.expect_read_only().await?;
        }
        self.disk.make_room()?;
        let took = self
            .daemon
            .wait_for(&self.client, "/v1/ready", &[200])
            .await?;
        self.verdict.resumed.push(took);
        self.load.wait_for_growth(1).await?;
        self.daemon.kill();
        Ok(())
    }

    /// Why the daemon is not ready; nothing where it is, or does not answer.
    async fn reasons(&self) -> Vec<String> {
        let answer = self
            .client
            .send(Method::GET, "/v1/ready", Bytes::new())
            .await;
        let reply = answer
            .ok()
            .and_then(|answer| serde_json::from_slice::<ReadyReply>(&answer.body).ok());
        reply
            .map(|reply| reply.reasons.into_iter().map(|one| one.code).collect())
            .unwrap_or_default()
    }

    async fn expect_read_only(&mut self) -> Result<(), ChaosError> {
        let codes = self.reasons().await;
        if !codes.iter().any(|code| code == "read-only") {
            let text = format!("is not ready for {codes:?} and not because it is read-only");
            return Err(self.daemon.failure(&text));
        }
        let reads = get_status(&self.client, "/v1/customers?limit=1").await;
        if reads != Some(200) {
            return Err(self
                .daemon
                .failure(&format!("answers reads with {reads:?}")));
        }
        Ok(())
    }

    /// Syncs fail: the daemon must end by itself, with an exit code that says so. Where the kernel's own
    /// sync fails first, the file system turns read-only, and so does the daemon.
    async fn fail_sync(&mut self) -> Result<(), ChaosError> {
        self.disk.starve()?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.daemon.ended() {
                break Some(status);
            }
            if self.reasons().await.iter().any(|code| code == "read-only") {
                break None;
            }
            if begun.elapsed() > PATIENCE {
                let text = "neither ended nor turned read-only";
                return Err(self.daemon.failure(text));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        match status {
            Some(status) if status.success() => {
                return Err(self.daemon.failure("ended as if nothing had failed"));
            }
            Some(_failure) => self.verdict.ended_by_itself += 1,
            None => {
                self.verdict.turned_read_only += 1;
                self.daemon.kill();
            }
        }
        self.disk.make_room()?;
        self.disk.remount()
    }

    /// Reads back all that was acknowledged.
    pub(super) async fn audit(&mut self) -> Result<(), ChaosError> {
        let found = audit(&self.client, self.load.list()).await?;
        self.verdict.note(&found);
        Ok(())
    }

    /// Ends the load, looks at everything once more, and stops the daemon in order.
    pub(super) async fn end(&mut self) -> Result<(), ChaosError> {
        if let Some(strikes) = self.strikes.take() {
            self.verdict.actors = Some(strikes.conclude());
        }
        self.load.kill();
        self.audit().await?;
        let wrong = miscounted(&self.client, self.load.list()).await?;
        self.verdict.miscounted.extend(wrong);
        let status = self.daemon.stop().await?;
        if !status.success() {
            return Err(self
                .daemon
                .failure(&format!("was stopped and ended with {status}")));
        }
        // Once more from what an orderly end left.
        self.daemon = Daemon::start(&self.command)?;
        self.daemon
            .wait_for(&self.client, "/v1/ready", &[200])
            .await?;
        self.audit().await
    }

    /// Removes everything.
    pub(super) fn take_down(mut self) -> ServiceVerdict {
        self.load.kill();
        self.daemon.kill();
        self.verdict.conclude()
    }
}

fn pace(options: &ServiceOptions) -> Result<LoadPace, ChaosError> {
    Ok(match options.fault {
        ServiceFault::Actors => LoadPace {
            rate: match options.rate {
                Some(rate) => rate,
                None => strikes::series_count(options.customers)?,
            },
            batch: BATCH_WATCHED,
            interval_s: options.strikes.interval_s,
        },
        _ => LoadPace {
            rate: options.rate.unwrap_or(RATE),
            batch: BATCH,
            interval_s: INTERVAL_S,
        },
    })
}
