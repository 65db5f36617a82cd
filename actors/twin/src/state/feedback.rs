//! What the judgement of steps rests on, noted as it happens; and the judgements.

use super::{PartKey, TwinState};
use crate::feedback::{guard_rule, merge};
use crate::limits::{COVERS_MAX, ENDED_GROUPS_MAX, HELD_PASSES_MAX, TIERS_MAX};
use crate::stored::v1::{
    CoverRecord, EndedVms, FailedVms, Feedback, FeedbackRecord, HeldPass, JudgedSteps,
};
use std::collections::BTreeSet;
use twinscale_protocol::provisioner::{Action, Held, Intent, ObservedAllocation, ObservedVm};
use twinscale_protocol::stack::Stack;
use twinscale_protocol::twin::{MISSES_KEPT, Miss, TierMisses};
use twinscale_protocol::{DomainTime, TierName, VmCount, VmId, VmTypeId};

/// VMs of one tier and type.
type TypeOfTier<'a> = (&'a TierName, &'a VmTypeId);

impl TwinState {
    /// What the judgement of steps rests on, and what came of it.
    pub fn feedback(&self) -> &FeedbackRecord {
        &self.feedback
    }

    pub(super) fn apply_feedback(&mut self, feedback: Option<Feedback>) {
        let Some(feedback) = feedback else { return };
        let record = &mut self.feedback;
        if record.judged_until > Some(feedback.judged_until) {
            return;
        }
        for JudgedSteps { tier, steps } in feedback.judged {
            let totals = totals_of(record, &tier);
            totals.judged_steps = totals.judged_steps.saturating_add(u64::from(steps));
        }
        for miss in feedback.misses {
            totals_of(record, &miss.tier).add(&miss);
            record.latest.push(miss);
        }
        let surplus = record.latest.len().saturating_sub(MISSES_KEPT);
        record.latest.drain(..surplus);
        record.judged_until = Some(feedback.judged_until);
        for cover in feedback.covers {
            keep_cover(&mut record.covers, cover);
        }
        self.forget_judged(feedback.judged_until);
        self.mark(PartKey::Feedback);
    }

    /// Drops what only steps that are judged rest on.
    fn forget_judged(&mut self, until: DomainTime) {
        let longest = self.config.as_ref().map(|config| {
            let leads = config.stack.tiers.iter().map(|tier| self.lead(tier));
            leads.max().unwrap_or_default()
        });
        let record = &mut self.feedback;
        record.covers.retain(|cover| cover.step_at >= until);
        let surplus = record.covers.len().saturating_sub(COVERS_MAX);
        // The last ones are furthest ahead: they come again with later decisions.
        record.covers.truncate(record.covers.len() - surplus);
        record.ended.retain(|vms| vms.ended_at > until);
        record.failed.retain(|vms| vms.until > until);
        // The newest pass that the next step can rest on stays, with all that follow.
        let oldest = until.minus(longest.unwrap_or_default());
        let needed = record.held.iter().rposition(|pass| pass.at <= oldest);
        record.held.drain(..needed.unwrap_or(0));
    }

    /// Notes launches that limits held back, where they are others than in the pass before.
    pub(super) fn note_held(&mut self, at: DomainTime, held: Vec<Held>) {
        let held = held_launches(held);
        let record = &mut self.feedback;
        if self.config.is_none() || is_held(record, &held) {
            return;
        }
        record.held.push(HeldPass { at, held });
        let surplus = record.held.len().saturating_sub(HELD_PASSES_MAX);
        record.held.drain(..surplus);
        self.mark(PartKey::Feedback);
    }

    pub(super) fn note_infeasible(&mut self, at: DomainTime) {
        self.feedback.infeasible_at = Some(at);
        self.mark(PartKey::Feedback);
    }

    pub(super) fn note_refused(&mut self, at: DomainTime, intent: &Intent) {
        if let Action::Launch { tier, vm_type, .. } = &intent.action {
            let (tier, vm_type) = (tier.clone(), vm_type.clone());
            self.note_failed((&tier, &vm_type), (intent.at, at));
        }
    }

    /// Notes VMs that are no longer there and that nobody wanted to end.
    pub(super) fn note_lost(&mut self, at: DomainTime, seen: &ObservedAllocation) {
        let seen: BTreeSet<VmId> = seen.vms.iter().map(|one| one.vm).collect();
        let ending: BTreeSet<VmId> = self
            .open_intents
            .values()
            .filter_map(|intent| match intent.action {
                Action::Terminate { vm } => Some(vm),
                _ => None,
            })
            .collect();
        let vms = self.allocation.observed.vms.iter();
        let gone: Vec<ObservedVm> = vms.filter(|one| !seen.contains(&one.vm)).cloned().collect();
        for vm in gone {
            self.note_ended(at, &vm);
            if !ending.contains(&vm.vm) {
                // One that served is missed from when its end was seen, another from when it was asked for.
                let from = vm.serving_since.map_or(vm.requested_at, |_| at);
                self.note_failed((&vm.tier, &vm.vm_type), (from, at));
            }
        }
    }

