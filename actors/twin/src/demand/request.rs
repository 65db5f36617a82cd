//! The request for a plan, made of a committed state.

use super::{DemandError, mbps_factor, vm_capacity};
use crate::state::TwinState;
use crate::stored::v1::TwinConfig;
use twinscale_protocol::forecaster::SeriesForecast;
use twinscale_protocol::optimizer::{
    LinkProblem, PeakProblem, Plan, PlanAllocation, PlanRequest, PlanRules, PlanTrigger, PlanVms,
    PlanVolume, TierProblem, VmOption, VolumeProblem,
};
use twinscale_protocol::policy::Policy;
use twinscale_protocol::provisioner::{Action, ObservedVm};
use twinscale_protocol::stack::{Link, Tier, TierVmType, Volume};
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MicroDollars, PlanNumber, Quantiles, Seconds, SeriesKey,
    VmCount,
};

/// Why and from which root of randomness a plan is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanBasis {
    /// Why.
    pub trigger: PlanTrigger,
    /// Root of all randomness of this run.
    pub root_seed: u64,
}

/// Makes the request for the next plan of a twin.
///
/// # Errors
/// [`DemandError`] when the twin is not configured, a series has no forecast, or nothing says what one VM
/// can do.
pub fn plan_request(state: &TwinState, basis: PlanBasis) -> Result<PlanRequest, DemandError> {
    let config = state.config().ok_or(DemandError::NotConfigured)?;
    request(state, config, basis)
}

/// Makes the request for a plan as if a twin had another policy; its forecast stays as it is.
///
/// # Errors
/// As [`plan_request`].
pub fn plan_request_under(
    state: &TwinState,
    policy: &Policy,
    basis: PlanBasis,
) -> Result<PlanRequest, DemandError> {
    let config = TwinConfig {
        policy: policy.clone(),
        ..state.config().ok_or(DemandError::NotConfigured)?.clone()
    };
    request(state, &config, basis)
}

fn request(
    state: &TwinState,
    config: &TwinConfig,
    basis: PlanBasis,
) -> Result<PlanRequest, DemandError> {
    let builder = Builder { state, config };
    let steps = builder.steps()?;
    let first_step_at = builder.first_step_at();
    let number = state.next_plan_number();
    let policy = &config.policy;
    let tiers = config.stack.tiers.iter();
    let tiers = tiers
        .map(|tier| builder.tier(tier, steps))
        .collect::<Result<Vec<_>, _>>()?;
    let volumes = config.stack.volumes.iter();
    let volumes = volumes
        .map(|volume| builder.volume(volume, steps))
        .collect::<Result<Vec<_>, _>>()?;
    let link = match &config.stack.link {
        Some(link) => Some(builder.link(link, steps)?),
        None => None,
    };
    let last_plan = state
        .target_plan()
        .and_then(|plan| shifted(plan, first_step_at, config.interval, steps));
    Ok(PlanRequest {
        customer: state.customer().clone(),
        number,
        parent: state.target_plan().map(|plan| plan.number),
        trigger: basis.trigger,
        first_step_at,
        interval: config.interval,
        steps,
        tiers,
        volumes,
        link,
        rules: rules(policy, config.interval, steps),
        last_plan,
        seed: plan_seed(basis.root_seed, state.customer(), number),
        evaluations: policy.search_evaluations,
    })
}

/// Derives the seed of one plan from the root of a run, so that it depends on nothing but root, customer
/// and number.
pub fn plan_seed(root_seed: u64, customer: &CustomerId, number: PlanNumber) -> u64 {
    // FNV-1a over the parts, then the finaliser of SplitMix64: neighbours get unrelated seeds.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let parts = [
        root_seed.to_le_bytes().to_vec(),
        customer.as_str().as_bytes().to_vec(),
        number.0.to_le_bytes().to_vec(),
    ];
    for byte in parts.concat() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Reads a state's configuration as problems of the optimizer.
struct Builder<'a> {
    state: &'a TwinState,
    config: &'a TwinConfig,
}

