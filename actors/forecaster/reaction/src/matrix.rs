//! Small symmetric systems.

/// A symmetric matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Symmetric {
    pub(crate) width: usize,
    pub(crate) values: Vec<f64>,
}

impl Symmetric {
    pub(crate) fn zero(width: usize) -> Self {
        Self {
            width,
            values: vec![0.0; width * width],
        }
    }

    pub(crate) fn get(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.width + column]
    }

    pub(crate) fn get_mut(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.values[row * self.width + column]
    }

    /// Adds `weight` times a row times itself.
    pub(crate) fn add_square(&mut self, row: &[f64], weight: f64) {
        for (left, at) in row.iter().zip(0..self.width) {
            if *left == 0.0 {
                continue;
            }
            let sums = &mut self.values[at * self.width..(at + 1) * self.width];
            for (sum, right) in sums.iter_mut().zip(row) {
                *sum += weight * left * right;
            }
        }
    }

    /// Its inverse by Cholesky; `None` where it is not positive definite to twelve digits.
    pub(crate) fn inverse(&self) -> Option<Self> {
        let width = self.width;
        let mut lower = vec![0.0; width * width];
        for row in 0..width {
            for column in 0..=row {
                let inner = (0..column)
                    .map(|at| lower[row * width + at] * lower[column * width + at])
                    .sum::<f64>();
                let rest = self.get(row, column) - inner;
                let least = 1e-12 * self.get(row, row).abs();
                if row == column && (rest.is_nan() || rest <= least) {
                    return None;
                }
                if row == column {
                    lower[row * width + row] = rest.sqrt();
                } else {
                    lower[row * width + column] = rest / lower[column * width + column];
                }
            }
        }
        let mut inverse = Self::zero(width);
        for unit in 0..width {
            let mut solved = vec![0.0; width];
            for row in unit..width {
                let own = if row == unit { 1.0 } else { 0.0 };
                let inner: f64 = (unit..row)
                    .map(|at| lower[row * width + at] * solved[at])
                    .sum();
                solved[row] = (own - inner) / lower[row * width + row];
            }
            for row in (0..width).rev() {
                let inner: f64 = (row + 1..width)
                    .map(|at| lower[at * width + row] * solved[at])
                    .sum();
                solved[row] = (solved[row] - inner) / lower[row * width + row];
            }
            for (row, value) in solved.into_iter().enumerate() {
                *inverse.get_mut(row, unit) = value;
            }
        }
        Some(inverse)
    }

    /// The product with a vector.
    pub(crate) fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.values
            .chunks_exact(self.width.max(1))
            .map(|row| {
                row.iter()
                    .zip(vector)
                    .map(|(left, right)| left * right)
                    .sum()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes() {
        let mut matrix = Symmetric::zero(3);
        for row in [[2.0, 1.0, 0.5], [0.0, 3.0, -1.0], [1.0, 0.0, 4.0]] {
            matrix.add_square(&row, 1.5);
        }
        let inverse = matrix.inverse().expect("positive definite");
        let there = matrix.times(&[1.0, -2.0, 3.0]);
        for (found, expected) in inverse.times(&there).iter().zip([1.0, -2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-9, "{found}");
        }
        let mut flat = Symmetric::zero(2);
        flat.add_square(&[1.0, 1.0], 1.0);
        assert_eq!(flat.inverse(), None);
    }
}