    pub(super) fn note_ended(&mut self, at: DomainTime, vm: &ObservedVm) {
        let Some(since) = vm.serving_since else {
            return;
        };
        let record = &mut self.feedback;
        let since = record.judged_until.map_or(since, |until| since.max(until));
        if since >= at {
            return;
        }
        let same = record.ended.iter_mut().rev().find(|one| {
            (&one.tier, &one.vm_type) == (&vm.tier, &vm.vm_type)
                && (one.serving_since, one.ended_at) == (since, at)
        });
        match same {
            Some(one) => one.count.0 = one.count.0.saturating_add(1),
            None => record.ended.push(EndedVms {
                tier: vm.tier.clone(),
                vm_type: vm.vm_type.clone(),
                serving_since: since,
                ended_at: at,
                count: VmCount(1),
            }),
        }
        let surplus = record.ended.len().saturating_sub(ENDED_GROUPS_MAX);
        record.ended.drain(..surplus);
        self.mark(PartKey::Feedback);
    }

    /// Notes a launch that came to nothing, which was seen at `at`. Another can take its place a step and
    /// a lead later: it is asked for in the next pass at the latest.
    fn note_failed(
        &mut self,
        (tier, vm_type): TypeOfTier<'_>,
        (from, at): (DomainTime, DomainTime),
    ) {
        let Some(config) = &self.config else { return };
        let found = config.stack.tiers.iter().find(|one| one.name == *tier);
        let Some(found) = found else { return };
        let until = at.plus(config.interval).plus(self.lead(found));
        let record = &mut self.feedback;
        let same = record.failed.iter_mut().rev().find(|one| {
            (&one.tier, &one.vm_type) == (tier, vm_type) && (one.from, one.until) == (from, until)
        });
        match same {
            Some(one) => one.count.0 = one.count.0.saturating_add(1),
            None => record.failed.push(FailedVms {
                tier: tier.clone(),
                vm_type: vm_type.clone(),
                from,
                until,
                count: VmCount(1),
            }),
        }
        let surplus = record.failed.len().saturating_sub(ENDED_GROUPS_MAX);
        record.failed.drain(..surplus);
        self.mark(PartKey::Feedback);
    }

    /// Whether a pass that held these launches back tells nothing new.
    pub(crate) fn knows_held(&self, held: &[Held]) -> bool {
        is_held(&self.feedback, &held_launches(held.to_vec()))
    }

    /// Drops the totals of tiers that are no longer part of the stack.
    pub(super) fn forget_misses_outside(&mut self, stack: &Stack) {
        let tiers: BTreeSet<&TierName> = stack.tiers.iter().map(|tier| &tier.name).collect();
        self.feedback
            .totals
            .retain(|totals| tiers.contains(&totals.tier));
        self.mark(PartKey::Feedback);
    }

    /// The latest misses of steps from a moment on.
    pub fn misses_since(&self, from: DomainTime) -> impl Iterator<Item = &Miss> {
        let latest = self.feedback.latest.iter();
        latest.filter(move |miss| miss.step_at >= from)
    }
}

/// Those of a pass that speak of launches, in one order.
fn held_launches(mut held: Vec<Held>) -> Vec<Held> {
    held.retain(|one| guard_rule(one.rule).is_some() && one.count.0 > 0);
    held.sort_by(|one, other| (&one.tier, one.rule).cmp(&(&other.tier, other.rule)));
    held.truncate(TIERS_MAX.saturating_mul(3));
    held
}

fn is_held(record: &FeedbackRecord, held: &[Held]) -> bool {
    record
        .held
        .last()
        .map_or(held.is_empty(), |pass| pass.held == held)
}

fn totals_of<'a>(record: &'a mut FeedbackRecord, tier: &TierName) -> &'a mut TierMisses {
    let totals = &mut record.totals;
    let place = match totals.binary_search_by(|one| one.tier.cmp(tier)) {
        Ok(place) => place,
        Err(place) => {
            totals.insert(place, TierMisses::new(tier.clone()));
            place
        }
    };
    totals
        .get_mut(place)
        .expect("the place was found or just filled")
}

fn keep_cover(covers: &mut Vec<CoverRecord>, cover: CoverRecord) {
    let key = |one: &CoverRecord| (one.step_at, one.tier.clone());
    match covers.binary_search_by_key(&key(&cover), key) {
        Ok(place) => {
            if let Some(known) = covers.get_mut(place) {
                merge(known, &cover);
            }
        }
        Err(place) => covers.insert(place, cover),
    }
}
