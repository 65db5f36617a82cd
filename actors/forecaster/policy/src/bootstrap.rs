//! Intervals by drawing customers again.
//!
//! Whole customers are drawn, since traces of one customer (the same series cut at other times) say nearly
//! the same.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Draws at most.
pub const DRAWS_MAX: usize = 100_000;

/// A number with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// What the sample itself says.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draws {
    /// How many times.
    pub count: usize,
    /// Share of the draws inside an interval, such as 0.9.
    pub inside: f64,
    /// Root of the randomness.
    pub seed: u64,
}

impl Default for Draws {
    fn default() -> Self {
        Self {
            count: 1_000,
            inside: 0.9,
            seed: 1,
        }
    }
}

/// The interval of a statistic of rows; each row belongs to the customer at its place in `customers`.
///
/// The statistic gets the numbers of the drawn rows, some of them more than once. `None` when the rows
/// themselves have no value, or fewer than half of the draws.
pub fn interval(
    customers: &[&str],
    draws: &Draws,
    statistic: &dyn Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    let all: Vec<usize> = (0..customers.len()).collect();
    let point = statistic(&all).filter(|value| value.is_finite())?;
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, customer) in customers.iter().enumerate() {
        groups.entry(customer).or_default().push(row);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(draws.seed);
    let count = draws.count.clamp(1, DRAWS_MAX);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let rows: Vec<usize> = groups
            .iter()
            .flat_map(|_| groups[rng.random_range(0..groups.len())].iter().copied())
            .collect();
        values.extend(statistic(&rows).filter(|value| value.is_finite()));
    }
    if values.len() * 2 < count {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - draws.inside.clamp(0.0, 1.0)) / 2.0;
    Some(Interval {
        point,
        low: percentile(&values, tail),
        high: percentile(&values, 1.0 - tail),
    })
}

/// Linear between the neighbours, of ascending values.
fn percentile(values: &[f64], share: f64) -> f64 {
    let last = values.len().saturating_sub(1);
    let place = share * (last as f64);
    let below = (0..=last)
        .rev()
        .find(|at| (*at as f64) <= place)
        .unwrap_or(0);
    let rest = place - (below as f64);
    let one = values.get(below).copied().unwrap_or(f64::NAN);
    let next = values.get(below + 1).copied().unwrap_or(one);
    one + rest * (next - one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_are_drawn_whole() {
        // Two customers, one with many rows: a draw holds all rows of a customer or none.
        let customers = ["a", "b", "b", "b"];
        let draws = Draws::default();
        let found = interval(&customers, &draws, &|rows| {
            let of_b = rows.iter().filter(|row| **row > 0).count();
            assert!(of_b.is_multiple_of(3));
            Some(rows.len() as f64)
        })
        .expect("has a value");
        assert!((found.point - 4.0).abs() < 1e-12);
        assert!((found.low - 2.0).abs() < 1e-12 && (found.high - 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_statistic_without_values_has_no_interval() {
        assert_eq!(interval(&["a"], &Draws::default(), &|_| None), None);
        assert_eq!(interval(&[], &Draws::default(), &|_| Some(f64::NAN)), None);
    }
}
