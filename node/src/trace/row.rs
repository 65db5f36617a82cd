//! Rows of CSV: header, fields, timestamps.

use super::error::{Field, TraceError, shortened};
use super::limited::{LineLimited, LineTooLong};
use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use std::error::Error;
use std::io::{self, Cursor, Read};
use twinscale_protocol::DomainTime;

/// The last moment that a timestamp may name: 2200-01-01. Milliseconds of any year after 1977 lie beyond.
const TIMESTAMP_MAX: i64 = 7_258_118_400;

/// The two bytes that every gzip file starts with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Rows of one file, by column name.
pub(super) struct Rows<'a> {
    file: &'a str,
    reader: csv::Reader<Box<dyn Read + 'a>>,
    record: ByteRecord,
    header: Vec<String>,
    line: u64,
    line_bytes_max: usize,
}

/// A column that a file may have; `None` = it has it not.
pub(super) type Column = Option<usize>;

impl<'a> Rows<'a> {
    /// Starts to read; unpacks what is gzip.
    pub(super) fn new(
        file: &'a str,
        reader: impl Read + 'a,
        line_bytes_max: usize,
    ) -> Result<Self, TraceError> {
        let plain = unpacked(reader).map_err(|source| TraceError::Read {
            file: file.to_owned(),
            line: 0,
            source,
        })?;
        let limited: Box<dyn Read + 'a> = Box::new(LineLimited::new(plain, line_bytes_max));
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(limited);
        let mut rows = Self {
            file,
            reader,
            record: ByteRecord::new(),
            header: Vec::new(),
            line: 0,
            line_bytes_max,
        };
        if rows.advance()? {
            rows.header = rows
                .record
                .iter()
                .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
                .collect();
            if let Some(first) = rows.header.first_mut() {
                *first = first.trim_start_matches('\u{feff}').to_owned();
            }
        }
        Ok(rows)
    }

    /// Finds a column that must be there.
    pub(super) fn needed(&self, name: &str, needed: &'static str) -> Result<usize, TraceError> {
        let places = self.header.iter().filter(|column| *column == name).count();
        match self.optional(name) {
            Some(index) if places == 1 => Ok(index),
            _ => Err(TraceError::Header {
                file: self.file.to_owned(),
                missing: if places > 1 {
                    format!("{name} just once")
                } else {
                    name.to_owned()
                },
                found: shortened(&self.header.join(",")),
                needed,
            }),
        }
    }

    /// Finds a column that may be there.
    pub(super) fn optional(&self, name: &str) -> Column {
        self.header.iter().position(|column| column == name)
    }

    /// Reads the next row; false at the end.
    pub(super) fn next(&mut self) -> Result<bool, TraceError> {
        if !self.advance()? {
            return Ok(false);
        }
        if self.record.len() != self.header.len() {
            return Err(TraceError::Broken {
                file: self.file.to_owned(),
                line: self.line,
                found: self.record.len() as u64,
                expected: self.header.len() as u64,
            });
        }
        Ok(true)
    }

    /// Reads a field of the current row as trimmed text.
    pub(super) fn field(
        &self,
        index: usize,
        column: &'static str,
    ) -> Result<Field<'_>, TraceError> {
        let bytes = self.record.get(index).unwrap_or_default();
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(Field {
                file: self.file,
                line: self.line,
                column,
                value: text.trim(),
            });
        }
        let lossy = String::from_utf8_lossy(bytes);
        let field = Field {
            file: self.file,
            line: self.line,
            column,
            value: &lossy,
        };
        Err(field.refuse("is not UTF-8 text", "save the file as UTF-8"))
    }

    /// The line of the current row.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    fn advance(&mut self) -> Result<bool, TraceError> {
        let more = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|error| self.failed(error))?;
        if let Some(position) = self.record.position() {
            self.line = position.line();
        }
        Ok(more)
    }

    fn failed(&self, error: csv::Error) -> TraceError {
        let source = match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => io::Error::other(format!("{other:?}")),
        };
        let too_long = source
            .get_ref()
            .and_then(<dyn Error + Send + Sync>::downcast_ref::<LineTooLong>);
        match too_long {
            Some(LineTooLong { line }) => TraceError::LineTooLong {
                file: self.file.to_owned(),
                line: *line,
                limit: self.line_bytes_max,
            },
            None => TraceError::Read {
                file: self.file.to_owned(),
                line: self.line,
                source,
            },
        }
    }
}

/// Unpacks gzip, told by its first two bytes, and passes anything else through.
fn unpacked<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    reader
        .by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    let is_gzip = start == GZIP_MAGIC;
    let whole = Cursor::new(start).chain(reader);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// Reads epoch seconds or an RFC 3339 moment.
pub(super) fn timestamp(field: &Field<'_>) -> Result<DomainTime, TraceError> {
    let remedy = "write epoch seconds such as 1700000000, or RFC 3339 such as 2023-11-14T22:13:20Z";
    let seconds = if let Ok(whole) = field.value.parse::<i64>() {
        whole
    } else if let Ok(moment) = field.value.parse::<Timestamp>() {
        moment.as_second()
    } else {
        return Err(field.refuse("is not a timestamp", remedy));
    };
    if seconds > TIMESTAMP_MAX {
        return Err(field.refuse(
            "lies after the year 2200",
            "are these milliseconds? divide them by 1000",
        ));
    }
    if seconds < 0 {
        return Err(field.refuse("lies before 1970", remedy));
    }
    Ok(DomainTime(seconds))
}
