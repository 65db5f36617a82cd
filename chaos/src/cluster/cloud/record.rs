//! What the simulated cloud of a cluster says was done to it, read off its process.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use twinscale::sim_cloud::RemoteCloud;
use twinscale::sim_cloud::ledger::{CallView, EffectView, LedgerReply, OperationView};
use twinscale_protocol::DomainTime;

use super::{
    CloudAction, CloudCall, CloudEffect, CloudVm, FencingVerdict, TwinVms, VmVerdict,
    check_fencing, check_vms,
};
use crate::error::ChaosError;

/// Ledgers that are asked for at once.
const LEDGERS_AT_ONCE: usize = 8;

/// The record of a cloud over all customers; in a file, a run's record can be checked again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudRecord {
    /// Calls that reached it; those of a customer in the order in which it took them.
    pub calls: Vec<CloudCall>,
    /// VMs that were ever started.
    pub vms: Vec<CloudVm>,
    /// Calls that it no longer keeps.
    pub unrecorded: u64,
}

impl CloudRecord {
    /// Reads the record of a cloud; what runs is told for a time, or for that of each customer's latest call.
    ///
    /// A failed start ends at a time of its own: ask for one at which every start is over. Nobody must call
    /// the cloud meanwhile, or what a customer's ledger holds depends on when it was read.
    ///
    /// # Errors
    /// [`ChaosError::Product`] when the cloud does not answer.
    pub async fn read(cloud: &RemoteCloud, at: Option<DomainTime>) -> Result<Self, ChaosError> {
        let failed = |error: twinscale_provisioner::DriverError| ChaosError::Product {
            reason: format!("the cloud's record cannot be read: {error}"),
        };
        let customers = cloud.customers().await.map_err(failed)?;
        let ledgers = stream::iter(&customers)
            .map(|customer| cloud.ledger(customer, at))
            .buffered(LEDGERS_AT_ONCE);
        let ledgers: Vec<LedgerReply> = ledgers.try_collect().await.map_err(failed)?;
        let mut record = Self::default();
        for ledger in &ledgers {
            record.add(ledger);
        }
        Ok(record)
    }

    /// Adds the ledger of a customer.
    pub fn add(&mut self, ledger: &LedgerReply) {
        let scope = ledger.customer.as_str();
        let calls = ledger.calls.iter();
        self.calls
            .extend(calls.filter_map(|call| call_of(scope, call)));
        self.vms.extend(ledger.vms.iter().map(|vm| CloudVm {
            scope: scope.to_owned(),
            vm: vm.vm.0,
            runs: vm.runs,
        }));
        self.unrecorded += ledger.calls_dropped;
    }

    /// Checks that no stale call took effect.
    pub fn check_fencing(&self) -> FencingVerdict {
        FencingVerdict {
            unrecorded: self.unrecorded,
            ..check_fencing(&self.calls)
        }
    }

    /// Checks that each VM is one that a twin meant and knows, and that as many run as are wanted.
    pub fn check_vms(&self, twins: &BTreeMap<String, TwinVms>) -> VmVerdict {
        check_vms(&self.vms, twins)
    }
}

fn call_of(scope: &str, call: &CallView) -> Option<CloudCall> {
    let effect = match call.effect {
        EffectView::Applied => CloudEffect::Applied,
        EffectView::Unchanged => CloudEffect::Unchanged,
        EffectView::NotReached => return None,
        EffectView::RefusedStale => CloudEffect::RefusedStale,
        EffectView::RefusedKey | EffectView::RefusedCapacity | EffectView::RefusedLedgerFull => {
            CloudEffect::Refused
        }
    };
    let action = match &call.operation {
        OperationView::Launch { vm } => CloudAction::Launch(vm.0),
        OperationView::Terminate { vm } => CloudAction::Terminate(vm.0),
        OperationView::ResizeVolume { .. } | OperationView::ResizeLink { .. } => {
            CloudAction::Resize
        }
        OperationView::List => CloudAction::List,
    };
    Some(CloudCall {
        sequence: call.sequence,
        scope: scope.to_owned(),
        generation: call.generation.map(|generation| generation.0),
        action,
        effect,
    })
}
