//! Training sources from a data directory, each cut before its first test.

use crate::bench::files::{FileError, events_of, read_known_events, read_series};
use crate::bench::protocol::{ProtocolError, read_protocol};
use crate::series::EventSpan;
use crate::training::corpus::SourceSeries;
use crate::training::cuts::{ExtraCuts, cut_of};
use std::path::{Path, PathBuf};
use twinscale_protocol::{Event, EventKind};

/// What to train on.
#[derive(Clone, Debug)]
pub struct SourceSelection {
    /// The data directory.
    pub directory: PathBuf,
    /// The split, such as `dev`.
    pub split: String,
    /// Names of datasets.
    pub datasets: Vec<String>,
    /// Cuts beside those of the protocol.
    pub extra_cuts: ExtraCuts,
}

/// Why sources cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The protocol file.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// A data or events file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A dataset that the protocol does not name.
    #[error("dataset `{name}` is not in {}: known are {known}", directory.display())]
    UnknownDataset {
        /// Its name.
        name: String,
        /// The directory.
        directory: PathBuf,
        /// Names that exist.
        known: String,
    },
}

/// Reads the selected datasets.
///
/// # Errors
/// [`SourceError`] names the file, line and column, or the dataset.
pub fn read_sources(selection: &SourceSelection) -> Result<Vec<SourceSeries>, SourceError> {
    let directory: &Path = &selection.directory;
    let protocol = read_protocol(directory)?;
    let events = read_known_events(&directory.join("events.csv"))?;
    let mut sources = Vec::new();
    for dataset in &selection.datasets {
        let Some(rules) = protocol.get(dataset) else {
            return Err(SourceError::UnknownDataset {
                name: dataset.clone(),
                directory: directory.to_owned(),
                known: protocol.keys().cloned().collect::<Vec<_>>().join(", "),
            });
        };
        let file = directory
            .join(&selection.split)
            .join(format!("{dataset}.csv.gz"));
        for series in read_series(&file, rules.interval_s)? {
            let extra_s = selection.extra_cuts.earliest(dataset, &series.id);
            let Some(cut_s) = cut_of(rules, series.start_s, series.values.len(), extra_s) else {
                continue;
            };
            sources.push(SourceSeries {
                dataset: dataset.clone(),
                events: spans(&events_of(&events, dataset, &series.id)),
                id: series.id,
                start_s: series.start_s,
                interval_s: series.interval_s,
                values: series.values,
                cut_s,
            });
        }
    }
    Ok(sources)
}

/// Reduces events to what features know of them.
pub(crate) fn spans(events: &[Event]) -> Vec<EventSpan> {
    events
        .iter()
        .filter(|event| event.kind != EventKind::Incident)
        .map(|event| EventSpan {
            start_s: event.start.0,
            end_s: event.end.0,
            holiday: event.kind == EventKind::Holiday,
        })
        .collect()
}
