//! The simulated cloud of the daemon: what it is asked to change is written to a log of its own first, so
//! that it is the same cloud after a restart.
//!
//! A provider outlives its callers. Rebuilding the cloud from what the twins committed would hide what a
//! twin forgot; a log of the cloud's own keeps it an independent witness: its VMs run on, its bills go on,
//! and a call that was cut off by a crash has happened or not, as with a real provider. The cloud is a
//! function of each customer's changes in their order, so the changes are all that is kept; listings change
//! nothing. The log grows by about 100 bytes a change and is read whole at the start: it is meant for
//! trials, not for years.

use crate::error::ExpectedError;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use twinscale_log::{Command, CommandLog, FileLog, LogError, LogIndex, LogOptions, ReadLimits};
use twinscale_protocol::envelope::{self, EnvelopeKind};
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, MicroDollars, Seconds, TierName, VmId, VmTypeId,
};
use twinscale_provisioner::driver::{
    CallContext, DriverError, DriverFuture, Listing, ProviderDriver, VmSpec,
};
use twinscale_provisioner::{SimCloudConfig, SimCloudDriver};

/// A change of the simulated cloud, in its log.
pub const CHANGE: EnvelopeKind = EnvelopeKind(0x0300);

/// A simulated cloud with its log.
#[derive(Clone, Debug)]
pub struct RecordedCloud {
    cloud: SimCloudDriver,
    log: Arc<dyn CommandLog>,
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
    /// When its log does not open, or holds what is no change.
    pub async fn open(directory: &Path, config: SimCloudConfig) -> anyhow::Result<Self> {
        let place = directory.display().to_string();
        let broken = |error: LogError| {
            ExpectedError::input(
                format!("the simulated cloud's log in {place} cannot be read"),
                error,
            )
        };
        let (log, _report) = FileLog::open(directory, LogOptions::default()).map_err(broken)?;
        let cloud = Self {
            cloud: SimCloudDriver::new(config),
            log: Arc::new(log),
        };
        let mut from = cloud.log.first_index();
        loop {
            let entries = cloud
                .log
                .read(from, ReadLimits::default())
                .map_err(broken)?;
            for entry in &entries {
                let record = envelope::open(CHANGE, &entry.payload).map_err(|error| {
                    let index = entry.index;
                    ExpectedError::input(
                        format!("entry {index} of the log in {place} is no change"),
                        error,
                    )
                })?;
                cloud.repeat(record).await;
            }
            match entries.last() {
                Some(last) => from = LogIndex::next(last.index),
                None => return Ok(cloud),
            }
        }
    }

    /// The cloud itself, for reports.
    pub fn cloud(&self) -> &SimCloudDriver {
        &self.cloud
    }

    /// Does a change again; what came of it then was told then.
    async fn repeat(&self, record: ChangeRecord) {
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
        let repeated = match change {
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
        };
        // A refusal is repeated as well: it is the same one as then.
        drop(repeated);
    }

    async fn write(&self, context: &CallContext, change: Change) -> Result<(), DriverError> {
        let record = ChangeRecord {
            customer: context.customer.clone(),
            generation: context.generation,
            now: context.now,
            change,
        };
        let payload = envelope::seal(CHANGE, &record).map_err(|error| DriverError::Refused {
            reason: error.to_string(),
        })?;
        let kind = CHANGE.0;
        match self.log.propose(vec![Command { kind, payload }]).await {
            Ok(_committed) => Ok(()),
            Err(error) if error.is_outcome_unknown() => Err(DriverError::Unknown {
                reason: error.to_string(),
            }),
            // Nothing happened, and later it may work: as with a provider that is out of order.
            Err(error) => {
                tracing::warn!(%error, "the simulated cloud cannot write");
                Err(DriverError::Throttled)
            }
        }
    }
}

impl ProviderDriver for RecordedCloud {
    fn name(&self) -> &str {
        self.cloud.name()
    }

    fn checks_generations(&self) -> bool {
        self.cloud.checks_generations()
    }

