//! Reads a stream of bytes as records.

use super::record::{LogFault, LogRecord};
use super::{bsd, json, logfmt, syslog};
use crate::fault::Faults;
use crate::lines::{Line, LineSplitter};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use twinscale_protocol::DomainTime;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    JsonLines,
    /// RFC 5424, one message a line.
    Syslog5424,
    /// RFC 3164, one message a line, also without the priority.
    Syslog3164,
    /// `key=value` pairs.
    Logfmt,
}

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReaderOptions {
    /// How it is written.
    pub format: LogFormat,
    /// The IANA zone of local times, such as `Europe/Berlin`. Without one they are refused; of RFC 3164, which has no
    /// other, they are taken as UTC.
    pub zone: Option<String>,
}

/// Why a reader cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{name}`: use an IANA name such as `Europe/Berlin`")]
pub struct UnknownZoneError {
    /// What was asked for.
    pub name: String,
}

/// Reads lines, and counts those that it could not read.
#[derive(Debug)]
pub struct LogReader {
    format: LogFormat,
    zone: Option<TimeZone>,
    splitter: LineSplitter,
    faults: Faults<LogFault>,
    records: u64,
}

impl LogReader {
    /// Makes a reader.
    ///
    /// # Errors
    /// [`UnknownZoneError`].
    pub fn new(options: &LogReaderOptions) -> Result<Self, UnknownZoneError> {
        let zone = options.zone.as_deref().map(|name| {
            let found = TimeZoneDatabase::bundled().get(name);
            found.map_err(|_unknown| UnknownZoneError {
                name: name.chars().take(64).collect(),
            })
        });
        Ok(Self {
            format: options.format,
            zone: zone.transpose()?,
            splitter: LineSplitter::default(),
            faults: Faults::default(),
            records: 0,
        })
    }

    /// Reads a piece of the stream, cut anywhere. Lines without a year are read as of `now`.
    pub fn feed(&mut self, piece: &[u8], now: DomainTime, take: &mut impl FnMut(LogRecord<'_>)) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(piece, &mut |line| self.line(line, now, take));
        self.splitter = splitter;
    }

    /// Reads a last line that has no end.
    pub fn finish(&mut self, now: DomainTime, take: &mut impl FnMut(LogRecord<'_>)) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.finish(&mut |line| self.line(line, now, take));
        self.splitter = splitter;
    }

    /// Lists what could not be read, by reason.
    pub fn faults(&self) -> &Faults<LogFault> {
        &self.faults
    }

    /// Counts the records that were read.
    pub fn record_count(&self) -> u64 {
        self.records
    }

    fn line(&mut self, line: Line<'_>, now: DomainTime, take: &mut impl FnMut(LogRecord<'_>)) {
        if line.is_cut {
            self.faults.note(LogFault::Cut, line.number, line.bytes);
        }
        if line.bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match self.record(line, now) {
            Ok(record) => {
                self.records = self.records.saturating_add(1);
                take(record);
            }
            Err(fault) => self.faults.note(fault, line.number, line.bytes),
        }
    }

    fn record<'a>(&self, line: Line<'a>, now: DomainTime) -> Result<LogRecord<'a>, LogFault> {
        let text = match str::from_utf8(line.bytes) {
            Ok(text) => text,
            // The cut may have gone through a character.
            Err(error) if line.is_cut && error.error_len().is_none() => {
                let whole = line.bytes.get(..error.valid_up_to()).unwrap_or_default();
                str::from_utf8(whole).map_err(|_bad| LogFault::NotUtf8)?
            }
            Err(_) => return Err(LogFault::NotUtf8),
        };
        match self.format {
            LogFormat::JsonLines => json::read(text, self.zone.as_ref()),
            LogFormat::Syslog5424 => syslog::read(text),
            LogFormat::Syslog3164 => {
                bsd::read(text, self.zone.as_ref().unwrap_or(&TimeZone::UTC), now)
            }
            LogFormat::Logfmt => logfmt::read(text, self.zone.as_ref()),
        }
    }
}
