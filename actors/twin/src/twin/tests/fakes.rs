//! Small working forecaster, optimizer and provider, with faults on demand.

use crate::clients::{Answer, ForecastClient, PlanClient, ProvisionClient};
use crate::fixtures::vms;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use twinscale_protocol::forecaster::*;
use twinscale_protocol::optimizer::*;
use twinscale_protocol::provisioner::*;
use twinscale_protocol::*;

/// Start-up time of the provider, in seconds.
pub(super) const START_UP: i64 = 300;

/// Forecasts what was seen a day before, else the last value, with a range of two VMs to each side.
#[derive(Debug, Default)]
pub(super) struct DayBefore {
    /// Requests that still fail.
    pub(super) failures: AtomicU32,
}

/// Plans what covers the .9 quantile.
#[derive(Debug, Default)]
pub(super) struct CoverNinety {
    /// Requests that still fail, and how.
    pub(super) failures: Mutex<Vec<WireErrorCode>>,
    /// Requests that were answered.
    pub(super) asked: AtomicU32,
}

/// A provider that starts VMs within [`START_UP`] seconds and honours idempotency keys.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    inner: Mutex<Inner>,
    /// Calls to execute that are carried out and never answered.
    pub(super) swallowed: AtomicU32,
    /// Calls to execute that came with an identity again.
    pub(super) repeated: AtomicU32,
    /// Calls to observe that still fail.
    pub(super) unseen: AtomicU32,
}

#[derive(Debug, Default)]
struct Inner {
    running: BTreeMap<(CustomerId, VmId), Running>,
    ever: BTreeSet<(CustomerId, VmId)>,
}

#[derive(Clone, Debug)]
struct Running {
    tier: TierName,
    vm_type: VmTypeId,
    requested_at: DomainTime,
}

/// Uses up one of a number of faults.
fn strikes(faults: &AtomicU32) -> bool {
    faults
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}

fn ready<R: Send + 'static>(reply: Result<R, WireError>) -> Answer<R> {
    Box::pin(async move { reply })
}

impl ForecastClient for DayBefore {
    fn forecast(&self, request: ForecastRequest, _limit: Duration) -> Answer<ForecastReply> {
        if strikes(&self.failures) {
            return ready(Err(WireError::new(
                WireErrorCode::Internal,
                "no forecast today",
            )));
        }
        let forecasts: Vec<SeriesForecast> = request
            .series
            .iter()
            .map(|window| {
                let last = window.values.last().copied().flatten().unwrap_or_default();
                let seen = |step: usize| {
                    let back = window.values.len().checked_sub(24)?;
                    window.values.get(back + step % 24).copied().flatten()
                };
                let range = |middle: FixedValue| {
                    [-2, -2, -1, 0, 1, 1, 2, 2]
                        .map(|offset| FixedValue((middle.0 + vms(offset).0).max(0)))
                };
                SeriesForecast {
                    key: window.key.clone(),
                    first_step_at: request.issued_at,
                    interval: request.interval,
                    quantiles: (0..usize::from(request.horizon_steps))
                        .map(|step| range(seen(step).unwrap_or(last)))
                        .collect(),
                    peak: None,
                    source: ForecastSource::SeasonalFallback("a test".to_owned()),
                    context: ForecastContext::default(),
                }
            })
            .collect();
        let calibrations = vec![vec![7]; forecasts.len()];
        ready(Ok(ForecastReply {
            forecasts,
            calibrations,
        }))
    }
}

impl PlanClient for CoverNinety {
    fn plan(&self, request: PlanRequest, _limit: Duration) -> Answer<Plan> {
        if let Some(code) = self.failures.lock().expect("not poisoned").pop() {
            return ready(Err(WireError::new(code, "no plan today")));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let vms = request.tiers.iter().map(|tier| PlanVms {
            tier: tier.name.clone(),
            vm_type: tier.options[0].vm_type.clone(),
            counts: tier
                .demand
                .iter()
                .map(|quantiles| {
                    let count = quantiles[5].0.max(0) / tier.options[0].capacity.0;
                    VmCount(u32::try_from(count).expect("few").min(tier.max_vms.0))
                })
                .collect(),
        });
        let plan = Plan {
            allocation: PlanAllocation {
                vms: vms.collect(),
                volumes: Vec::new(),
                link: Vec::new(),
            },
            number: request.number,
            parent: request.parent,
            trigger: request.trigger,
            first_step_at: request.first_step_at,
            interval: request.interval,
            steps: request.steps,
            ..crate::fixtures::plan(1, request.first_step_at, &[0])
        };
        ready(Ok(plan))
    }
}

impl Cloud {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("not poisoned")
    }

