//! The machine: faults strike a call, the account carries it out, the ledger records both.

use crate::driver::{CallContext, DriverError, Listing, VmSpec};
use crate::lifetimes::{Lifetimes, PriceSeconds, VmCost};
use crate::simcloud::account::Account;
use crate::simcloud::config::{FaultConfig, SimCloudConfig};
use crate::simcloud::ledger::{
    CallEffect, CallOperation, CallRecord, CallReply, Ledger, RefusalCause,
};
use crate::start_up::rng_for;
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;
use twinscale_protocol::provisioner::{LinkSize, ObservedAllocation, VolumeBlocks};
use twinscale_protocol::{
    CustomerId, DomainTime, MicroDollars, PartsPerMillion, Seconds, TierName, VmId, VmTypeId,
};

/// A simulated cloud.
#[derive(Clone, Debug)]
pub struct SimCloud {
    config: SimCloudConfig,
    accounts: BTreeMap<CustomerId, Account>,
}

/// What a customer's resources cost, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloudCost {
    /// VMs.
    pub vms: VmCost,
    /// Volumes.
    pub volumes: PriceSeconds,
    /// The link.
    pub link: PriceSeconds,
}

/// A change asked of the cloud.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    Launch(&'a VmSpec),
    Terminate(VmId),
    ResizeVolume(&'a VolumeBlocks),
    ResizeLink(LinkSize),
}

/// An answer, and how late in system time it comes.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) result: Result<T, DriverError>,
    pub(crate) delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    TimeoutBeforeCommit,
    TimeoutAfterCommit,
    Duplicate,
    Throttled,
    ServerErrorBeforeCommit,
    ServerErrorAfterCommit,
    Slow,
    /// A listing is this much out of date.
    Stale(Seconds),
}

impl SimCloud {
    /// Makes a cloud in which nothing runs.
    #[must_use]
    pub fn new(config: SimCloudConfig) -> Self {
        Self {
            config,
            accounts: BTreeMap::new(),
        }
    }

    /// Reads the configuration.
    pub const fn config(&self) -> &SimCloudConfig {
        &self.config
    }

    /// Changes what goes wrong from now on; [`FaultConfig::none`] heals the cloud.
    pub fn set_faults(&mut self, faults: FaultConfig) {
        self.config.faults = faults;
    }

    /// Changes the share of starts that fail, for starts from now on.
    pub fn set_failed_starts(&mut self, failed: PartsPerMillion) {
        self.config.start_up.failed = failed;
    }

    /// Reads the customers that ever called.
    pub fn customers(&self) -> impl Iterator<Item = &CustomerId> {
        self.accounts.keys()
    }

    /// Reads the customers that ever called, from a name on.
    pub fn customers_from(&self, from: Bound<&CustomerId>) -> impl Iterator<Item = &CustomerId> {
        let rest = self
            .accounts
            .range::<CustomerId, _>((from, Bound::Unbounded));
        rest.map(|(customer, _)| customer)
    }

    /// Tells the time as which a call of a customer at `now` counts: callers' clocks differ, and a
    /// customer's time never goes back.
    #[must_use]
    pub fn time_of(&self, customer: &CustomerId, now: DomainTime) -> DomainTime {
        let account = self.accounts.get(customer);
        account.map_or(now, |account| account.time(now))
    }

    /// Reads a customer's ledger.
    pub fn ledger(&self, customer: &CustomerId) -> Option<&Ledger> {
        self.accounts.get(customer).map(|account| &account.ledger)
    }

    /// Lists what runs for a customer at a time, without a call and so without faults.
    #[must_use]
    pub fn allocation(&self, customer: &CustomerId, at: DomainTime) -> ObservedAllocation {
        let account = self.accounts.get(customer);
        account.map_or_else(ObservedAllocation::default, |account| {
            account.listing(at).allocation
        })
    }

    /// Collects a customer's VM lifetimes by tier and type.
    #[must_use]
    pub fn lifetimes(&self, customer: &CustomerId) -> BTreeMap<(TierName, VmTypeId), Lifetimes> {
        let mut lifetimes: BTreeMap<_, Lifetimes> = BTreeMap::new();
        for vm in self.ledger(customer).map_or(&[][..], Ledger::vms) {
            let key = (vm.spec.tier.clone(), vm.spec.vm_type.clone());
            lifetimes.entry(key).or_default().0.push(vm.life);
        }
        lifetimes
    }

