//! A plan under edit, with every sum that its energy needs kept up to date.
//!
//! Energy is cost plus a price on every broken constraint, in nano-dollars. An [`Edit`] adds VMs of one
//! type over a window of steps; applying the opposite edit restores the state bit by bit, since every
//! sum holds whole numbers.

use super::model::{LANES, Lanes, MONEY_FACTOR, Model, TierModel};
use crate::plan::Plan;

/// Adds `delta` VMs of a type over steps `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) tier: usize,
    pub(super) option: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) delta: i32,
}

impl Edit {
    pub(super) fn inverse(self) -> Self {
        Self {
            delta: -self.delta,
            ..self
        }
    }
}

/// One tier under edit.
#[derive(Clone, Debug)]
pub(super) struct TierState {
    /// VMs on. Shape: `[option, step]`.
    pub(super) on: Vec<i32>,
    /// Starts. Shape: `[option, step]`.
    starts: Vec<i32>,
    /// Starts of the last `min_up` steps. Shape: `[option, step]`.
    young: Vec<i32>,
    /// Serving capacity. Shape: `[step, group]`.
    pub(super) serving: Vec<Lanes>,
    /// Price of missing capacity. Shape: `[step]`.
    pub(super) short: Vec<f64>,
    pub(super) ups: Vec<i32>,
    downs: Vec<i32>,
    total: Vec<i32>,
    /// VM-steps. Shape: `[option]`.
    pub(super) area: Vec<i64>,
}

/// A whole plan under edit.
#[derive(Clone, Debug)]
pub(super) struct State<'m> {
    pub(super) model: &'m Model,
    pub(super) tiers: Vec<TierState>,
    /// Level that each step must cover.
    pub(super) levels: Vec<usize>,
    /// Spend on volumes and link. Shape: `[step]`.
    fixed: Vec<f64>,
    vcpu: Vec<f64>,
    spend: Vec<f64>,
    spend_total: f64,
    penalty: f64,
    risk: f64,
    /// Price of the constraints that hold per step.
    excess: f64,
    /// How many constraints that hold per step are broken.
    broken: i64,
    /// Price of each of them, whatever its size.
    pub(super) fine: f64,
}

/// What leaves the search: counts and levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Shape: `[tier]`, each [option, step].
    pub(super) on: Vec<Vec<i32>>,
    pub(super) levels: Vec<usize>,
}

impl<'m> State<'m> {
    /// The state that keeps the VMs of step -1 in every step.
    pub(super) fn unchanged(model: &'m Model, levels: &[usize], fixed: &[f64]) -> Self {
        let steps = model.steps;
        let mut state = Self {
            model,
            tiers: model
                .tiers
                .iter()
                .map(|tier| TierState::empty(tier, steps))
                .collect(),
            levels: levels.to_vec(),
            fixed: vec![0.0; steps],
            vcpu: vec![0.0; steps],
            spend: vec![0.0; steps],
            spend_total: 0.0,
            penalty: 0.0,
            risk: 0.0,
            excess: 0.0,
            broken: 0,
            fine: model.unit_price,
        };
        for (step, level) in levels.iter().enumerate() {
            let index = step * model.levels + level;
            state.penalty += model.penalty[index];
            state.risk += model.risk[index];
        }
        state.set_fixed(fixed);
        for tier in 0..model.tiers.len() {
            state.fill(tier);
        }
        state
    }

    /// Rebuilds a state from a snapshot.
    pub(super) fn restore(model: &'m Model, snapshot: &Snapshot, fixed: &[f64]) -> Self {
        let mut state = Self::unchanged(model, &snapshot.levels, fixed);
        state.move_to(snapshot);
        state
    }

    /// Edits the counts until they are those of `snapshot`; levels stay.
    pub(super) fn move_to(&mut self, snapshot: &Snapshot) {
        for (tier, counts) in snapshot.on.iter().enumerate() {
            for (option, target) in counts.chunks(self.model.steps).enumerate() {
                self.move_option(tier, option, target);
            }
        }
    }