    /// VMs that run for a customer.
    pub(super) fn running(&self, customer: &CustomerId) -> usize {
        let inner = self.lock();
        inner
            .running
            .keys()
            .filter(|(of, _)| of == customer)
            .count()
    }

    /// VMs that serve a customer at a moment.
    pub(super) fn serving(&self, customer: &CustomerId, at: DomainTime) -> usize {
        let inner = self.lock();
        let of = inner.running.iter().filter(|((of, _), _)| of == customer);
        of.filter(|(_, vm)| vm.requested_at.0 + START_UP <= at.0)
            .count()
    }

    /// VMs that were ever started for a customer.
    pub(super) fn ever(&self, customer: &CustomerId) -> usize {
        self.lock()
            .ever
            .iter()
            .filter(|(of, _)| of == customer)
            .count()
    }

    fn carry_out(&self, request: &ExecuteRequest) -> ExecuteReply {
        let mut inner = self.lock();
        for intent in &request.intents {
            match &intent.action {
                Action::Launch {
                    vm, tier, vm_type, ..
                } => {
                    let key = (request.customer.clone(), *vm);
                    if inner.ever.insert(key.clone()) {
                        let vm = Running {
                            tier: tier.clone(),
                            vm_type: vm_type.clone(),
                            requested_at: request.now,
                        };
                        inner.running.insert(key, vm);
                    } else {
                        self.repeated.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Action::Terminate { vm } => {
                    inner.running.remove(&(request.customer.clone(), *vm));
                }
                Action::ResizeVolume(_) | Action::ResizeLink(_) => {}
            }
        }
        let outcomes = request.intents.iter().map(|intent| IntentOutcome {
            intent: intent.id,
            result: OutcomeResult::Done,
        });
        ExecuteReply {
            outcomes: outcomes.collect(),
        }
    }
}

impl ProvisionClient for Cloud {
    fn reconcile(&self, request: ReconcileRequest, _limit: Duration) -> Answer<ReconcileReply> {
        let mut operations: Vec<Operation> = request
            .open_intents
            .iter()
            .map(|intent| Operation::Retry { intent: intent.id })
            .collect();
        let seen: BTreeSet<VmId> = request.observed.vms.iter().map(|one| one.vm).collect();
        let coming = request.open_intents.iter().filter(
            |intent| matches!(&intent.action, Action::Launch { vm, .. } if !seen.contains(vm)),
        );
        let present = seen.len() + coming.count();
        for wanted in &request.desired.vms {
            let most = wanted.count.max(wanted.count_next).0 as usize;
            if most > present {
                operations.push(Operation::Launch {
                    tier: wanted.tier.clone(),
                    vm_type: wanted.vm_type.clone(),
                    count: VmCount(u32::try_from(most - present).expect("few")),
                });
            } else if !request.desired.blind {
                let surplus = seen.iter().rev().take(present - most);
                operations.extend(surplus.map(|vm| Operation::Terminate { vm: *vm }));
            }
        }
        let held = Vec::new();
        ready(Ok(ReconcileReply { operations, held }))
    }

    fn execute(&self, request: ExecuteRequest, _limit: Duration) -> Answer<ExecuteReply> {
        let reply = self.carry_out(&request);
        if strikes(&self.swallowed) {
            return Box::pin(std::future::pending());
        }
        ready(Ok(reply))
    }

    fn observe(&self, request: ObserveRequest, _limit: Duration) -> Answer<ObserveReply> {
        if strikes(&self.unseen) {
            return ready(Err(WireError::new(WireErrorCode::Internal, "list failed")));
        }
        let inner = self.lock();
        let of = inner
            .running
            .iter()
            .filter(|((of, _), _)| *of == request.customer);
        let vms = of.map(|((_, vm), found)| ObservedVm {
            vm: *vm,
            tier: found.tier.clone(),
            vm_type: found.vm_type.clone(),
            requested_at: found.requested_at,
            serving_since: Some(DomainTime(found.requested_at.0 + START_UP))
                .filter(|since| *since <= request.now),
        });
        ready(Ok(ObserveReply {
            allocation: ObservedAllocation {
                vms: vms.collect(),
                ..ObservedAllocation::default()
            },
            start_up: Vec::new(),
        }))
    }
}
