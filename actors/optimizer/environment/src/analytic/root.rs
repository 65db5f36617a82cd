//! Roots: quantiles of distributions given by their tails, and zeros of monotone functions.

/// Steps until the digits of `f64` are used up, with room for functions that bend sharply.
const STEPS_MAX: u32 = 300;
/// Doublings of the first guess until a tail must have fallen.
const DOUBLINGS_MAX: u32 = 200;
/// Relative tolerance of functions that are exact to the last digits.
const TOLERANCE: f64 = 2.0 * f64::EPSILON;

/// Time that a share `level` does not exceed, of a law with the decreasing `tail`.
///
/// The search runs on the logarithm of the tail, which is nearly straight for exponential tails: regula
/// falsi in the Illinois form, with a bisection whenever that is slow. Zero when the tail at zero is
/// already small enough. `scale` is a first guess.
pub(crate) fn quantile(tail: impl Fn(f64) -> f64, level: f64, scale: f64) -> f64 {
    quantile_within(tail, level, scale, TOLERANCE)
}

/// As [`quantile`], to a relative `tolerance` for tails that are known no better; NaN where the tail does
/// not fall.
pub(crate) fn quantile_within(
    tail: impl Fn(f64) -> f64,
    level: f64,
    scale: f64,
    tolerance: f64,
) -> f64 {
    let target = (1.0 - level).max(f64::MIN_POSITIVE).ln();
    let gap = |time: f64| tail(time).max(f64::MIN_POSITIVE).ln() - target;
    if gap(0.0) <= 0.0 {
        return 0.0;
    }
    let mut high = scale.max(f64::MIN_POSITIVE);
    let mut low = 0.0;
    let mut doublings = 0;
    while gap(high) > 0.0 {
        low = high;
        high *= 2.0;
        doublings += 1;
        if doublings > DOUBLINGS_MAX {
            return f64::NAN;
        }
    }
    falling_root_within(gap, low, high, tolerance)
}

/// Zero between `low` and `high` of a function that falls from above zero to zero or below.
pub(crate) fn falling_root(value: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    falling_root_within(value, low, high, TOLERANCE)
}

fn falling_root_within(
    value: impl Fn(f64) -> f64,
    mut low: f64,
    mut high: f64,
    tolerance: f64,
) -> f64 {
    let (mut low_value, mut high_value) = (value(low), value(high));
    let mut was_above = None;
    for step in 0..STEPS_MAX {
        let straight = (low * high_value - high * low_value) / (high_value - low_value);
        let inside = straight > low && straight < high;
        let next = if step % 4 == 3 || !inside {
            f64::midpoint(low, high)
        } else {
            straight
        };
        if next <= low || next >= high || high - low <= tolerance * high.abs() {
            break;
        }
        let next_value = value(next);
        let above = next_value > 0.0;
        if above {
            (low, low_value) = (next, next_value);
        } else {
            (high, high_value) = (next, next_value);
        }
        // Illinois: an end that stays twice loses half of its weight.
        if was_above == Some(above) {
            if above {
                high_value *= 0.5;
            } else {
                low_value *= 0.5;
            }
        }
        was_above = Some(above);
    }
    f64::midpoint(low, high)
}
