//! Randomness that belongs to a request and not to the moment at which it is used.
//!
//! Every visit of a request to a tier has a seed of its own, that follows from its caller's and from
//! which call it is. Two allocations therefore meet the same requests with the same work (common random
//! numbers), whatever order their events come in.

use crate::events::sample::Sampler;
use crate::events::streams::Generator;
use crate::law::Law;
use crate::model::ServiceDemand;
use rand::{RngCore, SeedableRng};

/// What a draw is for; each purpose has a stream of its own.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Work of a visit.
    Work = 1,
    /// Whether a cache has an answer.
    Outcome = 2,
    /// How many calls are made.
    Calls = 3,
    /// Which VM is chosen.
    Balance = 4,
    /// When requests come.
    Arrival = 5,
    /// Whether a visit reads or writes.
    Kind = 6,
}

/// Derives a seed from a seed and a number.
pub fn child(seed: u64, number: u64) -> u64 {
    let mixed = seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    Generator::seed_from_u64(mixed).next_u64()
}

/// The stream of one purpose.
pub fn stream(seed: u64, purpose: Purpose) -> Generator {
    Generator::seed_from_u64(child(seed, purpose as u64))
}

/// The law of a service demand, scaled to mean 1.
pub fn unit_law(demand: &ServiceDemand) -> Sampler {
    Sampler::new(&demand.unit_law())
}

/// A law of mean 1 with the squared coefficient of variation alone: of times between arrivals.
pub fn with_scv(scv: f64) -> Sampler {
    if scv <= 0.0 {
        Sampler::Constant(1.0)
    } else if scv > 1.0 {
        Sampler::new(&Law::balanced_or_exponential(scv))
    } else if scv < 1.0 {
        Sampler::new(&Law::Gamma { mean: 1.0, scv })
    } else {
        Sampler::Exponential(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Purpose, child, stream, with_scv};

    #[test]
    fn laws_have_mean_one_and_their_variation() {
        let mut rng = stream(1, Purpose::Work);
        for scv in [0.0, 0.25, 1.0, 3.0] {
            let law = with_scv(scv);
            let drawn: Vec<f64> = (0..400_000).map(|_| law.draw(&mut rng)).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let square = drawn.iter().map(|x| x * x).sum::<f64>() / drawn.len() as f64;
            assert!((mean - 1.0).abs() < 0.01, "{law:?}: mean {mean}");
            let found = square / mean / mean - 1.0;
            assert!(
                (found - scv).abs() < 0.08 * scv.max(0.1),
                "{law:?}: {found}"
            );
        }
    }

    #[test]
    fn children_differ() {
        let seeds = [child(1, 1), child(1, 2), child(2, 1), child(child(1, 1), 1)];
        for (index, left) in seeds.iter().enumerate() {
            assert!(seeds[index + 1..].iter().all(|right| left != right));
        }
    }
}
