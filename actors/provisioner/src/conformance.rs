//! One suite that every driver passes: the contract of [`crate::driver`] as cases.
//!
//! A driver's test makes a [`ConformanceTarget`] and calls [`run`]; a new case is a function and a line in
//! `CASES`. Each case uses customers of its own, so one target serves all of them, in any state that the
//! cases before have left. The target's provider must answer without faults.

use crate::driver::{CallContext, DriverError, Listing, ProviderDriver, VmSpec};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use twinscale_protocol::provisioner::{LinkSize, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, Generation, Mbps, MicroDollars, ParseIdError, Seconds, TierName, VmId,
    VmTypeId,
};

/// A driver under test, with what the suite cannot know of it.
pub trait ConformanceTarget: fmt::Debug + Send + Sync {
    /// The driver.
    fn driver(&self) -> &dyn ProviderDriver;

    /// The time of calls that are made now.
    fn now(&self) -> DomainTime;

    /// Two VM types that the provider offers.
    fn vm_types(&self) -> [VmTypeId; 2];

    /// Waits, in the target's own time, until every start is over.
    fn settle(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A provider in domain time alone, as all simulated clouds are: its starts are over when the time has moved on.
#[derive(Debug)]
pub struct DomainTimeTarget<D> {
    /// The driver.
    pub driver: D,
    /// The time of calls that are made now.
    pub now: DomainTime,
    /// Two VM types that the provider offers.
    pub vm_types: [VmTypeId; 2],
    /// Longest start.
    pub start_max: Seconds,
}

impl<D: ProviderDriver> ConformanceTarget for DomainTimeTarget<D> {
    fn driver(&self) -> &dyn ProviderDriver {
        &self.driver
    }

    fn now(&self) -> DomainTime {
        self.now
    }

    fn vm_types(&self) -> [VmTypeId; 2] {
        self.vm_types.clone()
    }

    fn settle(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.now = self.now.plus(self.start_max);
        Box::pin(async {})
    }
}

/// A case that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("conformance case `{case}` failed: {reason}")]
pub struct ConformanceFailure {
    /// Its name.
    pub case: &'static str,
    /// What was expected and what was found.
    pub reason: String,
}

type CaseFuture<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
type Case = for<'a> fn(&'a mut dyn ConformanceTarget) -> CaseFuture<'a>;

/// The cases by name.
const CASES: &[(&str, Case)] = &[
    ("a_launched_vm_comes_to_serve", |t| {
        Box::pin(comes_to_serve(t))
    }),
    ("a_launch_under_a_known_key_starts_nothing", |t| {
        Box::pin(known_key_starts_nothing(t))
    }),
    ("a_known_key_with_another_type_is_refused", |t| {
        Box::pin(known_key_of_another_type(t))
    }),
    ("a_terminated_vm_is_gone_and_stays_gone", |t| {
        Box::pin(terminated_stays_gone(t))
    }),
    ("terminating_the_unknown_is_done", |t| {
        Box::pin(terminating_the_unknown(t))
    }),
    ("customers_are_apart", |t| Box::pin(customers_are_apart(t))),
    ("listings_ascend", |t| Box::pin(listings_ascend(t))),
    ("a_stale_generation_is_refused", |t| {
        Box::pin(stale_generation(t))
    }),
    ("volumes_grow_and_never_shrink", |t| {
        Box::pin(volumes_grow(t))
    }),
    ("a_link_takes_the_size_asked_for", |t| {
        Box::pin(link_resizes(t))
    }),
    ("a_caller_whose_clock_is_behind_is_served", |t| {
        Box::pin(clock_is_behind(t))
    }),
];

/// Runs all cases and gives the names of those that passed.
///
/// # Errors
/// The first [`ConformanceFailure`].
pub async fn run(
    target: &mut dyn ConformanceTarget,
) -> Result<Vec<&'static str>, ConformanceFailure> {
    let mut passed = Vec::with_capacity(CASES.len());
    for (name, case) in CASES {
        case(target)
            .await
            .map_err(|reason| ConformanceFailure { case: name, reason })?;
        passed.push(*name);
    }
    Ok(passed)
}

