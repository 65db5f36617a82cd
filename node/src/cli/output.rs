//! What demo and backtest have in common: arguments, notes and pictures.

use crate::error::ExpectedError;
use crate::report::{ReportInput, Theme, picture_svg};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use twinscale_protocol::Seconds;

/// Arguments of every replay.
#[derive(Debug, Args)]
pub(super) struct SharedArguments {
    /// Root of all randomness: the same seed gives the same report, byte for byte.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Worker threads; they change how long it takes, not what comes out.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Other forecast weights than the shipped ones; their card is the .json file beside them.
    #[arg(long, value_name = "FILE")]
    pub(super) weights: Option<PathBuf>,
}

impl SharedArguments {
    pub(super) fn optimizer_threads(&self) -> NonZeroUsize {
        NonZeroUsize::new(usize::from(self.threads)).unwrap_or(NonZeroUsize::MIN)
    }
}

/// What a reader of any report must know.
pub(super) fn notes(rival_start_up: Seconds) -> Vec<String> {
    vec![
        format!(
            "VMs of the simulated cloud take a random time to start (median {rival_start_up}); those of \
             the rivals always take the median."
        ),
        "A decision sees the samples of completed intervals only; the reactive rival sees no more."
            .to_owned(),
        "The first day of each replay warms the allocation up and is not scored.".to_owned(),
    ]
}

/// Writes a picture of the first customer with events, or the first one.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_picture(path: &Path, input: &ReportInput) -> Result<(), ExpectedError> {
    let with_events = input.customers.iter().find(|one| !one.events.is_empty());
    let Some(chosen) = with_events.or(input.customers.first()) else {
        return Ok(());
    };
    let themes = [
        (Theme::Light, path.to_owned()),
        (Theme::Dark, dark_path(path)),
    ];
    for (theme, path) in themes {
        if let Some(svg) = picture_svg(input, &chosen.customer, theme) {
            std::fs::write(&path, svg)
                .map_err(|source| ExpectedError::file("write", &path, source))?;
        }
    }
    Ok(())
}

/// `picture.svg` -> `picture-dark.svg`.
fn dark_path(path: &Path) -> PathBuf {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!("{stem}-dark.svg"))
}