impl Builder<'_> {
    /// Steps that every forecast of the stack covers, at most the horizon.
    fn steps(&self) -> Result<u16, DemandError> {
        let mut steps = self.config.horizon_steps;
        for (name, series) in self.served() {
            let forecast = self.forecast(name, series)?;
            let length = u16::try_from(forecast.quantiles.len()).unwrap_or(u16::MAX);
            steps = steps.min(length);
        }
        Ok(steps)
    }

    fn first_step_at(&self) -> DomainTime {
        self.state
            .forecast()
            .map_or(DomainTime(0), |record| record.issued_at)
    }

    fn served(&self) -> impl Iterator<Item = (&str, &SeriesKey)> {
        let stack = &self.config.stack;
        let tiers = stack
            .tiers
            .iter()
            .map(|one| (one.name.as_str(), &one.demand));
        let volumes = stack
            .volumes
            .iter()
            .map(|one| (one.name.as_str(), &one.demand));
        let link = stack.link.iter().map(|one| ("link", &one.demand));
        tiers.chain(volumes).chain(link)
    }

    fn forecast(&self, name: &str, series: &SeriesKey) -> Result<&SeriesForecast, DemandError> {
        self.state
            .forecast()
            .into_iter()
            .flat_map(|record| &record.forecasts)
            .find(|forecast| forecast.key == *series)
            .ok_or_else(|| DemandError::NoForecast {
                name: name.to_owned(),
                series: series.clone(),
            })
    }

    fn demand(
        &self,
        name: &str,
        series: &SeriesKey,
        steps: u16,
    ) -> Result<Vec<Quantiles>, DemandError> {
        let forecast = self.forecast(name, series)?;
        Ok(forecast
            .quantiles
            .iter()
            .take(usize::from(steps))
            .copied()
            .collect())
    }

    fn tier(&self, tier: &Tier, steps: u16) -> Result<TierProblem, DemandError> {
        let policy = &self.config.policy;
        let interval = self.config.interval;
        let lead = self.state.lead(tier);
        let priced = self.has_priced_peak(tier)?;
        // A start that fits into one step is made that much before the step, so it costs no step; a
        // peak that is planned for covers the steps of the start itself.
        let delay_steps = if lead <= interval || priced {
            0
        } else {
            steps_of(lead, interval)
        };
        let min_up_steps = steps_of(tier.min_up, interval).max(delay_steps).max(1);
        let mut options = Vec::with_capacity(tier.vm_types.len());
        for option in &tier.vm_types {
            options.push(self.option(tier, option, delay_steps)?);
        }
        let priced = options.iter();
        let priced = priced.map(|option| (option.price_per_hour, option.capacity));
        let unserved = unserved_price(policy, priced).unwrap_or_default();
        let peak = self.peak(tier, &options, steps)?;
        Ok(TierProblem {
            name: tier.name.clone(),
            demand: self.demand(tier.name.as_str(), &tier.demand, steps)?,
            options,
            min_vms: tier.min_vms.max(policy.limits.floor),
            max_vms: policy.limits.ceiling,
            delay_steps,
            min_up_steps,
            start_max_per_step: policy.limits.step_out_max,
            stop_max_per_step: policy.limits.step_in_max,
            service: tier.service,
            unserved_price_per_unit_hour: unserved,
            peak,
        })
    }

    fn has_priced_peak(&self, tier: &Tier) -> Result<bool, DemandError> {
        let forecast = self.forecast(tier.name.as_str(), &tier.demand)?;
        Ok(prices_peak(&self.config.policy, tier) && forecast.peak.is_some())
    }

    /// The peak until a next plan can change anything, with the price of missing it.
    fn peak(
        &self,
        tier: &Tier,
        options: &[VmOption],
        steps: u16,
    ) -> Result<Option<PeakProblem>, DemandError> {
        if !self.has_priced_peak(tier)? {
            return Ok(None);
        }
        let forecast = self.forecast(tier.name.as_str(), &tier.demand)?;
        let (Some(peak), [option]) = (&forecast.peak, options) else {
            return Ok(None);
        };
        Ok(Some(PeakProblem {
            steps: peak.steps.clamp(1, steps.max(1)),
            quantiles: peak.quantiles,
            missed_step_price: missed_step_price(
                self.config.policy.sla.under_provisioned_step_price_ratio,
                peak.mean,
                option,
                self.config.interval,
            ),
        }))
    }

    fn option(
        &self,
        tier: &Tier,
        option: &TierVmType,
        delay_steps: u16,
    ) -> Result<VmOption, DemandError> {
        let start_cost = if delay_steps == 0 {
            let lead = i128::from(self.state.lead(tier).0);
            money(i128::from(option.price_per_hour.0) * lead / 3_600)
        } else {
            // Its steps before it serves are billed as steps.
            MicroDollars(0)
        };
        Ok(VmOption {
            vm_type: option.vm_type.clone(),
            price_per_hour: option.price_per_hour,
            start_cost,
            capacity: vm_capacity(&self.config.policy, tier, option)?,
            vcpu: option.vcpu,
            initial: self.running(tier, option),
        })
    }

    /// VMs that are on: observed, or wanted by an open launch, and not wanted gone by an open intent.
    fn running(&self, tier: &Tier, option: &TierVmType) -> VmCount {
        let observed = &self.state.observed().vms;
        let ending = |one: &ObservedVm| {
            let end = Action::Terminate { vm: one.vm };
            self.state.open_intents().any(|intent| intent.action == end)
        };
        let seen = observed
            .iter()
            .filter(|one| one.tier == tier.name && one.vm_type == option.vm_type)
            .filter(|one| !ending(one))
            .count();
        let coming = self
            .state
            .open_intents()
            .filter(|intent| match &intent.action {
                Action::Launch {
                    vm,
                    tier: of,
                    vm_type,
                    ..
                } => {
                    *of == tier.name
                        && *vm_type == option.vm_type
                        && observed.binary_search_by_key(vm, |one| one.vm).is_err()
                }
                _ => false,
            })
            .count();
        VmCount(u32::try_from(seen.saturating_add(coming)).unwrap_or(u32::MAX))
    }

    fn volume(&self, volume: &Volume, steps: u16) -> Result<VolumeProblem, DemandError> {
        let observed = self.state.observed();
        let seen = observed
            .volumes
            .iter()
            .find(|one| one.volume == volume.name);
        let changed_at = self.state.volume_changed_at(&volume.name);
        Ok(VolumeProblem {
            name: volume.name.clone(),
            demand: self.demand(volume.name.as_str(), &volume.demand, steps)?,
            block: volume.block,
            price_block_hour: volume.price_block_hour,
            cooldown_steps: steps_of(volume.cooldown, self.config.interval).max(1),
            steps_since_change: self.steps_since(changed_at),
            blocks_max: volume.blocks_max,
            initial: seen.map_or(volume.blocks_initial, |one| one.blocks),
        })
    }

    fn link(&self, link: &Link, steps: u16) -> Result<LinkProblem, DemandError> {
        let (numerator, denominator) = mbps_factor(&link.demand, self.config.interval)?;
        let mut demand = self.demand("link", &link.demand, steps)?;
        for value in demand.iter_mut().flatten() {
            let mbps = i128::from(value.0) * i128::from(numerator) / i128::from(denominator);
            *value = FixedValue(i64::try_from(mbps).unwrap_or(i64::MAX));
        }
        let seen = self.state.observed().link;
        Ok(LinkProblem {
            demand,
            options: link.options.clone(),
            hold_steps: steps_of(link.hold, self.config.interval).max(1),
            steps_since_change: self.steps_since(self.state.link_changed_at()),
            initial: seen.map_or(link.option_initial, |size| size.option),
        })
    }

    fn steps_since(&self, changed_at: Option<DomainTime>) -> Option<u16> {
        let passed = self.first_step_at().seconds_since(changed_at?).max(0);
        let steps = passed / i64::from(self.config.interval.0.max(1));
        Some(u16::try_from(steps).unwrap_or(u16::MAX))
    }
}

