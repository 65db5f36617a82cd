//! `twinscale send samples`.

use super::post::Poster;
use super::{Destination, id, now, open};
use crate::console;
use crate::error::ExpectedError;
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use twinscale_inputs::samples::{
    CleanOptions, Cleaned, ClockChangeKind, Duplicates, RawSample, SAMPLES_MAX, clean,
    find_clock_changes, find_unit_changes,
};
use twinscale_protocol::{CustomerId, DomainTime, MetricName, Seconds, SeriesKey, VmTypeId};

/// Cleans usage samples of a CSV file and sends them.
///
/// Columns: `vm_type,metric,timestamp,value`. Rows may be in any order; a value that no demand has is named and left out,
/// a change that looks like one of unit or of clock is told and not altered.
#[derive(Debug, Args)]
pub(in crate::cli) struct SamplesArguments {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose samples they are.
    #[arg(long, value_name = "NAME", value_parser = id::<CustomerId>)]
    customer: CustomerId,
    /// How far ahead of this clock a sample may be, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    future_max: u32,
    /// Of two samples of one series and time, the first counts and not the last.
    #[arg(long)]
    first_wins: bool,
    /// The IANA zone that the source's clock may be set to: gaps and overlaps of an hour at its changes are told.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    #[command(flatten)]
    destination: Destination,
}

#[derive(Deserialize)]
struct Row {
    vm_type: VmTypeId,
    metric: MetricName,
    timestamp: i64,
    value: f64,
}

pub(super) fn run(arguments: &SamplesArguments, quiet: bool) -> anyhow::Result<()> {
    let mut reader = csv::Reader::from_reader(open(&arguments.file)?);
    let options = CleanOptions {
        duplicates: if arguments.first_wins {
            Duplicates::FirstWins
        } else {
            Duplicates::LastWins
        },
        future_max: Seconds(arguments.future_max),
    };
    let mut poster = Poster::new(&arguments.destination, &arguments.customer)?;
    let mut batch = Vec::new();
    let mut refused = 0;
    for row in reader.deserialize::<Row>() {
        let row = row.map_err(|error| {
            ExpectedError::input(
                format!("{} cannot be read", arguments.file.display()),
                error,
            )
        })?;
        batch.push(RawSample {
            series: SeriesKey {
                vm_type: row.vm_type,
                metric: row.metric,
            },
            at: DomainTime(row.timestamp),
            value: row.value,
        });
        if batch.len() == SAMPLES_MAX {
            refused += send(arguments, &batch, options, &mut poster, quiet)?;
            batch.clear();
        }
    }
    refused += send(arguments, &batch, options, &mut poster, quiet)?;
    poster.finish("samples", quiet)?;
    if refused > 0 {
        return Err(ExpectedError::input_hint(
            format!("{refused} samples were left out; all others are stored"),
            "correct them and send again: what is stored already is not stored twice",
        )
        .into());
    }
    Ok(())
}

/// Cleans and sends a part; returns how many samples were left out.
fn send(
    arguments: &SamplesArguments,
    batch: &[RawSample],
    options: CleanOptions,
    poster: &mut Poster,
    quiet: bool,
) -> anyhow::Result<u64> {
    let cleaned = clean(batch, options, now())
        .map_err(|error| ExpectedError::input("samples cannot be cleaned", error))?;
    if !quiet {
        tell(arguments, batch, &cleaned)?;
    }
    poster.samples(&cleaned.samples)?;
    Ok(cleaned.refused_by_fault.values().sum())
}

fn tell(
    arguments: &SamplesArguments,
    batch: &[RawSample],
    cleaned: &Cleaned,
) -> anyhow::Result<()> {
    for refused in &cleaned.refused {
        console::say(&refused.to_string());
    }
    for change in find_unit_changes(&cleaned.samples) {
        console::say(&format!(
            "{} at {}: from about {} to about {}, near a factor of {}: has the unit changed?",
            change.series, change.at, change.before, change.after, change.factor
        ));
    }
    let Some(zone) = &arguments.zone else {
        return Ok(());
    };
    // In the order in which they were sent: sorted, an hour that came twice is not seen.
    let mut times: BTreeMap<&SeriesKey, Vec<DomainTime>> = BTreeMap::new();
    for sample in batch {
        times.entry(&sample.series).or_default().push(sample.at);
    }
    for (series, times) in times {
        let changes = find_clock_changes(series, &times, zone)
            .map_err(|error| ExpectedError::input("--zone", error))?;
        for change in changes {
            let what = match change.kind {
                ClockChangeKind::HourMissing => "an hour is missing",
                ClockChangeKind::HourTwice => "an hour came twice",
            };
            console::say(&format!(
                "{series} at {}: {what} as clocks of {zone} change: are times local?",
                change.at
            ));
        }
    }
    Ok(())
}
