//! Samples through the twin host: the path that a node's ingest takes.
//!
//! Sequences stand for samples of several customers and series. What was in flight at a blow is
//! sent again, as a client does that got no answer: the sample key (customer, VM type, metric,
//! time) must absorb what was there already. A sample must then be there once in the raw
//! observations, in the roll-ups and in the twin's count of stored samples.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use twinscale_protocol::ids::{CustomerId, MetricName, VmTypeId};
use twinscale_protocol::twin::IngestRequest;
use twinscale_protocol::{DomainTime, FixedValue, Sample, SeriesKey};
use twinscale_store::{OpenOutcome, StoreOptions};
use twinscale_twin::limits::{NEWEST_TIME, OLDEST_TIME};
use twinscale_twin::observations::Resolution;
use twinscale_twin::{HostOptions, TwinHost, TwinState};

use crate::audit::{Audit, Ledger};
use crate::error::ChaosError;
use crate::log_disk::open_log;
use crate::workload::{Ingest, Workload};

/// How many customers share the samples: several proposals are in flight at once.
const CUSTOMERS: u64 = 4;

/// The VM types of each customer, one series each.
const VM_TYPES: [&str; 3] = ["small", "medium", "large"];

/// The time of the first samples (14 November 2023), at the start of an hour.
const FIRST_AT: i64 = 1_700_006_400;

/// Samples of one series follow each other by so much, in seconds.
const STEP_SECONDS: i64 = 60;

#[derive(Clone, Copy, Debug)]
pub(crate) struct TwinWorkload {
    seed: u64,
}

struct TwinIngest {
    workload: TwinWorkload,
    host: Arc<TwinHost>,
    runtime: Runtime,
}

struct Opened {
    host: TwinHost,
    audit: Audit,
}

impl TwinWorkload {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn open_host(directory: &Path) -> Result<Opened, ChaosError> {
        let (log, log_report) = open_log(directory, true)?;
        let (host, report) = TwinHost::open_at(
            Arc::new(log),
            &directory.join("store"),
            StoreOptions::default(),
            HostOptions::default(),
        )
        .map_err(|error| product(&error))?;
        Ok(Opened {
            host,
            audit: Audit {
                was_tail_torn: log_report.torn_tail.is_some(),
                was_store_rebuilt: matches!(report.store, Some(OpenOutcome::Rebuilt { .. })),
                replayed_entries: report.replayed,
                ..Audit::default()
            },
        })
    }

    /// The value of a sample, in millionths of a VM: anything, but the same when sent again.
    fn value(self, sequence: u64) -> FixedValue {
        let mixed = (sequence ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        FixedValue(i64::try_from(mixed).unwrap_or(0))
    }

    /// Compares one twin's samples with what was sent.
    fn audit_twin(
        self,
        number: u64,
        twin: &TwinState,
        audit: &mut Audit,
    ) -> Result<(), ChaosError> {
        let mut stored = 0;
        for (at, vm_type) in (0..).zip(VM_TYPES) {
            let series = series(vm_type)?;
            let slots =
                |resolution| twin.observations(&series, resolution, OLDEST_TIME, NEWEST_TIME);
            let (mut raw_count, mut raw_sum) = (0_u64, 0_i128);
            for slot in slots(Resolution::Raw) {
                raw_count += u64::from(slot.count);
                raw_sum += slot.sum;
                let Some(sequence) = sequence_at(number, at, slot.at) else {
                    return Err(contradiction(format!(
                        "{series} has a sample at {}",
                        slot.at
                    )));
                };
                *audit.copies.entry(sequence).or_default() += u64::from(slot.count);
                if slot.sum != i128::from(self.value(sequence).0) {
                    audit.altered.insert(sequence);
                }
            }
            for resolution in [Resolution::FiveMinutes, Resolution::OneHour] {
                let slots = slots(resolution);
                let count: u64 = slots.iter().map(|slot| u64::from(slot.count)).sum();
                let sum: i128 = slots.iter().map(|slot| slot.sum).sum();
                if (count, sum) != (raw_count, raw_sum) {
                    return Err(contradiction(format!(
                        "{series} sums {count} samples to {sum} by {resolution:?}, but {raw_count} \
                         to {raw_sum} raw"
                    )));
                }
            }
            stored += raw_count;
        }
        let counters = twin.counters();
        if counters.samples != stored || counters.replaced != 0 || counters.refused != 0 {
            return Err(contradiction(format!(
                "{} counts {counters:?}, but {stored} samples are there",
                twin.customer()
            )));
        }
        audit.absorbed_duplicates += counters.duplicates;
        Ok(())
    }
}

impl Workload for TwinWorkload {
    fn open(&self, directory: &Path) -> Result<Box<dyn Ingest>, ChaosError> {
        let opened = Self::open_host(directory)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| ChaosError::io("start", "a runtime", error))?;
        Ok(Box::new(TwinIngest {
            workload: *self,
            host: Arc::new(opened.host),
            runtime,
        }))
    }