async fn comes_to_serve(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("serve", target)?;
    session.launch(target, 1, 0).await?;
    let listed = session.list(target).await?;
    expect("VMs right after the launch", listed.vm_ids(), &[1])?;
    target.settle().await;
    let vms = session.list(target).await?.0.allocation.vms;
    let vm = vms.first().ok_or("the VM is not listed after its start")?;
    let since = vm
        .serving_since
        .ok_or("the VM does not serve after its start")?;
    if since < vm.requested_at {
        return Err(format!(
            "serves since {since}, asked for at {}",
            vm.requested_at
        ));
    }
    expect(
        "tier and type",
        (&vm.tier, &vm.vm_type),
        &(&session.tier, &session.vm_types[0]),
    )
}

async fn known_key_starts_nothing(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("again", target)?;
    for _ in 0..3 {
        session.launch(target, 1, 0).await?;
    }
    target.settle().await;
    session.launch(target, 1, 0).await?;
    expect("VMs", session.list(target).await?.vm_ids(), &[1])
}

async fn known_key_of_another_type(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("conflict", target)?;
    session.launch(target, 1, 0).await?;
    let other = session.spec(1, 1);
    let result = target
        .driver()
        .launch(&session.context(target, 1), &other)
        .await;
    if !matches!(result, Err(DriverError::Refused { .. })) {
        return Err(format!("expected a refusal, found {result:?}"));
    }
    expect("VMs", session.list(target).await?.vm_ids(), &[1])
}

async fn terminated_stays_gone(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("gone", target)?;
    session.launch(target, 1, 0).await?;
    session.launch(target, 2, 0).await?;
    target.settle().await;
    for _ in 0..2 {
        session.terminate(target, 1).await?;
    }
    expect(
        "VMs after the end",
        session.list(target).await?.vm_ids(),
        &[2],
    )?;
    session.launch(target, 1, 0).await?;
    target.settle().await;
    expect(
        "VMs after a late launch",
        session.list(target).await?.vm_ids(),
        &[2],
    )
}

async fn terminating_the_unknown(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("unknown", target)?;
    session.terminate(target, 7).await?;
    expect("VMs", session.list(target).await?.vm_ids(), &[])
}

async fn customers_are_apart(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let one = Session::new("apart-1", target)?;
    let other = Session::new("apart-2", target)?;
    one.launch(target, 1, 0).await?;
    other.launch(target, 1, 1).await?;
    one.terminate(target, 1).await?;
    expect("VMs of the one", one.list(target).await?.vm_ids(), &[])?;
    expect("VMs of the other", other.list(target).await?.vm_ids(), &[1])
}

async fn listings_ascend(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("order", target)?;
    for vm in [5, 3, 9, 1] {
        session.launch(target, vm, usize::from(vm > 4)).await?;
    }
    expect("VMs", session.list(target).await?.vm_ids(), &[1, 3, 5, 9])
}

async fn stale_generation(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    if !target.driver().checks_generations() {
        return Ok(());
    }
    let session = Session::new("fence", target)?;
    let (stale, current) = (session.context(target, 1), session.context(target, 2));
    let driver = target.driver();
    let launched = driver.launch(&stale, &session.spec(1, 0)).await;
    expect("launch before the change of owner", launched, &Ok(()))?;
    let launched = driver.launch(&current, &session.spec(2, 0)).await;
    expect("launch of the new owner", launched, &Ok(()))?;
    let refused = Err(DriverError::StaleGeneration {
        sent: Generation(1),
        highest: Generation(2),
    });
    let launch = driver.launch(&stale, &session.spec(3, 0)).await;
    expect("launch of the old owner", launch, &refused)?;
    let end = driver.terminate(&stale, VmId(2)).await;
    expect("termination by the old owner", end, &refused)?;
    expect("VMs", session.list(target).await?.vm_ids(), &[1, 2])
}

async fn volumes_grow(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("volume", target)?;
    for (asked, expected) in [(2, 2), (5, 5), (3, 5), (5, 5)] {
        let volume = VolumeBlocks {
            volume: session.tier.clone(),
            blocks: asked,
            price_block_hour: MicroDollars(100),
        };
        let context = session.context(target, 1);
        let resized = target.driver().resize_volume(&context, &volume).await;
        expect("resize", resized, &Ok(()))?;
        let volumes = session.list(target).await?.0.allocation.volumes;
        let blocks: Vec<_> = volumes.iter().map(|volume| volume.blocks).collect();
        expect("blocks", blocks, &vec![expected])?;
    }
    Ok(())
}

