//! Many customers of one kind, each with its own demand: pure.

use std::collections::BTreeSet;
use twinscale_cluster_config::{PolicyFile, StackFile};
use twinscale_protocol::twin::{ConfigureRequest, IngestRequest};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, ParseIdError, Sample, Seconds, SeriesKey,
    VmTypeId,
};

/// Length of a step.
pub(super) const INTERVAL: Seconds = Seconds(300);

/// Steps that a forecast and a plan look ahead: two hours.
const HORIZON_STEPS: u16 = 24;

/// Steps of history: two days.
pub(super) const HISTORY_STEPS: u32 = 576;

/// Tiers of a customer, each served by one VM type from one series.
pub(super) const TIERS: u32 = 2;

/// Steps of a day.
const DAY_STEPS: u32 = 288;

/// The start of the history: a Monday.
const FIRST_AT: i64 = 1_700_438_400;

/// What customers have in common.
#[derive(Debug)]
pub(super) struct Fleet {
    series: Vec<SeriesKey>,
}

impl Fleet {
    pub(super) fn new() -> Result<Self, ParseIdError> {
        let series = (0..TIERS).map(|number| {
            Ok(SeriesKey {
                vm_type: VmTypeId::new(format!("pool-{number}"))?,
                metric: MetricName::new("vm_count")?,
            })
        });
        let series = series.collect::<Result<_, _>>()?;
        Ok(Self { series })
    }

    /// Policy and stack by the defaults: provisioning enforced, one tier per series.
    pub(super) fn configuration(&self, customer: &CustomerId) -> ConfigureRequest {
        let policy = PolicyFile::default().policy_of(customer).clone();
        let series: BTreeSet<SeriesKey> = self.series.iter().cloned().collect();
        ConfigureRequest {
            stack: StackFile::default().stack_of(customer, &series, &policy),
            customer: customer.clone(),
            policy,
            interval: INTERVAL,
            horizon_steps: HORIZON_STEPS,
        }
    }

    /// The samples of some steps, known at the end of the last.
    pub(super) fn samples(
        &self,
        customer: &CustomerId,
        number: u32,
        steps: std::ops::Range<u32>,
    ) -> IngestRequest {
        let now = step_at(steps.end);
        let samples = steps.flat_map(|step| {
            let series = (0_u32..).zip(&self.series);
            series.map(move |(tier, key)| Sample {
                series: key.clone(),
                at: step_at(step),
                value: demand(number.wrapping_mul(TIERS).wrapping_add(tier), step),
            })
        });
        IngestRequest {
            customer: customer.clone(),
            now,
            samples: samples.collect(),
        }
    }
}

pub(super) fn customer(number: u32) -> Result<CustomerId, ParseIdError> {
    CustomerId::new(format!("customer-{number:06}"))
}

pub(super) fn step_at(step: u32) -> DomainTime {
    DomainTime(FIRST_AT + i64::from(step) * i64::from(INTERVAL.0))
}

/// A day's wave with noise, in whole VMs; size and phase are the customer's.
fn demand(seed: u32, step: u32) -> FixedValue {
    let size = 5.0 + f64::from(seed % 40);
    let share = f64::from(step.wrapping_add(seed % DAY_STEPS) % DAY_STEPS) / f64::from(DAY_STEPS);
    let wave = (std::f64::consts::TAU * share).sin();
    let noise = f64::from(step.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) / 256.0;
    let vms = (size * (1.0 + 0.4 * wave) + 2.0 * noise).round();
    FixedValue::from_model(vms.max(1.0))
}

/// Whole VMs of a sample.
#[cfg(test)]
pub(super) fn vms(value: FixedValue) -> i64 {
    value.0 / twinscale_protocol::units::MICROS
}
