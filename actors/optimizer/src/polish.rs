//! Polishing a plan: windows of it are planned anew by branch-and-bound, the rest stays.
//!
//! A window is a stretch of steps of one tier at the levels that the plan covers, or of all tiers with
//! levels chosen anew. Windows grow while the solver ends them and shrink when it does not, so the work
//! of each stays bounded. A replacement is kept when the judge finds the plan allowed and cheaper; a
//! plan never gets worse.

use crate::evaluate::{Evaluation, evaluate};
use crate::linear::Effort;
use crate::pieces;
use crate::plan::Plan;
use crate::problem::{Problem, TOLERANCE, Tier};
use crate::program::{Levels, Limits, Program, Scope};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Columns of the first windows.
const COLUMNS_FIRST: f64 = 300.0;
/// Least and most columns of a window.
const COLUMNS_LEAST: f64 = 60.0;
const COLUMNS_MOST: f64 = 12_000.0;
/// Growth of the windows after one that was solved to its end.
const GROWTH: f64 = 1.15;
/// Shrinking after one that was not.
const SHRINKING: f64 = 0.75;
/// Share of the windows that choose levels anew, where there is a choice.
const CHOOSING_SHARE: f64 = 0.4;

/// A plan under polish.
#[derive(Debug)]
pub(crate) struct Polisher<'a> {
    problem: &'a Problem,
    pub(crate) plan: Plan,
    pub(crate) evaluation: Evaluation,
    /// Spend on volumes and link. Shape: `[step]`.
    fixed: Vec<f64>,
    /// Virtual CPUs and spend of each tier. Shape: `[tier][step]`.
    used: Vec<Vec<(f64, f64)>>,
    /// Columns that a window should have: at given levels, and choosing levels.
    columns: [f64; 2],
    /// Windows tried.
    pub(crate) windows: u64,
}

/// A window to plan anew.
#[derive(Clone, Debug)]
struct Window {
    tiers: Vec<usize>,
    from: usize,
    to: usize,
    choosing: bool,
}

impl<'a> Polisher<'a> {
    /// Starts from an allowed plan.
    pub(crate) fn new(problem: &'a Problem, plan: Plan) -> Self {
        let evaluation = evaluate(problem, &plan);
        debug_assert!(evaluation.feasible(), "only allowed plans are polished");
        let mut polisher = Self {
            problem,
            plan,
            evaluation,
            fixed: Vec::new(),
            used: Vec::new(),
            columns: [COLUMNS_FIRST; 2],
            windows: 0,
        };
        polisher.refresh();
        polisher
    }

    fn refresh(&mut self) {
        let nanos = pieces::spend(self.problem, &self.plan);
        self.fixed = nanos.iter().map(|nanos| nanos / 1e9).collect();
        let tiers = self.problem.tiers.iter().zip(&self.plan.counts);
        self.used = tiers
            .map(|(tier, counts)| usage(self.problem, tier, counts))
            .collect();
    }

    /// Covered level of each step; an allowed plan covers one everywhere.
    pub(crate) fn levels(&self) -> Vec<usize> {
        let levels = self.evaluation.levels.iter();
        levels
            .map(|level| level.unwrap_or(self.problem.level_min))
            .collect()
    }

    /// Keeps another plan when it is allowed and cheaper.
    pub(crate) fn offer(&mut self, plan: Plan) -> bool {
        let evaluation = evaluate(self.problem, &plan);
        if !evaluation.feasible() || evaluation.cost >= self.evaluation.cost - 1e-9 {
            return false;
        }
        (self.plan, self.evaluation) = (plan, evaluation);
        self.resettle();
        self.refresh();
        true
    }

    /// Settles volumes and link for the covered levels, when that is cheaper.
    fn resettle(&mut self) {
        if self.problem.level_min == self.problem.level_max {
            return;
        }
        let mut plan = self.plan.clone();
        if pieces::settle(self.problem, &self.levels(), &mut plan).is_err() || plan == self.plan {
            return;
        }
        let evaluation = evaluate(self.problem, &plan);
        if evaluation.feasible() && evaluation.cost < self.evaluation.cost {
            (self.plan, self.evaluation) = (plan, evaluation);
        }
    }

    /// Keeps a plan with volumes and link settled for these levels, when it is allowed and cheaper.
    pub(crate) fn offer_settled(&mut self, mut plan: Plan, levels: &[usize]) -> bool {
        pieces::settle(self.problem, levels, &mut plan).is_ok() && self.offer(plan)
    }

    /// Keeps counts of one tier, found elsewhere, when the plan with them is allowed and cheaper.
    pub(crate) fn offer_tier(&mut self, tier: usize, counts: Vec<Vec<u32>>) -> bool {
        let mut plan = self.plan.clone();
        plan.counts[tier] = counts;
        self.offer(plan)
    }

