//! What became of steps that are over: what served, what was missing, and what is to blame.
//!
//! Pure and in integers. A step of a tier is judged once, when the demand of all its interval is known.
//! What was missing at a moment is the distance from what served up to the demand. On the way lie two
//! levels: what the plan wanted to serve, and the highest quantile of the forecast. They are those of the
//! decision that could still have made a difference at that moment: the newest one that is older than the
//! moment by the lead of the tier. Each stretch between two levels has a cause, so the causes add up to
//! what was missing:
//!
//! | stretch | cause |
//! |---|---|
//! | above forecast and plan | forecast |
//! | above the plan, within the forecast | guardrail where a limit bound the plan, else plan |
//! | within the plan, as much as limits held back | guardrail |
//! | within the plan, then as much as the provider refused, lost or has not answered for | provider |
//! | within the plan, the rest | start-up |
//!
//! Invariants: a step is judged at most once, the parts of a miss add up to it in demand and in money, and
//! the same committed state gives the same judgement. Not here: when a turn asks for it
//! ([`crate::cycle`]), and how it is kept ([`crate::state`]).

mod cover;
mod judge;
mod split;
mod supply;
#[cfg(test)]
mod tests;

use crate::limits::{JUDGED_LATE_STEPS, JUDGED_STEPS_MAX};
use crate::state::TwinState;
use crate::stored::v1::{CoverRecord, Feedback, TwinConfig};
use std::collections::BTreeMap;
use twinscale_protocol::policy::Mode;
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{DomainTime, Seconds, TierName};

pub(crate) use cover::merge;
pub(crate) use judge::guard_rule;
use judge::{Verdict, judge_step};

/// Judges the steps that are over and not judged yet, and notes what the decision in force covers of steps
/// to come. `None` where nothing is provisioned, or when this moment was judged already.
///
/// `unseen` says that what runs could not be observed: then no step is judged yet.
pub fn feedback(state: &TwinState, now: DomainTime, unseen: bool) -> Option<Feedback> {
    let config = state.config()?;
    if config.policy.mode != Mode::Enforce {
        return None;
    }
    let until = now.floor_to(config.interval);
    let decided_at = state.forecast()?.issued_at;
    let first = first_step(state, config, (decided_at, until));
    if first >= until {
        return None;
    }
    let covers = cover::covers(state, config, (decided_at, until));
    let mut found = Feedback {
        judged_until: first,
        covers,
        judged: Vec::new(),
        misses: Vec::new(),
    };
    if !unseen {
        judge_steps(state, config, until, &mut found);
    }
    Some(found)
}

/// The first step that is not judged yet and still can be.
fn first_step(
    state: &TwinState,
    config: &TwinConfig,
    (decided_at, until): (DomainTime, DomainTime),
) -> DomainTime {
    let length = i64::from(config.interval.0.max(1));
    let known = state.feedback().judged_until.unwrap_or(decided_at);
    let oldest = DomainTime(
        until
            .0
            .saturating_sub(length.saturating_mul(JUDGED_STEPS_MAX)),
    );
    let first = known.max(oldest);
    // After a change of the interval the old mark may lie within a step, which is then left out.
    let floor = first.floor_to(config.interval);
    if floor < first {
        floor.plus(config.interval)
    } else {
        floor
    }
}

fn judge_steps(state: &TwinState, config: &TwinConfig, until: DomainTime, found: &mut Feedback) {
    let mut covers: BTreeMap<(DomainTime, &TierName), CoverRecord> = BTreeMap::new();
    for cover in state.feedback().covers.iter().chain(&found.covers) {
        let key = (cover.step_at, &cover.tier);
        covers
            .entry(key)
            .and_modify(|known| merge(known, cover))
            .or_insert_with(|| cover.clone());
    }
    let mut judged: BTreeMap<&TierName, u32> = BTreeMap::new();
    let mut misses = Vec::new();
    let mut step_at = found.judged_until;
    while step_at < until {
        let end = step_at.plus(config.interval);
        let tiers = config.stack.tiers.iter();
        let verdicts: Vec<_> = tiers
            .map(|tier| {
                let cover = covers.get(&(step_at, &tier.name));
                (tier, judge_step(state, tier, step_at, cover))
            })
            .collect();
        let is_late = verdicts
            .iter()
            .any(|(_, verdict)| *verdict == Verdict::Unknown);
        let late = i64::from(config.interval.0.max(1)).saturating_mul(JUDGED_LATE_STEPS);
        if is_late && until.seconds_since(end) < late {
            break;
        }
        for (tier, verdict) in verdicts {
            if verdict != Verdict::Unknown {
                *judged.entry(&tier.name).or_default() += 1;
            }
            if let Verdict::Missed(miss) = verdict {
                misses.push(*miss);
            }
        }
        step_at = end;
    }
    let judged = judged
        .into_iter()
        .map(|(tier, steps)| (tier.clone(), steps));
    found.judged = judged
        .map(|(tier, steps)| crate::stored::v1::JudgedSteps { tier, steps })
        .collect();
    found.misses = misses;
    found.judged_until = step_at;
}

/// How many steps ahead of a step the last decision lies that can have something serving when it begins.
fn steps_ahead(lead: Seconds, interval: Seconds) -> i64 {
    i64::from(lead.0.div_ceil(interval.0.max(1))).max(1)
}

/// The tier's lead with the number of steps that it reaches over.
fn lead_of(state: &TwinState, tier: &Tier, interval: Seconds) -> (Seconds, i64) {
    let lead = state.lead(tier);
    (lead, steps_ahead(lead, interval))
}
