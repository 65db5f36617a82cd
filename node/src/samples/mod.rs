//! The sample customers that ship inside the binary: traces, events, policies and stacks.
//!
//! Invariant: the files are embedded, so that a demo runs anywhere; sources and licences travel with them
//! ([`SampleCustomer::attribution`]). They are made by `scripts/make-samples.py`.

use crate::trace::{Events, Trace, TraceError, TraceOptions, read_events_from, read_trace_from};
use jiff::Timestamp;
use serde::Deserialize;
use twinscale_protocol::{CustomerId, DomainTime, Seconds, SeriesKey};

const MANIFEST: &str = include_str!("../../../samples/traces/manifest.json");
const EVENTS: &str = include_str!("../../../samples/events.csv");

/// Policies of the sample customers, as TOML.
pub const POLICIES: &str = include_str!("../../../samples/config/policies.toml");

/// Stacks of the sample customers, as TOML.
pub const STACKS: &str = include_str!("../../../samples/config/stacks.toml");

/// Sources and licences of the sample data, as Markdown.
pub const NOTICE: &str = include_str!("../../../samples/NOTICE.md");

const TRACES: &[(&str, &[u8])] = &[
    (
        "appserver_requests.csv.gz",
        include_bytes!("../../../samples/traces/appserver_requests.csv.gz"),
    ),
    (
        "cloudcluster_pools.csv.gz",
        include_bytes!("../../../samples/traces/cloudcluster_pools.csv.gz"),
    ),
    (
        "nab_tweets.csv.gz",
        include_bytes!("../../../samples/traces/nab_tweets.csv.gz"),
    ),
    (
        "nasa_http.csv.gz",
        include_bytes!("../../../samples/traces/nasa_http.csv.gz"),
    ),
    (
        "nyc_taxi.csv.gz",
        include_bytes!("../../../samples/traces/nyc_taxi.csv.gz"),
    ),
    (
        "snowflake_vm.csv.gz",
        include_bytes!("../../../samples/traces/snowflake_vm.csv.gz"),
    ),
];

/// One sample customer: where it comes from and which of its weeks are replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleCustomer {
    /// Its name.
    pub customer: CustomerId,
    /// The data set it comes from.
    pub dataset: String,
    /// Repository, path and commit of the source.
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// Whom to name.
    pub attribution: String,
    /// The unit of its values.
    pub unit: String,
    /// Length of a sampling interval.
    pub interval: Seconds,
    /// Start of its first sample.
    pub history_start: DomainTime,
    /// Start of the first replayed interval.
    pub replay_start: DomainTime,
    /// End of the last replayed interval.
    pub replay_end: DomainTime,
    /// Weights used in a replay saw no sample of this source from here on.
    pub cut: DomainTime,
    /// Its series.
    pub series: Vec<SampleSeries>,
}

/// One series of a sample customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleSeries {
    /// Its name here.
    pub key: SeriesKey,
    /// Its name in the source, `customer/vm_type/metric`.
    pub source_series: String,
}

