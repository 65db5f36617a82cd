//! Plans: a chain in which each rests on its parent.

use super::apply::{NotApplied, Refusal, invalid};
use super::{ApplyResult, PartKey, TwinState};
use crate::limits::{HORIZON_STEPS_MAX, PLANS_KEPT};
use crate::stored::v1::TargetPlan;
use twinscale_protocol::optimizer::Plan;
use twinscale_protocol::{DomainTime, PlanNumber};

impl TwinState {
    pub(super) fn apply_plan(
        &mut self,
        at: DomainTime,
        config_version: u64,
        plan: Plan,
    ) -> Result<ApplyResult, NotApplied> {
        let target = self.meta.target.map(|target| target.number);
        let current_version = self.meta.config_version;
        let expected = self.next_plan_number();
        if plan.parent != target || plan.number != expected || config_version != current_version {
            let counter = &mut self.meta.counters.plan_conflicts;
            *counter = counter.saturating_add(1);
            self.mark(PartKey::Meta);
            return Err(Refusal::PlanConflict {
                number: plan.number,
                parent: plan.parent.unwrap_or(PlanNumber(0)),
                config_version,
                target: target.unwrap_or(PlanNumber(0)),
                current_version,
            }
            .into());
        }
        check_plan(&plan)?;
        let number = plan.number;
        self.meta.target = Some(TargetPlan {
            number,
            at,
            config_version,
        });
        self.meta.counters.plans = self.meta.counters.plans.saturating_add(1);
        self.plans.insert(number, plan);
        self.mark(PartKey::Plan(number));
        while self.plans.len() > PLANS_KEPT {
            if let Some((dropped, _)) = self.plans.pop_first() {
                self.mark(PartKey::Plan(dropped));
            }
        }
        self.mark(PartKey::Meta);
        Ok(ApplyResult::PlanCommitted(number))
    }
}

/// Checks the shape, so that readers of a plan find a count for every step.
fn check_plan(plan: &Plan) -> Result<(), NotApplied> {
    let number = plan.number;
    let steps = usize::from(plan.steps);
    if plan.steps == 0 || plan.steps > HORIZON_STEPS_MAX || plan.interval.0 == 0 {
        let interval = plan.interval;
        return Err(invalid(format!(
            "plan {number} has {steps} steps of {interval}: use 1 to {HORIZON_STEPS_MAX} steps of at \
             least 1 s"
        )));
    }
    let vms = plan.allocation.vms.iter();
    let volumes = plan.allocation.volumes.iter();
    let link = plan.allocation.link.len();
    let lengths = vms
        .map(|one| (one.tier.as_str(), one.counts.len()))
        .chain(volumes.map(|one| (one.volume.as_str(), one.blocks.len())))
        .chain((link > 0).then_some(("link", link)));
    for (name, length) in lengths {
        if length != steps {
            return Err(invalid(format!(
                "plan {number} has {length} values for `{name}` and {steps} steps: give one per step"
            )));
        }
    }
    Ok(())
}
