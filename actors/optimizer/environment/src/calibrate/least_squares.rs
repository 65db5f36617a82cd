//! Small dense least squares.

/// A square matrix by rows.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// Largest number of unknowns: the classes of a stack and one more, twice over.
const TURNS_PER_UNKNOWN: usize = 4;
/// Gradient below which nothing is to be won, relative to the largest.
const TOLERANCE: f64 = 1e-12;

/// Sums for least squares, row by row: bounded memory however many rows come.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    pub(crate) matrix: Matrix,
    pub(crate) right: Vec<f64>,
    pub(crate) rows: usize,
    squares: f64,
}

impl Normal {
    pub(crate) fn new(unknowns: usize) -> Self {
        Self {
            matrix: vec![vec![0.0; unknowns]; unknowns],
            right: vec![0.0; unknowns],
            rows: 0,
            squares: 0.0,
        }
    }

    /// Adds the equation `row * x = value`.
    pub(crate) fn add(&mut self, row: &[f64], value: f64) {
        for (line, left) in self.matrix.iter_mut().zip(row) {
            for (cell, right) in line.iter_mut().zip(row) {
                *cell += left * right;
            }
        }
        for (cell, left) in self.right.iter_mut().zip(row) {
            *cell += left * value;
        }
        self.squares += value * value;
        self.rows += 1;
    }

    /// Sums the squares of what a solution leaves.
    pub(crate) fn residual(&self, solution: &[f64]) -> f64 {
        let twice: f64 = self.right.iter().zip(solution).map(|(b, x)| b * x).sum();
        let square: f64 = self
            .matrix
            .iter()
            .zip(solution)
            .map(|(line, x)| x * dot(line, solution))
            .sum();
        (self.squares - 2.0 * twice + square).max(0.0)
    }
}

/// Solves for what is not negative.
///
/// # Source
/// C. Lawson, R. Hanson, "Solving Least Squares Problems", chapter 23, on the normal equations.
pub(crate) fn non_negative(normal: &Normal) -> Vec<f64> {
    let unknowns = normal.right.len();
    let mut solution = vec![0.0; unknowns];
    let mut free = vec![false; unknowns];
    let largest = normal
        .right
        .iter()
        .fold(0.0_f64, |most, b| most.max(b.abs()));
    for _ in 0..unknowns * TURNS_PER_UNKNOWN {
        let gradient: Vec<f64> = normal
            .matrix
            .iter()
            .zip(&normal.right)
            .map(|(line, b)| b - dot(line, &solution))
            .collect();
        let steepest = (0..unknowns)
            .filter(|at| !free.get(*at).copied().unwrap_or(true))
            .max_by(|a, b| value(&gradient, *a).total_cmp(&value(&gradient, *b)));
        let Some(chosen) = steepest.filter(|at| value(&gradient, *at) > TOLERANCE * largest) else {
            break;
        };
        set(&mut free, chosen, true);
        while let Some(wanted) = solve_free(normal, &free) {
            // As far towards the wanted as nothing becomes negative.
            let step = (0..unknowns)
                .filter(|at| free.get(*at) == Some(&true) && value(&wanted, *at) <= 0.0)
                .map(|at| {
                    let here = value(&solution, at);
                    here / (here - value(&wanted, at)).max(f64::MIN_POSITIVE)
                })
                .fold(1.0, f64::min);
            for (x, target) in solution.iter_mut().zip(&wanted) {
                *x = (*x + step * (target - *x)).max(0.0);
            }
            let is_inside = (0..unknowns)
                .filter(|at| free.get(*at) == Some(&true))
                .all(|at| value(&wanted, at) > 0.0);
            if is_inside {
                break;
            }
            for at in 0..unknowns {
                if free.get(at) == Some(&true) && value(&solution, at) <= 0.0 {
                    set(&mut free, at, false);
                }
            }
            if free.iter().all(|is_free| !is_free) {
                break;
            }
        }
    }
    solution
}

fn solve_free(normal: &Normal, free: &[bool]) -> Option<Vec<f64>> {
    let places: Vec<usize> = (0..free.len())
        .filter(|at| free.get(*at) == Some(&true))
        .collect();
    let matrix: Matrix = places
        .iter()
        .filter_map(|at| normal.matrix.get(*at))
        .map(|line| places.iter().map(|at| value(line, *at)).collect())
        .collect();
    let right: Vec<f64> = places.iter().map(|at| value(&normal.right, *at)).collect();
    let found = solve(&matrix, &right)?;
    let mut solution = vec![0.0; free.len()];
    for (at, x) in places.into_iter().zip(found) {
        if let Some(cell) = solution.get_mut(at) {
            *cell = x;
        }
    }
    Some(solution)
}