/// Why the embedded samples cannot be used; a defect of this build.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The manifest does not parse.
    #[error("the embedded sample manifest is broken: build again from a clean checkout")]
    Manifest(#[source] serde_json::Error),
    /// A value of the manifest is not what it should be.
    #[error(
        "the embedded sample manifest has a bad {what} `{value}`: build again from a clean checkout"
    )]
    Value {
        /// What it should be.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A trace or the events do not parse.
    #[error("the embedded samples are broken: build again from a clean checkout")]
    Trace(#[from] TraceError),
}

#[derive(Deserialize)]
struct RawManifest {
    customers: Vec<RawCustomer>,
}

#[derive(Deserialize)]
struct RawCustomer {
    customer: CustomerId,
    dataset: String,
    interval_s: u32,
    history_start: String,
    replay_start: String,
    replay_end: String,
    cut: String,
    source: String,
    licence: String,
    attribution: String,
    unit: String,
    series: Vec<RawSeries>,
}

#[derive(Deserialize)]
struct RawSeries {
    series: String,
    source_series: String,
}

/// Lists the sample customers, in the order of their names.
///
/// # Errors
/// [`SampleError`] when this build embeds broken files.
pub fn sample_customers() -> Result<Vec<SampleCustomer>, SampleError> {
    let raw: RawManifest = serde_json::from_str(MANIFEST).map_err(SampleError::Manifest)?;
    let mut customers = raw
        .customers
        .into_iter()
        .map(checked)
        .collect::<Result<Vec<_>, _>>()?;
    customers.sort_by(|a, b| a.customer.cmp(&b.customer));
    Ok(customers)
}

/// Reads the histories of all sample customers.
///
/// # Errors
/// [`SampleError`] when this build embeds broken files.
pub fn sample_trace() -> Result<Trace, SampleError> {
    let mut whole = Trace::default();
    for (file, bytes) in TRACES {
        let options = TraceOptions::default();
        let trace = read_trace_from(*bytes, file, None, &options, &mut |_| {})?;
        whole.customers.extend(trace.customers);
        whole.counts.rows += trace.counts.rows;
    }
    Ok(whole)
}

/// Reads the events of all sample customers.
///
/// # Errors
/// [`SampleError`] when this build embeds broken files.
pub fn sample_events() -> Result<Events, SampleError> {
    Ok(read_events_from(EVENTS.as_bytes(), "samples/events.csv")?)
}

fn checked(raw: RawCustomer) -> Result<SampleCustomer, SampleError> {
    Ok(SampleCustomer {
        customer: raw.customer,
        dataset: raw.dataset,
        source: raw.source,
        licence: raw.licence,
        attribution: raw.attribution,
        unit: raw.unit,
        interval: Seconds(raw.interval_s),
        history_start: moment(raw.history_start)?,
        replay_start: moment(raw.replay_start)?,
        replay_end: moment(raw.replay_end)?,
        cut: moment(raw.cut)?,
        series: raw
            .series
            .into_iter()
            .map(|raw| {
                Ok(SampleSeries {
                    key: key(&raw.series).ok_or(SampleError::Value {
                        what: "series",
                        value: raw.series,
                    })?,
                    source_series: raw.source_series,
                })
            })
            .collect::<Result<_, SampleError>>()?,
    })
}

fn moment(text: String) -> Result<DomainTime, SampleError> {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Ok(DomainTime(timestamp.as_second())),
        Err(_) => Err(SampleError::Value {
            what: "moment",
            value: text,
        }),
    }
}

fn key(text: &str) -> Option<SeriesKey> {
    let (vm_type, metric) = text.split_once('/')?;
    Some(SeriesKey {
        vm_type: vm_type.parse().ok()?,
        metric: metric.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_cluster_config::{PolicyFile, StackFile, check_customer};

    #[test]
    fn every_replay_starts_after_its_cut_and_has_history() {
        let trace = sample_trace().expect("a trace");
        let customers = sample_customers().expect("customers");
        assert_eq!(customers.len(), 12);
        assert_eq!(trace.customers.len(), 12);
        assert_eq!(trace.sample_count() as u64, trace.counts.rows);
        for sample in &customers {
            assert!(sample.cut < sample.replay_start, "{}", sample.customer);
            let history = &trace.customers[&sample.customer];
            assert_eq!(history.interval(), sample.interval);
            assert_eq!(history.series.len(), sample.series.len());
            let days = sample.replay_start.seconds_since(sample.history_start) / 86_400;
            assert!(days >= 27, "{} has {days} days", sample.customer);
            for series in &sample.series {
                let trace = &history.series[&series.key];
                assert!(trace.first_at() >= Some(sample.history_start));
                // The last hours of a replay may be missing, its last day not.
                assert!(trace.end_at() <= Some(sample.replay_end));
                assert!(trace.end_at() > Some(sample.replay_end.minus(Seconds(86_400))));
            }
        }
    }

    #[test]
    fn some_events_are_known_and_fall_into_a_replay() {
        let events = sample_events().expect("events");
        let known: usize = sample_customers()
            .expect("customers")
            .iter()
            .map(|sample| {
                events
                    .of(&sample.customer)
                    .iter()
                    .filter(|event| {
                        event.start >= sample.replay_start
                            && event.start < sample.replay_end
                            && event.known_from < sample.replay_start
                    })
                    .count()
            })
            .sum();
        assert!(known >= 10, "{known}");
    }

    #[test]
    fn policies_and_stacks_serve_a_series_of_every_customer() {
        let policies = PolicyFile::parse(POLICIES, "policies").expect("policies");
        let stacks = StackFile::parse(STACKS, "stacks").expect("stacks");
        for sample in sample_customers().expect("customers") {
            let policy = policies.policy_of(&sample.customer);
            let stack = stacks.stated(&sample.customer).expect("a stack");
            check_customer(&sample.customer, policy, stack).expect("they fit");
            for tier in &stack.tiers {
                assert!(sample.series.iter().any(|series| series.key == tier.demand));
            }
        }
    }
}
