//! Starts and ends the process of the cloud.
//!
//! Order of the end: no new connection, requests under way end within [`DRAIN`], the address file goes, the log
//! closes. A process that is killed instead loses nothing that was answered. A write that failed for good ends
//! the process: only opening the log again tells what is on disk.

use super::routes::{CloudService, router};
use crate::error::ExpectedError;
use crate::recorded_cloud::RecordedCloud;
use crate::service::daemon::{ADDRESS_FILE, AddressFile, cannot_listen, listen};
use crate::service::server::serve;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use twinscale_provisioner::SimCloudConfig;

/// Connections at once: every node of a large cluster keeps a few.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Time for requests under way at the end.
pub const DRAIN: Duration = Duration::from_secs(5);

/// The seed of a cloud that is started without one.
pub const SEED: u64 = 7;

/// File in the data directory with what the cloud was made with.
pub const SETTINGS_FILE: &str = "cloud.json";

/// How the process is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudOptions {
    /// Folder of its log.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Root of its randomness; that of before, or [`SEED`], when left out.
    pub seed: Option<u64>,
}

/// What it found when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CloudStarted {
    /// Where it listens.
    pub address: SocketAddr,
    /// Root of its randomness.
    pub seed: u64,
    /// Customers that ever called.
    pub customers: u64,
    /// Changes that were ever written.
    pub changes: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEnded {
    /// Connections that were cut off since their requests did not end in time.
    pub cut_off: usize,
    /// Why it ended without being asked to.
    pub failure: Option<String>,
}

/// What a cloud was made with: a cloud with another seed would be another cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudSettings {
    version: u32,
    seed: u64,
}

/// Serves the cloud of a directory until `stop` resolves.
///
/// # Errors
/// When the directory, log or address cannot be used, or the cloud was made with another seed.
pub async fn run(
    options: CloudOptions,
    started: impl FnOnce(&CloudStarted) -> io::Result<()>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<CloudEnded> {
    let directory = &options.data_dir;
    fs::create_dir_all(directory)
        .map_err(|source| ExpectedError::file("create", directory, source))?;
    // The log's lock is taken first, so that two processes never write the settings.
    let seed = known_seed(directory, options.seed)?;
    let cloud =
        RecordedCloud::open(&directory.join("log"), SimCloudConfig::with_seed(seed)).await?;
    keep_seed(directory, seed)?;
    let listener = listen(options.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_listen(options.listen, error))?;
    let address_file = AddressFile::write(directory, ADDRESS_FILE, address)?;
    let service = CloudService::new(cloud.clone(), seed);
    let health = service.health();
    started(&CloudStarted {
        address,
        seed,
        customers: health.customers,
        changes: health.changes,
    })?;
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = stop => {}
            reason = cloud.failed() => failure = Some(reason),
        }
    };
    let cut_off = serve(listener, router(service), CONNECTIONS_MAX, DRAIN, stop).await;
    drop(address_file);
    // Changes whose callers have gone are done all the same.
    drop(tokio::time::timeout(DRAIN, cloud.settled()).await);
    Ok(CloudEnded { cut_off, failure })
}

/// Finds the seed: what the cloud was made with, and what is asked for, must agree.
fn known_seed(directory: &Path, asked: Option<u64>) -> Result<u64, ExpectedError> {
    let path = directory.join(SETTINGS_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(asked.unwrap_or(SEED)),
        Err(source) => return Err(ExpectedError::file("read", &path, source)),
    };
    let settings: CloudSettings = serde_json::from_slice(&text).map_err(|error| {
        ExpectedError::input(format!("{} cannot be used", path.display()), error)
    })?;
    if settings.version != 1 {
        return Err(ExpectedError::input_hint(
            format!(
                "{} has version {}, this program reads version 1",
                path.display(),
                settings.version
            ),
            "run the newer program that wrote it",
        ));
    }
    match asked {
        Some(asked) if asked != settings.seed => Err(ExpectedError::input_hint(
            format!(
                "the cloud in {} was made with seed {}, not {asked}",
                directory.display(),
                settings.seed
            ),
            "leave --seed out, or give another --data-dir",
        )),
        _ => Ok(settings.seed),
    }
}

/// Writes the seed down, in one step and durably; the same again changes nothing.
fn keep_seed(directory: &Path, seed: u64) -> Result<(), ExpectedError> {
    let path = directory.join(SETTINGS_FILE);
    if path.exists() {
        return Ok(());
    }
    let settings = CloudSettings { version: 1, seed };
    let write = || {
        let text = serde_json::to_vec(&settings)?;
        let partial = directory.join(format!("{SETTINGS_FILE}.new"));
        let mut file = File::create(&partial)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| ExpectedError::file("write", &path, source))
}
