//! Proven lower bounds on the cost of a problem.
//!
//! A bound is a sum: what volumes, link and unserved demand cost at least, and a share of every tier.
//! Tiers meet in the shared limits and in the level of each step; the dual values of the joint linear
//! relaxation put a price on both (a Lagrangean decomposition), so that each tier's share can be raised
//! by itself, by branch-and-bound. Every stage is valid alone, so a bound is there at any time: first
//! what each step needs at the best price of a single resource, then linear programs over windows of
//! steps, over the whole horizon, and branch-and-bound. Shares of relaxations are proven by weak
//! duality, independent of the solver's tolerances; those of branch-and-bound give a margin of 2e-6.

mod floor;
mod limits;
mod prices;
mod report;
mod tighten;

pub(crate) use self::floor::window_share;
use self::floor::{add_rest, floor_of_rest, steps_share};
use self::prices::{Prices, Split, charge};
pub use self::report::{Bound, BoundMethod, TierBound};
use self::tighten::tightened;
use crate::linear::{Effort, LinearError};
use crate::plan::Plan;
use crate::problem::{Problem, Tier};
use crate::program::{Cut, Levels, Limits, Program, Scope};

/// Most columns of a linear program over the whole horizon; longer ones are cut into windows.
const COLUMNS_MAX: usize = 60_000;
/// Most columns of a problem that is branched on at once.
const WHOLE_COLUMNS_MAX: usize = 1_500;
/// Share of the time for relaxations that the joint one may take before a seed is sought without it.
const JOINT_SHARE: f64 = 0.6;
/// Parts of the time for rounded rows of which the joint relaxation has one: where levels are chosen the search needs more.
const JOINT_PARTS: usize = 2;
/// Columns of a window.
const WINDOW_COLUMNS: usize = 6_000;

/// A bound under work.
#[derive(Debug)]
pub(crate) struct Prover<'a> {
    problem: &'a Problem,
    /// Highest level of each step.
    levels: Vec<usize>,
    rest: f64,
    shares: Vec<f64>,
    methods: Vec<BoundMethod>,
    joint: Option<Prices>,
    /// The bound of everything at once, by branch-and-bound.
    whole: Option<(f64, BoundMethod)>,
    /// Rounded rows that bind in the relaxation. Shape: `[tier]`.
    cuts: Vec<Vec<Cut>>,
    /// Dual values of what must be covered, before rows were rounded. Shape: `[tier][step][resource]`; empty
    /// without a relaxation.
    covers: Vec<Vec<Vec<f64>>>,
    /// What has been proven to have no solution.
    pub(crate) infeasible: Option<String>,
    /// Values of the relaxation, tier by tier. Shape: `[tier][option][step]`; empty without one.
    pub(crate) relaxed: Vec<Vec<Vec<f64>>>,
}

