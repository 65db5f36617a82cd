//! Opening a store: check all of it; what cannot be trusted is set aside and begun anew.
//!
//! Set aside, not removed: the operator may want to study it. Not set aside: a store of a newer
//! version or another engine, and one that the surroundings keep from opening (no permission, no
//! space, another opener). Those are errors and leave everything as it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use twinscale_log::LogIndex;

use crate::batch::Batch;
use crate::checked::{CheckError, CheckedStore};
use crate::engine::open_engine;
use crate::error::StoreError;
use crate::marker::{Marker, STORE_FORMAT_VERSION, read_marker, write_marker};
use crate::options::StoreOptions;
use crate::state_store::{StateStore, Visit};

/// How a store came to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOutcome {
    /// There was none: the state begins empty.
    Created,
    /// It was there and sound.
    Opened,
    /// It could not be trusted: it was set aside and the state begins empty.
    Rebuilt {
        /// The entry after which the log must be replayed: none is applied.
        from: LogIndex,
        /// Why it could not be trusted.
        reason: String,
        /// Where it is kept.
        set_aside: PathBuf,
    },
}

/// What opening a store found; the caller tells the operator of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOpenReport {
    /// How it came to be open.
    pub outcome: OpenOutcome,
    /// The last applied entry: replay the log behind it.
    pub applied_index: LogIndex,
    /// The number of keys.
    pub entries: u64,
    /// Stores that had been set aside earlier and were removed, because too many were kept.
    pub removed_set_aside: Vec<PathBuf>,
}

/// A store with the report of its opening.
#[derive(Debug)]
pub struct OpenedStore {
    /// The store.
    pub store: Box<dyn StateStore>,
    /// How it was opened.
    pub report: StoreOpenReport,
}

/// A store that holds the lock of its directory.
#[derive(Debug)]
struct LockedStore {
    /// Dropped before the lock: fields go in order.
    store: Box<dyn StateStore>,
    _lock: File,
}

/// Opens the store in a directory, making it when absent and setting it aside when broken.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::FormatTooNew`], [`StoreError::OtherEngine`] and
/// [`StoreError::Io`] leave the directory as it was.
///
/// # Cost
/// Reads and checks every value.
pub fn open_store(path: &Path, options: StoreOptions) -> Result<OpenedStore, StoreError> {
    let lock = take_lock(path)?;
    let is_new = match check_marker(path, options)? {
        MarkerVerdict::New => true,
        MarkerVerdict::Known => false,
        MarkerVerdict::Untrusted(reason) => return begin_anew(path, options, lock, reason),
    };
    match open_checked(path, options) {
        Ok(store) => {
            let outcome = if is_new {
                OpenOutcome::Created
            } else {
                OpenOutcome::Opened
            };
            Ok(opened(Box::new(store), lock, outcome, Vec::new()))
        }
        Err(CheckError::Surroundings(error)) => Err(StoreError::io("open store", path, error)),
        Err(CheckError::Broken(reason)) => begin_anew(path, options, lock, reason),
    }
}

/// Sets the store of a directory aside and begins an empty one.
///
/// For a store that was found broken while it was in use; close it first.
///
/// # Errors
/// Those of [`open_store`].
pub fn rebuild_store(
    path: &Path,
    options: StoreOptions,
    reason: &str,
) -> Result<OpenedStore, StoreError> {
    let lock = take_lock(path)?;
    match check_marker(path, options)? {
        MarkerVerdict::New | MarkerVerdict::Known | MarkerVerdict::Untrusted(_) => {
            begin_anew(path, options, lock, reason.to_owned())
        }
    }
}

enum MarkerVerdict {
    New,
    Known,
    Untrusted(String),
}

/// The lock stands beside the directory, because the directory may be renamed.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .map_err(|error| StoreError::io("create directory", parent, error))?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| StoreError::io("open lock", &lock_path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: lock_path }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &lock_path, error)),
    }
}

