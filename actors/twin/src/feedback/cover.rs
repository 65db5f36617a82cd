//! What a decision, a forecast with the plan made of it, covers of a tier's steps.

use super::lead_of;
use crate::demand::{self, vm_capacity};
use crate::limits::COVER_STEPS_MAX;
use crate::state::TwinState;
use crate::stored::v1::{Cover, CoverRecord, TwinConfig};
use twinscale_protocol::forecaster::SeriesForecast;
use twinscale_protocol::optimizer::{Plan, PlanVms};
use twinscale_protocol::stack::Tier;
use twinscale_protocol::twin::GuardRule;
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds};

/// Notes what the decision of `decided_at` covers of the steps for which it is the newest one that can act
/// in time, given that the next decision comes at `until`.
pub(super) fn covers(
    state: &TwinState,
    config: &TwinConfig,
    (decided_at, until): (DomainTime, DomainTime),
) -> Vec<CoverRecord> {
    let length = i64::from(config.interval.0.max(1));
    let passed = until.seconds_since(decided_at).div_euclid(length);
    let first = passed.saturating_sub(COVER_STEPS_MAX).max(0);
    let mut found = Vec::new();
    for tier in &config.stack.tiers {
        let (_, ahead) = lead_of(state, tier, config.interval);
        let decision = Decision {
            state,
            config,
            tier,
            decided_at,
            ahead,
        };
        // Late ones first: the early ones of the same decision are for the step behind them.
        for number in first..=passed {
            let late = number.saturating_add(ahead).saturating_sub(1);
            let step_at = DomainTime(decided_at.0.saturating_add(late.saturating_mul(length)));
            let cover = decision.cover(step_at);
            found.push(CoverRecord {
                tier: tier.name.clone(),
                step_at,
                early: (number > first).then_some(cover),
                late: (number < passed).then_some(cover),
            });
        }
    }
    found
}

/// Takes what a newer record knows.
pub(crate) fn merge(known: &mut CoverRecord, newer: &CoverRecord) {
    known.early = newer.early.or(known.early);
    known.late = newer.late.or(known.late);
}

struct Decision<'a> {
    state: &'a TwinState,
    config: &'a TwinConfig,
    tier: &'a Tier,
    decided_at: DomainTime,
    /// Steps that the tier's lead reaches over.
    ahead: i64,
}

