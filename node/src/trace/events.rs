//! Reads events: holidays, campaigns, releases, incidents.

use super::error::{Field, TraceError};
use super::read::TraceLimits;
use super::row::{Column, Rows, timestamp};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use twinscale_protocol::{
    CustomerId, DomainTime, Event, EventKind, MetricName, Seconds, SeriesKey, VmTypeId,
};

const NEEDED: &str = "customer_or_series (or customer), start, end, kind, name and, if wanted, \
                      known_in_advance (yes or no) or known_from";

/// How long before its start an event that is known in advance is taken to be known: a year.
const KNOWN_AHEAD: Seconds = Seconds(366 * 86_400);

/// Most events in one file.
const EVENTS_MAX: usize = 1_000_000;

/// Kinds as files write them.
const KINDS: &[(&str, EventKind)] = &[
    ("holiday", EventKind::Holiday),
    ("campaign", EventKind::Campaign),
    ("release", EventKind::Release),
    ("product_event", EventKind::Release),
    ("earnings", EventKind::Earnings),
    ("season", EventKind::Season),
    ("price_change", EventKind::PriceChange),
    ("other", EventKind::Other),
    ("event", EventKind::Other),
    ("incident", EventKind::Incident),
    ("outage", EventKind::Incident),
    ("regime", EventKind::Incident),
];

/// Events of all customers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    common: Vec<Event>,
    customers: BTreeMap<CustomerId, Vec<Event>>,
}

impl Events {
    /// Lists a customer's events, those of all customers included, in the order of their starts.
    pub fn of(&self, customer: &CustomerId) -> Vec<Event> {
        let own = self.customers.get(customer).into_iter().flatten();
        let mut events: Vec<Event> = self.common.iter().chain(own).cloned().collect();
        events.sort_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
        events
    }

    /// Counts the events.
    pub fn len(&self) -> usize {
        self.common.len() + self.customers.values().map(Vec::len).sum::<usize>()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads an events file, packed with gzip or not.
///
/// Columns by header, in any order: `customer_or_series` (or `customer`): `*`, a customer or
/// `customer/vm_type/metric`; `start` and `end` (exclusive); `kind`; `name`; optional
/// `known_in_advance` (`yes`, the default, or `no` = known when it is over) and `known_from`, which
/// goes before it. Others, such as `dataset` and `source`, are ignored.
///
/// # Errors
/// [`TraceError`] at the first row that cannot be used, with file, line, column, value and remedy.
pub fn read_events(path: &Path) -> Result<Events, TraceError> {
    let file = path.display().to_string();
    let reader = File::open(path).map_err(|source| TraceError::Open {
        file: file.clone(),
        source,
    })?;
    read_events_from(BufReader::new(reader), &file)
}

/// Reads events from any reader; `file` names it in messages.
///
/// # Errors
/// As [`read_events`].
pub fn read_events_from(reader: impl Read, file: &str) -> Result<Events, TraceError> {
    let mut rows = Rows::new(file, reader, TraceLimits::default().line_bytes)?;
    let columns = Columns {
        target: match rows.optional("customer_or_series") {
            Some(index) => index,
            None => rows.needed("customer", NEEDED)?,
        },
        start: rows.needed("start", NEEDED)?,
        end: rows.needed("end", NEEDED)?,
        kind: rows.needed("kind", NEEDED)?,
        name: rows.needed("name", NEEDED)?,
        known_in_advance: rows.optional("known_in_advance"),
        known_from: rows.optional("known_from"),
    };
    let mut events = Events::default();
    let mut count = 0;
    while rows.next()? {
        count += 1;
        if count > EVENTS_MAX {
            return Err(TraceError::TooMany {
                file: file.to_owned(),
                line: rows.line(),
                what: "events",
                limit: EVENTS_MAX,
            });
        }
        let (customer, event) = event(&rows, &columns)?;
        match customer {
            Some(customer) => events.customers.entry(customer).or_default().push(event),
            None => events.common.push(event),
        }
    }
    Ok(events)
}

struct Columns {
    target: usize,
    start: usize,
    end: usize,
    kind: usize,
    name: usize,
    known_in_advance: Column,
    known_from: Column,
}

/// Reads one row; no customer = all customers.
fn event(rows: &Rows<'_>, columns: &Columns) -> Result<(Option<CustomerId>, Event), TraceError> {
    let (customer, series) = target(&rows.field(columns.target, "customer_or_series")?)?;
    let start = timestamp(&rows.field(columns.start, "start")?)?;
    let end_field = rows.field(columns.end, "end")?;
    let end = timestamp(&end_field)?;
    if end <= start {
        return Err(end_field.refuse(
            format!("is not after the start, {start}"),
            "an event lasts from start until before end; swap or correct them",
        ));
    }
    let known_ahead = known_ahead(rows, columns)?;
    let known_from = match known_from(rows, columns)? {
        Some(moment) => moment,
        None if known_ahead => start.minus(KNOWN_AHEAD),
        None => end,
    };
    let event = Event {
        kind: kind(&rows.field(columns.kind, "kind")?, known_ahead)?,
        name: rows.field(columns.name, "name")?.value.to_owned(),
        start,
        end,
        known_from,
        series,
    };
    Ok((customer, event))
}

fn target(field: &Field<'_>) -> Result<(Option<CustomerId>, Option<SeriesKey>), TraceError> {
    if field.value == "*" {
        return Ok((None, None));
    }
    let refuse = |error: twinscale_protocol::ParseIdError| {
        field.refuse(
            format!("is not usable: {error}"),
            "write *, a customer, or customer/vm_type/metric",
        )
    };
    let parts: Vec<&str> = field.value.split('/').collect();
    match parts.as_slice() {
        [customer] => Ok((Some(CustomerId::new(*customer).map_err(refuse)?), None)),
        [customer, vm_type, metric] => {
            let key = SeriesKey {
                vm_type: VmTypeId::new(*vm_type).map_err(refuse)?,
                metric: MetricName::new(*metric).map_err(refuse)?,
            };
            Ok((Some(CustomerId::new(*customer).map_err(refuse)?), Some(key)))
        }
        _ => Err(field.refuse(
            "names neither a customer nor a series",
            "write *, a customer, or customer/vm_type/metric",
        )),
    }
}

fn kind(field: &Field<'_>, known_ahead: bool) -> Result<EventKind, TraceError> {
    // A labelled window is an announced event or an incident, as its row says.
    if field.value == "anomaly_window" {
        return Ok(if known_ahead {
            EventKind::Other
        } else {
            EventKind::Incident
        });
    }
    KINDS
        .iter()
        .find(|(name, _)| *name == field.value)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            field.refuse(
                "is an unknown kind of event",
                format!("use one of {}, anomaly_window", names.join(", ")),
            )
        })
}

fn known_ahead(rows: &Rows<'_>, columns: &Columns) -> Result<bool, TraceError> {
    let Some(index) = columns.known_in_advance else {
        return Ok(true);
    };
    let field = rows.field(index, "known_in_advance")?;
    match field.value {
        "yes" | "true" | "" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(field.refuse("is neither yes nor no", "write yes or no")),
    }
}

fn known_from(rows: &Rows<'_>, columns: &Columns) -> Result<Option<DomainTime>, TraceError> {
    let Some(index) = columns.known_from else {
        return Ok(None);
    };
    let field = rows.field(index, "known_from")?;
    if field.value.is_empty() {
        return Ok(None);
    }
    timestamp(&field).map(Some)
}
