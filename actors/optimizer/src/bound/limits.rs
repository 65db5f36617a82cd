//! The limits that tiers share, as far as a relaxation must keep them.

use super::Prover;
use super::floor::{floor_of_spend, slackened};
use crate::pieces;
use crate::problem::TOLERANCE;
use crate::program::Limits;

impl Prover<'_> {
    pub(super) fn no_limits(&self) -> Limits {
        let problem = self.problem;
        let most: f64 = problem
            .step_weight
            .iter()
            .map(|w| w * problem.uncovered(problem.level_min))
            .sum();
        let risk = problem.risk_budget + TOLERANCE;
        Limits {
            vcpu: vec![f64::INFINITY; problem.steps],
            spend: vec![f64::INFINITY; problem.steps],
            budget: f64::INFINITY,
            risk: if most > risk { risk } else { f64::INFINITY },
        }
    }

    /// What the shared limits leave to the tiers at least.
    pub(super) fn all_limits(&self) -> Limits {
        let problem = self.problem;
        let slack = slackened(problem);
        let spend_max = problem.step_spend_max * (1.0 + TOLERANCE);
        let least = |step: usize| pieces::least_spend(&slack, step, problem.level_min);
        let floor = floor_of_spend(problem).iter().sum::<f64>();
        Limits {
            vcpu: vec![problem.vcpu_quota + TOLERANCE; problem.steps],
            spend: (0..problem.steps)
                .map(|step| spend_max - least(step))
                .collect(),
            budget: problem.budget * (1.0 + TOLERANCE) - floor,
            ..self.no_limits()
        }
    }

    /// The shared limits that the relaxation breaks; `None` when it keeps all.
    pub(super) fn broken_limits(&self) -> Option<Limits> {
        let problem = self.problem;
        if self.relaxed.len() < problem.tiers.len() || self.relaxed.iter().any(Vec::is_empty) {
            return None;
        }
        let all = self.all_limits();
        let mut limits = self.no_limits();
        let mut broken = false;
        let mut total = 0.0;
        for step in 0..problem.steps {
            let (mut vcpu, mut spend) = (0.0, 0.0);
            for (tier, counts) in problem.tiers.iter().zip(&self.relaxed) {
                for (option, series) in tier.options.iter().zip(counts) {
                    let before = step
                        .checked_sub(1)
                        .map_or(f64::from(option.initial), |at| series[at]);
                    vcpu += option.vcpu * series[step];
                    spend += option.price_per_hour * problem.step_hours * series[step]
                        + option.start_price * (series[step] - before).max(0.0);
                }
            }
            total += spend;
            if vcpu > all.vcpu[step] {
                limits.vcpu[step] = all.vcpu[step];
                broken = true;
            }
            if spend > all.spend[step] {
                limits.spend[step] = all.spend[step];
                broken = true;
            }
        }
        if total > all.budget {
            limits.budget = all.budget;
            broken = true;
        }
        broken.then_some(limits)
    }
}