impl Decision<'_> {
    fn cover(&self, step_at: DomainTime) -> Cover {
        let record = self.state.forecast();
        let forecasts = record.into_iter().flat_map(|record| &record.forecasts);
        let forecast = forecasts
            .into_iter()
            .find(|one| one.key == self.tier.demand);
        let high = forecast.and_then(|forecast| self.highest(forecast, step_at));
        let plan = self.state.target_plan();
        let place = plan.map(|plan| (plan, step_of(plan, step_at)));
        Cover {
            high,
            planned: place.map(|(plan, step)| self.planned(plan, step)),
            bound: place.and_then(|(plan, step)| self.bound(plan, step)),
        }
    }

    /// The highest quantile of the step that begins at `at`, of the last one behind the end; within the
    /// steps of a peak that the plan is made for that of the peak, where it is higher.
    fn highest(&self, forecast: &SeriesForecast, at: DomainTime) -> Option<FixedValue> {
        let steps = forecast.quantiles.len();
        let step = place(forecast.first_step_at, forecast.interval, at, steps);
        let of_step = forecast.quantiles.get(step)?.last().copied()?;
        let is_priced = demand::prices_peak(&self.config.policy, self.tier);
        let peak = forecast.peak.as_ref().filter(|_| is_priced);
        let peak = peak.filter(|peak| step < usize::from(peak.steps));
        let of_peak = peak.and_then(|peak| peak.quantiles.last().copied());
        Some(of_peak.map_or(of_step, |of_peak| of_step.max(of_peak)))
    }

    /// What the plan has serving in a step. Where a start takes longer than a step, what it counts in a
    /// step serves only if it was there all the while before.
    fn planned(&self, plan: &Plan, step: usize) -> FixedValue {
        let lead = self.state.lead(self.tier);
        let back = if lead <= plan.interval { 0 } else { self.ahead };
        let from = step.saturating_sub(usize::try_from(back).unwrap_or(usize::MAX));
        let capacity = |one: &PlanVms| {
            let count = one.counts.get(from..=step)?.iter().min()?;
            let option = self
                .tier
                .vm_types
                .iter()
                .find(|o| o.vm_type == one.vm_type)?;
            let capacity = vm_capacity(&self.config.policy, self.tier, option).ok()?;
            Some(capacity.0.saturating_mul(i64::from(count.0)))
        };
        let planned = self.counts_of(plan).filter_map(capacity);
        FixedValue(planned.fold(0, i64::saturating_add))
    }

    /// The limit that kept the plan from more VMs in a step, if one did.
    fn bound(&self, plan: &Plan, step: usize) -> Option<GuardRule> {
        let limits = &self.config.policy.limits;
        let count = self.count(plan, step);
        if count >= u64::from(limits.ceiling.0) {
            return Some(GuardRule::Ceiling);
        }
        let started = match step.checked_sub(1) {
            Some(before) => count.saturating_sub(self.count(plan, before)),
            None => self.started_at(plan.first_step_at),
        };
        if started > 0 && started >= u64::from(limits.step_out_max.0) {
            return Some(GuardRule::StepLimit);
        }
        if self.is_out_of_budget(plan) {
            return Some(GuardRule::Budget);
        }
        let infeasible_at = self.state.feedback().infeasible_at;
        (infeasible_at >= Some(self.decided_at)).then_some(GuardRule::Infeasible)
    }

    fn count(&self, plan: &Plan, step: usize) -> u64 {
        self.counts_of(plan)
            .filter_map(|one| one.counts.get(step))
            .fold(0, |sum: u64, count| sum.saturating_add(u64::from(count.0)))
    }

    /// VMs of the tier that were asked for at a moment and are still there.
    fn started_at(&self, at: DomainTime) -> u64 {
        let vms = self.state.observed().vms.iter();
        let started = vms.filter(|one| one.tier == self.tier.name && one.requested_at == at);
        started.count() as u64
    }

    /// Whether one more VM for one step would not fit into the budget of the plan.
    fn is_out_of_budget(&self, plan: &Plan) -> bool {
        let Some(budget) = self.config.policy.budget_per_day else {
            return false;
        };
        let options = self.tier.vm_types.iter();
        let cheapest = options.map(|option| option.price_per_hour).min();
        let Some(MicroDollars(price)) = cheapest else {
            return false;
        };
        let span = i128::from(plan.interval.0) * i128::from(plan.steps);
        let whole = i128::from(budget.0) * span / 86_400;
        let more = i128::from(price) * i128::from(plan.interval.0) / 3_600;
        let cost = &plan.cost;
        let paid = cost
            .vms
            .plus(cost.starts)
            .plus(cost.storage)
            .plus(cost.link);
        i128::from(paid.0) + more > whole
    }

    fn counts_of<'b>(&'b self, plan: &'b Plan) -> impl Iterator<Item = &'b PlanVms> {
        let vms = plan.allocation.vms.iter();
        vms.filter(|one| one.tier == self.tier.name)
    }
}

fn step_of(plan: &Plan, at: DomainTime) -> usize {
    let steps = usize::from(plan.steps);
    place(plan.first_step_at, plan.interval, at, steps)
}

/// The step in which a moment lies: the first before all, the last behind all.
fn place(first: DomainTime, interval: Seconds, at: DomainTime, steps: usize) -> usize {
    let passed = at
        .seconds_since(first)
        .div_euclid(i64::from(interval.0.max(1)));
    usize::try_from(passed.max(0))
        .unwrap_or(usize::MAX)
        .min(steps.saturating_sub(1))
}