    fn move_option(&mut self, tier: usize, option: usize, target: &[i32]) {
        let row = option * target.len();
        let mut from = 0;
        while from < target.len() {
            let missing = |step: usize| target[step] - self.tiers[tier].on[row + step];
            let delta = missing(from);
            let to = (from..target.len()).find(|step| missing(*step) != delta);
            let to = to.unwrap_or(target.len());
            if delta != 0 {
                self.apply(Edit {
                    tier,
                    option,
                    from,
                    to,
                    delta,
                });
            }
            from = to;
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            on: self.tiers.iter().map(|tier| tier.on.clone()).collect(),
            levels: self.levels.clone(),
        }
    }

    /// Copies into a snapshot of the same shape.
    pub(super) fn save(&self, snapshot: &mut Snapshot) {
        for (saved, tier) in snapshot.on.iter_mut().zip(&self.tiers) {
            saved.copy_from_slice(&tier.on);
        }
        snapshot.levels.copy_from_slice(&self.levels);
    }

    /// Writes the counts into a plan.
    pub(super) fn write(snapshot: &Snapshot, steps: usize, plan: &mut Plan) {
        for (counts, on) in plan.counts.iter_mut().zip(&snapshot.on) {
            for (series, row) in counts.iter_mut().zip(on.chunks(steps)) {
                series.clear();
                series.extend(row.iter().map(|count| u32::try_from(*count).unwrap_or(0)));
            }
        }
    }

    /// Cost and the price of what is broken, in nano-dollars.
    pub(super) fn energy(&self) -> f64 {
        self.energy_at(self.fine)
    }

    /// The energy with another price on each broken constraint.
    pub(super) fn energy_at(&self, fine: f64) -> f64 {
        let over_budget = (self.spend_total - self.model.budget).max(0.0);
        let over_risk = (self.risk - self.model.risk_budget).max(0.0);
        self.spend_total
            + self.penalty
            + self.excess
            + self.broken as f64 * fine
            + over_budget * MONEY_FACTOR
            + over_risk * self.model.risk_weight
    }

    /// Spend in nano-dollars.
    #[cfg(test)]
    pub(super) fn spend_nanos(&self) -> f64 {
        self.spend_total
    }

    /// The part of the energy that is not cost.
    pub(super) fn broken_price(&self) -> f64 {
        self.energy() - self.spend_total - self.penalty
    }

    pub(super) fn feasible(&self) -> bool {
        self.broken == 0
            && self.spend_total <= self.model.budget
            && self.risk <= self.model.risk_budget
    }

    /// Sets the spend on volumes and link of each step.
    pub(super) fn set_fixed(&mut self, fixed: &[f64]) {
        for (step, price) in fixed.iter().enumerate() {
            let change = price - self.fixed[step];
            self.add_spend(step, change);
            self.fixed[step] = *price;
        }
    }

    fn add_spend(&mut self, step: usize, change: f64) {
        let limit = self.model.step_spend_max;
        let old = (self.spend[step] - limit).max(0.0);
        self.spend[step] += change;
        self.spend_total += change;
        let new = (self.spend[step] - limit).max(0.0);
        if old > 0.0 || new > 0.0 {
            self.excess += (new - old) * MONEY_FACTOR;
            self.broken += i64::from(new > 0.0) - i64::from(old > 0.0);
        }
    }

    fn add_vcpu(&mut self, step: usize, change: f64) {
        let limit = self.model.vcpu_quota;
        let old = (self.vcpu[step] - limit).max(0.0);
        self.vcpu[step] += change;
        let new = (self.vcpu[step] - limit).max(0.0);
        if old > 0.0 || new > 0.0 {
            self.excess += (new - old) * self.model.vcpu_weight;
            self.broken += i64::from(new > 0.0) - i64::from(old > 0.0);
        }
    }

    /// Puts the VMs of step -1 into every step of an empty tier.
    fn fill(&mut self, tier: usize) {
        let steps = self.model.steps;
        let model = &self.model.tiers[tier];
        for step in 0..steps {
            self.refresh_short(tier, step);
        }
        for option in 0..model.options {
            // An empty tier stops everything at step 0; putting the VMs back takes the stops away.
            let (count, downs) = (model.initial[option], self.tiers[tier].downs[0]);
            self.tiers[tier].downs[0] = downs + count;
            self.bump(model.switch_weight, downs - model.stops_max, count);
            if count > 0 {
                self.apply(Edit {
                    tier,
                    option,
                    from: 0,
                    to: steps,
                    delta: count,
                });
            }
        }
    }

