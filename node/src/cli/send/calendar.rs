//! `twinscale send calendar`.

use super::post::Poster;
use super::{Destination, id, now, open};
use crate::console;
use crate::error::ExpectedError;
use crate::service::api::{EventLine, Moment};
use clap::Args;
use std::io::Read as _;
use std::path::PathBuf;
use twinscale_inputs::calendar::{
    CalendarEvent, CalendarOptions, EventNames, FILE_BYTES_MAX, KnownFrom, read_calendar,
};
use twinscale_protocol::{CustomerId, DomainTime};

const DAY_S: i64 = 86_400;

/// Announces the events of an iCalendar file: campaigns, releases, holidays, price changes.
///
/// CATEGORIES or X-TWINSCALE-KIND say the kind. Recurrences are unfolded over the days asked for.
#[derive(Debug, Args)]
pub(in crate::cli) struct CalendarArguments {
    /// The calendar; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose events they are.
    #[arg(long, value_name = "NAME", value_parser = id::<CustomerId>)]
    customer: CustomerId,
    /// The IANA zone of whole days and of times that name none.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// Days back that are announced: the twin learns from events that are over.
    #[arg(long, value_name = "DAYS", default_value_t = 730, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    past_days: u32,
    /// Days ahead that are announced.
    #[arg(long, value_name = "DAYS", default_value_t = 366, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    ahead_days: u32,
    /// Take events as known since their last change in the calendar, not since now, so that a back-test may use
    /// what was known then.
    #[arg(long)]
    known_since_change: bool,
    /// Send only the kinds of events, not their names, which may name persons.
    #[arg(long)]
    no_names: bool,
    #[command(flatten)]
    destination: Destination,
}

pub(super) fn run(arguments: &CalendarArguments, quiet: bool) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    open(&arguments.file)?
        .take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ExpectedError::file("read", &arguments.file, source))?;
    let import_time = now();
    let days = |days: u32| i64::from(days) * DAY_S;
    let options = CalendarOptions {
        zone: arguments.zone.clone(),
        from: DomainTime(import_time.0 - days(arguments.past_days)),
        until: DomainTime(import_time.0 + days(arguments.ahead_days)),
        import_time,
        known: if arguments.known_since_change {
            KnownFrom::LastChange
        } else {
            KnownFrom::ImportTime
        },
        names: if arguments.no_names {
            EventNames::KindOnly
        } else {
            EventNames::Summary
        },
    };
    let calendar = read_calendar(&bytes, &options).map_err(|error| {
        ExpectedError::input(
            format!("{} cannot be used", arguments.file.display()),
            error,
        )
    })?;
    let customer = arguments.customer.to_string();
    let lines: Vec<EventLine> = calendar
        .events
        .iter()
        .map(|event| line(&customer, event))
        .collect();
    if !quiet {
        for (fault, found) in calendar.faults.iter() {
            console::say(&format!(
                "{} parts: {fault} (first: line {})",
                found.count, found.first_place
            ));
        }
        if calendar.cancelled > 0 {
            console::say(&format!("{} cancelled events left out", calendar.cancelled));
        }
    }
    let mut poster = Poster::new(&arguments.destination, &arguments.customer)?;
    poster.events(&lines)?;
    poster.finish("events", quiet)
}

fn line(customer: &str, event: &CalendarEvent) -> EventLine {
    let event = &event.event;
    EventLine {
        customer: customer.to_owned(),
        kind: event.kind,
        name: event.name.clone(),
        start: Moment(event.start.0),
        end: Moment(event.end.0),
        known_from: Some(Moment(event.known_from.0)),
        vm_type: None,
        metric: None,
    }
}
