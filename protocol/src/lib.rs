//! Ids, units, messages and their versioned wire envelope; no IO and no runtime.
//!
//! Purpose: the one vocabulary in which the actors of Twinscale talk. Each module under the name of an
//! actor holds what that actor may be told and what it answers. Invariants: everything here is plain
//! data; numbers that decide something are integers ([`units`]), so that a replay is exact.
//!
//! Stored kinds do not live here: each crate owns its own, in a versioned module.

pub mod envelope;
pub mod error;
pub mod forecaster;
pub mod ids;
pub mod metric;
pub mod optimizer;
pub mod policy;
pub mod provisioner;
pub mod quantile;
pub mod series;
pub mod stack;
pub mod twin;
pub mod units;

pub use error::{WireError, WireErrorCode};
pub use ids::{
    AccountName, ClusterId, CustomerId, DataSetName, Generation, IntentId, LinkName, MetricName,
    NodeId, NodeNumber, ParseIdError, PlanNumber, RequestClassName, RequestId, ShardId, TierName,
    VmId, VmTypeId, VolumeName, WeightsId, ZoneName,
};
pub use quantile::{
    PEAK_LEVELS, PEAK_QUANTILES, PeakQuantiles, QUANTILE_LEVELS, QUANTILES, Quantiles,
};
pub use series::{Event, EventKind, Sample, SeriesKey};
pub use units::{
    DomainTime, FixedValue, Gib, Mbps, MicroDollars, MilliCores, PartsPerMillion, Seconds,
    UnitError, VmCount,
};