    /// Moves an excess count from `was` by `change` and prices what lies above zero.
    fn bump(&mut self, weight: f64, was: i32, change: i32) {
        let (old, new) = (was.max(0), (was + change).max(0));
        if old != new {
            self.excess += f64::from(new - old) * weight;
            self.broken += i64::from(new > 0) - i64::from(old > 0);
        }
    }

    fn refresh_short(&mut self, tier: usize, step: usize) {
        let model = &self.model.tiers[tier];
        let new = self.tiers[tier].shortage(model, self.model.levels, step, self.levels[step]);
        let old = self.tiers[tier].short[step];
        if (new - old).abs() > 0.0 {
            self.tiers[tier].short[step] = new;
            self.excess += new - old;
            self.broken += i64::from(new > 0.0) - i64::from(old > 0.0);
        }
    }

    /// Sets the level that a step must cover.
    pub(super) fn set_level(&mut self, step: usize, level: usize) {
        let (old, new) = (
            step * self.model.levels + self.levels[step],
            step * self.model.levels + level,
        );
        self.penalty += self.model.penalty[new] - self.model.penalty[old];
        self.risk += self.model.risk[new] - self.model.risk[old];
        self.levels[step] = level;
        for tier in 0..self.tiers.len() {
            self.refresh_short(tier, step);
        }
    }

    /// Applies an edit; refuses one that would leave fewer than zero VMs or spans no step.
    pub(super) fn apply(&mut self, edit: Edit) -> bool {
        let steps = self.model.steps;
        let edit = Edit {
            to: edit.to.min(steps),
            ..edit
        };
        let Edit {
            tier,
            option,
            from,
            to,
            delta,
        } = edit;
        let model = &self.model.tiers[tier];
        let row = option * steps;
        let on = &mut self.tiers[tier].on[row..row + steps];
        if from >= to || (delta < 0 && on[from..to].iter().any(|count| *count + delta < 0)) {
            return false;
        }
        let before = if from == 0 {
            model.initial[option]
        } else {
            on[from - 1]
        };
        let first = (on[from] - before, on[from] - before + delta);
        let after = (to < steps).then(|| (on[to] - on[to - 1], on[to] - on[to - 1] - delta));
        for count in &mut on[from..to] {
            *count += delta;
        }
        self.tiers[tier].area[option] += i64::from(delta) * i64::try_from(to - from).unwrap_or(0);
        let started_first = self.switch(tier, option, from, first);
        let started_after = after.map_or(0, |change| self.switch(tier, option, to, change));
        self.update_serving(edit, started_first, started_after);
        if model.min_up > 1 {
            self.update_young(edit, started_first, started_after);
        }
        let (price, vcpu) = (model.step_price[option], model.vcpu[option]);
        for step in from..to {
            self.add_spend(step, price * f64::from(delta));
            self.add_vcpu(step, vcpu * f64::from(delta));
            let total = self.tiers[tier].total[step];
            self.tiers[tier].total[step] = total + delta;
            if total.max(total + delta) > model.vms_max {
                self.bump(model.switch_weight, total - model.vms_max, delta);
            }
        }
        true
    }

    /// Books the start or stop that the change of a count from (old step, new step) makes; returns the
    /// change of starts.
    fn switch(&mut self, tier: usize, option: usize, step: usize, (old, new): (i32, i32)) -> i32 {
        let model = &self.model.tiers[tier];
        let ups = new.max(0) - old.max(0);
        let downs = (-new).max(0) - (-old).max(0);
        if ups != 0 {
            self.tiers[tier].starts[option * self.model.steps + step] += ups;
            let was = self.tiers[tier].ups[step];
            self.tiers[tier].ups[step] = was + ups;
            self.bump(model.switch_weight, was - model.starts_max, ups);
            self.add_spend(step, f64::from(ups) * model.start_price[option]);
        }
        if downs != 0 {
            let was = self.tiers[tier].downs[step];
            self.tiers[tier].downs[step] = was + downs;
            self.bump(model.switch_weight, was - model.stops_max, downs);
        }
        ups
    }

