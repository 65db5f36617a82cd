//! One step of one tier: what served against what was wanted.

use super::lead_of;
use super::split::{Moment, UnitWorth, split, worth};
use super::supply::{Capacities, Stretch, mean_serving, stretches};
use crate::demand::{self, vm_capacity};
use crate::state::TwinState;
use crate::stored::v1::{Cover, CoverRecord, TwinConfig};
use twinscale_protocol::provisioner::HeldRule;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::twin::{ByCause, GuardRule, Miss};
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds};

/// What came of judging a step of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its demand is unknown.
    Unknown,
    /// All of it was served.
    Served,
    /// Some was not.
    Missed(Box<Miss>),
}

/// Judges one step of a tier.
pub(super) fn judge_step(
    state: &TwinState,
    tier: &Tier,
    step_at: DomainTime,
    cover: Option<&CoverRecord>,
) -> Verdict {
    let Some(config) = state.config() else {
        return Verdict::Unknown;
    };
    let interval = config.interval;
    let observed = state.interval_means(&tier.demand, step_at, interval, 1);
    let Some(demand) = observed.first().copied().flatten() else {
        return Verdict::Unknown;
    };
    let capacities: Capacities<'_> = tier
        .vm_types
        .iter()
        .filter_map(|option| {
            let capacity = vm_capacity(&config.policy, tier, option).ok()?;
            Some((&option.vm_type, capacity.0))
        })
        .collect();
    let (lead, ahead) = lead_of(state, tier, interval);
    // From here on what the later of the two decisions orders can serve.
    let late_from = i64::from(lead.0) - (ahead - 1).saturating_mul(i64::from(interval.0));
    let late_from = DomainTime(step_at.0.saturating_add(late_from));
    let span = (step_at, step_at.plus(interval));
    let stretches = stretches(state, (tier, &capacities), span, &[late_from]);
    let cover_at = |at: DomainTime| {
        let cover = cover?;
        if at < late_from {
            cover.early
        } else {
            cover.late
        }
    };
    let Some(found) = Found::of(demand, &stretches, cover_at) else {
        return Verdict::Served;
    };
    let rule = rule_of(state, tier, &found, lead);
    Verdict::Missed(Box::new(Miss {
        tier: tier.name.clone(),
        step_at,
        demand,
        served: mean_serving(&stretches, interval),
        forecast_high: found.cover.and_then(|cover| cover.high),
        planned: found.cover.and_then(|cover| cover.planned),
        short: found.short,
        rule: rule.filter(|_| found.sums.guardrail > 0),
        causes: worth(&found.sums, unit_worth(config, tier, &capacities)),
    }))
}

/// What was missing over a step.
struct Found {
    /// In millionths of a unit times seconds.
    sums: ByCause<i128>,
    short: Seconds,
    /// The worst moment, and the cover that it rests on.
    worst_at: DomainTime,
    cover: Option<Cover>,
}

impl Found {
    fn of(
        demand: FixedValue,
        stretches: &[Stretch],
        cover_at: impl Fn(DomainTime) -> Option<Cover>,
    ) -> Option<Self> {
        let mut sums: ByCause<i128> = ByCause::default();
        let (mut short, mut most) = (0_i64, 0_i64);
        let mut worst = None;
        for stretch in stretches {
            let missing = demand.0.saturating_sub(stretch.serving);
            if missing <= 0 {
                continue;
            }
            let cover = cover_at(stretch.from);
            let moment = moment(demand, stretch, cover);
            for (cause, part) in split(&moment).iter() {
                *sums.get_mut(cause) += i128::from(*part) * i128::from(stretch.seconds);
            }
            short = short.saturating_add(stretch.seconds);
            if missing > most {
                most = missing;
                worst = Some((stretch.from, cover));
            }
        }
        let (worst_at, cover) = worst?;
        Some(Self {
            sums,
            short: Seconds(u32::try_from(short).unwrap_or(u32::MAX)),
            worst_at,
            cover,
        })
    }
}

fn moment(demand: FixedValue, stretch: &Stretch, cover: Option<Cover>) -> Moment {
    let value = |value: Option<FixedValue>| value.map_or(0, |value| value.0);
    Moment {
        demand: demand.0,
        serving: stretch.serving,
        high: value(cover.and_then(|cover| cover.high)),
        planned: value(cover.and_then(|cover| cover.planned)),
        is_bound: cover.is_some_and(|cover| cover.bound.is_some()),
        held: stretch.held,
        failed: stretch.failed,
    }
}

/// The limit behind the guardrail's part: the one that bound the plan, else the one that held most back.
fn rule_of(state: &TwinState, tier: &Tier, found: &Found, lead: Seconds) -> Option<GuardRule> {
    let bound = found.cover.and_then(|cover| cover.bound);
    bound.or_else(|| {
        let at = found.worst_at.minus(lead);
        let mut passes = state.feedback().held.iter().rev();
        let of_worst = passes.clone().find(|pass| pass.at <= at);
        let pass = of_worst.or_else(|| passes.next())?;
        let held = pass.held.iter().filter(|held| held.tier == tier.name);
        let most = held.max_by_key(|held| held.count)?;
        guard_rule(most.rule)
    })
}

/// The limit that a held launch speaks of; `None` for rules that hold no launch back.
pub(crate) fn guard_rule(rule: HeldRule) -> Option<GuardRule> {
    match rule {
        HeldRule::Ceiling => Some(GuardRule::Ceiling),
        HeldRule::StepLimit => Some(GuardRule::StepLimit),
        HeldRule::Cooldown => Some(GuardRule::Cooldown),
        HeldRule::Mode | HeldRule::Floor | HeldRule::Blind => None,
    }
}

/// The unit in which a tier's misses are told: VMs of the type that is cheapest per capacity, of equal
/// ones the smallest.
fn unit_worth(config: &TwinConfig, tier: &Tier, capacities: &Capacities<'_>) -> UnitWorth {
    let options = tier.vm_types.iter().filter_map(|option| {
        let capacity = *capacities.get(&option.vm_type)?;
        Some((option.price_per_hour, FixedValue(capacity)))
    });
    let cheapest = options.clone().min_by(|one, other| {
        let left = i128::from(one.0.0) * i128::from(other.1.0);
        let right = i128::from(other.0.0) * i128::from(one.1.0);
        left.cmp(&right).then(one.1.cmp(&other.1))
    });
    UnitWorth {
        capacity: cheapest.map(|(_, capacity)| capacity).unwrap_or_default(),
        price_per_unit_hour: demand::unserved_price(&config.policy, options)
            .unwrap_or(MicroDollars(0)),
    }
}