async fn link_resizes(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("link", target)?;
    for option in [0, 2, 1, 1] {
        let link = LinkSize {
            option,
            bandwidth: Mbps(100 * (u64::from(option) + 1)),
            price_per_hour: MicroDollars(1_000),
        };
        let context = session.context(target, 1);
        let resized = target.driver().resize_link(&context, link).await;
        expect("resize", resized, &Ok(()))?;
        let listed = session.list(target).await?.0.allocation.link;
        expect("link", listed, &Some(link))?;
    }
    Ok(())
}

/// The next owner of a customer may have an earlier clock than the one before.
async fn clock_is_behind(target: &mut dyn ConformanceTarget) -> Result<(), String> {
    let session = Session::new("clock", target)?;
    session.launch(target, 1, 0).await?;
    target.settle().await;
    expect("VMs", session.list(target).await?.vm_ids(), &[1])?;
    let behind = CallContext {
        now: target.now().minus(Seconds(3_600)),
        ..session.context(target, 2)
    };
    let driver = target.driver();
    let launched = driver.launch(&behind, &session.spec(2, 1)).await;
    expect("launch", launched, &Ok(()))?;
    let ended = driver.terminate(&behind, VmId(1)).await;
    expect("termination", ended, &Ok(()))?;
    let listed = driver.list(&session.customer, behind.now).await;
    let listed = listed.map_err(|error| format!("listing: {error}"))?;
    expect("VMs by that clock", Listed(listed).vm_ids(), &[2])?;
    expect(
        "VMs by the other clock",
        session.list(target).await?.vm_ids(),
        &[2],
    )
}

/// One customer of a case.
struct Session {
    customer: CustomerId,
    tier: TierName,
    vm_types: [VmTypeId; 2],
}

struct Listed(Listing);

impl Session {
    fn new(case: &str, target: &dyn ConformanceTarget) -> Result<Self, String> {
        let invalid = |error: ParseIdError| error.to_string();
        Ok(Self {
            customer: CustomerId::new(format!("conformance-{case}")).map_err(invalid)?,
            tier: TierName::new("web").map_err(invalid)?,
            vm_types: target.vm_types(),
        })
    }

    fn context(&self, target: &dyn ConformanceTarget, generation: u64) -> CallContext {
        CallContext {
            customer: self.customer.clone(),
            generation: Generation(generation),
            now: target.now(),
        }
    }

    fn spec(&self, vm: u64, vm_type: usize) -> VmSpec {
        let [first, second] = &self.vm_types;
        VmSpec {
            vm: VmId(vm),
            tier: self.tier.clone(),
            vm_type: if vm_type == 0 { first } else { second }.clone(),
            price_per_hour: MicroDollars(100_000),
            minimum_bill: Seconds(60),
        }
    }

    async fn launch(
        &self,
        target: &dyn ConformanceTarget,
        vm: u64,
        vm_type: usize,
    ) -> Result<(), String> {
        let (context, spec) = (self.context(target, 1), self.spec(vm, vm_type));
        let launched = target.driver().launch(&context, &spec).await;
        launched.map_err(|error| format!("launch of VM {vm}: {error}"))
    }

    async fn terminate(&self, target: &dyn ConformanceTarget, vm: u64) -> Result<(), String> {
        let context = self.context(target, 1);
        let ended = target.driver().terminate(&context, VmId(vm)).await;
        ended.map_err(|error| format!("termination of VM {vm}: {error}"))
    }

    async fn list(&self, target: &dyn ConformanceTarget) -> Result<Listed, String> {
        let listing = target.driver().list(&self.customer, target.now()).await;
        listing
            .map(Listed)
            .map_err(|error| format!("listing: {error}"))
    }
}

impl Listed {
    fn vm_ids(&self) -> Vec<u64> {
        self.0.allocation.vms.iter().map(|vm| vm.vm.0).collect()
    }
}

fn expect<T, E>(what: &str, found: T, expected: &E) -> Result<(), String>
where
    T: PartialEq<E> + fmt::Debug,
    E: fmt::Debug + ?Sized,
{
    if found == *expected {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, found {found:?}"))
    }
}
