//! Least squares with a penalty, by normal equations.

/// Sums of a regression with an intercept; rows may be added in any number.
#[derive(Clone, Debug)]
pub(crate) struct Ridge {
    /// Columns, the intercept among them.
    width: usize,
    /// Lower triangle of the normal matrix, row by row.
    matrix: Vec<f64>,
    right: Vec<f64>,
    rows: f64,
}

impl Ridge {
    pub(crate) fn new(inputs: usize) -> Self {
        let width = inputs + 1;
        Self {
            width,
            matrix: vec![0.0; width * width],
            right: vec![0.0; width],
            rows: 0.0,
        }
    }

    pub(crate) fn add(&mut self, inputs: &[f32], value: f64) {
        let row: Vec<f64> = std::iter::once(1.0)
            .chain(inputs.iter().map(|input| f64::from(*input)))
            .collect();
        for (at, left) in row.iter().enumerate() {
            let sums = &mut self.matrix[at * self.width..];
            for (sum, right) in sums.iter_mut().zip(row.iter().take(at + 1)) {
                *sum += left * right;
            }
            self.right[at] += left * value;
        }
        self.rows += 1.0;
    }

    /// The weights, intercept first; `penalty` per row, not on the intercept. Zeros without rows.
    pub(crate) fn solve(mut self, penalty: f64) -> Vec<f64> {
        let width = self.width;
        for at in 0..width {
            let extra = if at == 0 { 1e-9 } else { penalty };
            self.matrix[at * width + at] += extra * self.rows.max(1.0);
        }
        // Cholesky in place; the penalty keeps the pivots positive.
        for row in 0..width {
            for column in 0..=row {
                let mut sum = self.matrix[row * width + column];
                for inner in 0..column {
                    sum -= self.matrix[row * width + inner] * self.matrix[column * width + inner];
                }
                self.matrix[row * width + column] = if row == column {
                    sum.max(f64::MIN_POSITIVE).sqrt()
                } else {
                    sum / self.matrix[column * width + column]
                };
            }
        }
        let mut weights = self.right;
        for row in 0..width {
            for inner in 0..row {
                weights[row] -= self.matrix[row * width + inner] * weights[inner];
            }
            weights[row] /= self.matrix[row * width + row];
        }
        for row in (0..width).rev() {
            for inner in row + 1..width {
                weights[row] -= self.matrix[inner * width + row] * weights[inner];
            }
            weights[row] /= self.matrix[row * width + row];
        }
        weights
    }
}

/// What weights make of inputs.
pub(crate) fn predicted(weights: &[f64], inputs: &[f32]) -> f64 {
    let rest = weights.iter().skip(1).zip(inputs);
    let sum: f64 = rest.map(|(weight, input)| weight * f64::from(*input)).sum();
    weights.first().copied().unwrap_or(0.0) + sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found() {
        let mut ridge = Ridge::new(2);
        for (x, y) in [
            (0.0_f32, 1.0_f32),
            (1.0, 0.5),
            (2.0, -1.0),
            (-1.0, 3.0),
            (0.5, 0.25),
        ] {
            ridge.add(&[x, y], 2.0 + 3.0 * f64::from(x) - 0.5 * f64::from(y));
        }
        let weights = ridge.solve(1e-9);
        for (found, expected) in weights.iter().zip([2.0, 3.0, -0.5]) {
            assert!((found - expected).abs() < 1e-5, "{weights:?}");
        }
        assert!((predicted(&weights, &[1.0, 1.0]) - 4.5).abs() < 1e-5);
    }
}