    fn audit(&self, directory: &Path) -> Result<Audit, ChaosError> {
        let Opened { host, mut audit } = Self::open_host(directory)?;
        for number in 0..CUSTOMERS {
            let outcome = host.read(&customer(number)?, |twin| {
                self.audit_twin(number, twin, &mut audit)
            });
            // A twin that is not there holds no sample; the ledger knows whether it should.
            outcome.transpose()?;
        }
        Ok(audit)
    }

    fn next_sequence(&self, ledger: &Ledger, _audit: &Audit) -> u64 {
        ledger.acknowledged().last().map_or(0, |last| last + 1)
    }
}

impl Ingest for TwinIngest {
    fn ingest(&mut self, sequences: &[u64]) -> Result<(), ChaosError> {
        let mut by_customer: BTreeMap<u64, Vec<Sample>> = BTreeMap::new();
        for sequence in sequences {
            let (number, sample) = self.workload.sample(*sequence)?;
            by_customer.entry(number).or_default().push(sample);
        }
        self.runtime.block_on(async {
            let mut requests = JoinSet::new();
            for (number, samples) in by_customer {
                let request = IngestRequest {
                    customer: customer(number)?,
                    now: newest(&samples),
                    samples,
                };
                let host = Arc::clone(&self.host);
                requests.spawn(async move {
                    let count = request.samples.len();
                    let reply = host.ingest(request).await;
                    reply.map(|reply| (count, reply))
                });
            }
            while let Some(joined) = requests.join_next().await {
                let (count, reply) = joined
                    .map_err(|error| product(&error))?
                    .map_err(|error| product(&error))?;
                let taken = reply.stored + reply.duplicates;
                if taken as usize != count || !reply.refused.is_empty() {
                    return Err(contradiction(format!(
                        "{count} samples were answered with {reply:?}"
                    )));
                }
            }
            Ok(())
        })
    }
}

impl TwinWorkload {
    fn sample(self, sequence: u64) -> Result<(u64, Sample), ChaosError> {
        let number = sequence % CUSTOMERS;
        let rest = sequence / CUSTOMERS;
        let types = VM_TYPES.len() as u64;
        let vm_type = usize::try_from(rest % types)
            .ok()
            .and_then(|at| VM_TYPES.get(at))
            .copied()
            .unwrap_or_default();
        let step = i64::try_from(rest / types).unwrap_or(i64::MAX);
        let sample = Sample {
            series: series(vm_type)?,
            at: DomainTime(FIRST_AT.saturating_add(step.saturating_mul(STEP_SECONDS))),
            value: self.value(sequence),
        };
        Ok((number, sample))
    }
}

/// The sequence that a sample of a customer and VM type at a time stands for.
fn sequence_at(number: u64, vm_type: u64, at: DomainTime) -> Option<u64> {
    let offset = at.0.checked_sub(FIRST_AT)?;
    if offset < 0 || offset % STEP_SECONDS != 0 {
        return None;
    }
    let step = u64::try_from(offset / STEP_SECONDS).ok()?;
    Some((step * VM_TYPES.len() as u64 + vm_type) * CUSTOMERS + number)
}

fn newest(samples: &[Sample]) -> DomainTime {
    samples
        .iter()
        .map(|sample| sample.at)
        .max()
        .unwrap_or(DomainTime(FIRST_AT))
}

fn customer(number: u64) -> Result<CustomerId, ChaosError> {
    CustomerId::new(format!("customer-{number}")).map_err(|error| product(&error))
}

fn series(vm_type: &str) -> Result<SeriesKey, ChaosError> {
    Ok(SeriesKey {
        vm_type: VmTypeId::new(vm_type).map_err(|error| product(&error))?,
        metric: MetricName::new("vm_count").map_err(|error| product(&error))?,
    })
}

fn contradiction(reason: String) -> ChaosError {
    ChaosError::Product { reason }
}

fn product(error: &dyn std::error::Error) -> ChaosError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        reason.push_str(": ");
        reason.push_str(&source.to_string());
        cause = source.source();
    }
    ChaosError::Product { reason }
}

#[cfg(test)]
mod tests {
    use super::{TwinWorkload, VM_TYPES, sequence_at};

    #[test]
    fn each_sequence_has_a_key_of_its_own_and_is_found_by_it() {
        let workload = TwinWorkload::new(5);
        for sequence in 0..5_000 {
            let (number, sample) = workload.sample(sequence).unwrap();
            let vm_type = VM_TYPES
                .iter()
                .position(|name| *name == sample.series.vm_type.as_str())
                .unwrap();
            let found = sequence_at(number, vm_type as u64, sample.at);
            assert_eq!(found, Some(sequence));
        }
    }
}
