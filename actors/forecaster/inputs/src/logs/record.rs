//! A line of a log that was understood, and why one was not.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use twinscale_protocol::DomainTime;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// `fatal`, `critical`, `panic`; syslog emergency, alert and critical.
    Fatal,
    /// `error`; syslog error.
    Error,
    /// `warn`; syslog warning.
    Warn,
    /// `info`; syslog notice and informational.
    Info,
    /// `debug`; syslog debug.
    Debug,
    /// `trace`, `verbose`.
    Trace,
    /// Not said, or not understood.
    Unknown,
}

/// A line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// When it was written.
    pub at: DomainTime,
    /// How grave it is.
    pub severity: Severity,
    /// Which service wrote it, where the line says so; for the caller to route by.
    pub service: Option<Cow<'a, str>>,
    /// What it says.
    pub message: Cow<'a, str>,
}

/// Why a line was not counted, or was counted with a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFault {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Not of the format.
    Malformed,
    /// No field of a known name holds the time.
    NoTime,
    /// The time is not understood, or is local and no zone was given.
    BadTime,
    /// No field of a known name holds the message.
    NoMessage,
    /// Longer than the limit; what is left of it was read, where it could be.
    Cut,
}

impl Severity {
    /// All severities, gravest first.
    pub const ALL: [Self; 7] = [
        Self::Fatal,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
        Self::Unknown,
    ];

    /// The end of its metric's name: `log_error` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a word of any case.
    pub(super) fn of_word(word: &str) -> Self {
        let is = |known: &[&str]| known.iter().any(|one| one.eq_ignore_ascii_case(word));
        if is(&["error", "err", "severe", "e", "eror"]) {
            Self::Error
        } else if is(&["info", "information", "informational", "notice", "i"]) {
            Self::Info
        } else if is(&["warn", "warning", "w"]) {
            Self::Warn
        } else if is(&["debug", "d", "fine", "dbg"]) {
            Self::Debug
        } else if is(&["trace", "verbose", "finer", "finest", "t", "v"]) {
            Self::Trace
        } else if is(&[
            "fatal",
            "critical",
            "crit",
            "panic",
            "emergency",
            "emerg",
            "alert",
            "dpanic",
            "f",
            "c",
        ]) {
            Self::Fatal
        } else {
            word.parse().map_or(Self::Unknown, Self::of_number)
        }
    }

    /// Reads a number: 0 to 7 as syslog's, 10 to 60 in tens as of bunyan and pino.
    pub(super) const fn of_number(number: u64) -> Self {
        match number {
            0..=2 | 60 => Self::Fatal,
            3 | 50 => Self::Error,
            4 | 40 => Self::Warn,
            5 | 6 | 30 => Self::Info,
            7 | 20 => Self::Debug,
            10 => Self::Trace,
            _ => Self::Unknown,
        }
    }

    /// Reads a severity number of OpenTelemetry: 1 to 24 in steps of four.
    pub(super) const fn of_otel(number: u64) -> Self {
        match number {
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9..=12 => Self::Info,
            13..=16 => Self::Warn,
            17..=20 => Self::Error,
            21..=24 => Self::Fatal,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8: send text",
            Self::Malformed => "not of the format that was named: name the right one",
            Self::NoTime => "no time: write one of the field names that docs/inputs.md lists",
            Self::BadTime => "time is not understood: send RFC 3339 or an epoch number, or name the zone of local times",
            Self::NoMessage => "no message: write one of the field names that docs/inputs.md lists",
            Self::Cut => "longer than 16 KiB: the rest is left out",
        })
    }
}
