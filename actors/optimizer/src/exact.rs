//! The exact path: one tier with one VM type, by dynamic programming over the counts.
//!
//! The state before a step is the number of VMs and the starts of the last steps, as far back as the
//! start-up time and the minimum up-time look. Everything is explored, so the answer is proven optimal
//! for its tier. With neither start-up time nor minimum up-time the state is the count alone, and a
//! sliding minimum makes a step linear in the counts.

use std::collections::{BTreeMap, VecDeque};

/// Most states of one step before the exact path is given up.
const STATES_MAX: usize = 60_000;
/// Most transitions of a run.
const TRANSITIONS_MAX: usize = 40_000_000;

/// One tier with one VM type.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactTask {
    /// Price of a VM for a step.
    pub step_price: f64,
    /// Price of a start.
    pub start_price: f64,
    /// Cost of unserved demand with so many serving VMs; more than listed cost what the last costs.
    /// Shape: `[step][serving]`. Infinite where the count is not allowed.
    pub unserved: Vec<Vec<f64>>,
    /// VMs at step -1, all serving.
    pub initial: u32,
    /// Most VMs that are on.
    pub vms_max: u32,
    /// Steps from a start until the VM serves.
    pub delay_steps: usize,
    /// Steps that a started VM stays on at least.
    pub min_up_steps: usize,
    /// Most starts per step.
    pub starts_max: u32,
    /// Most stops per step.
    pub stops_max: u32,
}

/// The optimum of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactPlan {
    /// VMs that are on. Shape: `[step]`.
    pub counts: Vec<u32>,
    /// Its cost, in the unit of the task's prices.
    pub cost: f64,
}

/// Why there is no exact answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExactError {
    /// No allowed plan reaches this step.
    #[error("no count of VMs is allowed at step {step}")]
    Infeasible {
        /// First step that cannot be passed.
        step: usize,
    },
    /// The start-up time or the minimum up-time span too many steps.
    #[error("more than {STATES_MAX} states: use the search")]
    TooLarge,
}

/// Solves a task.
///
/// # Errors
/// [`ExactError::Infeasible`] when no plan keeps the limits, [`ExactError::TooLarge`] when the states
/// are too many; the search is for those.
pub fn solve(task: &ExactTask) -> Result<ExactPlan, ExactError> {
    let memory = task.delay_steps.max(task.min_up_steps).saturating_sub(1);
    if memory == 0 && task.delay_steps == 0 {
        return solve_memoryless(task);
    }
    solve_with_memory(task, memory)
}

impl ExactTask {
    /// Most VMs that a plan can use: those of step -1, or as many as any step has a use for.
    fn count_max(&self) -> u32 {
        let listed = self
            .unserved
            .iter()
            .map(|row| row.len().saturating_sub(1))
            .max()
            .unwrap_or(0);
        let useful = u32::try_from(listed).unwrap_or(u32::MAX);
        useful.max(self.initial).min(self.vms_max)
    }

    fn unserved_cost(&self, step: usize, serving: u32) -> f64 {
        let row = &self.unserved[step];
        let last = row.last().copied().unwrap_or(0.0);
        row.get(serving as usize).copied().unwrap_or(last)
    }
}

/// Dynamic programming over counts alone.
fn solve_memoryless(task: &ExactTask) -> Result<ExactPlan, ExactError> {
    let size = task.count_max() as usize + 1;
    if size.saturating_mul(task.unserved.len()) > TRANSITIONS_MAX {
        return Err(ExactError::TooLarge);
    }
    let mut cost = vec![f64::INFINITY; size.max(task.initial as usize + 1)];
    cost[task.initial as usize] = 0.0;
    let mut origins: Vec<Vec<u32>> = Vec::with_capacity(task.unserved.len());
    for step in 0..task.unserved.len() {
        let (reached, origin) = cheapest_origins(task, &cost, size);
        cost = reached;
        for (count, total) in (0_u32..).zip(&mut cost) {
            *total += task.step_price * f64::from(count) + task.unserved_cost(step, count);
        }
        if cost.iter().all(|total| total.is_infinite()) {
            return Err(ExactError::Infeasible { step });
        }
        origins.push(origin);
    }
    let mut best = 0;
    for (count, total) in cost.iter().enumerate() {
        if *total < cost[best] {
            best = count;
        }
    }
    let total = cost[best];
    let mut counts = vec![0; origins.len()];
    let mut count = u32::try_from(best).unwrap_or(u32::MAX);
    for (step, origin) in origins.iter().enumerate().rev() {
        counts[step] = count;
        count = origin[count as usize];
    }
    Ok(ExactPlan {
        counts,
        cost: total,
    })
}

