//! Hit ratios: as stated, as measured, or by Che's approximation.

use crate::model::{HitPoint, HitRatio};

/// Bytes of a GiB.
const GIB_BYTES: f64 = 1_073_741_824.0;
/// Ranks that are summed one by one; beyond them popularity changes slowly.
const RANKS_EXACT: f64 = 1000.0;
/// Width of the bins beyond, as a ratio of ranks: popularity within one differs by less than 2 %.
const BIN_RATIO: f64 = 1.005;
/// Halvings of the search for the characteristic time; more than a float resolves.
const HALVINGS: usize = 200;

/// Computes the share of a cache's look-ups that find their answer.
///
/// # Units
/// Size of the data and memory for it, both in GiB.
///
/// # Source
/// H. Che, Y. Tung, Z. Wang, "Hierarchical web caching systems", IEEE JSAC 20(7), 2002, for
/// [`HitRatio::Zipf`]: an object of popularity p is there with probability 1 - exp(-p T), where T makes the
/// expected number of objects that are there equal to those that fit.
pub fn hit_ratio(hit: &HitRatio, data_gib: f64, memory_gib: f64) -> f64 {
    match hit {
        HitRatio::Fixed { ratio } => *ratio,
        HitRatio::Table { points } => interpolated(points, data_gib),
        HitRatio::Zipf {
            exponent,
            object_bytes,
        } => {
            let objects = (data_gib * GIB_BYTES / object_bytes).floor().max(1.0);
            let places = memory_gib * GIB_BYTES / object_bytes;
            che(objects, places, *exponent)
        }
    }
}

fn interpolated(points: &[HitPoint], data_gib: f64) -> f64 {
    let after = points.partition_point(|point| point.data_gib < data_gib);
    match (
        after.checked_sub(1).and_then(|at| points.get(at)),
        points.get(after),
    ) {
        (Some(left), Some(right)) => {
            let share = (data_gib - left.data_gib) / (right.data_gib - left.data_gib);
            left.ratio + share * (right.ratio - left.ratio)
        }
        (Some(edge), None) | (None, Some(edge)) => edge.ratio,
        (None, None) => 0.0,
    }
}

/// Ranks of like popularity.
struct Bin {
    objects: f64,
    /// Of one object, not yet divided by the sum.
    popularity: f64,
}

fn che(objects: f64, places: f64, exponent: f64) -> f64 {
    if places >= objects {
        return 1.0;
    }
    if places <= 0.0 {
        return 0.0;
    }
    let bins = bins_of(objects, exponent);
    let present = |time: f64| -> f64 {
        bins.iter()
            .map(|bin| bin.objects * -(-bin.popularity * time).exp_m1())
            .sum()
    };
    // In logarithms: the time spans many orders of magnitude when popularity does.
    let (mut low, mut high) = (-100.0_f64, 200.0_f64);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if present(middle.exp()) < places {
            low = middle;
        } else {
            high = middle;
        }
    }
    let time = low.exp();
    let all: f64 = bins.iter().map(|bin| bin.objects * bin.popularity).sum();
    let hits: f64 = bins
        .iter()
        .map(|bin| bin.objects * bin.popularity * -(-bin.popularity * time).exp_m1())
        .sum();
    (hits / all).clamp(0.0, 1.0)
}

fn bins_of(objects: f64, exponent: f64) -> Vec<Bin> {
    let mut bins = Vec::new();
    let mut rank = 1.0;
    while rank <= objects {
        let next = if rank < RANKS_EXACT {
            rank + 1.0
        } else {
            (rank * BIN_RATIO).ceil().min(objects + 1.0)
        };
        let count = next - rank;
        let middle = rank + (count - 1.0) / 2.0;
        bins.push(Bin {
            objects: count,
            popularity: middle.powf(-exponent),
        });
        // Beyond 2^53 one more is the same number: a step of a bin always is larger.
        rank = next.max(rank * (1.0 + f64::EPSILON));
    }
    bins
}
