//! What is wanted at a moment, read off the committed plan, and when the twin must look again.
//!
//! A VM serves a step only if it was asked for before the step begins, earlier by the learned start-up
//! time: the *lead* of its tier. So the twin wakes up at (start of the next step - lead) and asks for what
//! that step needs. A lead longer than a step is part of the plan instead, whose steps then pay for VMs
//! that do not serve yet.

use crate::state::TwinState;
use crate::stored::v1::TwinConfig;
use twinscale_protocol::forecaster::ForecastSource;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::policy::Mode;
use twinscale_protocol::provisioner::{
    Desired, DesiredVms, LinkSize, ReconcileRequest, VolumeBlocks,
};
use twinscale_protocol::stack::Tier;
use twinscale_protocol::{DomainTime, Seconds, VmCount};

/// Makes the request for a diff at a moment; `None` without a plan, or before it was configured.
///
/// `unseen` says that what runs could not be observed just now; then, as without a fresh forecast, behind
/// the end of the plan or under a plan of an older configuration, nothing may scale in.
pub fn reconcile_request(
    state: &TwinState,
    now: DomainTime,
    unseen: bool,
) -> Option<ReconcileRequest> {
    let config = state.config()?;
    let plan = state.target_plan()?;
    let at = Place::find(plan, now);
    let of_older_config = state
        .target_basis()
        .is_some_and(|(_, version)| version != state.config_version());
    let blind = unseen || of_older_config || at.behind_the_end || !is_informed(state, config, now);
    Some(ReconcileRequest {
        customer: state.customer().clone(),
        now,
        mode: config.policy.mode,
        desired: Desired {
            vms: wanted_vms(state, config, plan, (&at, now)),
            volumes: wanted_volumes(config, plan, at.step),
            link: wanted_link(config, plan, at.step),
            blind,
        },
        observed: state.observed().clone(),
        open_intents: state.open_intents().cloned().collect(),
        limits: config.policy.limits,
        last_changes: state.tier_changes().to_vec(),
    })
}

/// The next moment at which some tier must start what the coming step needs; `None` when nothing is
/// provisioned ahead.
pub fn next_wake_up(state: &TwinState, now: DomainTime) -> Option<DomainTime> {
    let config = state.config()?;
    if config.policy.mode != Mode::Enforce {
        return None;
    }
    let plan = state.target_plan()?;
    let next = Place::find(plan, now).next_start;
    let starts = [next, next.plus(plan.interval)];
    starts
        .into_iter()
        .flat_map(|start| {
            let tiers = config.stack.tiers.iter();
            tiers.filter_map(move |tier| Some(start.minus(lead_within(state, tier, plan)?)))
        })
        .filter(|at| *at > now)
        .min()
}

/// Where a moment lies in a plan.
struct Place {
    /// The step; the first before the plan, the last behind it.
    step: usize,
    /// When the step after it starts.
    next_start: DomainTime,
    behind_the_end: bool,
}

impl Place {
    fn find(plan: &Plan, now: DomainTime) -> Self {
        let length = i64::from(plan.interval.0.max(1));
        let steps = i64::from(plan.steps.max(1));
        let passed = now.seconds_since(plan.first_step_at).div_euclid(length);
        let next = passed.saturating_add(1).saturating_mul(length);
        let step = passed.clamp(0, steps - 1);
        Self {
            step: usize::try_from(step).unwrap_or(0),
            next_start: DomainTime(plan.first_step_at.0.saturating_add(next)),
            behind_the_end: passed >= steps,
        }
    }
}

/// Whether a fresh forecast covers this moment's step.
fn is_informed(state: &TwinState, config: &TwinConfig, now: DomainTime) -> bool {
    state.forecast().is_some_and(|record| {
        let fresh = |source: &ForecastSource| *source != ForecastSource::Stale;
        record.issued_at == now.floor_to(config.interval)
            && record.forecasts.iter().all(|one| fresh(&one.source))
    })
}

/// A tier's lead, where it fits into a step; longer ones are part of the plan.
fn lead_within(state: &TwinState, tier: &Tier, plan: &Plan) -> Option<Seconds> {
    let lead = state.lead(tier);
    (lead.0 > 0 && lead <= plan.interval).then_some(lead)
}

fn wanted_vms(
    state: &TwinState,
    config: &TwinConfig,
    plan: &Plan,
    (at, now): (&Place, DomainTime),
) -> Vec<DesiredVms> {
    let mut wanted = Vec::new();
    for one in &plan.allocation.vms {
        // A plan of an older stack may name what is gone: nothing of that can be launched.
        let tier = config.stack.tiers.iter().find(|tier| {
            tier.name == one.tier
                && tier
                    .vm_types
                    .iter()
                    .any(|option| option.vm_type == one.vm_type)
        });
        let Some(tier) = tier else {
            continue;
        };
        let count = one.counts.get(at.step).copied().unwrap_or_default();
        let has_begun =
            lead_within(state, tier, plan).is_some_and(|lead| at.next_start.minus(lead) <= now);
        let count_next = if has_begun && !at.behind_the_end {
            next_count(&one.counts, at.step).unwrap_or(count)
        } else {
            count
        };
        wanted.push(DesiredVms {
            tier: one.tier.clone(),
            vm_type: one.vm_type.clone(),
            count,
            count_next,
        });
    }
    wanted
}

fn next_count(counts: &[VmCount], step: usize) -> Option<VmCount> {
    counts.get(step.saturating_add(1)).copied()
}

fn wanted_volumes(config: &TwinConfig, plan: &Plan, step: usize) -> Vec<VolumeBlocks> {
    let volumes = plan.allocation.volumes.iter().filter_map(|one| {
        let stacked = config.stack.volumes.iter().find(|v| v.name == one.volume)?;
        Some(VolumeBlocks {
            volume: one.volume.clone(),
            blocks: *one.blocks.get(step)?,
            price_block_hour: stacked.price_block_hour,
        })
    });
    volumes.collect()
}

fn wanted_link(config: &TwinConfig, plan: &Plan, step: usize) -> Option<LinkSize> {
    let option = *plan.allocation.link.get(step)?;
    let options = &config.stack.link.as_ref()?.options;
    let size = options.get(usize::try_from(option).ok()?)?;
    Some(LinkSize {
        option,
        bandwidth: size.bandwidth,
        price_per_hour: size.price_per_hour,
    })
}
