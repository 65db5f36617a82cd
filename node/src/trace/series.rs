//! What a trace holds, ready to be replayed.

use std::collections::BTreeMap;
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, Sample, Seconds, SeriesKey};

/// Interval of a series that has only one sample: an hour.
pub(super) const INTERVAL_DEFAULT: Seconds = Seconds(3_600);

/// Histories of several customers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By customer.
    pub customers: BTreeMap<CustomerId, CustomerTrace>,
    /// What reading met.
    pub counts: ReadCounts,
}

/// One customer's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerTrace {
    /// By series.
    pub series: BTreeMap<SeriesKey, SeriesTrace>,
}

/// One series' history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesTrace {
    /// Its detected sampling interval.
    pub interval: Seconds,
    /// Samples, ascending in time, at most one per interval; every time is a multiple of the interval.
    pub samples: Vec<(DomainTime, FixedValue)>,
}

/// What reading a trace met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Rows read.
    pub rows: u64,
    /// Rows left out because their metric is unknown.
    pub skipped: u64,
    /// Rows that repeat a sample with the same value.
    pub repeated: u64,
    /// Rows that repeat a sample with another value; the later row counts.
    pub conflicting: u64,
    /// Rows that are older than one before them in the same series.
    pub disordered: u64,
    /// Samples moved back to the start of their interval.
    pub moved: u64,
    /// Samples that fell into an interval that had one already; the later one counts.
    pub merged: u64,
}

impl Trace {
    /// Counts the samples of all series.
    pub fn sample_count(&self) -> usize {
        self.customers
            .values()
            .map(CustomerTrace::sample_count)
            .sum()
    }
}

impl CustomerTrace {
    /// Counts the samples of all series.
    pub fn sample_count(&self) -> usize {
        self.series
            .values()
            .map(|series| series.samples.len())
            .sum()
    }

    /// Lists all samples in the order of their times, and of their series within one moment.
    pub fn samples_by_time(&self) -> Vec<Sample> {
        let mut samples: Vec<Sample> = self
            .series
            .iter()
            .flat_map(|(key, series)| {
                series.samples.iter().map(|(at, value)| Sample {
                    series: key.clone(),
                    at: *at,
                    value: *value,
                })
            })
            .collect();
        // Stable: series come in the order of their keys.
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    /// The interval that most samples have; the shorter one when two are equal.
    pub fn interval(&self) -> Seconds {
        let mut weights: BTreeMap<Seconds, usize> = BTreeMap::new();
        for series in self.series.values() {
            *weights.entry(series.interval).or_default() += series.samples.len();
        }
        most_frequent(&weights).unwrap_or(INTERVAL_DEFAULT)
    }

    /// Start of the earliest and end of the latest interval.
    pub fn span(&self) -> Option<(DomainTime, DomainTime)> {
        let firsts = self.series.values().filter_map(SeriesTrace::first_at);
        let ends = self.series.values().filter_map(SeriesTrace::end_at);
        Some((firsts.min()?, ends.max()?))
    }
}

impl SeriesTrace {
    /// Makes a series of samples in any order: later ones win, times move to the start of their interval.
    pub(super) fn build(
        mut samples: Vec<(DomainTime, FixedValue)>,
        counts: &mut ReadCounts,
    ) -> Self {
        // Stable, so that among equal times the later row stays last.
        samples.sort_by_key(|(at, _)| *at);
        let mut unique: Vec<(DomainTime, FixedValue)> = Vec::with_capacity(samples.len());
        for (at, value) in samples {
            match unique.last_mut() {
                Some((last_at, last)) if *last_at == at => {
                    if *last == value {
                        counts.repeated += 1;
                    } else {
                        counts.conflicting += 1;
                        *last = value;
                    }
                }
                _ => unique.push((at, value)),
            }
        }
        let interval = detected_interval(&unique);
        let mut aligned: Vec<(DomainTime, FixedValue)> = Vec::with_capacity(unique.len());
        for (at, value) in unique {
            let start = at.floor_to(interval);
            counts.moved += u64::from(start != at);
            match aligned.last_mut() {
                Some((last_at, last)) if *last_at == start => {
                    counts.merged += 1;
                    *last = value;
                }
                _ => aligned.push((start, value)),
            }
        }
        Self {
            interval,
            samples: aligned,
        }
    }

    /// Start of the first interval.
    pub fn first_at(&self) -> Option<DomainTime> {
        self.samples.first().map(|(at, _)| *at)
    }

    /// End of the last interval.
    pub fn end_at(&self) -> Option<DomainTime> {
        self.samples.last().map(|(at, _)| at.plus(self.interval))
    }

    /// Reads the value of the interval that starts at a moment; `None` = missing.
    pub fn value_at(&self, at: DomainTime) -> Option<FixedValue> {
        let index = self.samples.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        self.samples.get(index).map(|(_, value)| *value)
    }

    /// Lists one value per interval from `from` until before `until`; `None` = missing.
    pub fn grid(&self, from: DomainTime, until: DomainTime) -> Vec<Option<FixedValue>> {
        let interval = i64::from(self.interval.0.max(1));
        let steps = until.seconds_since(from).max(0) / interval;
        let steps = usize::try_from(steps).unwrap_or_default();
        let mut values = vec![None; steps];
        let start = self.samples.partition_point(|(at, _)| *at < from);
        for (at, value) in self.samples.iter().skip(start) {
            let index = usize::try_from(at.seconds_since(from) / interval).unwrap_or(usize::MAX);
            match values.get_mut(index) {
                Some(slot) => *slot = Some(*value),
                None => break,
            }
        }
        values
    }

    /// Counts the intervals between first and last sample that have no value.
    pub fn missing_count(&self) -> u64 {
        let (Some(first), Some(end)) = (self.first_at(), self.end_at()) else {
            return 0;
        };
        let steps = end.seconds_since(first) / i64::from(self.interval.0.max(1));
        u64::try_from(steps)
            .unwrap_or_default()
            .saturating_sub(self.samples.len() as u64)
    }
}

/// The most frequent distance between neighbours; the shorter one when two are equally frequent.
fn detected_interval(samples: &[(DomainTime, FixedValue)]) -> Seconds {
    let mut distances: BTreeMap<Seconds, usize> = BTreeMap::new();
    for pair in samples.windows(2) {
        if let [(left, _), (right, _)] = pair
            && let Ok(distance) = u32::try_from(right.seconds_since(*left))
        {
            *distances.entry(Seconds(distance)).or_default() += 1;
        }
    }
    most_frequent(&distances).unwrap_or(INTERVAL_DEFAULT)
}

fn most_frequent(weights: &BTreeMap<Seconds, usize>) -> Option<Seconds> {
    let most = weights.values().max()?;
    weights
        .iter()
        .find(|(_, weight)| *weight == most)
        .map(|(interval, _)| *interval)
}