impl<'a> Prover<'a> {
    /// The bound that needs no linear program.
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let tiers = problem.tiers.iter();
        Self {
            problem,
            levels: vec![problem.level_max; problem.steps],
            rest: floor_of_rest(problem),
            shares: tiers
                .clone()
                .map(|tier| steps_share(problem, tier))
                .collect(),
            methods: tiers.map(|_| BoundMethod::Steps).collect(),
            joint: None,
            whole: None,
            cuts: vec![Vec::new(); problem.tiers.len()],
            covers: vec![Vec::new(); problem.tiers.len()],
            infeasible: None,
            relaxed: Vec::new(),
        }
    }

    /// Whether steps choose their level.
    fn chooses(&self) -> bool {
        self.problem.level_min < self.problem.level_max
    }

    fn scope<'s>(&'s self, tiers: &'s [usize], window: (usize, usize)) -> Scope<'s> {
        let levels = if self.chooses() {
            Levels::UpTo(&self.levels)
        } else {
            Levels::Given(&self.levels)
        };
        Scope {
            problem: self.problem,
            tiers,
            window,
            levels,
            around: None,
            limits: None,
        }
    }

    /// Columns of a tier's program, at most.
    pub(crate) fn columns_of(&self, tier: usize) -> usize {
        2 * self.problem.tiers[tier].options.len() * self.problem.steps
    }

    /// Raises the shares by linear programs; `may_go_on` gives the effort of the next, or ends.
    pub(crate) fn relax(&mut self, may_go_on: &mut dyn FnMut() -> Option<Effort>) {
        let all: Vec<usize> = (0..self.problem.tiers.len()).collect();
        let columns: usize = all.iter().map(|tier| self.columns_of(*tier)).sum();
        if self.chooses() && columns <= COLUMNS_MAX {
            if let Some(mut effort) = may_go_on() {
                effort.time = effort.time.map(|time| time.mul_f64(JOINT_SHARE));
                self.relax_together(&all, &self.no_limits(), &effort, may_go_on);
            }
            if self.relaxed.is_empty() {
                self.relax_highest(&all, may_go_on);
            }
        } else if !self.chooses() {
            for tier in &all {
                self.relax_tier(*tier, may_go_on);
            }
        }
        if columns <= COLUMNS_MAX
            && let Some(limits) = self.broken_limits()
            && let Some(effort) = may_go_on()
        {
            self.relax_together(&all, &limits, &effort, may_go_on);
        }
    }

    /// Relaxes each tier at the highest level: no bound where levels are chosen, but a seed.
    fn relax_highest(&mut self, all: &[usize], may_go_on: &mut dyn FnMut() -> Option<Effort>) {
        let mut found = Vec::new();
        for tier in all {
            let Some(effort) = may_go_on() else {
                return;
            };
            let tiers = [*tier];
            let scope = Scope {
                levels: Levels::Given(&self.levels),
                ..self.scope(&tiers, (0, self.problem.steps))
            };
            let program = Program::new(&scope);
            let Ok(relaxed) = program.linear.relax(&effort) else {
                return;
            };
            found.push(self.counts(&program, 0, &relaxed.columns));
        }
        self.relaxed = found;
    }

    fn relax_tier(&mut self, tier: usize, may_go_on: &mut dyn FnMut() -> Option<Effort>) {
        let steps = self.problem.steps;
        if self.columns_of(tier) <= COLUMNS_MAX {
            let Some(effort) = may_go_on() else {
                return;
            };
            let tiers = [tier];
            let scope = self.scope(&tiers, (0, steps));
            let mut program = Program::new(&scope);
            let parts = self.problem.tiers.len() - tier;
            match tightened(&mut program, &scope, (&effort, parts), may_go_on) {
                Ok(tight) => {
                    let proof = program.linear.proof(&tight.relaxed.duals);
                    self.raise(tier, proof, BoundMethod::Relaxation);
                    self.relaxed.resize(self.problem.tiers.len(), Vec::new());
                    self.relaxed[tier] = self.counts(&program, 0, &tight.relaxed.columns);
                    self.covers[tier] = cover_duals(&program, 0, &tight.plain_duals);
                    tight.keep(&mut self.cuts, &tiers);
                }
                Err(LinearError::Infeasible) => {
                    let name = &self.problem.tiers[tier].name;
                    self.infeasible = Some(format!("the limits of {name} by themselves"));
                }
                Err(LinearError::Stopped) => {}
            }
            return;
        }
        let each = (WINDOW_COLUMNS * steps / self.columns_of(tier)).max(1);
        let mut share = 0.0;
        for from in (0..steps).step_by(each) {
            let window = (from, (from + each).min(steps));
            share += may_go_on()
                .and_then(|effort| {
                    let program = Program::new(&self.scope(&[tier], window));
                    let relaxed = program.linear.relax(&effort).ok()?;
                    Some(program.linear.proof(&relaxed.duals))
                })
                .unwrap_or_else(|| window_share(self.problem, &self.problem.tiers[tier], window));
        }
        self.raise(tier, share, BoundMethod::Windows);
    }

    fn raise(&mut self, tier: usize, share: f64, method: BoundMethod) {
        if share > self.shares[tier] {
            self.shares[tier] = share;
            self.methods[tier] = method;
        }
    }

    fn counts(&self, program: &Program, block: usize, columns: &[f64]) -> Vec<Vec<f64>> {
        let block = &program.tiers[block];
        let mut counts =
            vec![vec![0.0; self.problem.steps]; self.problem.tiers[block.tier].options.len()];
        for (place, option) in block.options.iter().enumerate() {
            for (step, count) in counts[*option].iter_mut().enumerate() {
                *count = columns[block.on(place, step)];
            }
        }
        counts
    }

    /// Prices levels and shared limits by one linear program over everything.
    fn relax_together(
        &mut self,
        all: &[usize],
        limits: &Limits,
        effort: &Effort,
        may_go_on: &mut dyn FnMut() -> Option<Effort>,
    ) {
        let scope = Scope {
            limits: Some(limits),
            ..self.scope(all, (0, self.problem.steps))
        };
        let mut program = Program::new(&scope);
        let constant = add_rest(self.problem, &mut program);
        // With the rows that the tiers have already, or it could prove less than they do by themselves.
        for (block, tier) in all.iter().enumerate() {
            program.add_cuts(&scope, block, &self.cuts[*tier]);
        }
        let tight = match tightened(&mut program, &scope, (effort, JOINT_PARTS), may_go_on) {
            Ok(tight) => tight,
            Err(error) => {
                if error == LinearError::Infeasible {
                    self.infeasible = Some("the limits of all tiers together".to_owned());
                }
                return;
            }
        };
        let relaxation = Split::new(&program, &tight.relaxed.duals);
        self.rest = relaxation.rest + constant;
        self.shares = relaxation.shares;
        self.methods.fill(BoundMethod::Relaxation);
        self.joint = Some(relaxation.prices);
        let blocks = 0..all.len();
        self.covers = blocks
            .clone()
            .map(|block| cover_duals(&program, block, &tight.plain_duals))
            .collect();
        self.relaxed = blocks
            .map(|block| self.counts(&program, block, &tight.relaxed.columns))
            .collect();
        tight.keep(&mut self.cuts, all);
    }

    /// What is left between the bound and a plan's cost, tier by tier. Shape: `[tier]`.
    pub(crate) fn room(&self, plan: &Plan) -> Vec<f64> {
        let tiers = self
            .problem
            .tiers
            .iter()
            .zip(&plan.counts)
            .zip(&self.shares);
        tiers
            .map(|((tier, counts), share)| tier_cost(self.problem, tier, counts) - share)
            .collect()
    }

    /// Whether nothing can raise a tier's share further.
    pub(crate) fn settled(&self, tier: usize) -> bool {
        self.methods[tier] == BoundMethod::Optimum
    }

    /// Raises a tier's share by branch-and-bound from a plan; gives the counts that it found.
    pub(crate) fn branch(
        &mut self,
        tier: usize,
        (plan, levels): (&Plan, &[usize]),
        effort: &Effort,
    ) -> Option<Vec<Vec<u32>>> {
        if self.columns_of(tier) > COLUMNS_MAX || (self.chooses() && self.joint.is_none()) {
            return None;
        }
        let tiers = [tier];
        let scope = self.scope(&tiers, (0, self.problem.steps));
        let mut program = Program::new(&scope);
        if let Some(prices) = &self.joint {
            charge(self.problem, &mut program, tier, prices);
        }
        program.add_cuts(&scope, 0, &self.cuts[tier]);
        let start = program.read(self.problem, plan, levels);
        match program.linear.branch(effort, Some(&start)) {
            Ok(branched) => {
                let method = if branched.finished {
                    BoundMethod::Optimum
                } else {
                    BoundMethod::Branches
                };
                self.raise(tier, branched.bound, method);
                let columns = branched.columns?;
                let mut found = plan.clone();
                program.write(&columns, &mut found);
                Some(found.counts.swap_remove(tier))
            }
            Err(LinearError::Infeasible | LinearError::Stopped) => None,
        }
    }

    /// What one unit less of a resource at a step would save; `None` without a relaxation.
    pub(crate) fn cover_price(&self, tier: usize, step: usize, resource: usize) -> Option<f64> {
        let prices = self.covers[tier].get(step)?;
        // A dual value of nothing may carry a sign.
        prices.get(resource).map(|price| price.max(0.0) + 0.0)
    }

    /// What the relaxation of a tier proves in a problem that may free it of a rule; `None` where there
    /// is no answer.
    pub(crate) fn tier_proof(
        &self,
        tier: usize,
        problem: &Problem,
        effort: &Effort,
    ) -> Option<f64> {
        if self.columns_of(tier) > COLUMNS_MAX || (self.chooses() && self.joint.is_none()) {
            return None;
        }
        let tiers = [tier];
        let scope = Scope {
            problem,
            ..self.scope(&tiers, (0, self.problem.steps))
        };
        let mut program = Program::new(&scope);
        if let Some(prices) = &self.joint {
            charge(problem, &mut program, tier, prices);
        }
        let relaxed = program.linear.relax(effort).ok()?;
        Some(program.linear.proof(&relaxed.duals))
    }

    /// Whether the whole problem is small enough for branch-and-bound at once.
    pub(crate) fn small(&self) -> bool {
        let columns: usize = (0..self.problem.tiers.len())
            .map(|tier| self.columns_of(tier))
            .sum();
        columns <= WHOLE_COLUMNS_MAX
    }

    /// Bounds everything at once by branch-and-bound from a plan; gives the counts that it found and
    /// the levels that they cover.
    pub(crate) fn branch_whole(
        &mut self,
        (plan, levels): (&Plan, &[usize]),
        effort: &Effort,
    ) -> Option<(Plan, Vec<usize>)> {
        let all: Vec<usize> = (0..self.problem.tiers.len()).collect();
        let limits = self.all_limits();
        let scope = Scope {
            limits: Some(&limits),
            ..self.scope(&all, (0, self.problem.steps))
        };
        let mut program = Program::new(&scope);
        let constant = add_rest(self.problem, &mut program);
        for (block, cuts) in self.cuts.iter().enumerate() {
            program.add_cuts(&scope, block, cuts);
        }
        let start = program.read(self.problem, plan, levels);
        let branched = program.linear.branch(effort, Some(&start)).ok()?;
        let bound = branched.bound + constant;
        if self.whole.is_none_or(|(known, _)| bound > known) {
            let method = if branched.finished {
                BoundMethod::Optimum
            } else {
                BoundMethod::Branches
            };
            self.whole = Some((bound, method));
        }
        let columns = branched.columns?;
        let mut found = plan.clone();
        program.write(&columns, &mut found);
        Some((found, program.chosen(&columns, self.problem.level_max)))
    }

    /// The bound as it stands.
    pub(crate) fn bound(&self) -> Bound {
        let shares = self
            .shares
            .iter()
            .zip(&self.methods)
            .zip(&self.problem.tiers);
        let tiers: Vec<TierBound> = shares
            .map(|((cost, method), tier)| TierBound {
                tier: tier.name.clone(),
                cost: *cost,
                method: *method,
            })
            .collect();
        let cost = self.rest + tiers.iter().map(|tier| tier.cost).sum::<f64>();
        let whole = self.whole.filter(|(whole, _)| *whole > cost);
        let weakest = tiers.iter().map(|tier| tier.method).min();
        Bound {
            cost: whole.map_or(cost, |(whole, _)| whole).max(0.0),
            method: whole.map_or(weakest, |(_, method)| Some(method)),
            whole: whole.is_some(),
            rest: self.rest,
            tiers,
            joint: self.joint.is_some(),
        }
    }
}

/// Dual values of what a tier must cover. Shape: `[step][resource]`.
fn cover_duals(program: &Program, block: usize, duals: &[f64]) -> Vec<Vec<f64>> {
    let cover = program.tiers[block].cover.iter();
    cover
        .map(|(first, count)| duals[*first..first + count].to_vec())
        .collect()
}

/// Cost of a tier's counts.
fn tier_cost(problem: &Problem, tier: &Tier, counts: &[Vec<u32>]) -> f64 {
    let mut cost = 0.0;
    for (option, series) in tier.options.iter().zip(counts) {
        let mut before = option.initial;
        for count in series {
            cost += option.price_per_hour * problem.step_hours * f64::from(*count);
            cost += option.start_price * f64::from(count.saturating_sub(before));
            before = *count;
        }
    }
    cost
}

/// An effort without a limit of time.
#[cfg(test)]
pub(crate) fn effort(nodes: u32, iterations: u32) -> Effort {
    Effort {
        nodes,
        iterations,
        time: None,
        heuristics: 0.05,
    }
}

#[cfg(test)]
mod tests;
