//! The samples of one body by customer, with the lines that they came from: pure.

use super::lines::Line;
use super::refusal::{RefusalCode, Refusals};
use super::sample_line::parse;
use crate::service::limits::LINE_BYTES_MAX;
use std::collections::BTreeMap;
use twinscale_protocol::series::CustomerSample;
use twinscale_protocol::twin::{IngestReply, RefusalReason, RefusedSample};
use twinscale_protocol::{CustomerId, DomainTime, Sample, SeriesKey};

/// The samples of one body.
#[derive(Debug)]
pub struct Batch {
    now: DomainTime,
    newest: DomainTime,
    /// What was taken so far.
    pub customers: BTreeMap<CustomerId, CustomerBatch>,
    /// What was not.
    pub refusals: Refusals,
}

/// The samples of one customer.
#[derive(Debug, Default)]
pub struct CustomerBatch {
    /// In the order of their lines.
    pub samples: Vec<Sample>,
    /// Where each of them stands in the body.
    lines: Vec<u32>,
}

/// Finds the lines of samples that a twin refused, after the samples themselves were given away.
#[derive(Debug)]
pub struct Places {
    series: Vec<SeriesKey>,
    /// Number of the series, time, line.
    places: Vec<(u32, DomainTime, u32)>,
}

impl Batch {
    /// Starts a batch at a moment of the node's clock; samples behind `newest` are refused.
    pub fn new(now: DomainTime, newest: DomainTime) -> Self {
        Self {
            now,
            newest,
            customers: BTreeMap::new(),
            refusals: Refusals::default(),
        }
    }

    /// Takes a line.
    pub fn take(&mut self, number: u32, line: Line<'_>) {
        let Line::Text(text) = line else {
            self.refusals.note(number, RefusalCode::LineTooLong, || {
                format!("line is longer than {LINE_BYTES_MAX} bytes: one sample a line")
            });
            return;
        };
        match parse(text, self.now, self.newest) {
            Ok(CustomerSample { customer, sample }) => {
                let one = self.customers.entry(customer).or_default();
                one.samples.push(sample);
                one.lines.push(number);
            }
            Err(refused) => self.refusals.note(number, refused.code, || refused.message),
        }
    }
}

impl CustomerBatch {
    /// Gives the samples away and keeps where they stood.
    pub fn into_parts(self) -> (Vec<Sample>, Places) {
        let mut numbers: BTreeMap<SeriesKey, u32> = BTreeMap::new();
        let mut places = Vec::with_capacity(self.samples.len());
        for (sample, line) in self.samples.iter().zip(&self.lines) {
            let known = numbers.get(&sample.series).copied();
            let number = known.unwrap_or_else(|| {
                let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                numbers.insert(sample.series.clone(), number);
                number
            });
            places.push((number, sample.at, *line));
        }
        let mut series: Vec<(u32, SeriesKey)> = numbers
            .into_iter()
            .map(|(key, number)| (number, key))
            .collect();
        series.sort_unstable();
        let series = series.into_iter().map(|(_, key)| key).collect();
        (self.samples, Places { series, places })
    }
}

impl Places {
    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Notes all samples as refused.
    pub fn refuse_all(&self, refusals: &mut Refusals, code: RefusalCode, message: &str) {
        for (_, _, line) in &self.places {
            refusals.note(*line, code, || message.to_owned());
        }
    }

    /// Notes the samples of a series as refused.
    pub fn refuse_series(
        &self,
        series: &SeriesKey,
        refusals: &mut Refusals,
        (code, message): (RefusalCode, &str),
    ) {
        let number = self.number_of(series);
        for (_, _, line) in self.places.iter().filter(|place| Some(place.0) == number) {
            refusals.note(*line, code, || message.to_owned());
        }
    }

    fn number_of(&self, series: &SeriesKey) -> Option<u32> {
        let number = self.series.iter().position(|key| key == series)?;
        u32::try_from(number).ok()
    }

    /// Notes what a twin refused, each with its line; of several lines with one key, the first ones.
    pub fn note(&mut self, reply: &IngestReply, refusals: &mut Refusals) {
        if reply.refused.is_empty() {
            return;
        }
        self.places.sort_unstable();
        let mut used: BTreeMap<(u32, DomainTime), usize> = BTreeMap::new();
        for refused in &reply.refused {
            let number = self.number_of(&refused.series).unwrap_or(u32::MAX);
            let first = self
                .places
                .partition_point(|(series, at, _)| (*series, *at) < (number, refused.at));
            let before = used.entry((number, refused.at)).or_default();
            let place = self.places.get(first.saturating_add(*before));
            *before = before.saturating_add(1);
            let line = place.map_or(0, |(_, _, line)| *line);
            let (code, message) = words(refused);
            refusals.note(line, code, || message);
        }
    }
}

fn words(refused: &RefusedSample) -> (RefusalCode, String) {
    let RefusedSample { series, at, reason } = refused;
    match reason {
        RefusalReason::TooOld { oldest } => (
            RefusalCode::TooOld,
            format!(
                "sample of {series} at {at} is older than what is kept: the oldest is {oldest}"
            ),
        ),
        RefusalReason::InTheFuture { newest } => (
            RefusalCode::InTheFuture,
            format!("sample of {series} at {at} lies in the future: the newest is {newest}"),
        ),
        RefusalReason::TooManySeries { limit } => (
            RefusalCode::TooManySeries,
            format!("series {series} is one too many: a customer has at most {limit}"),
        ),
        RefusalReason::Quarantined => (
            RefusalCode::Quarantined,
            "the customer's twin is quarantined: GET its report for the reason".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(customer: &str, metric: &str, at: i64, value: u32) -> String {
        format!(
            "{{\"customer\":\"{customer}\",\"vm_type\":\"web\",\"metric\":\"{metric}\",\"timestamp\":{at},\
             \"value\":{value}}}"
        )
    }

    #[test]
    fn a_refusal_of_a_twin_finds_its_line() {
        let mut batch = Batch::new(DomainTime(1_000), DomainTime(1_000));
        let lines = [
            line("a", "requests", 10, 1),
            line("b", "requests", 10, 1),
            line("a", "mem_gb", 10, 1),
            line("a", "requests", 20, 1),
            line("a", "requests", 20, 2),
            "nonsense".to_owned(),
        ];
        for (number, line) in (1_u32..).zip(&lines) {
            batch.take(number, Line::Text(line.as_bytes()));
        }
        batch.take(7, Line::TooLong);
        assert_eq!(batch.refusals.count, 2);
        let one = batch.customers.into_values().next().expect("customer a");
        let (samples, mut places) = one.into_parts();
        assert_eq!(samples.len(), 4);
        let reason = RefusalReason::TooOld {
            oldest: DomainTime(30),
        };
        let refused = |index: usize| RefusedSample {
            series: samples[index].series.clone(),
            at: samples[index].at,
            reason,
        };
        let reply = IngestReply {
            refused: vec![refused(1), refused(2), refused(3)],
            ..IngestReply::default()
        };
        let mut refusals = Refusals::default();
        places.note(&reply, &mut refusals);
        let told: Vec<u32> = refusals.lines.iter().map(|one| one.line).collect();
        assert_eq!(told, [3, 4, 5]);
    }
}