    fn update_serving(&mut self, edit: Edit, started_first: i32, started_after: i32) {
        let model = &self.model.tiers[edit.tier];
        let delay = model.delay;
        let end = if started_after == 0 {
            edit.to
        } else {
            edit.to + delay
        };
        let end = if started_first == 0 {
            end
        } else {
            end.max(edit.from + delay)
        };
        for step in edit.from..end.min(self.model.steps) {
            let mut change = if step < edit.to { edit.delta } else { 0 };
            if step < edit.from + delay {
                change -= started_first;
            }
            if step >= edit.to && step < edit.to + delay {
                change -= started_after;
            }
            if change == 0 {
                continue;
            }
            let level = self.levels[step];
            let state = &mut self.tiers[edit.tier];
            state.serve(model, edit.option, step, change);
            let new = state.shortage(model, self.model.levels, step, level);
            let old = state.short[step];
            if (new - old).abs() > 0.0 {
                state.short[step] = new;
                self.excess += new - old;
                self.broken += i64::from(new > 0.0) - i64::from(old > 0.0);
            }
        }
    }

    fn update_young(&mut self, edit: Edit, started_first: i32, started_after: i32) {
        let model = &self.model.tiers[edit.tier];
        let row = edit.option * self.model.steps;
        let min_up = model.min_up;
        let end = if started_after == 0 {
            edit.to
        } else {
            edit.to + min_up
        };
        let end = if started_first == 0 {
            end
        } else {
            end.max(edit.from + min_up)
        };
        for step in edit.from..end.min(self.model.steps) {
            let mut change = 0;
            if step < edit.from + min_up {
                change += started_first;
            }
            if step >= edit.to && step < edit.to + min_up {
                change += started_after;
            }
            let more = if step < edit.to { edit.delta } else { 0 };
            let state = &mut self.tiers[edit.tier];
            let (young, on) = (state.young[row + step], state.on[row + step]);
            state.young[row + step] = young + change;
            if young > on - more || young + change > on {
                self.bump(model.switch_weight, young - (on - more), change - more);
            }
        }
    }
}

impl TierState {
    fn empty(model: &TierModel, steps: usize) -> Self {
        Self {
            on: vec![0; model.options * steps],
            starts: vec![0; model.options * steps],
            young: vec![0; model.options * steps],
            serving: vec![[0.0; LANES]; steps * model.groups],
            short: vec![0.0; steps],
            ups: vec![0; steps],
            downs: vec![0; steps],
            total: vec![0; steps],
            area: vec![0; model.options],
        }
    }

    fn serve(&mut self, model: &TierModel, option: usize, step: usize, change: i32) {
        let change = f64::from(change);
        let groups = model.groups;
        let serving = &mut self.serving[step * groups..(step + 1) * groups];
        let capacity = &model.capacity[option * groups..(option + 1) * groups];
        for (have, units) in serving.iter_mut().zip(capacity) {
            for lane in 0..LANES {
                have[lane] += units[lane] * change;
            }
        }
    }

    fn shortage(&self, model: &TierModel, levels: usize, step: usize, level: usize) -> f64 {
        let groups = model.groups;
        let need = (step * levels + level) * groups;
        let mut price = [0.0; LANES];
        for group in 0..groups {
            let (have, need) = (
                &self.serving[step * groups + group],
                &model.need[need + group],
            );
            for lane in 0..LANES {
                price[lane] += (need[lane] - have[lane]).max(0.0) * model.weight[group][lane];
            }
        }
        (price[0] + price[1]) + (price[2] + price[3])
    }

    /// Steps from `step` to the next change of a type's count, searching forward; `None` past the end.
    pub(super) fn next_edge(
        &self,
        model: &TierModel,
        option: usize,
        step: usize,
        steps: usize,
    ) -> Option<usize> {
        let row = &self.on[option * steps..(option + 1) * steps];
        let mut before = if step == 0 {
            model.initial[option]
        } else {
            row[step - 1]
        };
        for (index, count) in row.iter().enumerate().skip(step) {
            if *count != before {
                return Some(index);
            }
            before = *count;
        }
        None
    }
}