    /// Reckons what a customer's resources cost up to a time.
    #[must_use]
    pub fn cost(&self, customer: &CustomerId, until: DomainTime) -> CloudCost {
        let Some(account) = self.accounts.get(customer) else {
            return CloudCost::default();
        };
        let vms = account.ledger.vms().iter().map(|vm| vm.life.cost(until));
        CloudCost {
            vms: vms.fold(VmCost::default(), VmCost::plus),
            volumes: account.volumes_cost(until),
            link: account.link_cost(until),
        }
    }

    /// Carries a change out, or what a fault leaves of it.
    pub(crate) fn change(&mut self, context: &CallContext, change: Change<'_>) -> Answer<()> {
        let account = self.accounts.entry(context.customer.clone()).or_default();
        let at = account.clock(context.now);
        let sequence = account.calls;
        account.calls += 1;
        let fault = self.draw_fault(&context.customer, sequence);
        let (reaches, reply, error) = match fault {
            Fault::None | Fault::Stale(_) => (1, CallReply::Outcome, None),
            Fault::Duplicate => (2, CallReply::Outcome, None),
            Fault::Slow => (1, CallReply::Late, None),
            Fault::TimeoutBeforeCommit => (0, CallReply::TimedOut, Some(timed_out())),
            Fault::TimeoutAfterCommit => (1, CallReply::TimedOut, Some(timed_out())),
            Fault::Throttled => (0, CallReply::Throttled, Some(DriverError::Throttled)),
            Fault::ServerErrorBeforeCommit => (0, CallReply::ServerError, Some(server_error())),
            Fault::ServerErrorAfterCommit => (1, CallReply::ServerError, Some(server_error())),
        };
        let mut effect = CallEffect::NotReached;
        for _ in 0..reaches {
            effect = self.apply(context, change, at);
            self.record(context, change, (sequence, at), (effect, reply));
        }
        if reaches == 0 {
            self.record(context, change, (sequence, at), (effect, reply));
        }
        Answer {
            result: error.map_or_else(|| self.outcome(context, effect), Err),
            delay: if fault == Fault::Slow {
                self.config.faults.slow_for
            } else {
                Duration::ZERO
            },
        }
    }

    /// Lists a customer's resources, or what a fault leaves of the listing.
    pub(crate) fn list(&mut self, customer: &CustomerId, now: DomainTime) -> Answer<Listing> {
        let account = self.accounts.entry(customer.clone()).or_default();
        let at = account.clock(now);
        let sequence = account.calls;
        account.calls += 1;
        let fault = self.draw_fault(customer, sequence);
        let (reply, lag, error) = match fault {
            Fault::None | Fault::Duplicate => (CallReply::Outcome, Seconds(0), None),
            Fault::Slow => (CallReply::Late, Seconds(0), None),
            Fault::Stale(lag) => (CallReply::Stale, lag, None),
            Fault::Throttled => (
                CallReply::Throttled,
                Seconds(0),
                Some(DriverError::Throttled),
            ),
            Fault::TimeoutBeforeCommit | Fault::TimeoutAfterCommit => {
                (CallReply::TimedOut, Seconds(0), Some(timed_out()))
            }
            Fault::ServerErrorBeforeCommit | Fault::ServerErrorAfterCommit => {
                (CallReply::ServerError, Seconds(0), Some(server_error()))
            }
        };
        let account = self.accounts.entry(customer.clone()).or_default();
        let call = CallRecord {
            sequence,
            at,
            generation: None,
            operation: CallOperation::List,
            effect: if error.is_none() {
                CallEffect::Applied
            } else {
                CallEffect::NotReached
            },
            reply,
        };
        account.ledger.record_call(call, self.config.calls_max);
        Answer {
            result: error.map_or_else(|| Ok(account.list(at.minus(lag), at)), Err),
            delay: if fault == Fault::Slow {
                self.config.faults.slow_for
            } else {
                Duration::ZERO
            },
        }
    }

    fn apply(&mut self, context: &CallContext, change: Change<'_>, at: DomainTime) -> CallEffect {
        let account = self.accounts.entry(context.customer.clone()).or_default();
        if !account.admit(context.generation) && self.config.checks.generations {
            return CallEffect::Refused(RefusalCause::StaleGeneration);
        }
        match change {
            Change::Launch(spec) => self.launch(context, spec, at),
            Change::Terminate(vm) => account.terminate(vm, at),
            Change::ResizeVolume(volume) => account.resize_volume(volume, at),
            Change::ResizeLink(link) => account.resize_link(link, at),
        }
    }

