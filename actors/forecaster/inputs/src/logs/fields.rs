//! Names under which structured logs carry what we need.

use super::record::{LogFault, LogRecord, Severity};
use crate::moment;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use twinscale_protocol::DomainTime;

/// Names of the time, most trusted first; the case does not matter.
const TIME: &[&str] = &[
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "timeunixnano",
    "observedtimeunixnano",
    "datetime",
    "date",
    "eventtime",
    "event_time",
    "asctime",
    "created",
    "t",
];

/// Names of the severity.
const SEVERITY: &[&str] = &[
    "severity",
    "level",
    "lvl",
    "loglevel",
    "log_level",
    "log.level",
    "levelname",
    "severitytext",
    "severity_text",
    "priority",
];

/// Names of OpenTelemetry's severity number.
const OTEL_SEVERITY: &[&str] = &["severitynumber", "severity_number"];

/// Names of the message.
const MESSAGE: &[&str] = &[
    "message",
    "msg",
    "body",
    "log",
    "event",
    "text",
    "short_message",
];

/// Names of the service.
const SERVICE: &[&str] = &[
    "service",
    "service.name",
    "service_name",
    "app",
    "application",
    "app_name",
    "component",
    "logger",
    "container_name",
];

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A number.
    Number(f64),
}

/// What was found so far, each with the rank of its name.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    time: Option<(usize, Value<'a>)>,
    severity: Option<(usize, Value<'a>)>,
    otel_severity: Option<(usize, Value<'a>)>,
    message: Option<(usize, Value<'a>)>,
    service: Option<(usize, Value<'a>)>,
}

/// Whether a field of that name is one of ours; others need not be read.
pub(super) fn is_wanted(name: &str) -> bool {
    [TIME, SEVERITY, OTEL_SEVERITY, MESSAGE, SERVICE]
        .iter()
        .any(|names| rank(names, name).is_some())
}

fn rank(names: &[&str], name: &str) -> Option<usize> {
    names
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))
}

impl<'a> Fields<'a> {
    /// Keeps a field if its name is ours, and better than what there is; of one name twice the first.
    pub(super) fn put(&mut self, name: &str, value: Value<'a>) {
        let slots = [
            (&mut self.time, TIME),
            (&mut self.severity, SEVERITY),
            (&mut self.otel_severity, OTEL_SEVERITY),
            (&mut self.message, MESSAGE),
            (&mut self.service, SERVICE),
        ];
        for (slot, names) in slots {
            let Some(rank) = rank(names, name) else {
                continue;
            };
            if slot.as_ref().is_none_or(|(held, _)| rank < *held) {
                *slot = Some((rank, value));
            }
            return;
        }
    }

    pub(super) fn record(self, zone: Option<&TimeZone>) -> Result<LogRecord<'a>, LogFault> {
        let (_, time) = self.time.ok_or(LogFault::NoTime)?;
        let at = time_of(&time, zone).ok_or(LogFault::BadTime)?;
        let severity = match (self.severity, self.otel_severity) {
            (Some((_, Value::Text(word))), _) => Severity::of_word(word.trim()),
            (Some((_, Value::Number(number))), _) => Severity::of_number(small(number)),
            (None, Some((_, Value::Number(number)))) => Severity::of_otel(small(number)),
            (None, _) => Severity::Unknown,
        };
        let (_, message) = self.message.ok_or(LogFault::NoMessage)?;
        Ok(LogRecord {
            at,
            severity,
            service: self.service.and_then(|(_, value)| text(value)),
            message: text(message).ok_or(LogFault::NoMessage)?,
        })
    }
}

fn time_of(value: &Value<'_>, zone: Option<&TimeZone>) -> Option<DomainTime> {
    match value {
        Value::Text(text) => moment::of_text(text, zone),
        Value::Number(number) => moment::of_number(*number),
    }
}

fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Number(_) => None,
    }
}

/// A small whole number; what is none becomes one that no severity has.
fn small(number: f64) -> u64 {
    (0_u32..=64)
        .find(|known| (f64::from(*known) - number).abs() < 1e-9)
        .map_or(u64::MAX, u64::from)
}
