//! Regressions that learn sample by sample and forget: sums of products, and their solutions.

/// Rounds of the solver whose weights may not be negative: it changes little from one hour to the next.
const ROUNDS: usize = 30;
/// Smallest pivot, so that features that go together do no harm.
const PIVOT_MIN: f64 = 1e-12;

/// Sums of products of `N` features with each other and with a target, newer ones weighing more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Regression<const N: usize> {
    /// Row by row.
    pub(crate) products: Vec<[f64; N]>,
    pub(crate) targets: [f64; N],
    /// The solution in use.
    pub(crate) weights: [f64; N],
}

impl<const N: usize> Regression<N> {
    /// Starts from weights that hold until something was learnt.
    pub(crate) fn starting_at(weights: [f64; N]) -> Self {
        Self {
            products: vec![[0.0; N]; N],
            targets: [0.0; N],
            weights,
        }
    }

    /// Applies the weights.
    pub(crate) fn predict(&self, features: &[f64; N]) -> f64 {
        self.weights
            .iter()
            .zip(features)
            .map(|(weight, feature)| weight * feature)
            .sum()
    }

    /// Takes a target; what was taken before keeps the share `keep` of its weight.
    pub(crate) fn learn(&mut self, features: &[f64; N], target: f64, weight: f64, keep: f64) {
        let rows = self.products.iter_mut().zip(&mut self.targets);
        for ((row, sum), feature) in rows.zip(features) {
            let weighted = feature * weight;
            *sum = *sum * keep + weighted * target;
            for (product, other) in row.iter_mut().zip(features) {
                *product = *product * keep + weighted * other;
            }
        }
    }

    /// Goes over to another unit of the target and of all features but the first, which is a constant: what
    /// was 1 is `ratio` now, and what was taken weighs `weight` times as much.
    pub(crate) fn rescale(&mut self, ratio: f64, weight: f64) {
        let of = |feature: usize| if feature == 0 { 1.0 } else { ratio };
        for (row, products) in self.products.iter_mut().enumerate() {
            for (column, product) in products.iter_mut().enumerate() {
                *product *= of(row) * of(column) * weight;
            }
            self.targets[row] *= of(row) * ratio * weight;
        }
        self.weights[0] *= ratio;
    }

    /// Solves for the weights that miss least by their squares, held near `prior` with this strength.
    pub(crate) fn solve_near(&mut self, prior: &[f64; N], strength: f64) {
        let mut factor = self.products.clone();
        let mut solution = [0.0; N];
        for at in 0..N {
            factor[at][at] += strength;
            solution[at] = self.targets[at] + strength * prior[at];
        }
        // Cholesky, then forwards and backwards.
        for row in 0..N {
            for column in 0..=row {
                let product: f64 = (0..column)
                    .map(|at| factor[row][at] * factor[column][at])
                    .sum();
                let rest = factor[row][column] - product;
                factor[row][column] = if row == column {
                    rest.max(PIVOT_MIN).sqrt()
                } else {
                    rest / factor[column][column]
                };
            }
        }
        for row in 0..N {
            let done: f64 = (0..row).map(|at| factor[row][at] * solution[at]).sum();
            solution[row] = (solution[row] - done) / factor[row][row];
        }
        for row in (0..N).rev() {
            let done: f64 = (row + 1..N).map(|at| factor[at][row] * solution[at]).sum();
            solution[row] = (solution[row] - done) / factor[row][row];
        }
        if solution.iter().all(|weight| weight.is_finite()) {
            self.weights = solution;
        }
    }

    /// Solves for weights of zero or more, coordinate by coordinate, from those in use.
    pub(crate) fn solve_not_negative(&mut self, strength: f64) {
        for _ in 0..ROUNDS {
            for at in 0..N {
                let own = self.products[at][at];
                let all: f64 = (0..N)
                    .map(|to| self.products[at][to] * self.weights[to])
                    .sum();
                let rest = self.targets[at] - all + own * self.weights[at];
                let weight = rest / (own + strength);
                self.weights[at] = if weight.is_finite() {
                    weight.max(0.0)
                } else {
                    0.0
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(target: impl Fn(f64, f64) -> f64) -> Regression<3> {
        let mut regression = Regression::starting_at([0.0; 3]);
        for at in 0..200 {
            let (one, other) = (f64::from(at % 7), f64::from(at % 11));
            regression.learn(&[1.0, one, other], target(one, other), 1.0, 1.0);
        }
        regression
    }

    #[test]
    fn a_plane_is_found() {
        let mut regression = taught(|one, other| 2.0 + 0.5 * one - 0.25 * other);
        regression.solve_near(&[0.0; 3], 1e-6);
        for (weight, wanted) in regression.weights.iter().zip([2.0, 0.5, -0.25]) {
            assert!((weight - wanted).abs() < 1e-4, "{:?}", regression.weights);
        }
        // A strong prior wins over what was seen.
        regression.solve_near(&[0.0, 1.0, 0.0], 1e12);
        assert!((regression.weights[1] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn weights_that_may_not_be_negative_are_not() {
        let mut regression = taught(|one, other| 2.0 + 0.5 * one - 0.25 * other);
        for _ in 0..20 {
            regression.solve_not_negative(1e-6);
        }
        assert!(regression.weights.iter().all(|weight| *weight >= 0.0));
        assert!(
            (regression.weights[1] - 0.5).abs() < 0.05,
            "{:?}",
            regression.weights
        );
        assert!(regression.weights[2].abs() < 1e-9);
    }

    #[test]
    fn features_that_go_together_give_finite_weights() {
        let mut regression = Regression::starting_at([0.0; 2]);
        for at in 0..100 {
            regression.learn(&[f64::from(at), f64::from(at)], f64::from(at), 1.0, 0.99);
        }
        regression.solve_near(&[0.0; 2], 0.0);
        assert!((regression.predict(&[1.0, 1.0]) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn another_unit_gives_the_same_answers() {
        let mut plain = Regression::starting_at([0.0, 1.0, 0.0]);
        let mut scaled = Regression::starting_at([0.0, 1.0, 0.0]);
        let features = |at: u32, ratio: f64| {
            let wave = f64::from(at).sin();
            [0.5, ratio * (3.0 + wave), ratio * wave * wave]
        };
        for at in 0..400 {
            // In the middle of learning what was 1 becomes 1,000, and all weighs a tenth.
            let (ratio, weight) = if at < 200 { (1.0, 1.0) } else { (1e3, 0.1) };
            if at == 200 {
                scaled.rescale(1e3, 0.1);
            }
            let target = 2.0 + 0.7 * features(at, 1.0)[1];
            plain.learn(&features(at, 1.0), target, 1.0, 0.99);
            scaled.learn(&features(at, ratio), ratio * target, weight, 0.99);
        }
        plain.solve_near(&[0.0; 3], 1e-9);
        scaled.solve_near(&[0.0; 3], 1e-9);
        let (one, other) = (
            plain.predict(&features(7, 1.0)),
            scaled.predict(&features(7, 1e3)),
        );
        assert!((1e3 * one - other).abs() < 1e-3, "{one} {other}");
    }
}
