//! Reads series and events of a data directory.

use flate2::read::GzDecoder;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use twinscale_protocol::{DomainTime, Event, EventKind};

/// Samples of one series that a file may hold: ten years of five-minute ones.
const SERIES_SAMPLES_MAX: usize = 1_100_000;

/// A series as a file holds it, on a regular grid.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedSeries {
    /// `customer/vm_type/metric`.
    pub id: String,
    /// Time of the first sample, epoch seconds.
    pub start_s: i64,
    /// Length of a step.
    pub interval_s: u32,
    /// Values; `None` = missing.
    pub values: Vec<Option<f64>>,
}

/// An event of the events file, with what it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedEvent {
    /// Dataset.
    pub dataset: String,
    /// A customer, a series, or `*`.
    pub scope: String,
    /// The event itself.
    pub event: Event,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row cannot be read.
    #[error("cannot read {}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: csv::Error,
    },
    /// A field holds what it cannot.
    #[error("{}, line {line}, column `{column}`: `{value}` is not {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: u64,
        /// Column name.
        column: &'static str,
        /// What is there.
        value: String,
        /// What belongs there.
        expected: String,
    },
}

/// A row's place, for errors.
struct Place<'a> {
    path: &'a Path,
    record: &'a csv::StringRecord,
}

impl Place<'_> {
    fn field(&self, index: usize) -> &str {
        self.record.get(index).unwrap_or_default()
    }

    fn error(&self, column: &'static str, value: &str, expected: impl Into<String>) -> FileError {
        FileError::Field {
            path: self.path.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            column,
            value: value.chars().take(64).collect(),
            expected: expected.into(),
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, FileError> {
    let file = File::open(path).map_err(|source| FileError::Open {
        path: path.to_owned(),
        source,
    })?;
    let compressed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if compressed {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// Reads all series of a file `customer,vm_type,metric,timestamp,value`, in the order of the file.
///
/// # Errors
/// [`FileError`] with file, line and column; timestamps of a series must ascend on the grid of
/// `interval_s`, values must be finite and not negative.
pub fn read_series(path: &Path, interval_s: u32) -> Result<Vec<LoadedSeries>, FileError> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<LoadedSeries> = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        let more = reader.read_record(&mut record);
        let row = |source| FileError::Row {
            path: path.to_owned(),
            source,
        };
        if !more.map_err(row)? {
            return Ok(all);
        }
        let place = Place {
            path,
            record: &record,
        };
        let id = [place.field(0), place.field(1), place.field(2)].join("/");
        let at_s: i64 = place
            .field(3)
            .parse()
            .map_err(|_error: std::num::ParseIntError| {
                place.error("timestamp", place.field(3), "whole epoch seconds")
            })?;
        let value = parse_value(&place)?;
        let next = all.len();
        let at = *places.entry(id.clone()).or_insert(next);
        if at == next {
            all.push(LoadedSeries {
                id,
                start_s: at_s,
                interval_s,
                values: vec![Some(value)],
            });
        } else {
            append(&mut all[at], at_s, value, &place)?;
        }
    }
}

fn parse_value(place: &Place<'_>) -> Result<f64, FileError> {
    let text = place.field(4);
    let value: Option<f64> = text.parse().ok();
    value
        .filter(|value| value.is_finite() && *value >= 0.0)
        .ok_or_else(|| place.error("value", text, "a finite number of 0 or more"))
}

fn append(
    series: &mut LoadedSeries,
    at_s: i64,
    value: f64,
    place: &Place<'_>,
) -> Result<(), FileError> {
    let interval_s = i64::from(series.interval_s);
    let since = at_s.saturating_sub(series.start_s);
    let position = usize::try_from(since / interval_s).unwrap_or(0);
    if since.rem_euclid(interval_s) != 0 || position < series.values.len() {
        let expected = format!("after the row before it, on the grid of {interval_s} s");
        return Err(place.error("timestamp", place.field(3), expected));
    }
    if position >= SERIES_SAMPLES_MAX {
        let expected = format!("within {SERIES_SAMPLES_MAX} steps of the series' start");
        return Err(place.error("timestamp", place.field(3), expected));
    }
    series.values.resize(position, None);
    series.values.push(Some(value));
    Ok(())
}

/// Reads the events that a forecast may know in advance.
///
/// Columns: `dataset,customer_or_series,start,end,kind,name,known_in_advance,…`, times in RFC 3339. An
/// event of unknown kind counts as announced, of no particular kind.
///
/// # Errors
/// [`FileError`] with file, line and column.
pub fn read_known_events(path: &Path) -> Result<Vec<LoadedEvent>, FileError> {
    let mut reader = csv::Reader::from_reader(open(path)?);
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|source| FileError::Row {
            path: path.to_owned(),
            source,
        })?;
        let place = Place {
            path,
            record: &record,
        };
        let time = |index: usize, column: &'static str| {
            let text = place.field(index);
            let time: Result<Timestamp, jiff::Error> = text.parse();
            time.map(|time| DomainTime(time.as_second()))
                .map_err(|error| place.error(column, text, format!("a time in RFC 3339 ({error})")))
        };
        let (start, end) = (time(2, "start")?, time(3, "end")?);
        if place.field(6) != "yes" {
            continue;
        }
        events.push(LoadedEvent {
            dataset: place.field(0).to_owned(),
            scope: place.field(1).to_owned(),
            event: Event {
                kind: kind_of(place.field(4)),
                name: place.field(5).to_owned(),
                start,
                end,
                known_from: DomainTime(i64::MIN),
                series: None,
            },
        });
    }
    Ok(events)
}

fn kind_of(text: &str) -> EventKind {
    match text {
        "holiday" => EventKind::Holiday,
        "season" => EventKind::Season,
        "campaign" => EventKind::Campaign,
        "product_event" | "release" | "launch" => EventKind::Release,
        "earnings" => EventKind::Earnings,
        "price_change" => EventKind::PriceChange,
        _ => EventKind::Other,
    }
}

/// Picks the events that concern a series of a dataset.
pub fn events_of(events: &[LoadedEvent], dataset: &str, series_id: &str) -> Vec<Event> {
    let customer = series_id.split('/').next().unwrap_or_default();
    events
        .iter()
        .filter(|event| event.dataset == dataset)
        .filter(|event| [customer, series_id, "*"].contains(&event.scope.as_str()))
        .map(|event| event.event.clone())
        .collect()
}
