//! `twinscale send`: what a customer's systems emit, counted and cleaned here, as samples and events of its twin.
//!
//! Runs beside the source: lines of logs and identifiers of users never leave this process. Only counts do.

mod activity;
mod calendar;
mod logs;
mod post;
mod samples;
mod state;

use crate::error::ExpectedError;
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use twinscale_protocol::{CustomerId, DomainTime, VmTypeId};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Turns logs, user activity, calendars and samples into what a customer's twin stores, and sends it.
///
/// Logs and activity are counted here: neither a line nor who a user is leaves this process. See docs/inputs.md.
#[derive(Debug, Subcommand)]
pub(super) enum SendCommand {
    /// Count a log's lines by severity and by mined template, and send the counts.
    Logs(logs::LogsArguments),
    /// Count active users without keeping who they are, and send the counts.
    Activity(activity::ActivityArguments),
    /// Announce the events of an iCalendar file.
    Calendar(calendar::CalendarArguments),
    /// Clean usage samples of a CSV file and send them.
    Samples(samples::SamplesArguments),
    /// Make the secret file that logs and activity are hashed under.
    Secret {
        /// The file to write; it must not exist. Give the same to every host whose counts belong together.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Where it goes.
#[derive(Clone, Debug, Args)]
pub(super) struct Destination {
    /// Address of a node; several of one cluster, separated by commas, are tried in turn.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7878"
    )]
    url: Vec<String>,
    /// Print what would be sent as JSON lines, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Whose it is.
#[derive(Clone, Debug, Args)]
pub(super) struct Source {
    /// The customer.
    #[arg(long, value_name = "NAME", value_parser = id::<CustomerId>)]
    customer: CustomerId,
    /// The VM type (or tier) that it says something about: first half of the series' names.
    #[arg(long, value_name = "NAME", value_parser = id::<VmTypeId>)]
    vm_type: VmTypeId,
    /// Length of an interval in seconds: that of the customer's samples.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: u32,
    /// How much older than the newest line one may be and still be counted, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    lateness: u32,
    /// The secret, made by `twinscale send secret`.
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// File that keeps open intervals and templates between runs. Without it the end of the input ends all
    /// intervals, and templates are numbered anew by the next run.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl Source {
    /// Where the state is kept after a run; a dry run keeps none.
    fn state_to_keep(&self, destination: &Destination) -> Option<&Path> {
        self.state.as_deref().filter(|_| !destination.dry_run)
    }
}

/// Reads a name of any kind.
fn id<N: std::str::FromStr>(text: &str) -> Result<N, String>
where
    N::Err: std::fmt::Display,
{
    text.parse().map_err(|error: N::Err| error.to_string())
}

pub(super) fn run(command: &SendCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        SendCommand::Logs(arguments) => logs::run(arguments, quiet),
        SendCommand::Activity(arguments) => activity::run(arguments, quiet),
        SendCommand::Calendar(arguments) => calendar::run(arguments, quiet),
        SendCommand::Samples(arguments) => samples::run(arguments, quiet),
        SendCommand::Secret { file } => state::make_secret(file, quiet),
    }
}

/// Opens a file, or standard input for `-`.
fn open(path: &Path) -> Result<Box<dyn Read>, ExpectedError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path).map_err(|source| ExpectedError::file("read", path, source))?;
    Ok(Box::new(file))
}

/// Reads an input to its end, piece by piece.
fn each_piece(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut input = open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ExpectedError::file("read", path, source).into()),
        };
        take(piece.get(..read).unwrap_or_default())?;
    }
}

/// The machine's clock, for lines without a year and for what lies ahead of it.
fn now() -> DomainTime {
    DomainTime(jiff::Timestamp::now().as_second())
}
