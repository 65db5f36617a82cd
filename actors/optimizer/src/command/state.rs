//! Plan files and states read back.

use super::PlannedFile;
use crate::plan::Plan;
use crate::problem::{COUNT_MAX, Problem, ProblemError};
use serde_json::{Value, json};

/// Name of the format.
const FORMAT: &str = "alloc-state/1";

/// Where an earlier run stands.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) seed: u64,
    pub(super) rounds: u64,
    pub(super) plan: Plan,
}

pub(super) fn write(planned: &PlannedFile) -> Value {
    json!({
        "format": FORMAT,
        "id": planned.problem.id,
        "seed": planned.seed,
        "rounds": planned.rounds + 1,
        "cost": planned.outcome.evaluation.cost,
        "plan": planned.plan_json(),
    })
}

fn json_of(text: &str, path: &str) -> Result<Value, ProblemError> {
    serde_json::from_str(text)
        .map_err(|error| ProblemError::new(path, error, "give the file of an earlier run"))
}

/// Reads a state of the same problem.
pub(super) fn read(problem: &Problem, text: &str) -> Result<State, ProblemError> {
    let state = json_of(text, "state")?;
    if state["format"] != FORMAT {
        let remedy = format!("give a file of format \"{FORMAT}\"");
        return Err(ProblemError::new("state.format", &state["format"], remedy));
    }
    if state["id"] != problem.id.as_str() {
        let remedy = format!("give the state of {}", problem.id);
        return Err(ProblemError::new("state.id", &state["id"], remedy));
    }
    let number = |key: &str| {
        state[key].as_u64().ok_or_else(|| {
            ProblemError::new(format!("state.{key}"), &state[key], "give a whole number")
        })
    };
    Ok(State {
        seed: number("seed")?,
        rounds: number("rounds")?,
        plan: plan_of(problem, &state["plan"])?,
    })
}

/// Reads a plan file of a problem with the same tiers, types and steps.
pub(super) fn plan(problem: &Problem, text: &str) -> Result<Plan, ProblemError> {
    let file = json_of(text, "plan")?;
    plan_of(problem, file.get("plan").unwrap_or(&file))
}

fn plan_of(problem: &Problem, file: &Value) -> Result<Plan, ProblemError> {
    let mut plan = Plan::unchanged(problem);
    let vms = &file["vms"];
    if !vms.is_object() {
        return Err(ProblemError::new("plan.vms", vms, "give a plan file"));
    }
    for (tier, counts) in problem.tiers.iter().zip(&mut plan.counts) {
        for (option, series) in tier.options.iter().zip(counts) {
            // A type without a series has no VMs, as in the plan format.
            match vms[&tier.name].get(&option.name) {
                Some(found) => *series = counts_of(found, &tier.name, problem.steps)?,
                None => series.fill(0),
            }
        }
    }
    for (index, volume) in problem.volumes.iter().enumerate() {
        let name = &volume.name;
        plan.blocks[index] = counts_of(&file["storage_blocks"][name], name, problem.steps)?;
        plan.iops_blocks[index] = counts_of(&file["iops_blocks"][name], name, problem.steps)?;
    }
    if problem.link.is_some() {
        plan.link_option = counts_of(&file["link_option"], "link", problem.steps)?;
    }
    Ok(plan)
}

fn counts_of(found: &Value, place: &str, steps: usize) -> Result<Vec<u32>, ProblemError> {
    let wrong = || {
        let remedy = format!("give {steps} whole numbers from 0 to {COUNT_MAX}");
        ProblemError::new(format!("plan of {place}"), found, remedy)
    };
    let items = found
        .as_array()
        .filter(|items| items.len() == steps)
        .ok_or_else(wrong)?;
    let count = |item: &Value| {
        let count = item.as_u64().and_then(|count| u32::try_from(count).ok());
        count.filter(|count| *count <= COUNT_MAX).ok_or_else(wrong)
    };
    items.iter().map(count).collect()
}
