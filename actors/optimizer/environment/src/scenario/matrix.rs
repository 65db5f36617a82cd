//! The few things that a correlation matrix is asked.

/// What is nothing beside the ones of a diagonal.
const NOTHING: f64 = 1e-9;
/// By how much of the identity a matrix that is not one of correlations is mixed each time.
const SHRINK: f64 = 0.05;

/// Lower triangular factor of a correlation matrix. Shape of both: `[row][column]`.
///
/// Estimated entry by entry, a matrix may not be one of correlations; it is then drawn towards
/// independence until it is, so that a factor always exists.
pub(super) fn factor(correlations: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut kept = 1.0_f64;
    loop {
        if let Some(lower) = cholesky(correlations, kept) {
            return lower;
        }
        kept = (kept - SHRINK).max(0.0);
    }
}

/// Factor of the matrix with its off-diagonals times `kept`, if there is one. Series that follow from
/// those before them have no share of their own.
fn cholesky(correlations: &[Vec<f64>], kept: f64) -> Option<Vec<Vec<f64>>> {
    let size = correlations.len();
    let mut lower = vec![vec![0.0; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let inner: f64 = (0..column)
                .map(|index| lower[row][index] * lower[column][index])
                .sum();
            if row == column {
                let pivot = 1.0 - inner;
                if pivot < -NOTHING {
                    return None;
                }
                lower[row][row] = if pivot > NOTHING { pivot.sqrt() } else { 0.0 };
                continue;
            }
            let rest = correlations[row][column] * kept - inner;
            if lower[column][column] > 0.0 {
                lower[row][column] = rest / lower[column][column];
            } else if rest.abs() > NOTHING.sqrt() {
                return None;
            }
        }
    }
    Some(lower)
}
