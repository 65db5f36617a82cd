//! What a simulated cloud is like.

use crate::start_up::StartUpModel;
use std::collections::BTreeMap;
use std::time::Duration;
use twinscale_protocol::{PartsPerMillion, Seconds, VmCount, VmTypeId};

/// A simulated cloud's properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimCloudConfig {
    /// Its name, for logs and errors.
    pub name: String,
    /// Start-up times, and the seed of all randomness.
    pub start_up: StartUpModel,
    /// Most VMs of a type over all customers; a type without a limit may have any number.
    pub capacity: BTreeMap<VmTypeId, VmCount>,
    /// What goes wrong, and how often.
    pub faults: FaultConfig,
    /// What it checks.
    pub checks: ProviderChecks,
    /// Calls kept in a customer's ledger; older ones are counted and dropped.
    pub calls_max: usize,
    /// VMs that one customer may ever start: bounds the ledger's memory.
    pub vms_max: usize,
}

/// What goes wrong, as shares of calls; at most one fault strikes a call, so the shares add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultConfig {
    /// The call never arrives; the caller sees a time-out.
    pub timeout_before_commit: PartsPerMillion,
    /// The call takes effect; the caller sees a time-out.
    pub timeout_after_commit: PartsPerMillion,
    /// The call arrives twice.
    pub duplicate: PartsPerMillion,
    /// The call is throttled (HTTP 429).
    pub throttled: PartsPerMillion,
    /// The provider fails (HTTP 5xx), for one half after the call has taken effect.
    pub server_error: PartsPerMillion,
    /// The answer comes late, by [`FaultConfig::slow_for`].
    pub slow: PartsPerMillion,
    /// How late, in system time.
    pub slow_for: Duration,
    /// A listing shows an earlier moment.
    pub stale_list: PartsPerMillion,
    /// How much earlier at most.
    pub list_lag_max: Seconds,
}

/// What a provider checks; EC2 and Docker check no generation, and a careless one not even keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderChecks {
    /// Whether a known idempotency key starts nothing new.
    pub keys: bool,
    /// Whether a stale generation is refused.
    pub generations: bool,
}

impl SimCloudConfig {
    /// Makes a cloud without limits and faults.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            name: "simulated cloud".to_owned(),
            start_up: StartUpModel::with_seed(seed),
            capacity: BTreeMap::new(),
            faults: FaultConfig::none(),
            checks: ProviderChecks {
                keys: true,
                generations: true,
            },
            // A call an hour for eleven years; about 10 MB.
            calls_max: 100_000,
            // About 200 MB for the one customer that gets there.
            vms_max: 1_000_000,
        }
    }
}

impl FaultConfig {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        let never = PartsPerMillion(0);
        Self {
            timeout_before_commit: never,
            timeout_after_commit: never,
            duplicate: never,
            throttled: never,
            server_error: never,
            slow: never,
            slow_for: Duration::ZERO,
            stale_list: never,
            list_lag_max: Seconds(300),
        }
    }

    /// Every fault but `slow` strikes with this share of calls each, so at most a sixth makes sense.
    pub const fn all(share: PartsPerMillion) -> Self {
        Self {
            timeout_before_commit: share,
            timeout_after_commit: share,
            duplicate: share,
            throttled: share,
            server_error: share,
            stale_list: share,
            ..Self::none()
        }
    }
}