/// Whole steps that a length of time touches.
fn steps_of(length: Seconds, interval: Seconds) -> u16 {
    u16::try_from(length.0.div_ceil(interval.0.max(1))).unwrap_or(u16::MAX)
}

fn money(amount: i128) -> MicroDollars {
    MicroDollars(i64::try_from(amount).unwrap_or(i64::MAX))
}

/// The price of one unit of demand that is not served for one hour: the policy's multiple of what the
/// cheapest of the tier's VM types, given as prices and capacities, takes for a unit, rounded up so that it
/// is never free by rounding. `None` without a type.
pub(crate) fn unserved_price(
    policy: &Policy,
    options: impl Iterator<Item = (MicroDollars, FixedValue)>,
) -> Option<MicroDollars> {
    let ratio = i128::from(policy.sla.unserved_price_ratio.0);
    let per_unit = |(price, capacity): (MicroDollars, FixedValue)| {
        let capacity = i128::from(capacity.0.max(1));
        // Price (micro-dollars) x ratio (millionths) / capacity (millionths of a unit).
        let whole = i128::from(price.0) * ratio;
        whole.div_euclid(capacity) + i128::from(whole.rem_euclid(capacity) > 0)
    };
    options.map(per_unit).min().map(money)
}

/// Whether a tier is planned for the peak until a start serves. The search knows no peak: it is for several
/// types, whose plans hold for hours.
pub(crate) fn prices_peak(policy: &Policy, tier: &Tier) -> bool {
    tier.vm_types.len() == 1 && policy.sla.under_provisioned_step_price_ratio.0 > 0
}