    /// Plans one window anew; says whether the plan got cheaper. `weights` say how often each tier has
    /// its turn.
    pub(crate) fn round(&mut self, weights: &[f64], effort: &Effort, rng: &mut ChaCha8Rng) -> bool {
        let window = self.draw(weights, rng);
        let kind = usize::from(window.choosing);
        self.windows += 1;
        let (levels, highest) = (self.levels(), self.highest(&window));
        let limits = self.limits(&window);
        let program = Program::new(&Scope {
            problem: self.problem,
            tiers: &window.tiers,
            window: (window.from, window.to),
            levels: if window.choosing {
                Levels::UpTo(&highest)
            } else {
                Levels::Given(&levels)
            },
            around: Some(&self.plan),
            limits: Some(&limits),
        });
        let start = program.read(self.problem, &self.plan, &levels);
        let Ok(branched) = program.linear.branch(effort, Some(&start)) else {
            self.columns[kind] = (self.columns[kind] * SHRINKING).max(COLUMNS_LEAST);
            return false;
        };
        let by = if branched.finished { GROWTH } else { SHRINKING };
        self.columns[kind] = (self.columns[kind] * by).clamp(COLUMNS_LEAST, COLUMNS_MOST);
        let Some(columns) = branched.columns else {
            return false;
        };
        let mut plan = self.plan.clone();
        program.write(&columns, &mut plan);
        plan != self.plan && self.offer(plan)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the horizon"
    )]
    fn draw(&self, weights: &[f64], rng: &mut ChaCha8Rng) -> Window {
        let problem = self.problem;
        let choosing = problem.level_min < problem.level_max && rng.random_bool(CHOOSING_SHARE);
        let tiers: Vec<usize> = if choosing {
            (0..problem.tiers.len()).collect()
        } else {
            vec![pick(weights, rng)]
        };
        let each: usize = tiers
            .iter()
            .map(|tier| 2 * problem.tiers[*tier].options.len())
            .sum();
        let most = self.columns[usize::from(choosing)] / each.max(1) as f64;
        let length = (most.round().clamp(2.0, problem.steps as f64) as usize).min(problem.steps);
        // The ends of the horizon come to their turn as often as its middle.
        let reach = problem.steps + length;
        let middle = rng.random_range(0..reach);
        let from = middle.saturating_sub(length).min(problem.steps - length);
        Window {
            tiers,
            from,
            to: from + length,
            choosing,
        }
    }

    /// Highest level that volumes and link cover within the window, the covered level outside.
    fn highest(&self, window: &Window) -> Vec<usize> {
        let problem = self.problem;
        let mut highest = self.levels();
        if window.choosing {
            for (step, level) in highest
                .iter_mut()
                .enumerate()
                .take(window.to)
                .skip(window.from)
            {
                let above = (*level..=problem.level_max).rev();
                let covers = |level: &usize| pieces::covers(problem, &self.plan, step, *level);
                *level = above.into_iter().find(covers).unwrap_or(*level);
            }
        }
        highest
    }

    /// What the rest of the plan leaves of the shared limits.
    fn limits(&self, window: &Window) -> Limits {
        let problem = self.problem;
        let mut limits = Limits {
            vcpu: vec![problem.vcpu_quota; problem.steps],
            spend: vec![problem.step_spend_max; problem.steps],
            budget: f64::INFINITY,
            risk: f64::INFINITY,
        };
        let mut planned = 0.0;
        for (tier, used) in self.used.iter().enumerate() {
            let inside = window.tiers.contains(&tier);
            for (step, (vcpu, spend)) in used.iter().enumerate() {
                if !inside {
                    limits.vcpu[step] -= vcpu;
                    limits.spend[step] -= spend;
                } else if step >= window.from {
                    planned += spend;
                }
            }
        }
        for (left, fixed) in limits.spend.iter_mut().zip(&self.fixed) {
            *left -= fixed;
        }
        if window.choosing {
            let levels = self.levels();
            let outside = levels.iter().enumerate();
            let outside = outside.filter(|(step, _)| *step < window.from || *step >= window.to);
            let risk =
                outside.map(|(step, level)| problem.step_weight[step] * problem.uncovered(*level));
            limits.risk = problem.risk_budget + TOLERANCE * 0.5 - risk.sum::<f64>();
            // The spend after the tail of the window is part of both sides and cancels.
            let left = problem.budget - self.evaluation.spend;
            if left < 0.3 * problem.budget {
                limits.budget = left + planned - self.after_tail(window);
            }
        }
        limits
    }

    /// Spend of the window's tiers on steps that its program does not reach.
    fn after_tail(&self, window: &Window) -> f64 {
        let tail = window.tiers.iter().map(|tier| {
            let tier = &self.problem.tiers[*tier];
            tier.min_up_steps.max(tier.delay_steps).max(1)
        });
        let end = (window.to + tail.max().unwrap_or(1)).min(self.problem.steps);
        let tiers = window.tiers.iter();
        tiers
            .flat_map(|tier| &self.used[*tier][end..])
            .map(|(_, spend)| spend)
            .sum()
    }
}

/// Virtual CPUs and spend of a tier. Shape: `[step]`.
fn usage(problem: &Problem, tier: &Tier, counts: &[Vec<u32>]) -> Vec<(f64, f64)> {
    let mut used = vec![(0.0, 0.0); problem.steps];
    for (option, series) in tier.options.iter().zip(counts) {
        let mut before = option.initial;
        for (used, count) in used.iter_mut().zip(series) {
            used.0 += option.vcpu * f64::from(*count);
            used.1 += option.price_per_hour * problem.step_hours * f64::from(*count)
                + option.start_price * f64::from(count.saturating_sub(before));
            before = *count;
        }
    }
    used
}

/// Draws an index in proportion to its weight.
fn pick(weights: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let total: f64 = weights.iter().map(|weight| weight.max(0.0)).sum();
    let mut at = rng.random::<f64>() * total;
    for (index, weight) in weights.iter().enumerate() {
        at -= weight.max(0.0);
        if at < 0.0 {
            return index;
        }
    }
    weights.len() - 1
}

#[cfg(test)]
mod tests;
