//! `twinscale forecast`: how demand will be, as ranges, of a running customer or of a file.

mod picture;
mod trace;

use super::asked_node::AskedNode;
use super::standing::print_json;
use super::table::Table;
use crate::console;
use crate::error::ExpectedError;
use crate::service::api::{ForecastReply, SeriesForecastView};
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use twinscale_protocol::CustomerId;
use twinscale_protocol::forecaster::ForecastSource;

/// Columns of the table: places of levels among those of a reply.
const SHOWN: [usize; 6] = [0, 1, 3, 5, 6, 7];

/// Forecasts demand as ranges: of a running customer, or of a file of samples.
///
/// Each step has eight quantiles; a demand below the 0.9 quantile is expected nine times in ten. A running customer is
/// forecast by its own node with all that its twin has learnt; without --steps the forecast that its plan rests on is
/// shown. A file is forecast by this program alone: what a twin would have learnt is learnt from the file first.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("subject").required(true).args(["trace", "customer"]),
    after_help = "\
Examples:
  $ twinscale forecast --customer acme
  $ twinscale forecast --customer acme --steps 168 --svg pictures      # a week of hours
  $ twinscale forecast --trace samples/traces/nyc_taxi.csv.gz --interval 3600 --steps 168 --svg pictures
  $ twinscale forecast --customer acme --paths 20 --seed 7 --json      # sample paths"
)]
pub(super) struct ForecastArguments {
    /// A file `customer,vm_type,metric,timestamp,value`, plain or .gz; what comes next is forecast.
    #[arg(long, value_name = "FILE", requires = "interval")]
    trace: Option<PathBuf>,
    /// Length of the file's steps in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: Option<u32>,
    /// Only series whose name `customer/vm_type/metric` holds this text.
    #[arg(long, value_name = "TEXT", requires = "trace")]
    only: Option<String>,
    /// Weights that forecast the file; the shipped ones when left out.
    #[arg(long, value_name = "FILE", requires = "trace")]
    weights: Option<PathBuf>,
    /// A customer of a running node.
    #[arg(long, value_name = "NAME")]
    customer: Option<CustomerId>,
    #[command(flatten)]
    node: AskedNode,
    /// Steps ahead: a day of a file's steps, at most 48, and a customer's stored forecast when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=168))]
    steps: Option<u16>,
    /// Sample paths of each series, in the JSON output.
    #[arg(long, value_name = "N", requires = "json", value_parser = clap::value_parser!(u16).range(1..=200))]
    paths: Option<u16>,
    /// Seed of the paths.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a picture of each series to this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Print all as JSON.
    #[arg(long)]
    json: bool,
}

/// A series, as far back as a picture shows it.
struct Past {
    /// `customer/vm_type/metric`.
    name: String,
    /// The latest samples; the last one is right before the forecast.
    values: Vec<Option<f64>>,
}

pub(super) fn run(arguments: &ForecastArguments, quiet: bool) -> anyhow::Result<()> {
    let (reply, pasts) = match (&arguments.trace, arguments.interval, &arguments.customer) {
        (Some(path), Some(interval_s), _) => trace::forecast(arguments, path, interval_s, quiet)?,
        (_, _, Some(customer)) => of_customer(arguments, customer)?,
        _ => anyhow::bail!("neither a trace nor a customer was given"),
    };
    if let Some(directory) = &arguments.svg {
        for (series, past) in reply.series.iter().zip(&pasts) {
            draw(directory, series, past, &reply.levels, quiet)?;
        }
    }
    if arguments.json {
        return print_json(&reply);
    }
    for (series, past) in reply.series.iter().zip(&pasts) {
        console::print(&text(&past.name, series, &reply.levels))?;
    }
    Ok(())
}

fn of_customer(
    arguments: &ForecastArguments,
    customer: &CustomerId,
) -> anyhow::Result<(ForecastReply, Vec<Past>)> {
    let steps = arguments.steps.map(|steps| format!("&steps={steps}"));
    let path = format!(
        "/v1/customers/{customer}/forecast?seed={}&paths={}{}",
        arguments.seed,
        arguments.paths.unwrap_or(0),
        steps.unwrap_or_default()
    );
    let reply: ForecastReply = super::runtime(1)?.block_on(arguments.node.client().get(&path))?;
    let pasts = reply.series.iter().map(|series| Past {
        name: format!("{customer}/{}/{}", series.vm_type, series.metric),
        values: Vec::new(),
    });
    let pasts = pasts.collect();
    Ok((reply, pasts))
}

fn draw(
    directory: &Path,
    series: &SeriesForecastView,
    past: &Past,
    levels: &[f64],
    quiet: bool,
) -> Result<(), ExpectedError> {
    std::fs::create_dir_all(directory)
        .map_err(|source| ExpectedError::file("make", directory, source))?;
    let path = directory.join(format!("{}.svg", past.name.replace('/', "_")));
    std::fs::write(&path, picture::svg(series, past, levels))
        .map_err(|source| ExpectedError::file("write", &path, source))?;
    if !quiet {
        console::say(&format!("picture in {}", path.display()));
    }
    Ok(())
}

