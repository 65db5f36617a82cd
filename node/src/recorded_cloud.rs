//! The simulated cloud of the daemon: what it is asked to change is written to a log of its own first, so
//! that it is the same cloud after a restart.
//!
//! A provider outlives its callers. Rebuilding the cloud from what the twins committed would hide what a
//! twin forgot; a log of the cloud's own keeps it an independent witness: its VMs run on, its bills go on,
//! and a call that was cut off by a crash has happened or not, as with a real provider. The cloud is a
//! function of each customer's changes in their order, so the changes are all that is kept; listings change
//! nothing. A customer's changes are done one at a time, in the order in which they were written, and a change
//! that is written is done also when its caller has gone. The log grows by about 100 bytes a change and is
//! read whole at the start: it is meant for trials, not for years.

use crate::error::ExpectedError;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, MutexGuard, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use twinscale_log::{Command, CommandLog, FileLog, LogError, LogIndex, LogOptions, ReadLimits};
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::driver::{
    CallContext, DriverError, DriverFuture, Listing, ProviderDriver, VmSpec,
};
use twinscale_provisioner::simcloud::FaultConfig;
use twinscale_provisioner::{SimCloudConfig, SimCloudDriver};

/// A change of the simulated cloud, in its log.
pub const CHANGE: EnvelopeKind = EnvelopeKind(0x0300);

/// Changes under way, also those that nobody waits for any more; past it, calls are throttled.
const CHANGES_AT_ONCE: usize = 1_024;

/// Changes of different customers that are written at once: they share an fsync.
const LANES: usize = 64;

/// A simulated cloud with its log.
#[derive(Clone, Debug)]
pub struct RecordedCloud(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    cloud: SimCloudDriver,
    log: Box<dyn CommandLog>,
    /// Who holds a customer's lane is the only one that writes and does a change of it, so that its changes
    /// are done in the order in which they are written.
    lanes: Vec<Mutex<()>>,
    room: Arc<Semaphore>,
    /// Changes under way.
    tasks: std::sync::Mutex<JoinSet<()>>,
    failure: watch::Sender<Option<String>>,
}

/// One change, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ChangeRecord {
    customer: CustomerId,
    generation: Generation,
    now: DomainTime,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Change {
    Launch {
        vm: VmId,
        tier: TierName,
        vm_type: VmTypeId,
        price_per_hour: MicroDollars,
        minimum_bill: Seconds,
    },
    Terminate {
        vm: VmId,
    },
    ResizeVolume(VolumeBlocks),
    ResizeLink(LinkSize),
}

impl RecordedCloud {
    /// Opens the cloud of a directory and brings it to where it was.
    ///
    /// # Errors
    /// When its log does not open, or holds what is no change, or the cloud is to have faults: what a call
    /// did under a fault hangs on calls that are not kept.
    pub async fn open(directory: &Path, config: SimCloudConfig) -> anyhow::Result<Self> {
        if config.faults != FaultConfig::none() {
            return Err(ExpectedError::input_hint(
                "a simulated cloud with a log cannot have faults",
                "strike the calls on their way to it",
            )
            .into());
        }
        let place = directory.display().to_string();
        let broken = |error: LogError| {
            ExpectedError::input(
                format!("the simulated cloud's log in {place} cannot be read"),
                error,
            )
        };
        let (log, _report) = FileLog::open(directory, LogOptions::default()).map_err(broken)?;
        // Customers who share a limit of capacity must not overtake each other either.
        let lanes = if config.capacity.is_empty() { LANES } else { 1 };
        let cloud = Self(Arc::new(Parts {
            cloud: SimCloudDriver::new(config),
            log: Box::new(log),
            lanes: (0..lanes).map(|_lane| Mutex::default()).collect(),
            room: Arc::new(Semaphore::new(CHANGES_AT_ONCE)),
            tasks: std::sync::Mutex::default(),
            failure: watch::Sender::default(),
        }));
        let log = &cloud.0.log;
        let mut from = log.first_index();
        loop {
            let entries = log.read(from, ReadLimits::default()).map_err(broken)?;
            for entry in &entries {
                let record = envelope::open(CHANGE, &entry.payload).map_err(|error| {
                    let index = entry.index;
                    ExpectedError::input(
                        format!("entry {index} of the log in {place} is no change"),
                        error,
                    )
                })?;
                // What came of it was told then; a refusal is repeated as well.
                drop(cloud.0.apply(record).await);
            }
            match entries.last() {
                Some(last) => from = LogIndex::next(last.index),
                None => return Ok(cloud),
            }
        }
    }

    /// The cloud itself, for reports.
    pub fn cloud(&self) -> &SimCloudDriver {
        &self.0.cloud
    }

