//! One tier's changes under its guardrails.
//!
//! Order of the rules, strongest first: ceiling, floor, blind, cool-down, step limit. Where launches are held
//! back, as many terminations are: a VM stays until its replacement may come. A launch that the
//! floor asks for passes the cool-down of scale-outs: too few VMs to run at all is worse than a busy hour.
//! The ceiling bounds what is there after the pass. While one type replaces another, launches come first
//! and terminations follow in the same pass, so for that moment both are there: the other way round the
//! tier would stand empty for as long as a start takes.

use crate::reconcile::HeldCounts;
use std::collections::BTreeMap;
use twinscale_protocol::provisioner::{HeldRule, Operation, ReconcileRequest};
use twinscale_protocol::{DomainTime, Seconds, TierName, VmCount, VmId, VmTypeId};

/// A tier's wanted and present VMs.
#[derive(Debug, Default)]
pub(crate) struct TierCounts {
    /// Whether the desired allocation names the tier at all.
    pub(crate) named: bool,
    /// By type, ascending.
    pub(crate) types: BTreeMap<VmTypeId, TypeCounts>,
    /// VMs asked for at the moment of the request: they use up the step limit.
    pub(crate) started_now: u32,
    /// VMs that an open intent ends.
    pub(crate) ending: u32,
}

/// A type's wanted and present VMs.
#[derive(Debug, Default)]
pub(crate) struct TypeCounts {
    /// Wanted for the present step.
    pub(crate) now: u32,
    /// Wanted for the next step.
    pub(crate) next: u32,
    /// Whether it serves, and which; without those that an open intent ends.
    pub(crate) present: Vec<(bool, VmId)>,
}

/// What one tier needs.
#[derive(Debug, Default)]
pub(crate) struct TierChanges {
    /// Launches, the urgent ones first.
    pub(crate) starts: Vec<Operation>,
    /// VMs to end.
    pub(crate) stops: Vec<VmId>,
}

/// Plans one tier.
pub(crate) fn plan_tier(
    name: &TierName,
    counts: &TierCounts,
    request: &ReconcileRequest,
    held: &mut HeldCounts,
) -> TierChanges {
    let mut notes = Notes { tier: name, held };
    let mut targets: Vec<u32> = counts.types.values().map(TypeCounts::wanted).collect();
    let present: Vec<u32> = counts.types.values().map(TypeCounts::present).collect();
    let limits = request.limits;
    let cut = lower_to_ceiling(&mut targets, counts, limits.ceiling.0);
    notes.add(HeldRule::Ceiling, cut);
    let mut floor_starts = 0;
    if counts.named {
        let floor = limits.floor.0.min(limits.ceiling.0);
        let (kept, added) = raise_to_floor(&mut targets, &present, floor);
        notes.add(HeldRule::Floor, kept);
        floor_starts = added;
    }

    let wanted_stops = sum_of_differences(&present, &targets);
    let stops = allowed_stops(wanted_stops, counts, request, &mut notes);
    let wanted_starts = Starts {
        wanted: sum_of_differences(&targets, &present),
        of_floor: floor_starts,
    };
    // What cannot stop yet still takes room under the ceiling.
    let staying = at_most(sum(&present)).saturating_sub(stops);
    let (starts, held_by) = allowed_starts(&wanted_starts, staying, (counts, request), &mut notes);
    // A VM stays as long as its replacement is held back.
    let replaced = at_most((sum(&present) + u64::from(starts)).saturating_sub(sum(&targets)));
    notes.add(held_by, stops.saturating_sub(replaced));
    TierChanges {
        starts: plan_starts(name, counts, &targets, starts),
        stops: plan_stops(counts, &targets, stops.min(replaced)),
    }
}

/// What a tier's guardrails held back.
struct Notes<'a> {
    tier: &'a TierName,
    held: &'a mut HeldCounts,
}

/// Launches that are wanted, and how many of them only because of the floor.
struct Starts {
    wanted: u32,
    of_floor: u32,
}

impl Notes<'_> {
    fn add(&mut self, rule: HeldRule, count: u32) {
        if count > 0 {
            let sum = self.held.entry((self.tier.clone(), rule)).or_insert(0);
            *sum = sum.saturating_add(count);
        }
    }
}

fn allowed_stops(
    wanted: u32,
    counts: &TierCounts,
    request: &ReconcileRequest,
    notes: &mut Notes<'_>,
) -> u32 {
    let limits = request.limits;
    let (out_at, in_at) = last_changes(notes.tier, request);
    if request.desired.blind {
        notes.add(HeldRule::Blind, wanted);
        return 0;
    }
    if cooling(out_at.max(in_at), limits.cooldown_in, request.now) {
        notes.add(HeldRule::Cooldown, wanted);
        return 0;
    }
    // A scale-in of this very moment has used the step up: its VMs are gone from sight.
    let room = if in_at == Some(request.now) {
        0
    } else {
        limits.step_in_max.0.saturating_sub(counts.ending)
    };
    notes.add(HeldRule::StepLimit, wanted.saturating_sub(room));
    wanted.min(room)
}

