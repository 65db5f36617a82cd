//! `twinscale send logs`.

use super::post::Poster;
use super::{Destination, Source, each_piece, now, state};
use crate::console;
use crate::error::ExpectedError;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use twinscale_inputs::logs::{
    LogFormat, LogRates, LogRatesOptions, LogReader, LogReaderOptions, LogRecord, TOP_TEMPLATES_MAX,
};
use twinscale_inputs::templates::TemplateText;
use twinscale_protocol::Seconds;

/// Counts a log's lines by severity and by mined template.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  $ twinscale send secret twinscale.secret
  $ journalctl -f -o json | jq -c '{time: .__REALTIME_TIMESTAMP, level: .PRIORITY, message: .MESSAGE}' |
      twinscale send logs - --customer acme --vm-type web --format json --secret twinscale.secret --state web.state
  $ twinscale send logs app.log --customer acme --vm-type web --format logfmt --secret twinscale.secret --dry-run")]
pub(in crate::cli) struct LogsArguments {
    /// The log; `-` is standard input, which is read until it ends.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    source: Source,
    /// How it is written.
    #[arg(long, value_enum)]
    format: Format,
    /// The IANA zone of local times, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Templates of an interval, by count, that become series of their own; all others are counted together.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Keep no words of templates: they read `<word> <word> <num>`.
    #[arg(long)]
    no_text: bool,
    /// Print the templates behind the series when the input has ended.
    #[arg(long)]
    templates: bool,
    #[command(flatten)]
    destination: Destination,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Json,
    /// Syslog, RFC 5424.
    Syslog,
    /// Syslog, RFC 3164.
    Rfc3164,
    /// key=value pairs.
    Logfmt,
}

pub(super) fn run(arguments: &LogsArguments, quiet: bool) -> anyhow::Result<()> {
    let source = &arguments.source;
    let mut rates = rates(arguments)?;
    let mut reader = reader(arguments)?;
    let mut poster = Poster::new(&arguments.destination, &source.customer)?;
    let (before_late, before_ahead) = (rates.late(), rates.out_of_range());
    each_piece(&arguments.file, |piece| {
        let now = now();
        // Late lines and those ahead of the clock are counted by the rates themselves.
        let mut take = |record: LogRecord<'_>| {
            let _counted = rates.observe(&record, now);
        };
        reader.feed(piece, now, &mut take);
        poster.samples(&rates.take_closed())
    })?;
    let at_end = now();
    reader.finish(at_end, &mut |record| {
        let _counted = rates.observe(&record, at_end);
    });
    poster.samples(&match &source.state {
        // What is still open goes on with the next run.
        Some(_) => rates.take_idle(at_end),
        None => rates.take_all(),
    })?;
    if let Some(path) = source.state_to_keep(&arguments.destination) {
        let bytes = rates
            .to_bytes()
            .map_err(|error| ExpectedError::input("the state cannot be kept", error))?;
        state::store(path, &bytes)?;
    }
    if !quiet {
        let late = rates.late() - before_late;
        tell(&reader, (late, rates.out_of_range() - before_ahead));
    }
    if arguments.templates {
        for template in rates.miner().templates() {
            let (id, lines, text) = (template.id, template.lines, template.text);
            console::print(&format!("log_template_{id}  {lines:>10}  {text}\n"))?;
        }
    }
    poster.finish("samples", quiet)
}

/// Begins to count, or goes on from the state.
fn rates(arguments: &LogsArguments) -> anyhow::Result<LogRates> {
    let source = &arguments.source;
    if arguments.top > TOP_TEMPLATES_MAX {
        return Err(ExpectedError::input_hint(
            format!("--top {} is more than {TOP_TEMPLATES_MAX}", arguments.top),
            "a twin has 256 series in all: ask for fewer",
        )
        .into());
    }
    let secret = state::secret(&source.secret)?;
    let options = LogRatesOptions {
        vm_type: source.vm_type.clone(),
        interval: Seconds(source.interval),
        lateness: Seconds(source.lateness),
        top_templates: arguments.top,
        text: if arguments.no_text {
            TemplateText::Never
        } else {
            TemplateText::Kept
        },
    };
    let rates = match state::load(source.state.as_deref())? {
        Some(bytes) => LogRates::from_bytes(&bytes, options, &secret)
            .map_err(|error| ExpectedError::input("the state file cannot be used", error))?,
        None => LogRates::new(options, &secret)
            .map_err(|error| ExpectedError::input("logs cannot be counted so", error))?,
    };
    Ok(rates)
}

fn reader(arguments: &LogsArguments) -> Result<LogReader, ExpectedError> {
    let options = LogReaderOptions {
        format: match arguments.format {
            Format::Json => LogFormat::JsonLines,
            Format::Syslog => LogFormat::Syslog5424,
            Format::Rfc3164 => LogFormat::Syslog3164,
            Format::Logfmt => LogFormat::Logfmt,
        },
        zone: arguments.zone.clone(),
    };
    LogReader::new(&options).map_err(|error| ExpectedError::input("the log cannot be read", error))
}

/// Says what was not counted, and why.
fn tell(reader: &LogReader, (late, ahead): (u64, u64)) {
    for (fault, found) in reader.faults().iter() {
        console::say(&format!(
            "{} lines: {fault} (first: line {}, of the shape `{}`)",
            found.count, found.first_place, found.first_shape
        ));
    }
    if late > 0 {
        console::say(&format!(
            "{late} lines came after their interval had ended: raise --lateness"
        ));
    }
    if ahead > 0 {
        console::say(&format!(
            "{ahead} lines are ahead of this clock, or before 1970: look at both clocks"
        ));
    }
}