fn text(name: &str, series: &SeriesForecastView, levels: &[f64]) -> String {
    let head = format!("{name}, made by {}\n", maker(&series.source));
    let reasons = series.reasons.iter().map(|reason| format!("  {reason}\n"));
    let mut text: String = std::iter::once(head).chain(reasons).collect();
    let shown = |level: &f64| format!("{:.0} %", 100.0 * level);
    let heads = SHOWN.iter().filter_map(|at| levels.get(*at)).map(shown);
    let heads: Vec<String> = std::iter::once("STEP BEGINS".to_owned())
        .chain(heads)
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    for (step, quantiles) in (0_i64..).zip(&series.quantiles) {
        let at = step.saturating_mul(i64::from(series.interval_s));
        let mut row = vec![moment(series.first_step_at.saturating_add(at))];
        let values = SHOWN.iter().filter_map(|at| quantiles.get(*at));
        row.extend(values.map(|value| number(*value)));
        table.row(row);
    }
    text.push_str(&table.text());
    text
}

/// What made a forecast, in words.
fn maker(source: &serde_json::Value) -> String {
    match ForecastSource::deserialize(source) {
        Ok(ForecastSource::Network(weights)) => format!("weights {weights}"),
        Ok(ForecastSource::SeasonalFallback(reason)) => {
            format!("the seasonal rule, since: {reason}")
        }
        Ok(ForecastSource::Stale) => {
            "shifting the last forecast, since no fresh one could be had".to_owned()
        }
        // A node of a later version may know more.
        Err(_unknown) => source.to_string(),
    }
}

fn moment(epoch_s: i64) -> String {
    Timestamp::from_second(epoch_s).map_or_else(
        |_error| epoch_s.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// Four digits that count.
fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 1_000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_protocol::QUANTILE_LEVELS;

    fn series() -> SeriesForecastView {
        SeriesForecastView {
            vm_type: "web".to_owned(),
            metric: "requests".to_owned(),
            first_step_at: 1_700_000_000,
            interval_s: 3_600,
            source: serde_json::json!({"network": "abc"}),
            quantiles: vec![
                vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
                vec![10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 8000.0],
            ],
            reasons: vec!["announced: sale".to_owned()],
            trust: Vec::new(),
            accuracy: Vec::new(),
            paths: Vec::new(),
        }
    }

    #[test]
    fn each_step_has_a_row_of_its_range() {
        let text = text("acme/web/requests", &series(), &QUANTILE_LEVELS);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "acme/web/requests, made by weights abc");
        assert_eq!(lines[1], "  announced: sale");
        let head: Vec<&str> = lines[2].split("  ").filter(|one| !one.is_empty()).collect();
        assert_eq!(head[0], "STEP BEGINS");
        assert!(lines[2].ends_with("99 %"), "{}", lines[2]);
        let row: Vec<&str> = lines[4].split_whitespace().collect();
        let wanted = [
            "2023-11-14",
            "23:13:20Z",
            "10.00",
            "20.00",
            "40.00",
            "60.00",
            "70.00",
            "8000",
        ];
        assert_eq!(row, wanted);
    }

    #[test]
    fn who_made_it_is_told() {
        let fallback = ForecastSource::SeasonalFallback("no observation in the window".to_owned());
        let fallback = serde_json::to_value(fallback).expect("plain");
        assert_eq!(
            maker(&fallback),
            "the seasonal rule, since: no observation in the window"
        );
        let stale = serde_json::to_value(ForecastSource::Stale).expect("plain");
        assert!(maker(&stale).contains("no fresh one"));
        assert_eq!(maker(&serde_json::json!({"oracle": 7})), r#"{"oracle":7}"#);
    }

    #[test]
    fn a_picture_has_the_past_the_ranges_and_no_markup_of_others() {
        let past = Past {
            name: "acme/<web>/requests".to_owned(),
            values: vec![Some(3.0), None, Some(5.0)],
        };
        let picture = picture::svg(&series(), &past, &QUANTILE_LEVELS);
        assert!(picture.contains("acme/&lt;web&gt;/requests"));
        assert_eq!(picture.matches("class=\"range").count(), 3);
        assert_eq!(
            picture.matches("class=\"past").count(),
            2,
            "a gap parts the line"
        );
        assert!(!picture.contains("NaN"));
        let empty = SeriesForecastView {
            quantiles: Vec::new(),
            ..series()
        };
        assert!(picture::svg(&empty, &past, &QUANTILE_LEVELS).ends_with("</svg>\n"));
    }
}
