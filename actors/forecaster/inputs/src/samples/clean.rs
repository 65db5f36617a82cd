//! Sorts samples, refuses what is none, settles what came twice.

use crate::windows::NEWEST_TIME;
use std::collections::BTreeMap;
use std::fmt;
use twinscale_protocol::twin::SAMPLES_PER_REQUEST_MAX;
use twinscale_protocol::{DomainTime, FixedValue, Sample, Seconds, SeriesKey, UnitError};

/// Most samples cleaned at once: as many as one command carries.
pub const SAMPLES_MAX: usize = SAMPLES_PER_REQUEST_MAX;

/// Refused samples that are listed; all are counted.
pub const REFUSED_LISTED_MAX: usize = 100;

/// A sample as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSample {
    /// The series.
    pub series: SeriesKey,
    /// Its time.
    pub at: DomainTime,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// Which of two samples of one series and time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// The last that was sent, as the twin itself does it.
    LastWins,
    /// The first that was sent.
    FirstWins,
}

/// How to clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanOptions {
    /// Of samples that came twice.
    pub duplicates: Duplicates,
    /// How far ahead of the clock a sample may be; a twin takes an hour at most.
    pub future_max: Seconds,
}

/// Why a sample was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SampleFault {
    /// Not a number.
    NotANumber,
    /// Infinite.
    Infinite,
    /// Below zero.
    Negative,
    /// Beyond what a value holds.
    TooLarge,
    /// Ahead of the clock by more than the allowance.
    InTheFuture,
    /// Before 1970.
    BeforeTheEpoch,
}

/// A sample that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRaw {
    /// Its place among those sent, from 0.
    pub index: usize,
    /// What was sent.
    pub sample: RawSample,
    /// Why.
    pub fault: SampleFault,
}

/// What is left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cleaned {
    /// Samples by series, then by time, each time once.
    pub samples: Vec<Sample>,
    /// The first [`REFUSED_LISTED_MAX`] that were refused.
    pub refused: Vec<RefusedRaw>,
    /// All that were refused, by reason.
    pub refused_by_fault: BTreeMap<SampleFault, u64>,
    /// Samples older than one of their series that came before them; they are sorted in.
    pub out_of_order: u64,
    /// Samples that came again with the same value.
    pub repeated: u64,
    /// Samples of which another value was dropped.
    pub contradicted: u64,
}

/// Why nothing was cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} samples are more than {SAMPLES_MAX}: send them in parts")]
pub struct CleanError {
    /// How many were sent.
    pub found: usize,
}

/// Cleans samples of any order; `now` is the caller's clock.
///
/// # Errors
/// [`CleanError`] for more samples than one command carries.
pub fn clean(
    samples: &[RawSample],
    options: CleanOptions,
    now: DomainTime,
) -> Result<Cleaned, CleanError> {
    if samples.len() > SAMPLES_MAX {
        return Err(CleanError {
            found: samples.len(),
        });
    }
    let mut cleaned = Cleaned::default();
    let mut by_series: BTreeMap<&SeriesKey, Series> = BTreeMap::new();
    let newest_taken = now.plus(options.future_max).min(NEWEST_TIME);
    for (index, sample) in samples.iter().enumerate() {
        match value_of(sample, newest_taken) {
            Ok(value) => {
                let series = by_series.entry(&sample.series).or_default();
                series.take(sample.at, value, options.duplicates, &mut cleaned);
            }
            Err(fault) => cleaned.refuse(index, sample, fault),
        }
    }
    for (key, series) in by_series {
        cleaned
            .samples
            .extend(series.values.into_iter().map(|(at, value)| Sample {
                series: key.clone(),
                at,
                value,
            }));
    }
    Ok(cleaned)
}

#[derive(Debug, Default)]
struct Series {
    newest: Option<DomainTime>,
    values: BTreeMap<DomainTime, FixedValue>,
}

impl Series {
    fn take(
        &mut self,
        at: DomainTime,
        value: FixedValue,
        duplicates: Duplicates,
        cleaned: &mut Cleaned,
    ) {
        if self.newest.is_some_and(|newest| at < newest) {
            cleaned.out_of_order += 1;
        }
        self.newest = self.newest.max(Some(at));
        match self.values.get_mut(&at) {
            None => {
                self.values.insert(at, value);
            }
            Some(held) if *held == value => cleaned.repeated += 1,
            Some(held) => {
                cleaned.contradicted += 1;
                if duplicates == Duplicates::LastWins {
                    *held = value;
                }
            }
        }
    }
}

impl Cleaned {
    fn refuse(&mut self, index: usize, sample: &RawSample, fault: SampleFault) {
        *self.refused_by_fault.entry(fault).or_default() += 1;
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(RefusedRaw {
                index,
                sample: sample.clone(),
                fault,
            });
        }
    }
}

fn value_of(sample: &RawSample, newest_taken: DomainTime) -> Result<FixedValue, SampleFault> {
    if sample.at > newest_taken {
        return Err(SampleFault::InTheFuture);
    }
    if sample.at.0 < 0 {
        return Err(SampleFault::BeforeTheEpoch);
    }
    FixedValue::from_measured(sample.value).map_err(|error| match error {
        UnitError::NotFinite { value } if value.is_nan() => SampleFault::NotANumber,
        UnitError::NotFinite { .. } => SampleFault::Infinite,
        UnitError::Negative { .. } => SampleFault::Negative,
        UnitError::TooLarge { .. } => SampleFault::TooLarge,
    })
}

impl fmt::Display for SampleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "value is not a number: leave the sample out where nothing was measured",
            Self::Infinite => "value is infinite: leave the sample out, or send what was measured",
            Self::Negative => "value is negative: demand, utilisation and sizes are zero or more",
            Self::TooLarge => "value is above 9.2e12: choose a larger unit for this metric",
            Self::InTheFuture => "time is ahead of the clock: set the sender's clock, or check whether it sends local time or milliseconds",
            Self::BeforeTheEpoch => "time is before 1970: send seconds since the epoch",
        })
    }
}

impl fmt::Display for RefusedRaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RefusedRaw {
            index,
            sample,
            fault,
        } = self;
        let RawSample { series, at, value } = sample;
        write!(f, "sample {index} of {series} at {at}, {value}: {fault}")
    }
}