    fn launch(&mut self, context: &CallContext, spec: &VmSpec, at: DomainTime) -> CallEffect {
        let live = |account: &Account| account.count_live(&spec.vm_type, at);
        let full = self.config.capacity.get(&spec.vm_type).is_some_and(|most| {
            let live = self.accounts.values().map(live);
            live.fold(0, u32::saturating_add) >= most.0
        });
        let account = self.accounts.entry(context.customer.clone()).or_default();
        if self.config.checks.keys
            && let Some(effect) = account.known(spec)
        {
            return effect;
        }
        if full {
            return CallEffect::Refused(RefusalCause::NoCapacity);
        }
        if account.ledger.vms().len() >= self.config.vms_max {
            return CallEffect::Refused(RefusalCause::LedgerFull);
        }
        let draw = self
            .config
            .start_up
            .draw(&context.customer, spec.vm, &spec.vm_type);
        account.start(context, spec, at, draw);
        CallEffect::Applied
    }

    fn record(
        &mut self,
        context: &CallContext,
        change: Change<'_>,
        (sequence, at): (u64, DomainTime),
        (effect, reply): (CallEffect, CallReply),
    ) {
        let call = CallRecord {
            sequence,
            at,
            generation: Some(context.generation),
            operation: change.operation(),
            effect,
            reply,
        };
        let account = self.accounts.entry(context.customer.clone()).or_default();
        account.ledger.record_call(call, self.config.calls_max);
    }

    fn outcome(&self, context: &CallContext, effect: CallEffect) -> Result<(), DriverError> {
        let refused = |reason: String| Err(DriverError::Refused { reason });
        match effect {
            CallEffect::Applied | CallEffect::Unchanged => Ok(()),
            CallEffect::NotReached => Err(timed_out()),
            CallEffect::Refused(RefusalCause::StaleGeneration) => {
                let account = self.accounts.get(&context.customer);
                Err(DriverError::StaleGeneration {
                    sent: context.generation,
                    highest: account.map_or(context.generation, Account::generation_highest),
                })
            }
            CallEffect::Refused(RefusalCause::KeyConflict) => refused(
                "the identity is known with another tier or type: allocate a new one".to_owned(),
            ),
            CallEffect::Refused(RefusalCause::NoCapacity) => {
                refused("no capacity for this VM type: ask for another type or later".to_owned())
            }
            CallEffect::Refused(RefusalCause::LedgerFull) => refused(format!(
                "{} has started {} VMs, as many as the ledger holds: raise vms_max",
                context.customer, self.config.vms_max
            )),
        }
    }

    fn draw_fault(&self, customer: &CustomerId, sequence: u64) -> Fault {
        let faults = &self.config.faults;
        let mut rng = rng_for(self.config.start_up.seed, customer, "fault", sequence);
        let mut drawn = rng.random_range(0..PartsPerMillion::ONE.0);
        let half = rng.random::<bool>();
        let lag = Seconds(rng.random_range(0..=faults.list_lag_max.0));
        let server_error = if half {
            Fault::ServerErrorBeforeCommit
        } else {
            Fault::ServerErrorAfterCommit
        };
        let shares = [
            (faults.timeout_before_commit, Fault::TimeoutBeforeCommit),
            (faults.timeout_after_commit, Fault::TimeoutAfterCommit),
            (faults.duplicate, Fault::Duplicate),
            (faults.throttled, Fault::Throttled),
            (faults.server_error, server_error),
            (faults.slow, Fault::Slow),
            (faults.stale_list, Fault::Stale(lag)),
        ];
        for (share, fault) in shares {
            match drawn.checked_sub(share.0) {
                Some(rest) => drawn = rest,
                None => return fault,
            }
        }
        Fault::None
    }
}

impl CloudCost {
    /// Adds the costs, part by part.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vms: self.vms.plus(other.vms),
            volumes: self.volumes.plus(other.volumes),
            link: self.link.plus(other.link),
        }
    }

    /// Adds the parts and rounds once.
    #[must_use]
    pub fn total(self) -> MicroDollars {
        let sum = self.vms.total().plus(self.volumes).plus(self.link);
        sum.micro_dollars()
    }
}

impl Change<'_> {
    fn operation(self) -> CallOperation {
        match self {
            Self::Launch(spec) => CallOperation::Launch(spec.vm),
            Self::Terminate(vm) => CallOperation::Terminate(vm),
            Self::ResizeVolume(volume) => {
                CallOperation::ResizeVolume(volume.volume.clone(), volume.blocks)
            }
            Self::ResizeLink(link) => CallOperation::ResizeLink(link.option),
        }
    }
}

fn timed_out() -> DriverError {
    DriverError::Unknown {
        reason: "no answer in time".to_owned(),
    }
}

fn server_error() -> DriverError {
    DriverError::Unknown {
        reason: "the provider failed with status 503".to_owned(),
    }
}