/// For every count, the cheapest way to come to it and the count before.
fn cheapest_origins(task: &ExactTask, cost: &[f64], size: usize) -> (Vec<f64>, Vec<u32>) {
    let mut reached = vec![f64::INFINITY; size];
    let mut origin = vec![0; size];
    // From below: starts. Costs are compared as if every VM had been started, which shifts all alike.
    let from_zero = |count: usize| cost[count] - task.start_price * count as f64;
    let mut window: VecDeque<usize> = VecDeque::new();
    for count in 0..size {
        while window
            .back()
            .is_some_and(|last| from_zero(*last) > from_zero(count))
        {
            window.pop_back();
        }
        window.push_back(count);
        while window
            .front()
            .is_some_and(|first| count - first > task.starts_max as usize)
        {
            window.pop_front();
        }
        if let Some(best) = window.front() {
            reached[count] = from_zero(*best) + task.start_price * count as f64;
            origin[count] = index(*best);
        }
    }
    // From above: stops, which cost nothing.
    window.clear();
    for count in (0..cost.len()).rev() {
        while window.back().is_some_and(|last| cost[*last] > cost[count]) {
            window.pop_back();
        }
        window.push_back(count);
        while window
            .front()
            .is_some_and(|first| first - count > task.stops_max as usize)
        {
            window.pop_front();
        }
        if let Some(best) = window.front()
            && count < size
            && cost[*best] < reached[count]
        {
            reached[count] = cost[*best];
            origin[count] = index(*best);
        }
    }
    (reached, origin)
}

fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Count and the last starts, newest first.
type Key = (u32, Vec<u32>);

/// Cost of a state and the state before it.
#[derive(Clone, Debug)]
struct Label {
    cost: f64,
    before: Key,
}

fn solve_with_memory(task: &ExactTask, memory: usize) -> Result<ExactPlan, ExactError> {
    let most = task.count_max();
    let mut layers: Vec<BTreeMap<Key, Label>> = Vec::with_capacity(task.unserved.len());
    let start: Key = (task.initial, vec![0; memory]);
    let mut states = BTreeMap::from([(
        start.clone(),
        Label {
            cost: 0.0,
            before: start,
        },
    )]);
    let mut transitions = 0_usize;
    for step in 0..task.unserved.len() {
        let mut next: BTreeMap<Key, Label> = BTreeMap::new();
        for (key, label) in &states {
            let low = key.0.saturating_sub(task.stops_max);
            let high = key.0.saturating_add(task.starts_max).min(most);
            transitions += (high.saturating_sub(low) + 1) as usize;
            for count in low..=high {
                relax(task, (step, count), (key, label.cost), &mut next);
            }
            if transitions > TRANSITIONS_MAX || next.len() > STATES_MAX {
                return Err(ExactError::TooLarge);
            }
        }
        if next.is_empty() {
            return Err(ExactError::Infeasible { step });
        }
        layers.push(next.clone());
        states = next;
    }
    let best = states
        .iter()
        .min_by(|left, right| left.1.cost.total_cmp(&right.1.cost));
    let Some((key, label)) = best else {
        return Ok(ExactPlan {
            counts: Vec::new(),
            cost: 0.0,
        });
    };
    let (mut key, cost) = (key.clone(), label.cost);
    let mut counts = vec![0; layers.len()];
    for (step, layer) in layers.iter().enumerate().rev() {
        counts[step] = key.0;
        if let Some(label) = layer.get(&key) {
            key = label.before.clone();
        }
    }
    Ok(ExactPlan { counts, cost })
}

/// Tries one count after a state and keeps it when it is allowed and the cheapest way there.
fn relax(
    task: &ExactTask,
    (step, count): (usize, u32),
    (key, cost): (&Key, f64),
    next: &mut BTreeMap<Key, Label>,
) {
    let started = count.saturating_sub(key.0);
    let recent = |steps: usize| -> u32 {
        let past: u32 = key.1.iter().take(steps.saturating_sub(1)).sum();
        if steps == 0 { 0 } else { started + past }
    };
    if count < recent(task.min_up_steps) {
        return;
    }
    let serving = count.saturating_sub(recent(task.delay_steps));
    let total = cost
        + task.step_price * f64::from(count)
        + task.start_price * f64::from(started)
        + task.unserved_cost(step, serving);
    if total.is_infinite() {
        return;
    }
    let mut starts = Vec::with_capacity(key.1.len());
    starts.extend(
        [started]
            .into_iter()
            .chain(key.1.iter().copied())
            .take(key.1.len()),
    );
    let label = next.entry((count, starts));
    let slot = label.or_insert_with(|| Label {
        cost: f64::INFINITY,
        before: key.clone(),
    });
    if total < slot.cost {
        *slot = Label {
            cost: total,
            before: key.clone(),
        };
    }
}

#[cfg(test)]
mod tests;
