//! Where the values of a node's metrics are kept.

use super::catalogue::{CATALOGUE, Metric, MetricKind};
use metrics::{Key, KeyName, Label, Level, Metadata, Recorder as _, SharedString};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The values of one node's metrics; clones share them. By default nothing is kept.
#[derive(Clone, Default)]
pub struct Instruments {
    kept: Option<Arc<Kept>>,
}

struct Kept {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'static> = Metadata::new("twinscale", Level::INFO, None);

impl fmt::Debug for Instruments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instruments")
            .field("is_on", &self.is_on())
            .finish()
    }
}

impl Instruments {
    /// Keeps values from now on.
    ///
    /// # Errors
    /// When the catalogue has buckets that are none; a test reads it.
    pub fn on() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in CATALOGUE {
            if let MetricKind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, buckets)?;
            }
        }
        let recorder = builder.build_recorder();
        for metric in CATALOGUE {
            let name = KeyName::from_const_str(metric.name);
            let help = SharedString::const_str(metric.help);
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, None, help),
                MetricKind::Gauge => recorder.describe_gauge(name, None, help),
                MetricKind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        Ok(Self {
            kept: Some(Arc::new(Kept { recorder, handle })),
        })
    }

    /// Whether values are kept.
    pub fn is_on(&self) -> bool {
        self.kept.is_some()
    }

    /// Adds to a counter.
    pub fn add(&self, metric: &Metric, labels: &[&str], by: u64) {
        if let Some(kept) = &self.kept {
            let counter = kept
                .recorder
                .register_counter(&key(metric, labels), &METADATA);
            counter.increment(by);
        }
    }

    /// Brings a counter up to a total that is counted elsewhere.
    pub fn total(&self, metric: &Metric, labels: &[&str], total: u64) {
        if let Some(kept) = &self.kept {
            let counter = kept
                .recorder
                .register_counter(&key(metric, labels), &METADATA);
            counter.absolute(total);
        }
    }

    /// Sets a gauge.
    pub fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        if let Some(kept) = &self.kept {
            kept.recorder
                .register_gauge(&key(metric, labels), &METADATA)
                .set(value);
        }
    }

    /// Enters an observation into a histogram.
    pub fn observe(&self, metric: &Metric, labels: &[&str], value: f64) {
        if let Some(kept) = &self.kept {
            kept.recorder
                .register_histogram(&key(metric, labels), &METADATA)
                .record(value);
        }
    }

    /// Enters a duration into a histogram of seconds.
    pub fn time(&self, metric: &Metric, labels: &[&str], took: Duration) {
        self.observe(metric, labels, took.as_secs_f64());
    }

    /// Puts observations into their buckets, which bounds the memory that they take until then.
    pub fn upkeep(&self) {
        if let Some(kept) = &self.kept {
            kept.handle.run_upkeep();
        }
    }

    /// Writes all values in Prometheus' text format; nothing when none are kept.
    pub fn render(&self) -> String {
        self.kept
            .as_ref()
            .map(|kept| kept.handle.render())
            .unwrap_or_default()
    }
}

/// Joins a metric with the values of its labels, in the order of the catalogue.
fn key(metric: &Metric, values: &[&str]) -> Key {
    assert_eq!(
        metric.labels.len(),
        values.len(),
        "one value per label of {}",
        metric.name
    );
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|((label, _values), value)| Label::new(*label, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}