/// Gives how many may start, and the rule that held most back.
fn allowed_starts(
    starts: &Starts,
    staying: u32,
    (counts, request): (&TierCounts, &ReconcileRequest),
    notes: &mut Notes<'_>,
) -> (u32, HeldRule) {
    let limits = request.limits;
    let (out_at, _) = last_changes(notes.tier, request);
    let under_ceiling = starts.wanted.min(limits.ceiling.0.saturating_sub(staying));
    let uncooled = if cooling(out_at, limits.cooldown_out, request.now) {
        under_ceiling.min(starts.of_floor)
    } else {
        under_ceiling
    };
    let in_step = uncooled.min(limits.step_out_max.0.saturating_sub(counts.started_now));
    let cuts = [
        (HeldRule::Ceiling, starts.wanted - under_ceiling),
        (HeldRule::Cooldown, under_ceiling - uncooled),
        (HeldRule::StepLimit, uncooled - in_step),
    ];
    let mut held_by = (HeldRule::StepLimit, 0);
    for (rule, cut) in cuts {
        notes.add(rule, cut);
        if cut > held_by.1 {
            held_by = (rule, cut);
        }
    }
    (in_step, held_by.0)
}

/// Finds when a tier last scaled out and in.
fn last_changes(
    tier: &TierName,
    request: &ReconcileRequest,
) -> (Option<DomainTime>, Option<DomainTime>) {
    let change = request
        .last_changes
        .iter()
        .find(|change| change.tier == *tier);
    change.map_or((None, None), |change| (change.out_at, change.in_at))
}

/// Lowers the targets so that they fit under the ceiling, from the last type on: first launches for the next
/// step alone, then VMs that stay for it alone, then launches for the present step, then the rest. Gives what
/// was cut.
fn lower_to_ceiling(targets: &mut [u32], counts: &TierCounts, ceiling: u32) -> u32 {
    let keeps: [fn(&TypeCounts) -> u32; 4] = [
        |counts| counts.now.max(counts.present()),
        |counts| counts.now,
        |counts| counts.now.min(counts.present()),
        |_| 0,
    ];
    let excess_all = sum(targets).saturating_sub(u64::from(ceiling));
    let mut excess = excess_all;
    for keep in keeps {
        for (target, counts) in targets.iter_mut().zip(counts.types.values()).rev() {
            let cut = at_most(excess).min(target.saturating_sub(keep(counts)));
            *target -= cut;
            excess -= u64::from(cut);
        }
    }
    at_most(excess_all)
}

/// Raises the targets to the floor: VMs that are there stay, then the type that is wanted most gets the
/// rest. Gives how many were kept and how many must start.
fn raise_to_floor(targets: &mut [u32], present: &[u32], floor: u32) -> (u32, u32) {
    let missing_all = at_most(u64::from(floor).saturating_sub(sum(targets)));
    let mut missing = missing_all;
    for (target, present) in targets.iter_mut().zip(present) {
        let kept = missing.min(present.saturating_sub(*target));
        *target += kept;
        missing -= kept;
    }
    // `max_by_key` gives the last of equals; reversed, that is the first type.
    if let Some(most) = targets.iter_mut().rev().max_by_key(|target| **target) {
        *most += missing;
    }
    (missing_all - missing, missing)
}

/// Launches for the present step before launches for the next, types ascending within each.
fn plan_starts(
    tier: &TierName,
    counts: &TierCounts,
    targets: &[u32],
    mut room: u32,
) -> Vec<Operation> {
    let mut starts = vec![0_u32; targets.len()];
    for urgent in [true, false] {
        for (((_, wanted), target), start) in counts.types.iter().zip(targets).zip(&mut starts) {
            let goal = if urgent {
                wanted.now.min(*target)
            } else {
                *target
            };
            let more = goal.saturating_sub(wanted.present() + *start).min(room);
            *start += more;
            room -= more;
        }
    }
    counts
        .types
        .keys()
        .zip(starts)
        .filter(|(_, count)| *count > 0)
        .map(|(vm_type, count)| Operation::Launch {
            tier: tier.clone(),
            vm_type: vm_type.clone(),
            count: VmCount(count),
        })
        .collect()
}

fn plan_stops(counts: &TierCounts, targets: &[u32], mut room: u32) -> Vec<VmId> {
    let mut stops = Vec::new();
    for (counts, target) in counts.types.values().zip(targets) {
        let surplus = counts.present().saturating_sub(*target).min(room);
        room -= surplus;
        let mut present = counts.present.clone();
        sort_for_scale_in(&mut present);
        stops.extend(
            present
                .into_iter()
                .take(usize::try_from(surplus).unwrap_or(usize::MAX))
                .map(|(_, vm)| vm),
        );
    }
    stops
}

/// Orders VMs, given as (serves, identity), by who ends first: not serving before serving, newest first.
///
/// Identities are allocated in ascending order, so the newest is the largest.
pub(crate) fn sort_for_scale_in(vms: &mut [(bool, VmId)]) {
    vms.sort_by_key(|(serving, vm)| (*serving, std::cmp::Reverse(*vm)));
}

fn cooling(since: Option<DomainTime>, length: Seconds, now: DomainTime) -> bool {
    since.is_some_and(|since| now.seconds_since(since) < i64::from(length.0))
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

fn sum_of_differences(larger: &[u32], smaller: &[u32]) -> u32 {
    let differences = larger.iter().zip(smaller);
    at_most(
        differences
            .map(|(a, b)| u64::from(a.saturating_sub(*b)))
            .sum(),
    )
}

fn at_most(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl TypeCounts {
    /// The larger of the two steps: launches are for either, terminations only below both.
    fn wanted(&self) -> u32 {
        self.now.max(self.next)
    }

    fn present(&self) -> u32 {
        u32::try_from(self.present.len()).unwrap_or(u32::MAX)
    }
}
