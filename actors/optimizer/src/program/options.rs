//! Which VM types of a tier a program needs, and how many VMs of each at most.

use super::Scope;
use crate::evaluate;
use crate::problem::{COUNT_MAX, Problem, Tier};
use crate::search::candidates;

/// Most VMs of a type that any plan has a use for.
fn useful_max(problem: &Problem, tier: &Tier, option: usize) -> f64 {
    let levels = problem.levels.len();
    let mut most = f64::from(tier.vms_min.max(tier.options[option].initial));
    for (index, required) in tier.requirement.chunks(tier.resources).enumerate() {
        if index % levels > problem.level_max {
            continue;
        }
        let capacity = tier.options[option].capacity.iter();
        for (units, needed) in capacity.zip(required) {
            if *units > 0.0 {
                most = most.max((needed / units).ceil());
            }
        }
    }
    most.min(f64::from(tier.vms_max)).min(f64::from(COUNT_MAX))
}

/// How one type stands in a scope.
#[derive(Debug)]
pub(super) struct OptionScope {
    pub(super) option: usize,
    pub(super) on_max: f64,
    pub(super) starts_max: f64,
    /// VMs before the window.
    pub(super) before: f64,
    /// Starts before the window, last first.
    pub(super) earlier: Vec<f64>,
    /// VMs of the plan around. Shape: `[step]` of the horizon; empty without one.
    pub(super) around: Vec<u32>,
}

/// The types of a tier that a scope has a use for.
pub(super) fn option_scopes(scope: &Scope<'_>, index: usize) -> Vec<OptionScope> {
    let tier = &scope.problem.tiers[index];
    let worth = candidates(tier);
    let (from, _) = scope.window;
    let memory = tier.min_up_steps.max(tier.delay_steps);
    let mut scopes = Vec::new();
    for (option, described) in tier.options.iter().enumerate() {
        let around = scope
            .around
            .map(|plan| plan.counts[index][option].as_slice());
        let around = around.unwrap_or_default();
        let used = around.iter().any(|count| *count > 0);
        let startable = worth.contains(&option);
        if !startable && !used && described.initial == 0 {
            continue;
        }
        let starts = evaluate::starts(described.initial, around);
        let past = starts.iter().take(from).rev().take(memory);
        let most = around
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
            .max(described.initial);
        let on_max = useful_max(scope.problem, tier, option).max(f64::from(most));
        let begun = starts.iter().copied().max().unwrap_or(0) as f64;
        scopes.push(OptionScope {
            option,
            on_max,
            starts_max: if startable {
                on_max.min(f64::from(tier.starts_max))
            } else {
                begun
            },
            before: f64::from(
                match from.checked_sub(1).and_then(|step| around.get(step)) {
                    Some(count) => *count,
                    None => described.initial,
                },
            ),
            earlier: past.map(|started| *started as f64).collect(),
            around: around.to_vec(),
        });
    }
    scopes
}
