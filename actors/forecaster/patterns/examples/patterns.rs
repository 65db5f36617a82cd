//! Explains the series of `FILE.csv.gz`, or of `DIR/*.csv.gz` or `DIR/dev/*.csv.gz`, in sentences.
//!
//! `cargo run -p twinscale-patterns --example patterns -- PATH [--events FILE] [--json] [--svg DIR] [--only TEXT]`
//!
//! Rows: `customer,vm_type,metric,timestamp,value`, those of a series together and ascending in time. Events:
//! `dataset,customer_or_series,start,end,kind,...`, where the dataset is the name of the file.

use flate2::read::GzDecoder;
use jiff::Timestamp;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use twinscale_patterns::{Grid, KnownEvent, Report, find, sentences, svg};
use twinscale_protocol::EventKind;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A series as read.
struct Trace {
    dataset: String,
    name: String,
    rows: Vec<(i64, f64)>,
}

#[derive(Default)]
struct Options {
    path: PathBuf,
    events: Option<PathBuf>,
    svg: Option<PathBuf>,
    only: Option<String>,
    is_json: bool,
}

fn main() -> Outcome<()> {
    let options = options()?;
    let events = match &options.events {
        Some(path) => read_events(path)?,
        None => Vec::new(),
    };
    let mut out = io::stdout().lock();
    let mut reports = Vec::new();
    let mut series = 0;
    for path in files(&options.path)? {
        for trace in read(&path)? {
            let full = format!("{}/{}", trace.dataset, trace.name);
            if options
                .only
                .as_ref()
                .is_some_and(|only| !full.contains(only))
            {
                continue;
            }
            series += 1;
            let grid = match grid(&trace, &events) {
                Ok(grid) => grid,
                Err(error) => {
                    writeln!(out, "{full}\n  not usable: {error}")?;
                    continue;
                }
            };
            let report = find(&grid);
            if let Some(dir) = &options.svg {
                fs::create_dir_all(dir)?;
                let name = format!("{}.svg", full.replace('/', "_"));
                fs::write(dir.join(name), svg(&full, &grid, &report))?;
            }
            if options.is_json {
                reports.push(serde_json::json!({"series": full, "report": report}));
            } else {
                print(&mut out, &full, &report)?;
            }
        }
    }
    if options.is_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&reports)?)?;
    } else {
        writeln!(out, "{series} series")?;
    }
    Ok(())
}

fn print(out: &mut impl io::Write, name: &str, report: &Report) -> io::Result<()> {
    writeln!(out, "{name}")?;
    for (pattern, sentence) in report.patterns.iter().zip(sentences(report)) {
        writeln!(out, "  {:.2} {sentence}", pattern.strength)?;
    }
    for missing in &report.not_told {
        writeln!(out, "     - {}: {}", missing.kind, missing.reason)?;
    }
    Ok(())
}

fn options() -> Outcome<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} wants a value: give it after a space"))
        };
        match argument.as_str() {
            "--json" => options.is_json = true,
            "--svg" => options.svg = Some(value()?.into()),
            "--events" => options.events = Some(value()?.into()),
            "--only" => options.only = Some(value()?),
            path if !path.starts_with("--") => options.path = path.into(),
            other => {
                return Err(
                    format!("unknown option {other}: see the first lines of this file").into(),
                );
            }
        }
    }
    if options.path.as_os_str().is_empty() {
        return Err("no path given: name a .csv.gz file or a directory of them".into());
    }
    Ok(options)
}

fn files(path: &Path) -> Outcome<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let dev = path.join("dev");
    let dir = if dev.is_dir() { dev } else { path.to_owned() };
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".csv.gz") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Outcome<Vec<Trace>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let dataset = name.trim_end_matches(".csv.gz").to_owned();
    let mut reader = csv::Reader::from_reader(GzDecoder::new(File::open(path)?));
    let mut traces: Vec<Trace> = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let name = format!("{}/{}/{}", cell(0), cell(1), cell(2));
        let row = (cell(3).parse()?, cell(4).parse()?);
        match traces.last_mut().filter(|trace| trace.name == name) {
            Some(trace) => trace.rows.push(row),
            None => traces.push(Trace {
                dataset: dataset.clone(),
                name,
                rows: vec![row],
            }),
        }
    }
    Ok(traces)
}

/// Events, each with the dataset and the series, or `*`, that it concerns.
fn read_events(path: &Path) -> Outcome<Vec<(String, KnownEvent)>> {
    let mut reader = csv::Reader::from_path(path)?;
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let time = |text: &str| -> Outcome<i64> { Ok(text.parse::<Timestamp>()?.as_second()) };
        let kind = match cell(4) {
            "holiday" => EventKind::Holiday,
            "earnings" => EventKind::Earnings,
            "launch" | "release" => EventKind::Release,
            "campaign" => EventKind::Campaign,
            "outage" | "incident" | "anomaly_window" => EventKind::Incident,
            _ => EventKind::Other,
        };
        let event = KnownEvent {
            kind,
            start_s: time(cell(2))?,
            end_s: time(cell(3))?,
        };
        events.push((format!("{}/{}", cell(0), cell(1)), event));
    }
    Ok(events)
}

/// Puts rows on the grid of their most frequent distance; rows beside it are left out.
fn grid(trace: &Trace, events: &[(String, KnownEvent)]) -> Outcome<Grid> {
    let first = trace.rows.first().ok_or("no rows")?.0;
    let last = trace.rows.last().ok_or("no rows")?.0;
    let mut distances: Vec<i64> = trace
        .rows
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .filter(|distance| *distance > 0)
        .collect();
    distances.sort_unstable();
    let interval = distances.get(distances.len() / 2).copied().unwrap_or(3_600);
    let steps = usize::try_from((last - first) / interval)? + 1;
    let mut values = vec![None; steps];
    for (at, value) in &trace.rows {
        if (at - first) % interval == 0 {
            values[usize::try_from((at - first) / interval)?] = Some(*value);
        }
    }
    let grid = Grid::new(first, u32::try_from(interval)?, &values)?;
    let own = |scope: &str| {
        let (dataset, series) = scope.split_once('/').unwrap_or((scope, "*"));
        dataset == trace.dataset && (series == "*" || trace.name.starts_with(series))
    };
    let known = events.iter().filter(|(scope, _)| own(scope));
    Ok(grid.with_events(known.map(|(_, event)| *event)))
}
