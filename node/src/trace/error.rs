//! Why a file is refused.

use std::fmt;

/// Longest value that a message repeats, in characters.
const SHOWN_MAX: usize = 60;

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, counted from 1; the header is line 1.
    pub line: u64,
    /// The column's name.
    pub column: String,
}

/// Why a trace or events file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be opened.
    #[error("cannot open {file}: check the path and its permissions")]
    Open {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Reading broke off.
    #[error(
        "cannot read {file} past line {line}: the file is damaged or cut short; fetch or export it again"
    )]
    Read {
        /// Which file.
        file: String,
        /// The last line that was read.
        line: u64,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A line is longer than any row can be.
    #[error(
        "{file}, line {line} is longer than {limit} bytes: one row has five short columns; is this a CSV file?"
    )]
    LineTooLong {
        /// Which file.
        file: String,
        /// Which line.
        line: u64,
        /// The limit.
        limit: usize,
    },
    /// The header does not name the columns that are needed.
    #[error(
        "{file}, line 1: the header has no column `{missing}` (found: {found}); it needs {needed}"
    )]
    Header {
        /// Which file.
        file: String,
        /// The first column that is missing, or that stands there twice.
        missing: String,
        /// The columns that were found.
        found: String,
        /// The columns that are needed.
        needed: &'static str,
    },
    /// A row has more or fewer fields than the header.
    #[error(
        "{file}, line {line}: the row has {found} fields, the header has {expected}: quote fields that contain a comma, or remove the row"
    )]
    Broken {
        /// Which file.
        file: String,
        /// Which line.
        line: u64,
        /// Fields in the row.
        found: u64,
        /// Fields in the header.
        expected: u64,
    },
    /// A field breaks a rule.
    #[error(transparent)]
    Field(Box<FieldError>),
    /// The file holds more than is read at once.
    #[error(
        "{file}, line {line}: more than {limit} {what}: split the file by customers or by time"
    )]
    TooMany {
        /// Which file.
        file: String,
        /// The line that went over.
        line: u64,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// There is no row at all.
    #[error("{file} has no rows below its header: export it again with at least one sample")]
    Empty {
        /// Which file.
        file: String,
    },
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: `{value}` {rule}; {remedy}")]
pub struct FieldError {
    /// Where.
    pub place: Place,
    /// The value, shortened.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What to do about it.
    pub remedy: String,
}

/// A field of a row, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) file: &'a str,
    pub(super) line: u64,
    pub(super) column: &'static str,
    pub(super) value: &'a str,
}

impl Field<'_> {
    /// Says what is wrong with the field.
    pub(super) fn refuse(&self, rule: impl Into<String>, remedy: impl Into<String>) -> TraceError {
        TraceError::Field(Box::new(FieldError {
            place: Place {
                file: self.file.to_owned(),
                line: self.line,
                column: self.column.to_owned(),
            },
            value: shortened(self.value),
            rule: rule.into(),
            remedy: remedy.into(),
        }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, line {}, column `{}`",
            self.file, self.line, self.column
        )
    }
}

/// Cuts a text to a printable length and replaces control characters.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().count() > SHOWN_MAX {
        short.push_str("...");
    }
    short
}
