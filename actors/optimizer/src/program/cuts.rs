//! Rounded rows: what whole VMs must cover beyond what their fractions do.
//!
//! A tier covers a resource when `sum of capacity_j * serving_j >= required`, with whole numbers serving.
//! For any unit and any `f` in (0, 1] the function `phi(x) = floor(x) + min(1, frac(x) / f)` is
//! nondecreasing and subadditive with `phi(0) = 0`, so `sum of phi(capacity_j / unit) * serving_j >=
//! phi(required / unit)` holds for all of them and cuts fractions off (the mixed-integer rounding
//! inequality; Nemhauser and Wolsey 1990). With levels to choose from the right side is the sum over the
//! levels of `phi(required_l / unit)` times the level's column.

use super::{Levels, Program, Scope};
use crate::problem::TOLERANCE;

/// Least violation, relative to the right side, that makes a row worth it.
const VIOLATION_MIN: f64 = 1e-3;
/// Fractions of a requirement that are told from whole numbers.
const FRACTION_MIN: f64 = 1e-3;
/// What is given up on either side for the rounding of floating-point numbers, relative.
const ROUNDING: f64 = 1e-10;
/// Share of a level's column from which its requirement decides on the rounding.
const CHOSEN_MIN: f64 = 0.1;

/// Types of a tier up to which all are tried as units, and not only those that serve.
const UNITS_MAX: usize = 6;

/// A rounded row of a tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    pub(crate) step: usize,
    resource: usize,
    unit: f64,
    fraction: f64,
}

impl Cut {
    fn rounded(&self, units: f64) -> f64 {
        let parts = units / self.unit;
        parts.floor() + ((parts - parts.floor()) / self.fraction).min(1.0)
    }

    /// Of a capacity, never too small.
    fn capacity(&self, units: f64) -> f64 {
        let parts = units * (1.0 + ROUNDING);
        self.rounded(parts) * (1.0 + ROUNDING)
    }

    /// Of a requirement, never too large.
    fn required(&self, units: f64) -> f64 {
        let parts = units * (1.0 - ROUNDING);
        self.rounded(parts) * (1.0 - ROUNDING)
    }
}

impl Program {
    /// Finds, for each step and resource of a block, the rounded row that values of the columns break most.
    ///
    /// The program must be one of the whole horizon without a plan around it.
    pub(crate) fn broken_cuts(&self, scope: &Scope<'_>, block: usize, columns: &[f64]) -> Vec<Cut> {
        let tier = &scope.problem.tiers[self.tiers[block].tier];
        let mut cuts = Vec::new();
        for step in self.from..self.to {
            let serving = self.serving(scope, block, step, columns);
            for resource in 0..tier.resources {
                cuts.extend(self.broken_cut(scope, (block, step, resource), (&serving, columns)));
            }
        }
        cuts
    }

    fn broken_cut(
        &self,
        scope: &Scope<'_>,
        (block, step, resource): (usize, usize, usize),
        (serving, columns): (&[f64], &[f64]),
    ) -> Option<Cut> {
        let options = &self.tiers[block].options;
        let tier = &scope.problem.tiers[self.tiers[block].tier];
        let capacity = |place: usize| tier.options[options[place]].capacity[resource];
        let required = self.requirement(scope, (block, step, resource));
        let share = |column: Option<usize>| column.map_or(1.0, |column| columns[column]);
        let mut best: Option<(f64, Cut)> = None;
        for (place, serves) in serving.iter().enumerate() {
            let unit = capacity(place);
            if unit <= 0.0 || (*serves <= 1e-6 && serving.len() > UNITS_MAX) {
                continue;
            }
            for (units, column) in &required {
                let parts = units / unit;
                let fraction = parts - parts.floor();
                if share(*column) < CHOSEN_MIN || fraction < FRACTION_MIN {
                    continue;
                }
                let cut = Cut {
                    step,
                    resource,
                    unit,
                    fraction,
                };
                let right: f64 = required
                    .iter()
                    .map(|(units, column)| cut.required(*units) * share(*column))
                    .sum();
                let have = serving.iter().enumerate();
                let have: f64 = have
                    .map(|(place, serves)| cut.capacity(capacity(place)) * serves)
                    .sum();
                let broken = (right - have) / right.max(1.0);
                if broken > best.map_or(VIOLATION_MIN, |(most, _)| most) {
                    best = Some((broken, cut));
                }
            }
        }
        best.map(|(_, cut)| cut)
    }

    /// Adds rounded rows to a block.
    pub(crate) fn add_cuts(&mut self, scope: &Scope<'_>, block: usize, cuts: &[Cut]) {
        let tier = &scope.problem.tiers[self.tiers[block].tier];
        for cut in cuts {
            let mut terms = Vec::new();
            let place = cut.step - self.from;
            for (at, option) in self.tiers[block].options.iter().enumerate() {
                let by = cut.capacity(tier.options[*option].capacity[cut.resource]);
                if by <= 0.0 {
                    continue;
                }
                terms.push((self.tiers[block].on(at, place), by));
                let first = (place + 1).saturating_sub(tier.delay_steps);
                let warming = (first..=place).filter(|_| tier.delay_steps > 0);
                terms.extend(warming.map(|step| (self.tiers[block].started(at, step), -by)));
            }
            let mut low = 0.0;
            for (units, column) in self.requirement(scope, (block, cut.step, cut.resource)) {
                match column {
                    Some(column) => terms.push((column, -cut.required(units))),
                    None => low = cut.required(units),
                }
            }
            let row = self.linear.row((low, f64::INFINITY), &terms);
            self.tiers[block].cuts.push((place, row));
        }
    }

    /// VMs of each type of a block that serve. Shape: `[place of the type]`.
    fn serving(&self, scope: &Scope<'_>, block: usize, step: usize, columns: &[f64]) -> Vec<f64> {
        let block = &self.tiers[block];
        let delay = scope.problem.tiers[block.tier].delay_steps;
        let place = step - self.from;
        let first = (place + 1).saturating_sub(delay);
        let of = |at: usize| {
            let warming = (first..=place).filter(|_| delay > 0);
            let warming: f64 = warming.map(|step| columns[block.started(at, step)]).sum();
            (columns[block.on(at, place)] - warming).max(0.0)
        };
        (0..block.options.len()).map(of).collect()
    }

    /// What must be covered, with the column of its level where there is a choice.
    fn requirement(
        &self,
        scope: &Scope<'_>,
        (block, step, resource): (usize, usize, usize),
    ) -> Vec<(f64, Option<usize>)> {
        let problem = scope.problem;
        let tier = &problem.tiers[self.tiers[block].tier];
        let required = |level: usize| {
            let units = tier.required(step, level, problem.levels.len())[resource];
            units - TOLERANCE * units.max(1.0)
        };
        match scope.levels {
            Levels::Given(levels) => vec![(required(levels[step]), None)],
            Levels::UpTo(_) => self.choices[step - self.from]
                .iter()
                .map(|(level, column)| (required(*level), Some(*column)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
