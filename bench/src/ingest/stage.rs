//! The contenders over one number of twins, each with the same history.

use super::IngestArguments;
use super::api::Api;
use super::contender::{Contender, Name};
use super::host::Host;
use super::raw::RawFile;
use super::sqlite::{Database, Sqlite};
use super::work::Work;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Everybody who takes part.
pub struct Stage {
    names: Vec<Name>,
    folder: TempDir,
    host: Option<Arc<Host>>,
    api: Option<Arc<Api>>,
    database: Option<Arc<Database>>,
    ways: Vec<(Name, Arc<Sqlite>)>,
    /// Samples that SQLite must have at the end.
    sqlite_samples: AtomicU64,
    /// The file of the bare disk.
    pub raw: Mutex<RawFile>,
}

impl Stage {
    /// Writes the history and starts who takes part.
    pub fn build(
        arguments: &IngestArguments,
        twins: u32,
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let place = arguments
            .directory
            .clone()
            .unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::tempdir_in(&place)
            .with_context(|| format!("failed to make a folder in {}", place.display()))?;
        let names = arguments.only.clone();
        let takes_part = |name| names.contains(&name);
        let work = || Work::new(twins, arguments.history);
        let (host_at, api_at) = (folder.path().join("host"), folder.path().join("api"));
        let product = takes_part(Name::Twinscale) || takes_part(Name::TwinscaleHttp);
        let mut host = None;
        let mut api = None;
        if product || takes_part(Name::Disk) {
            let first = Host::open(&host_at, work()?)?;
            runtime.block_on(first.write_history())?;
            drop(first);
            copy(&host_at, &api_at)?;
            host = Some(Arc::new(Host::open(&host_at, work()?)?));
        }
        if takes_part(Name::TwinscaleHttp) {
            api = Some(Arc::new(Api::start(&api_at, work()?)?));
        }
        let mut database = None;
        let mut ways = Vec::new();
        let work = Arc::new(work()?);
        for (name, grouped) in [(Name::SqliteGrouped, true), (Name::Sqlite, false)] {
            if takes_part(name) {
                if database.is_none() {
                    let path = folder.path().join("samples.sqlite");
                    database = Some(Arc::new(Database::create(&path, &work)?));
                }
                let shared = database.clone().context("it was just made")?;
                ways.push((
                    name,
                    Arc::new(Sqlite::new(shared, Arc::clone(&work), grouped)),
                ));
            }
        }
        let raw = RawFile::create(&folder.path().join("raw"))?;
        Ok(Self {
            names,
            host,
            api,
            database,
            ways,
            sqlite_samples: AtomicU64::new(work.history_samples()),
            raw: Mutex::new(raw),
            folder,
        })
    }

    /// Who takes part, in the order of the report.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The contender of a name; the bare disk is none.
    pub fn contender(&self, name: Name) -> Option<Arc<dyn Contender>> {
        match name {
            Name::Twinscale => self.host.clone().map(|host| host as Arc<dyn Contender>),
            Name::TwinscaleHttp => self.api.clone().map(|api| api as Arc<dyn Contender>),
            Name::SqliteGrouped | Name::Sqlite => {
                let way = self.ways.iter().find(|(way, _)| *way == name);
                way.map(|(_, sqlite)| Arc::clone(sqlite) as Arc<dyn Contender>)
            }
            Name::Disk => None,
        }
    }

    /// Bytes in the segments of the host's log.
    pub fn log_bytes(&self) -> anyhow::Result<u64> {
        bytes_in(&self.folder.path().join("host").join("log"))
    }

    /// Notes what SQLite acknowledged.
    pub fn acknowledged(&self, name: Name, samples: u64) {
        if matches!(name, Name::SqliteGrouped | Name::Sqlite) {
            self.sqlite_samples.fetch_add(samples, Ordering::Relaxed);
        }
    }

    /// Ends everybody, and counts that SQLite has what it acknowledged; the product's answers tell for each
    /// request that all of its samples were stored for the first time.
    pub fn finish(self) -> anyhow::Result<()> {
        let Self {
            host,
            api,
            database,
            ways,
            sqlite_samples,
            ..
        } = self;
        drop(host);
        drop(ways);
        if let Some(api) = api.and_then(Arc::into_inner) {
            api.stop()?;
        }
        if let Some(database) = database.and_then(Arc::into_inner) {
            let (stored, expected) = (database.finish()?, sqlite_samples.into_inner());
            if stored != expected {
                bail!("SQLite has {stored} samples and acknowledged {expected}");
            }
        }
        Ok(())
    }
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    Ok(paths.collect::<std::io::Result<_>>()?)
}

fn bytes_in(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for path in files(directory)? {
        bytes += std::fs::metadata(&path)?.len();
    }
    Ok(bytes)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for path in files(from)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)
                .with_context(|| format!("failed to copy {}", path.display()))?;
        }
    }
    Ok(())
}
