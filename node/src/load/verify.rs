//! Reads back what was acknowledged: lost, altered and doubled samples are counted.

use super::acknowledged::{AcknowledgedSeries, read_acknowledged};
use crate::error::ExpectedError;
use crate::service::api::ObservationsReply;
use crate::service::client::ApiClient;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::path::Path;
use twinscale_protocol::{CustomerId, DomainTime, FixedValue, SeriesKey};

/// Series that are read at once.
const SERIES_AT_ONCE: usize = 8;

/// Differences that are named.
const NAMED_MAX: usize = 10;

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Series on the list.
    pub series: u64,
    /// Samples on the list.
    pub acknowledged: u64,
    /// Of these, stored with the value that was sent.
    pub stored: u64,
    /// Of these, not stored.
    pub lost: u64,
    /// Of these, stored with another value.
    pub altered: u64,
    /// Times of a series that came back more than once.
    pub doubled: u64,
    /// Stored and not on the list: sent, and the answer did not arrive.
    pub unacknowledged: u64,
    /// The first differences, for people.
    pub examples: Vec<String>,
}

impl Verified {
    /// Whether everything that was acknowledged is stored, once and as it was sent.
    pub fn is_sound(&self) -> bool {
        self.lost == 0 && self.altered == 0 && self.doubled == 0 && self.stored == self.acknowledged
    }

    fn join(&mut self, other: Self) {
        self.series += other.series;
        self.acknowledged += other.acknowledged;
        self.stored += other.stored;
        self.lost += other.lost;
        self.altered += other.altered;
        self.doubled += other.doubled;
        self.unacknowledged += other.unacknowledged;
        let room = NAMED_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }

    fn name(&mut self, what: &str, series: &str, at: DomainTime) {
        if self.examples.len() < NAMED_MAX {
            self.examples.push(format!("{what}: {series} at {at}"));
        }
    }
}

/// Reads back every sample of a list.
///
/// # Errors
/// When the list cannot be read, or the node does not answer.
pub async fn verify(client: &ApiClient, list: &Path) -> Result<Verified, ExpectedError> {
    let series = read_acknowledged(list)?;
    let checks = series
        .iter()
        .map(|((customer, key), acknowledged)| check(client, customer, key, acknowledged));
    let mut checks = futures::stream::iter(checks).buffer_unordered(SERIES_AT_ONCE);
    let mut verified = Verified::default();
    while let Some(one) = checks.next().await {
        verified.join(one?);
    }
    Ok(verified)
}

async fn check(
    client: &ApiClient,
    customer: &CustomerId,
    key: &SeriesKey,
    acknowledged: &AcknowledgedSeries,
) -> Result<Verified, ExpectedError> {
    let stored = stored(client, customer, key).await?;
    Ok(compare(&format!("{customer} {key}"), acknowledged, &stored))
}

fn compare(
    series: &str,
    acknowledged: &AcknowledgedSeries,
    stored: &[(DomainTime, FixedValue)],
) -> Verified {
    let mut verified = Verified {
        series: 1,
        acknowledged: acknowledged.len() as u64,
        ..Verified::default()
    };
    let mut found = AcknowledgedSeries::new();
    for (at, value) in stored {
        if found.insert(*at, *value).is_some() {
            verified.doubled += 1;
            verified.name("doubled", series, *at);
        }
        if !acknowledged.contains_key(at) {
            verified.unacknowledged += 1;
        }
    }
    for (at, value) in acknowledged {
        match found.get(at) {
            Some(found) if found == value => verified.stored += 1,
            Some(_other) => {
                verified.altered += 1;
                verified.name("altered", series, *at);
            }
            None => {
                verified.lost += 1;
                verified.name("lost", series, *at);
            }
        }
    }
    verified
}

async fn stored(
    client: &ApiClient,
    customer: &CustomerId,
    key: &SeriesKey,
) -> Result<Vec<(DomainTime, FixedValue)>, ExpectedError> {
    let SeriesKey { vm_type, metric } = key;
    let mut stored = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        // The alphabets of names need no escapes.
        let path = format!(
            "/v1/customers/{customer}/observations?vm_type={vm_type}&metric={metric}&from={start}"
        );
        let page: ObservationsReply = client.get(&path).await?;
        let values = page.samples.into_iter();
        stored.extend(values.map(|(at, value)| (DomainTime(at), FixedValue::from_model(value))));
        from = page.next_from;
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_altered_and_doubled_samples_are_told_apart() {
        let sample = |at, value| (DomainTime(at), FixedValue(value));
        let acknowledged = AcknowledgedSeries::from([sample(1, 10), sample(2, 20), sample(3, 30)]);
        let sound = compare(
            "s",
            &acknowledged,
            &[sample(1, 10), sample(2, 20), sample(3, 30), sample(4, 1)],
        );
        assert!(sound.is_sound());
        assert_eq!((sound.stored, sound.unacknowledged), (3, 1));
        let broken = compare(
            "s",
            &acknowledged,
            &[sample(1, 10), sample(1, 10), sample(2, 21)],
        );
        assert!(!broken.is_sound());
        assert_eq!((broken.lost, broken.altered, broken.doubled), (1, 1, 1));
        assert_eq!(broken.examples.len(), 3);
    }
}
