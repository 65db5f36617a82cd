//! Reads demand histories and events from CSV, strictly and with bounded memory.
//!
//! Invariants: what comes out is ordered by time and lies on its series' grid; every refused row is named
//! by file, line, column and value, with a remedy; a gap stays a gap. Replaying is the caller's.

mod error;
mod events;
mod limited;
mod read;
mod row;
mod series;
#[cfg(test)]
mod tests;

pub use error::{FieldError, Place, TraceError};
pub use events::{Events, read_events, read_events_from};
pub use read::{
    Disorder, Progress, TraceLimits, TraceOptions, UnknownMetrics, read_trace, read_trace_from,
};
pub use series::{CustomerTrace, ReadCounts, SeriesTrace, Trace};
