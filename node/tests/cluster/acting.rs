//! A customer whose twin acts.

use std::collections::BTreeMap;
use twinscale_protocol::policy::{Limits, Mode, Policy, Retention, Sla};
use twinscale_protocol::stack::{Stack, Tier, TierVmType};
use twinscale_protocol::twin::ConfigureRequest;
use twinscale_protocol::{
    CustomerId, FixedValue, Gib, MetricName, MicroDollars, MilliCores, PartsPerMillion, Seconds,
    SeriesKey, TierName, VmCount, VmTypeId,
};

pub(crate) fn key() -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new("typeA").expect("an id"),
        metric: MetricName::new("vm_count").expect("a name"),
    }
}

pub(crate) fn request_of(customer: &CustomerId) -> ConfigureRequest {
    let level = PartsPerMillion(900_000);
    let policy = Policy {
        mode: Mode::Enforce,
        sla: Sla {
            level_min: level,
            level_max: level,
            risk_budget: PartsPerMillion(100_000),
            unserved_price_ratio: FixedValue(3_000_000),
            under_provisioned_step_price_ratio: FixedValue(0),
        },
        budget_per_day: None,
        limits: Limits {
            floor: VmCount(1),
            ceiling: VmCount(100),
            step_out_max: VmCount(20),
            step_in_max: VmCount(10),
            cooldown_out: Seconds(0),
            cooldown_in: Seconds(0),
        },
        metrics: BTreeMap::new(),
        retention: Retention {
            raw: Seconds(60 * 86_400),
            five_minutes: Seconds(60 * 86_400),
            one_hour: Seconds(365 * 86_400),
        },
        search_evaluations: 500,
    };
    let tier = Tier {
        name: TierName::new("web").expect("a name"),
        demand: key(),
        vm_types: vec![TierVmType {
            vm_type: key().vm_type,
            price_per_hour: MicroDollars(96_000),
            price_assumed: true,
            capacity_per_vm: None,
            vcpu: MilliCores(2_000),
            memory: Gib(8),
        }],
        start_up: Seconds(300),
        minimum_bill: Seconds(60),
        min_vms: VmCount(1),
        min_up: Seconds(0),
        service: None,
    };
    ConfigureRequest {
        customer: customer.clone(),
        policy,
        stack: Stack {
            tiers: vec![tier],
            volumes: Vec::new(),
            link: None,
        },
        interval: Seconds(3_600),
        horizon_steps: 24,
    }
}
