//! What is observed: samples of series, and events.

use crate::ids::{CustomerId, MetricName, VmTypeId};
use crate::units::{DomainTime, FixedValue};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A series of one customer: a metric of a VM type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The VM type that was measured.
    pub vm_type: VmTypeId,
    /// What was measured.
    pub metric: MetricName,
}

/// A measured value. Its key is (customer, VM type, metric, timestamp).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The series.
    pub series: SeriesKey,
    /// Start of the interval that was measured.
    pub at: DomainTime,
    /// The value, in the metric's unit.
    pub value: FixedValue,
}

/// What kind of thing an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A public or company holiday.
    Holiday,
    /// A marketing campaign or sale.
    Campaign,
    /// A release or launch.
    Release,
    /// Earnings and other dated announcements.
    Earnings,
    /// A season, such as the weeks before Christmas.
    Season,
    /// A change of price.
    PriceChange,
    /// Anything else that was announced.
    Other,
    /// An incident or outage: known only afterwards.
    Incident,
}

/// An external event in a customer's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What kind it is.
    pub kind: EventKind,
    /// Its name, for people.
    pub name: String,
    /// When it starts.
    pub start: DomainTime,
    /// When it ends (exclusive).
    pub end: DomainTime,
    /// From when on it was known; a forecast issued earlier must not use it.
    pub known_from: DomainTime,
    /// The one series it concerns, or all of the customer's.
    pub series: Option<SeriesKey>,
}

/// A sample with its owner, as files and requests carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerSample {
    /// Whose it is.
    pub customer: CustomerId,
    /// What was measured.
    pub sample: Sample,
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vm_type, self.metric)
    }
}