    /// Counts the changes that were ever written.
    pub fn changes(&self) -> u64 {
        let log = &self.0.log;
        log.last_index()
            .next()
            .get()
            .saturating_sub(log.first_index().get())
    }

    /// Waits until a write has failed in a way that only opening the log again mends; returns why.
    pub async fn failed(&self) -> String {
        let mut failure = self.0.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        failed
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    /// Writes and does a change in a task of its own: who gives up waiting must not leave a change that is
    /// written and not done.
    fn change<'a>(&'a self, context: &'a CallContext, change: Change) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let Ok(room) = Arc::clone(&self.0.room).try_acquire_owned() else {
                return Err(DriverError::Throttled);
            };
            let (tell, told) = oneshot::channel();
            let (parts, context) = (Arc::clone(&self.0), context.clone());
            self.0.spawn(async move {
                let changed = parts.change(context, change).await;
                drop(room);
                // Who has given up is not told.
                drop(tell.send(changed));
            });
            told.await.unwrap_or_else(|_gone| {
                let reason = "the simulated cloud failed in the middle of it".to_owned();
                Err(DriverError::Unknown { reason })
            })
        })
    }

    /// Waits until nothing is being changed any more.
    pub async fn settled(&self) {
        let all = u32::try_from(CHANGES_AT_ONCE).unwrap_or(u32::MAX);
        drop(self.0.room.acquire_many(all).await);
    }
}

impl Parts {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    async fn lane(&self, customer: &CustomerId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        customer.hash(&mut hasher);
        let lane = hasher.finish() % self.lanes.len() as u64;
        let lane = usize::try_from(lane).unwrap_or(0);
        self.lanes[lane].lock().await
    }

    async fn change(&self, context: CallContext, change: Change) -> Result<(), DriverError> {
        let _lane = self.lane(&context.customer).await;
        let CallContext {
            customer,
            generation,
            now,
        } = context;
        // A listing may have moved the customer's time, and listings are not written.
        let now = self.cloud.with_cloud(|cloud| cloud.time_of(&customer, now));
        let record = ChangeRecord {
            customer,
            generation,
            now,
            change,
        };
        self.write(&record).await?;
        self.apply(record).await
    }

    async fn apply(&self, record: ChangeRecord) -> Result<(), DriverError> {
        let ChangeRecord {
            customer,
            generation,
            now,
            change,
        } = record;
        let context = CallContext {
            customer,
            generation,
            now,
        };
        match change {
            Change::Launch {
                vm,
                tier,
                vm_type,
                price_per_hour,
                minimum_bill,
            } => {
                let spec = VmSpec {
                    vm,
                    tier,
                    vm_type,
                    price_per_hour,
                    minimum_bill,
                };
                self.cloud.launch(&context, &spec).await
            }
            Change::Terminate { vm } => self.cloud.terminate(&context, vm).await,
            Change::ResizeVolume(volume) => self.cloud.resize_volume(&context, &volume).await,
            Change::ResizeLink(link) => self.cloud.resize_link(&context, link).await,
        }
    }

    async fn write(&self, record: &ChangeRecord) -> Result<(), DriverError> {
        let payload = envelope::seal(CHANGE, record).map_err(|error| DriverError::Refused {
            reason: error.to_string(),
        })?;
        let kind = CHANGE.0;
        let written = self.log.propose(vec![Command { kind, payload }]).await;
        let Err(error) = written else { return Ok(()) };
        let is_unknown = error.is_outcome_unknown();
        if is_unknown || matches!(error, LogError::Poisoned { .. }) {
            self.failure.send_replace(Some(error.to_string()));
        }
        if is_unknown {
            return Err(DriverError::Unknown {
                reason: error.to_string(),
            });
        }
        // Nothing happened, and later it may work: as with a provider that is out of order.
        tracing::warn!(%error, "the simulated cloud cannot write");
        Err(DriverError::Throttled)
    }
}

impl ProviderDriver for RecordedCloud {
    fn name(&self) -> &str {
        self.0.cloud.name()
    }

    fn checks_generations(&self) -> bool {
        self.0.cloud.checks_generations()
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        let change = Change::Launch {
            vm: spec.vm,
            tier: spec.tier.clone(),
            vm_type: spec.vm_type.clone(),
            price_per_hour: spec.price_per_hour,
            minimum_bill: spec.minimum_bill,
        };
        self.change(context, change)
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        self.change(context, Change::Terminate { vm })
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        self.change(context, Change::ResizeVolume(volume.clone()))
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        self.change(context, Change::ResizeLink(link))
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        Box::pin(async move {
            // It moves the customer's time, which a change that is being written has taken already.
            let _lane = self.0.lane(customer).await;
            self.0.cloud.list(customer, now).await
        })
    }

    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        self.0.cloud.costs(customers, until)
    }
}

#[cfg(test)]
mod tests;
