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

use super::daemon::{Daemon, DaemonCommand, LOOK_PAUSE, PATIENCE};
use super::data_disk::DataDisk;
use super::load::{Load, audit, get_status, miscounted};
use super::verdict::ServiceVerdict;
use super::{ServiceFault, ServiceOptions};
use crate::error::ChaosError;

/// One start in so many is struck again before it is done.
const EARLY_BLOW_ONE_IN: u32 = 8;

/// How long after its start an early blow falls at most, in microseconds: a start takes about a second.
const EARLY_US_MAX: u64 = 1_500_000;

/// Room that a nearly full disk keeps: less than the daemon's reserve.
const NEARLY_FULL_BYTES: u64 = 16 << 20;

/// Everything of one scenario. Fields are dropped in order: processes before their disk.
pub(super) struct Scene {
    load: Load,
    daemon: Daemon,
    command: DaemonCommand,
    client: ApiClient,
    disk: DataDisk,
    fault: ServiceFault,
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
        };
        let client = ApiClient::new(Target::DataDir(disk.data_dir()));
        let mut daemon = Daemon::start(&command)?;
        daemon.wait_for(&client, "/v1/ready", &[200]).await?;
        let load = Load::start(options, &disk.data_dir(), scratch.path())?;
        Ok(Self {
            load,
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
