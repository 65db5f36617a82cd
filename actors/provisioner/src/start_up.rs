//! How long a simulated VM takes until it serves.
//!
//! Invariant: a draw depends on (seed, customer, identity) alone, so the order of calls does not matter and
//! a rival policy meets the same luck for the same VM.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use twinscale_protocol::{CustomerId, PartsPerMillion, Seconds, VmId, VmTypeId};

/// Standard normal quantile at 0.95: places a log-normal's 95th percentile.
const NORMAL_P95: f64 = 1.644_853_626_951_472_2;

/// Longest start, as a multiple of the 95th percentile: keeps one draw in millions from lasting a day.
const LONGEST_P95S: u32 = 10;

/// A log-normal start-up time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartUpShape {
    /// Median, in seconds; 0 = serves at once.
    pub median: Seconds,
    /// 95th percentile, in seconds; not above the median = always the median.
    pub p95: Seconds,
}

/// Start-up times and failures of a provider's VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartUpModel {
    /// Root of the randomness.
    pub seed: u64,
    /// The shape for every type that has none of its own.
    pub shape: StartUpShape,
    /// Shapes by type.
    pub shapes: BTreeMap<VmTypeId, StartUpShape>,
    /// Share of starts that fail.
    pub failed: PartsPerMillion,
}

/// How one start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartUpDraw {
    /// Time from the request until the VM serves or has failed.
    pub after: Seconds,
    /// Whether it fails.
    pub failed: bool,
}

impl Default for StartUpShape {
    /// Median 180 s, 95th percentile 300 s: a stack's default start-up time is this percentile.
    fn default() -> Self {
        Self {
            median: Seconds(180),
            p95: Seconds(300),
        }
    }
}

impl StartUpModel {
    /// Makes a model with the default shape, in which no start fails.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            shape: StartUpShape::default(),
            shapes: BTreeMap::new(),
            failed: PartsPerMillion(0),
        }
    }

    /// Draws how one VM's start goes.
    ///
    /// Determinism: a function of seed, customer, identity and the type's shape.
    pub fn draw(&self, customer: &CustomerId, vm: VmId, vm_type: &VmTypeId) -> StartUpDraw {
        let shape = self.shapes.get(vm_type).unwrap_or(&self.shape);
        let mut rng = rng_for(self.seed, customer, "start", vm.0);
        let failed = rng.random_range(0..PartsPerMillion::ONE.0) < self.failed.0;
        let normal = normal(&mut rng);
        StartUpDraw {
            after: shape.at(normal),
            failed,
        }
    }
}

impl StartUpShape {
    /// Reads the start-up time at a standard normal value.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32 first"
    )]
    fn at(self, normal: f64) -> Seconds {
        if self.median.0 == 0 || self.p95 <= self.median {
            return self.median;
        }
        let median = f64::from(self.median.0);
        let sigma = (f64::from(self.p95.0) / median).ln() / NORMAL_P95;
        let longest = f64::from(self.p95.0.saturating_mul(LONGEST_P95S));
        Seconds(
            (median * (sigma * normal).exp())
                .round()
                .clamp(1.0, longest) as u32,
        )
    }
}

/// Makes a generator for one purpose of one customer: a leaf of the tree of generators.
pub(crate) fn rng_for(seed: u64, customer: &CustomerId, purpose: &str, number: u64) -> ChaCha8Rng {
    let mut hash = Fnv::new();
    hash.write(&seed.to_le_bytes());
    // A NUL ends each text, so that no two pairs of texts run into one.
    hash.write(customer.as_str().as_bytes());
    hash.write(&[0]);
    hash.write(purpose.as_bytes());
    hash.write(&[0]);
    hash.write(&number.to_le_bytes());
    ChaCha8Rng::seed_from_u64(hash.0)
}

/// Box-Muller; one value of the pair is enough.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let radius = 1.0 - rng.random::<f64>();
    let angle = rng.random::<f64>() * std::f64::consts::TAU;
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// FNV-1a of 64 bits: stable over Rust versions, which the standard hasher is not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(name: &str) -> CustomerId {
        CustomerId::new(name).expect("an id")
    }

    #[test]
    fn median_and_p95_are_those_asked_for() {
        let model = StartUpModel::with_seed(1);
        let vm_type = VmTypeId::new("typeA").expect("a type");
        let mut times: Vec<u32> = (0..20_000)
            .map(|vm| model.draw(&customer("acme"), VmId(vm), &vm_type).after.0)
            .collect();
        times.sort_unstable();
        // Sampling error of these percentiles is about 1 % at 20,000 draws.
        let (median, p95) = (times[10_000], times[19_000]);
        assert!((176..=184).contains(&median), "median {median}");
        assert!((294..=306).contains(&p95), "p95 {p95}");
    }

    #[test]
    fn failures_come_at_the_rate_asked_for() {
        let model = StartUpModel {
            failed: PartsPerMillion(100_000),
            ..StartUpModel::with_seed(7)
        };
        let vm_type = VmTypeId::new("typeA").expect("a type");
        let failed = (0..10_000)
            .filter(|vm| model.draw(&customer("acme"), VmId(*vm), &vm_type).failed)
            .count();
        assert!((880..=1_120).contains(&failed), "{failed} of 10000 at 10 %");
    }

    #[test]
    fn customers_and_seeds_have_draws_of_their_own() {
        let vm_type = VmTypeId::new("typeA").expect("a type");
        let draws = |seed, name: &str| -> Vec<_> {
            let model = StartUpModel::with_seed(seed);
            (0..8)
                .map(|vm| model.draw(&customer(name), VmId(vm), &vm_type))
                .collect()
        };
        assert_eq!(draws(1, "acme"), draws(1, "acme"));
        assert_ne!(draws(1, "acme"), draws(2, "acme"));
        assert_ne!(draws(1, "acme"), draws(1, "globex"));
    }

    #[test]
    fn a_type_may_start_at_once() {
        let vm_type = VmTypeId::new("typeA").expect("a type");
        let at_once = StartUpShape {
            median: Seconds(0),
            p95: Seconds(0),
        };
        let mut model = StartUpModel::with_seed(1);
        model.shapes.insert(vm_type.clone(), at_once);
        let draw = model.draw(&customer("acme"), VmId(1), &vm_type);
        assert_eq!(draw.after, Seconds(0));
    }
}
