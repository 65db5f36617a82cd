//! What several test modules start from.

use crate::stored::v1::{SampleGroup, TwinCommand, TwinConfig};
use std::collections::BTreeMap;
use twinscale_protocol::forecaster::{ForecastContext, ForecastSource, SeriesForecast};
use twinscale_protocol::optimizer::{
    Plan, PlanAllocation, PlanCost, PlanMethod, PlanTrigger, PlanVms, SearchRecord,
};
use twinscale_protocol::policy::{Limits, MetricMapping, Mode, Policy, Retention, Sla};
use twinscale_protocol::stack::{Link, LinkOption, Stack, Tier, TierVmType, Volume};
use twinscale_protocol::*;

pub(crate) const HOUR: Seconds = Seconds(3_600);
pub(crate) const START: DomainTime = DomainTime(1_700_006_400);

pub(crate) fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).expect("an id")
}

pub(crate) fn series(vm_type: &str, metric: &str) -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new(vm_type).expect("an id"),
        metric: MetricName::new(metric).expect("a name"),
    }
}

pub(crate) fn tier_name(name: &str) -> TierName {
    TierName::new(name).expect("a name")
}

pub(crate) fn vms(count: i64) -> FixedValue {
    FixedValue(count * 1_000_000)
}

pub(crate) fn hours(count: i64) -> DomainTime {
    DomainTime(START.0 + count * 3_600)
}

pub(crate) fn policy() -> Policy {
    Policy {
        mode: Mode::Enforce,
        sla: Sla {
            level_min: PartsPerMillion(900_000),
            level_max: PartsPerMillion(900_000),
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
    }
}

pub(crate) fn vm_type(name: &str, price: i64) -> TierVmType {
    TierVmType {
        vm_type: VmTypeId::new(name).expect("an id"),
        price_per_hour: MicroDollars(price),
        price_assumed: true,
        capacity_per_vm: None,
        vcpu: MilliCores(2_000),
        memory: Gib(8),
    }
}

pub(crate) fn tier(name: &str, demand: SeriesKey, vm_types: Vec<TierVmType>) -> Tier {
    Tier {
        name: tier_name(name),
        demand,
        vm_types,
        start_up: Seconds(300),
        minimum_bill: Seconds(60),
        min_vms: VmCount(1),
        min_up: Seconds(0),
        service: None,
    }
}

pub(crate) fn stack() -> Stack {
    let demand = series("typeA", "vm_count");
    Stack {
        tiers: vec![tier("web", demand, vec![vm_type("typeA", 96_000)])],
        volumes: Vec::new(),
        link: None,
    }
}

pub(crate) fn volume() -> Volume {
    Volume {
        name: tier_name("disk"),
        demand: series("typeA", "storage_gib"),
        block: Gib(100),
        price_block_hour: MicroDollars(1_000),
        cooldown: Seconds(6 * 3_600),
        blocks_max: 50,
        blocks_initial: 2,
    }
}

pub(crate) fn link(metric: &str) -> Link {
    let option = |bandwidth, price| LinkOption {
        bandwidth: Mbps(bandwidth),
        price_per_hour: MicroDollars(price),
    };
    Link {
        demand: series("typeA", metric),
        options: vec![option(100, 10_000), option(1_000, 50_000)],
        hold: Seconds(7_200),
        option_initial: 0,
    }
}

pub(crate) fn mapping() -> MetricMapping {
    MetricMapping {
        capacity_per_vm: FixedValue(100_000_000),
        target_utilisation: PartsPerMillion(800_000),
    }
}

pub(crate) fn config() -> TwinConfig {
    TwinConfig {
        policy: policy(),
        stack: stack(),
        interval: HOUR,
        horizon_steps: 24,
    }
}

pub(crate) fn samples(key: &SeriesKey, first: DomainTime, values: &[i64]) -> SampleGroup {
    let at = |hour: usize| DomainTime(first.0 + i64::try_from(hour).expect("few") * 3_600);
    SampleGroup {
        series: key.clone(),
        samples: values
            .iter()
            .enumerate()
            .map(|(hour, value)| (at(hour), vms(*value)))
            .collect(),
    }
}

pub(crate) fn record(now: DomainTime, group: SampleGroup) -> TwinCommand {
    TwinCommand::RecordSamples {
        now,
        groups: vec![group],
    }
}

/// A forecast whose median is `level` VMs, with a range of four VMs, over `steps` hours.
pub(crate) fn forecast(
    key: &SeriesKey,
    first: DomainTime,
    level: i64,
    steps: u16,
) -> SeriesForecast {
    let quantiles = [-2, -2, -1, 0, 1, 2, 2, 3].map(|offset| vms((level + offset).max(0)));
    SeriesForecast {
        key: key.clone(),
        first_step_at: first,
        interval: HOUR,
        quantiles: vec![quantiles; usize::from(steps)],
        peak: None,
        source: ForecastSource::Network(WeightsId::new("test").expect("an id")),
        context: ForecastContext::default(),
    }
}

pub(crate) fn store_forecast(key: &SeriesKey, first: DomainTime, level: i64) -> TwinCommand {
    TwinCommand::StoreForecast {
        issued_at: first,
        surprised: false,
        forecasts: vec![forecast(key, first, level, 24)],
        calibrations: vec![vec![1, 2, 3]],
        feedback: None,
    }
}

/// A plan with the same count in every one of its 24 steps.
pub(crate) fn plan(number: u64, first: DomainTime, counts: &[u32]) -> Plan {
    let steps = u16::try_from(counts.len()).expect("few");
    Plan {
        number: PlanNumber(number),
        parent: (number > 1).then(|| PlanNumber(number - 1)),
        trigger: PlanTrigger::Periodic,
        first_step_at: first,
        interval: HOUR,
        steps,
        allocation: PlanAllocation {
            vms: vec![PlanVms {
                tier: tier_name("web"),
                vm_type: VmTypeId::new("typeA").expect("an id"),
                counts: counts.iter().map(|count| VmCount(*count)).collect(),
            }],
            volumes: Vec::new(),
            link: Vec::new(),
        },
        levels: vec![PartsPerMillion(900_000); counts.len()],
        cost: PlanCost::default(),
        risk: PartsPerMillion(100_000),
        search: SearchRecord {
            method: PlanMethod::Exact,
            seed_cost: MicroDollars(1),
            search_cost: MicroDollars(1),
            evaluations: 0,
            truncated: false,
            check: None,
        },
    }
}