/// Solves a symmetric positive system; `None` when it is singular.
pub(crate) fn solve(matrix: &Matrix, right: &[f64]) -> Option<Vec<f64>> {
    let factor = cholesky(matrix)?;
    let mut forward: Vec<f64> = Vec::with_capacity(right.len());
    for (line, b) in factor.iter().zip(right) {
        let pivot = line.get(forward.len()).copied()?;
        let x = (b - dot(line, &forward)) / pivot;
        forward.push(x);
    }
    let mut solution = forward;
    for at in (0..factor.len()).rev() {
        let mut x = value(&solution, at);
        for below in at + 1..factor.len() {
            x -= factor.get(below).map_or(0.0, |line| value(line, at)) * value(&solution, below);
        }
        let pivot = factor.get(at).map_or(1.0, |line| value(line, at));
        if let Some(cell) = solution.get_mut(at) {
            *cell = x / pivot;
        }
    }
    Some(solution)
}

/// Inverts a symmetric positive matrix; `None` when it is singular.
pub(crate) fn inverse(matrix: &Matrix) -> Option<Matrix> {
    let size = matrix.len();
    // The inverse is symmetric, so that its columns are its rows.
    (0..size)
        .map(|at| {
            let mut unit = vec![0.0; size];
            if let Some(cell) = unit.get_mut(at) {
                *cell = 1.0;
            }
            solve(matrix, &unit)
        })
        .collect()
}

/// The lower factor of a symmetric positive matrix, each line up to its pivot.
fn cholesky(matrix: &Matrix) -> Option<Matrix> {
    let mut factor: Matrix = Vec::with_capacity(matrix.len());
    for (row, line) in matrix.iter().enumerate() {
        let mut made: Vec<f64> = Vec::with_capacity(row + 1);
        for (column, cell) in line.iter().take(row + 1).enumerate() {
            let above: &[f64] = factor.get(column).map_or(&[], Vec::as_slice);
            let value = if column == row {
                let rest = cell - dot(&made, &made);
                if rest.is_nan() || rest <= cell.abs() * 1e-14 {
                    return None;
                }
                rest.sqrt()
            } else {
                (cell - dot(&made, above)) / above.get(column).copied()?
            };
            made.push(value);
        }
        factor.push(made);
    }
    Some(factor)
}

/// Multiplies as far as both go.
pub(crate) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

pub(crate) fn value(values: &[f64], at: usize) -> f64 {
    values.get(at).copied().unwrap_or(0.0)
}

fn set(flags: &mut [bool], at: usize, flag: bool) {
    if let Some(cell) = flags.get_mut(at) {
        *cell = flag;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(rows: &[(&[f64], f64)]) -> Normal {
        let mut normal = Normal::new(rows[0].0.len());
        for (row, value) in rows {
            normal.add(row, *value);
        }
        normal
    }

    #[test]
    fn a_positive_solution_is_the_ordinary_one() {
        let normal = normal(&[(&[1.0, 2.0], 8.0), (&[3.0, 1.0], 9.0), (&[1.0, 1.0], 5.0)]);
        let found = non_negative(&normal);
        assert!(
            (found[0] - 2.0).abs() < 1e-9 && (found[1] - 3.0).abs() < 1e-9,
            "{found:?}"
        );
        assert!(normal.residual(&found) < 1e-9);
    }

    #[test]
    fn what_would_be_negative_is_zero() {
        let normal = normal(&[(&[1.0, 1.0], 1.0), (&[1.0, 2.0], 0.5), (&[0.0, 1.0], -1.0)]);
        let found = non_negative(&normal);
        assert!(
            found[1].abs() < 1e-12 && (found[0] - 0.75).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn an_inverse_times_its_matrix_is_one() {
        let matrix = vec![
            vec![4.0, 1.0, 0.5],
            vec![1.0, 3.0, 0.2],
            vec![0.5, 0.2, 2.0],
        ];
        let inverse = inverse(&matrix).expect("not singular");
        for (row, line) in matrix.iter().enumerate() {
            for (column, other) in inverse.iter().enumerate() {
                let expected = f64::from(u8::from(row == column));
                assert!((dot(line, other) - expected).abs() < 1e-12);
            }
        }
        assert!(solve(&vec![vec![1.0, 1.0], vec![1.0, 1.0]], &[1.0, 1.0]).is_none());
    }
}
