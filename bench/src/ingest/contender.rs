//! Who stores samples.

use super::work::Request;
use clap::ValueEnum;
use futures::future::BoxFuture;
use serde::Serialize;

/// Names a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// The twins' host: log with fsync, state, store.
    Twinscale,
    /// The HTTP API of a daemon in this process.
    TwinscaleHttp,
    /// SQLite, one transaction for all requests that wait.
    SqliteGrouped,
    /// SQLite, one transaction for each request.
    Sqlite,
    /// Write and fdatasync of what the log writes for one request of each client.
    Disk,
}

impl Name {
    /// All, in the order of the report.
    pub const ALL: [Self; 5] = [
        Self::Twinscale,
        Self::TwinscaleHttp,
        Self::SqliteGrouped,
        Self::Sqlite,
        Self::Disk,
    ];

    /// How it is shown.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Twinscale => "Twinscale",
            Self::TwinscaleHttp => "Twinscale, HTTP",
            Self::SqliteGrouped => "SQLite, grouped",
            Self::Sqlite => "SQLite, one each",
            Self::Disk => "bare disk",
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The name on the command line, which is that of the JSON.
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => f.write_str(self.text()),
        }
    }
}

/// Stores samples durably.
pub trait Contender: Send + Sync {
    /// Prepares the next request; not counted as its latency.
    fn prepare(&self, batch: u32) -> Prepared;

    /// Stores a request; the future ends when it is durable.
    fn store(&self, prepared: Prepared) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Commits so far: one fdatasync each at least.
    fn commits(&self) -> BoxFuture<'_, anyhow::Result<u64>>;
}

/// A request in the form in which a contender takes it.
#[derive(Debug)]
pub enum Prepared {
    /// Samples.
    Samples(Request),
    /// The body of an HTTP request with so many samples.
    Body(String, u64),
}