/// The price of an under-provisioned step: the policy's multiple of what the VMs for the mean demand, at
/// least one, cost in a step.
fn missed_step_price(
    ratio: FixedValue,
    mean: FixedValue,
    option: &VmOption,
    interval: Seconds,
) -> MicroDollars {
    let capacity = i128::from(option.capacity.0.max(1));
    let millionths = (i128::from(mean.0) * i128::from(MICROS) / capacity).max(i128::from(MICROS));
    let step_price = i128::from(option.price_per_hour.0) * i128::from(interval.0);
    let price = step_price
        .saturating_mul(millionths)
        .saturating_mul(i128::from(ratio.0))
        / (3_600 * i128::from(MICROS) * i128::from(MICROS));
    money(price)
}

fn rules(policy: &Policy, interval: Seconds, steps: u16) -> PlanRules {
    let span = i128::from(interval.0) * i128::from(steps);
    PlanRules {
        level_min: policy.sla.level_min,
        level_max: policy.sla.level_max,
        risk_budget: policy.sla.risk_budget,
        budget: policy
            .budget_per_day
            .map(|budget| money(i128::from(budget.0) * span / 86_400)),
        vcpu_quota: None,
    }
}

/// A plan's allocation over later steps; its last step is repeated behind its end. `None` when its steps
/// have another length or lie elsewhere.
fn shifted(
    plan: &Plan,
    first_step_at: DomainTime,
    interval: Seconds,
    steps: u16,
) -> Option<PlanAllocation> {
    if plan.interval != interval {
        return None;
    }
    let passed = first_step_at.seconds_since(plan.first_step_at);
    let length = i64::from(interval.0.max(1));
    if passed < 0 || passed % length != 0 {
        return None;
    }
    let offset = usize::try_from(passed / length).ok()?;
    let allocation = &plan.allocation;
    let vms = allocation.vms.iter().map(|one| PlanVms {
        tier: one.tier.clone(),
        vm_type: one.vm_type.clone(),
        counts: tail(&one.counts, offset, steps),
    });
    let volumes = allocation.volumes.iter().map(|one| PlanVolume {
        volume: one.volume.clone(),
        blocks: tail(&one.blocks, offset, steps),
    });
    Some(PlanAllocation {
        vms: vms.collect(),
        volumes: volumes.collect(),
        link: tail(&allocation.link, offset, steps),
    })
}

fn tail<T: Copy>(values: &[T], offset: usize, steps: u16) -> Vec<T> {
    let Some(last) = values.last() else {
        return Vec::new();
    };
    (0..usize::from(steps))
        .map(|step| *values.get(offset.saturating_add(step)).unwrap_or(last))
        .collect()
}

const _: () = assert!(MICROS == 1_000_000, "the unserved price rests on it");
