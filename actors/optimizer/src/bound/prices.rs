//! What the joint relaxation charges the tiers for shared limits and pays them for levels.

use crate::problem::Problem;
use crate::program::{Program, TierColumns};

/// What the joint relaxation charges a tier.
#[derive(Debug)]
pub(super) struct Prices {
    /// On top of the cost of its columns. Shape: `[tier][column of the tier]`.
    pub(super) columns: Vec<Vec<f64>>,
    /// Gain of covering a level. Shape: `[tier][step][level - level_min]`.
    pub(super) levels: Vec<Vec<Vec<f64>>>,
}

/// A relaxation's bound, split into tiers and the rest.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) rest: f64,
    pub(super) shares: Vec<f64>,
    pub(super) prices: Prices,
}

impl Split {
    pub(super) fn new(program: &Program, duals: &[f64]) -> Self {
        let linear = &program.linear;
        let duals: Vec<f64> = (0..linear.rows())
            .map(|row| linear.sound(row, duals[row]))
            .collect();
        let reduced = linear.reduced_costs(&duals);
        let within = |block: &TierColumns| -> f64 {
            let rows = own_rows(block).map(|row| linear.row_share(row, duals[row]));
            let columns = block.columns.0..block.columns.1;
            let columns = columns.map(|at| linear.column_share(at, reduced[at]));
            let (sum, size) = rows
                .chain(columns)
                .fold((0.0, 0.0), |(sum, size), part: f64| {
                    (sum + part, size + part.abs())
                });
            sum - 1e-11 * size
        };
        let shares: Vec<f64> = program.tiers.iter().map(within).collect();
        let whole = linear.proof(&duals);
        Self {
            rest: whole - shares.iter().sum::<f64>(),
            shares,
            prices: Prices::new(program, &duals),
        }
    }
}

impl Prices {
    pub(super) fn new(program: &Program, duals: &[f64]) -> Self {
        let linear = &program.linear;
        let mut charged = vec![0.0; linear.columns()];
        let mut shared = vec![true; duals.len()];
        for row in program.tiers.iter().flat_map(own_rows) {
            shared[row] = false;
        }
        for (row, dual) in duals.iter().enumerate().filter(|(row, _)| shared[*row]) {
            for (column, by) in linear.row_terms(row) {
                charged[*column] -= dual * by;
            }
        }
        let mut levels = Vec::new();
        for block in &program.tiers {
            let mut cuts = vec![Vec::new(); block.cover.len()];
            for (step, row) in &block.cuts {
                cuts[*step].push(*row);
            }
            let steps = program.choices.iter().zip(&block.cover).zip(&cuts);
            let gains = steps.map(|((choices, (first, count)), cuts)| {
                let gain = |column: usize| -> f64 {
                    let rows = (*first..first + count).chain(cuts.iter().copied());
                    let terms = rows
                        .flat_map(|row| linear.row_terms(row).iter().map(move |term| (row, term)));
                    let own = terms.filter(|(_, term)| term.0 == column);
                    own.map(|(row, term)| -duals[row] * term.1).sum()
                };
                choices.iter().map(|(_, column)| gain(*column)).collect()
            });
            levels.push(gains.collect());
        }
        let blocks = program.tiers.iter();
        Self {
            columns: blocks
                .map(|block| charged[block.columns.0..block.columns.1].to_vec())
                .collect(),
            levels,
        }
    }
}

/// The rows of a tier alone, the rounded ones too.
fn own_rows(block: &TierColumns) -> impl Iterator<Item = usize> + '_ {
    let cuts = block.cuts.iter().map(|(_, row)| *row);
    (block.rows.0..block.rows.1).chain(cuts)
}

/// Puts the prices of the joint relaxation on a tier's own program.
pub(super) fn charge(problem: &Problem, program: &mut Program, tier: usize, prices: &Prices) {
    let (first, _) = program.tiers[0].columns;
    for (place, price) in prices.columns[tier].iter().enumerate() {
        program.linear.charge(first + place, *price);
    }
    for (step, choices) in program.choices.clone().iter().enumerate() {
        for (place, (level, column)) in choices.iter().enumerate() {
            let penalty = problem.penalty[step * problem.levels.len() + level];
            let gain = prices.levels[tier][step][place];
            program.linear.charge(*column, -penalty - gain);
        }
    }
}
