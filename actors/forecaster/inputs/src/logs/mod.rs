//! Application logs: from bytes to counts per interval.
//!
//! A [`LogReader`] reads lines of one [`LogFormat`] into [`LogRecord`]s; [`LogRates`] counts them by severity and by
//! mined template, and gives samples when an interval is closed. A bad line never fails the rest: it is counted by
//! [`LogFault`], with the shape of the first.

mod bsd;
mod fields;
mod json;
mod logfmt;
mod rates;
mod reader;
mod record;
mod syslog;
#[cfg(test)]
mod tests;

pub use rates::{
    LogRates, LogRatesError, LogRatesOptions, PUBLISHED_MAX, PUBLISHED_REST, TOP_TEMPLATES_MAX,
};
pub use reader::{LogFormat, LogReader, LogReaderOptions, UnknownZoneError};
pub use record::{LogFault, LogRecord, Severity};
