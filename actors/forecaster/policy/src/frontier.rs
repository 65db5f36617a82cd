//! Cost at a level of misses, read off the settings of a policy.

/// Shares in percent below this count as this.
const FLOOR: f64 = 1e-3;
/// Slack of comparisons of shares.
const SLACK: f64 = 1e-12;

/// Least cost at which `x` (a share in percent) is at most `level`.
///
/// Linear in the logarithm of the share between neighbours on the Pareto front. `None` when no setting
/// reaches the level; where even the cheapest setting is below it, that one's cost, an upper bound.
/// Shape: `shares` and `costs` have one number per setting.
pub fn cost_at(shares: &[f64], costs: &[f64], level: f64) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = shares
        .iter()
        .map(|share| share.max(FLOOR))
        .zip(costs.iter().copied())
        .collect();
    points.sort_by(|one, other| {
        let by_cost = one.1.total_cmp(&other.1);
        by_cost.then(one.0.total_cmp(&other.0))
    });
    let mut front: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if front.last().is_none_or(|last| point.0 < last.0 - 1e-15) {
            front.push(point);
        }
    }
    let level = level.max(FLOOR);
    let limit = level * (1.0 + SLACK);
    let at = front.iter().position(|point| point.0 <= limit)?;
    let (share, cost) = front[at];
    let Some((share_before, cost_before)) = at.checked_sub(1).and_then(|at| front.get(at)) else {
        return Some(cost);
    };
    let along = (share_before.ln() - level.ln()) / (share_before.ln() - share.ln());
    Some(cost_before + along * (cost - cost_before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: f64, expected: Option<f64>) {
        // The third point is dominated.
        let found = cost_at(&[4.0, 1.0, 2.0, 0.25], &[1.0, 2.0, 2.5, 3.0], level);
        match (found, expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-12, "{found}"),
            _ => assert_eq!(found, expected),
        }
    }

    #[test]
    fn reads_between_the_settings() {
        check(2.0, Some(1.5));
        check(1.0, Some(2.0));
        check(0.5, Some(2.5));
        check(9.0, Some(1.0));
        check(0.1, None);
    }
}
