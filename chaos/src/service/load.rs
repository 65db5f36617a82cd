//! The load as a child process, and the list that it keeps.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use axum::http::Method;
use tokio::time::Instant;
use twinscale::load::acknowledged::read_acknowledged;
use twinscale::load::client::ApiClient;
use twinscale::load::verify::{Verified, verify};
use twinscale::service::api::{ObservationsReply, TwinReply};

use super::ServiceOptions;
use super::daemon::{LOOK_PAUSE, PATIENCE};
use crate::error::ChaosError;

/// Longer than any scenario: it is killed at the end.
const DURATION_S: u32 = 86_400;

/// Requests under way: many, so that blows fall into all phases.
const CONNECTIONS: &str = "8";

/// How a load is shaped.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadPace {
    /// Samples a second.
    pub(super) rate: u32,
    /// Samples of a request.
    pub(super) batch: u32,
    /// Length of a planning step, in seconds.
    pub(super) interval_s: u32,
}

/// A running load; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
    list: PathBuf,
}

impl Load {
    pub(super) fn start(
        options: &ServiceOptions,
        pace: LoadPace,
        data_dir: &Path,
        scratch: &Path,
    ) -> Result<Self, ChaosError> {
        let list = scratch.join("acknowledged.csv");
        let words = scratch.join("load.log");
        let words = File::create(&words).map_err(|error| ChaosError::io("create", words, error))?;
        let child = Command::new(&options.program)
            .args(["node", "load", "--quiet", "--configure", "--data-dir"])
            .arg(data_dir)
            .arg("--acknowledged")
            .arg(&list)
            .args(["--customers", &options.customers.to_string()])
            .args(["--rate", &pace.rate.to_string()])
            .args(["--interval", &pace.interval_s.to_string()])
            .args(["--duration", &DURATION_S.to_string()])
            .args(["--batch", &pace.batch.to_string()])
            .args(["--connections", CONNECTIONS])
            .args(["--seed", &options.seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .spawn()
            .map_err(|error| ChaosError::io("start", &options.program, error))?;
        Ok(Self { child, list })
    }

    pub(super) fn list(&self) -> &Path {
        &self.list
    }

    /// Waits until so many bytes more are acknowledged.
    pub(super) async fn wait_for_growth(&mut self, bytes: u64) -> Result<(), ChaosError> {
        let wanted = self.list_bytes().saturating_add(bytes);
        let begun = Instant::now();
        while self.list_bytes() < wanted {
            if let Ok(Some(status)) = self.child.try_wait() {
                let reason = format!("load ended with {status}; run it by hand to see why");
                return Err(ChaosError::Product { reason });
            }
            if begun.elapsed() > PATIENCE {
                let reason = format!("nothing was acknowledged within {PATIENCE:?}");
                return Err(ChaosError::Product { reason });
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(())
    }

    pub(super) fn kill(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn list_bytes(&self) -> u64 {
        std::fs::metadata(&self.list).map_or(0, |found| found.len())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads everything on the list back through the API.
pub(super) async fn audit(client: &ApiClient, list: &Path) -> Result<Verified, ChaosError> {
    verify(client, list).await.map_err(of_product)
}

/// Names customers whose count of stored samples is not the number of samples that are there: one that was
/// applied twice shows here, since its value does not.
pub(super) async fn miscounted(client: &ApiClient, list: &Path) -> Result<Vec<String>, ChaosError> {
    let listed = read_acknowledged(list).map_err(of_product)?;
    let mut customers: Vec<_> = listed.into_keys().map(|(customer, _)| customer).collect();
    customers.dedup();
    let mut wrong = Vec::new();
    for customer in customers {
        let path = format!("/v1/customers/{customer}");
        let twin: TwinReply = client.get(&path).await.map_err(of_product)?;
        let mut there = 0;
        for series in &twin.series {
            let (vm_type, metric) = (&series.vm_type, &series.metric);
            let mut from = Some(0);
            while let Some(start) = from {
                let path =
                    format!("{path}/observations?vm_type={vm_type}&metric={metric}&from={start}");
                let page: ObservationsReply = client.get(&path).await.map_err(of_product)?;
                there += page.samples.len() as u64;
                from = page.next_from;
            }
        }
        if there != twin.counters.samples {
            let counted = twin.counters.samples;
            wrong.push(format!(
                "{customer} counts {counted} samples and has {there}"
            ));
        }
    }
    Ok(wrong)
}

/// The status with which a path answers; `None` when it does not.
pub(super) async fn get_status(client: &ApiClient, path: &str) -> Option<u16> {
    let answer = client.send(Method::GET, path, Bytes::new()).await;
    answer.ok().map(|answer| answer.status.as_u16())
}

pub(super) fn of_product(error: impl std::error::Error) -> ChaosError {
    ChaosError::Product {
        reason: error.to_string(),
    }
}