fn check_marker(path: &Path, options: StoreOptions) -> Result<MarkerVerdict, StoreError> {
    let marker =
        read_marker(path).map_err(|error| StoreError::io("read marker of", path, error))?;
    match marker {
        Marker::TooNew { version } => Err(StoreError::FormatTooNew {
            path: path.to_owned(),
            found: version,
            supported: STORE_FORMAT_VERSION,
        }),
        Marker::Readable { engine } if engine != options.engine => Err(StoreError::OtherEngine {
            path: path.to_owned(),
            found: engine,
            wanted: options.engine,
        }),
        Marker::Readable { .. } => Ok(MarkerVerdict::Known),
        Marker::Damaged => Ok(MarkerVerdict::Untrusted(
            "format marker is damaged".to_owned(),
        )),
        Marker::Absent if is_empty_or_absent(path)? => {
            begin_directory(path, options)?;
            Ok(MarkerVerdict::New)
        }
        Marker::Absent => Ok(MarkerVerdict::Untrusted(
            "format marker is missing".to_owned(),
        )),
    }
}

fn is_empty_or_absent(path: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::io("read directory", path, error)),
    }
}

fn begin_directory(path: &Path, options: StoreOptions) -> Result<(), StoreError> {
    fs::create_dir_all(path)
        .and_then(|()| write_marker(path, options.engine))
        .and_then(|()| sync_parent(path))
        .map_err(|error| StoreError::io("create store", path, error))
}

fn open_checked(path: &Path, options: StoreOptions) -> Result<CheckedStore, CheckError> {
    let engine = open_engine(&path.join(options.engine.name()), options)?;
    CheckedStore::new(engine)
}

fn begin_anew(
    path: &Path,
    options: StoreOptions,
    lock: File,
    reason: String,
) -> Result<OpenedStore, StoreError> {
    let (set_aside, removed) = set_aside(path, options.set_aside_max)
        .map_err(|error| StoreError::io("set aside", path, error))?;
    begin_directory(path, options)?;
    match open_checked(path, options) {
        Ok(store) => {
            let outcome = OpenOutcome::Rebuilt {
                from: LogIndex::ZERO,
                reason,
                set_aside,
            };
            Ok(opened(Box::new(store), lock, outcome, removed))
        }
        Err(CheckError::Surroundings(error)) => Err(StoreError::io("create store", path, error)),
        Err(CheckError::Broken(reason)) => Err(StoreError::Engine {
            engine: options.engine.name(),
            operation: "create a store",
            reason,
        }),
    }
}

fn opened(
    store: Box<dyn StateStore>,
    lock: File,
    outcome: OpenOutcome,
    removed_set_aside: Vec<PathBuf>,
) -> OpenedStore {
    let report = StoreOpenReport {
        outcome,
        applied_index: store.applied_index(),
        entries: store.entries(),
        removed_set_aside,
    };
    OpenedStore {
        store: Box::new(LockedStore { store, _lock: lock }),
        report,
    }
}

/// Renames the directory to the next free number and removes the oldest beyond the limit.
fn set_aside(path: &Path, kept_max: usize) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    let mut numbers = set_aside_numbers(path)?;
    numbers.sort_unstable();
    let number = numbers.last().map_or(1, |last| last.saturating_add(1));
    let target = set_aside_path(path, number);
    fs::rename(path, &target)?;
    numbers.push(number);
    let surplus = numbers.len().saturating_sub(kept_max.max(1));
    let mut removed = Vec::new();
    for number in numbers.into_iter().take(surplus) {
        let oldest = set_aside_path(path, number);
        fs::remove_dir_all(&oldest)?;
        removed.push(oldest);
    }
    sync_parent(path)?;
    Ok((target, removed))
}

fn set_aside_numbers(path: &Path) -> io::Result<Vec<u64>> {
    let prefix = beside(path, ".set-aside-");
    let Some(prefix) = prefix.file_name().and_then(|name| name.to_str()) else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent_of(path))? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
            .and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

fn set_aside_path(path: &Path, number: u64) -> PathBuf {
    beside(path, &format!(".set-aside-{number}"))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent_of(path))?.sync_all()
}

impl StateStore for LockedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan_range(
        &self,
        start: &[u8],
        end: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.store.scan_range(start, end, visit)
    }

    fn scan_prefix(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan_prefix(prefix, visit)
    }

    fn apply(&self, batch: &Batch, applied_index: LogIndex) -> Result<(), StoreError> {
        self.store.apply(batch, applied_index)
    }

    fn applied_index(&self) -> LogIndex {
        self.store.applied_index()
    }

    fn entries(&self) -> u64 {
        self.store.entries()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.store.flush()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let Self { store, _lock } = *self;
        store.close()
    }
}
