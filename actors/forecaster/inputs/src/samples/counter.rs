//! Counters that only grow, as rates.

use std::fmt;
use twinscale_protocol::{DomainTime, FixedValue, Seconds, UnitError};

/// What a counter showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterReading {
    /// When.
    pub at: DomainTime,
    /// How much since it began.
    pub total: f64,
}

/// Rates between readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CounterRates {
    /// Rate a second, under the time of the earlier of its two readings: the start of what was measured.
    pub rates: Vec<(DomainTime, FixedValue)>,
    /// Times of readings below the one before: the counter began anew, and counted from zero.
    pub resets: Vec<DomainTime>,
    /// Pairs further apart than the longest gap; they give no rate.
    pub gaps: u64,
    /// Readings that are no number, negative, or not after the one before; they are left out.
    pub unusable: u64,
    /// Rates beyond what a value holds; they are left out.
    pub too_large: u64,
}

/// Turns readings in the order of time into rates.
///
/// After a reset the counter's new total is the growth since, as Prometheus has it: what was counted between the last
/// reading and the reset is lost, so the rate of that step is a lower bound. A pair further apart than `gap_max` gives
/// no rate, since the counter may have begun anew more than once.
pub fn rates_of_counter(readings: &[CounterReading], gap_max: Seconds) -> CounterRates {
    let mut found = CounterRates::default();
    let mut last: Option<CounterReading> = None;
    for reading in readings {
        let is_later = last.is_none_or(|last| reading.at > last.at);
        if !reading.total.is_finite() || reading.total < 0.0 || !is_later {
            found.unusable += 1;
            continue;
        }
        if let Some(last) = last {
            found.step(last, *reading, gap_max);
        }
        last = Some(*reading);
    }
    found
}

impl CounterRates {
    fn step(&mut self, last: CounterReading, reading: CounterReading, gap_max: Seconds) {
        let length_s = reading.at.seconds_since(last.at);
        let is_reset = reading.total < last.total;
        if is_reset {
            self.resets.push(reading.at);
        }
        if length_s > i64::from(gap_max.0) {
            self.gaps += 1;
            return;
        }
        let growth = if is_reset {
            reading.total
        } else {
            reading.total - last.total
        };
        match FixedValue::from_measured(growth / length_s as f64) {
            Ok(rate) => self.rates.push((last.at, rate)),
            Err(
                UnitError::NotFinite { .. }
                | UnitError::Negative { .. }
                | UnitError::TooLarge { .. },
            ) => {
                self.too_large += 1;
            }
        }
    }
}

impl fmt::Display for CounterRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rates,
            resets,
            gaps,
            unusable,
            too_large,
        } = self;
        let (rates, resets) = (rates.len(), resets.len());
        write!(
            f,
            "{rates} rates, {resets} resets, {gaps} gaps, {unusable} readings and {too_large} rates left out"
        )
    }
}