    fn launch<'a>(&'a self, context: &'a CallContext, spec: &'a VmSpec) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let change = Change::Launch {
                vm: spec.vm,
                tier: spec.tier.clone(),
                vm_type: spec.vm_type.clone(),
                price_per_hour: spec.price_per_hour,
                minimum_bill: spec.minimum_bill,
            };
            self.write(context, change).await?;
            self.cloud.launch(context, spec).await
        })
    }

    fn terminate<'a>(&'a self, context: &'a CallContext, vm: VmId) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            self.write(context, Change::Terminate { vm }).await?;
            self.cloud.terminate(context, vm).await
        })
    }

    fn resize_volume<'a>(
        &'a self,
        context: &'a CallContext,
        volume: &'a VolumeBlocks,
    ) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            self.write(context, Change::ResizeVolume(volume.clone()))
                .await?;
            self.cloud.resize_volume(context, volume).await
        })
    }

    fn resize_link<'a>(&'a self, context: &'a CallContext, link: LinkSize) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            self.write(context, Change::ResizeLink(link)).await?;
            self.cloud.resize_link(context, link).await
        })
    }

    fn list<'a>(&'a self, customer: &'a CustomerId, now: DomainTime) -> DriverFuture<'a, Listing> {
        self.cloud.list(customer, now)
    }

    fn costs<'a>(
        &'a self,
        customers: &'a [CustomerId],
        until: DomainTime,
    ) -> DriverFuture<'a, Vec<Option<MicroDollars>>> {
        self.cloud.costs(customers, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use twinscale_provisioner::simcloud::SimCloud;

    fn context(customer: &str, now: i64) -> CallContext {
        CallContext {
            customer: CustomerId::new(customer).expect("an id"),
            generation: Generation(1),
            now: DomainTime(now),
        }
    }

    fn spec(vm: u64) -> VmSpec {
        VmSpec {
            vm: VmId(vm),
            tier: TierName::new("web").expect("an id"),
            vm_type: VmTypeId::new("small").expect("an id"),
            price_per_hour: MicroDollars(96_000),
            minimum_bill: Seconds(60),
        }
    }

    #[tokio::test]
    async fn a_cloud_that_is_opened_again_runs_and_bills_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || RecordedCloud::open(folder.path(), SimCloudConfig::with_seed(3));
        let cloud = open().await.expect("it opens");
        let (one, two) = (context("one", 1_000), context("two", 1_100));
        for vm in 1..=5 {
            cloud.launch(&one, &spec(vm)).await.expect("it starts");
        }
        cloud.launch(&two, &spec(1)).await.expect("it starts");
        let later = context("one", 4_600);
        cloud.terminate(&later, VmId(2)).await.expect("it ends");
        let at = DomainTime(10_000);
        let of =
            |cloud: &SimCloud, customer| (cloud.allocation(customer, at), cloud.cost(customer, at));
        let both = |cloud: &mut SimCloud| [&one, &two].map(|context| of(cloud, &context.customer));
        let seen = |cloud: &RecordedCloud| cloud.cloud().with_cloud(both);
        let before = seen(&cloud);
        drop(cloud);
        let again = open().await.expect("it opens again");
        assert_eq!(seen(&again), before);
        let listing = again
            .list(&one.customer, DomainTime(10_000))
            .await
            .expect("it lists");
        assert_eq!(listing.allocation.vms.len(), 4);
        again
            .launch(&later, &spec(2))
            .await
            .expect("its key is known");
        assert_eq!(
            seen(&again)[0].0,
            before[0].0,
            "what has ended does not come back"
        );
    }

    #[test]
    fn the_bytes_of_a_change_stay_the_same() {
        let record = ChangeRecord {
            customer: CustomerId::new("one").expect("an id"),
            generation: Generation(1),
            now: DomainTime(1_000),
            change: Change::Terminate { vm: VmId(7) },
        };
        let bytes = envelope::seal(CHANGE, &record).expect("it seals");
        let mut hex = String::new();
        for byte in &bytes {
            write!(hex, "{byte:02x}").expect("text grows");
        }
        assert_eq!(hex, GOLDEN);
        let read: ChangeRecord = envelope::open(CHANGE, &bytes).expect("it opens");
        assert_eq!(read, record);
    }

    const GOLDEN: &str = "54575343010000030a000000dcf554c7036f6e6501fbd0070107";
}
