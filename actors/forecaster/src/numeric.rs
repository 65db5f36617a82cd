//! Conversions between number types, each with its reason in one place.

/// Narrows to the precision the network works in; not-a-number becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "features are of order one; f32 is what the network takes"
)]
pub(crate) fn narrow(value: f64) -> f32 {
    if value.is_finite() {
        value.clamp(-1e30, 1e30) as f32
    } else {
        0.0
    }
}

/// Turns a signed grid index into a position, when it is not negative.
pub(crate) fn position(index: i64) -> Option<usize> {
    usize::try_from(index).ok()
}

/// Turns a count into a signed grid index, saturating.
pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Loss of a quantile of this level: Koenker and Bassett (1978).
pub(crate) fn pinball(truth: f64, quantile: f64, level: f64) -> f64 {
    let beyond = truth - quantile;
    (level * beyond).max((level - 1.0) * beyond)
}

/// Compresses large magnitudes and keeps small ones: the inverse hyperbolic sine.
pub(crate) fn squash(value: f64) -> f32 {
    narrow(value.asinh())
}
