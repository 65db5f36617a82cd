//! Cleans usage samples before they become commands.
//!
//! [`clean`] sorts, refuses what cannot be a measurement, and settles what came twice. It flags, and never changes, what
//! looks wrong but may be right: a change of unit ([`find_unit_changes`]) and times that were local
//! ([`find_clock_changes`]). [`rates_of_counter`] turns a counter that only grows into rates.

mod clean;
mod clock;
mod counter;
#[cfg(test)]
mod tests;
mod unit;

pub use clean::{
    CleanError, CleanOptions, Cleaned, Duplicates, REFUSED_LISTED_MAX, RawSample, RefusedRaw,
    SAMPLES_MAX, SampleFault, clean,
};
pub use clock::{ClockChange, ClockChangeKind, ClockZoneError, find_clock_changes};
pub use counter::{CounterRates, CounterReading, rates_of_counter};
pub use unit::{UNIT_FACTORS, UNIT_TOLERANCE, UNIT_WINDOW, UnitChange, find_unit_changes};
