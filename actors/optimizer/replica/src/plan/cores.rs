//! Which cores a container has.

use super::{CpuLimit, Quota};

/// What is kept of the last core for the load generator: a few hundred requests per second take a tenth of a core,
/// and the rest is so that a request is sent on time beside whoever shares the core.
pub const GENERATOR_CORES: f64 = 0.25;
/// Below this a fraction of a core is rounding.
const EPSILON: f64 = 1e-9;

/// The cores of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Cores {
    cores: Vec<u32>,
    period_us: u32,
}

impl Cores {
    /// Takes the numbers of the cores and the period of quotas.
    pub fn new(cores: &[u32], period_us: u32) -> Self {
        Self {
            cores: cores.to_vec(),
            period_us,
        }
    }

    /// The core of the load generator: the last one.
    pub fn generator(&self) -> u32 {
        self.cores.last().copied().unwrap_or(0)
    }

    /// Gives each container the cores that it wants: whole ones to itself, a fraction on the first core with room,
    /// the largest first. `None` when there are too few.
    pub fn pack(&self, wanted: &[f64]) -> Option<Vec<CpuLimit>> {
        let mut free = vec![1.0; self.cores.len()];
        *free.last_mut()? -= GENERATOR_CORES;
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by(|left, right| wanted[*right].total_cmp(&wanted[*left]));
        let mut limits = vec![None; wanted.len()];
        for place in order {
            let mut cpuset = Vec::new();
            let mut left = wanted[place];
            while left > EPSILON {
                let part = left.min(1.0);
                let core = free.iter().position(|free| *free + EPSILON >= part)?;
                free[core] -= part;
                left -= part;
                cpuset.push(self.cores[core]);
            }
            let is_whole = (wanted[place] - wanted[place].round()).abs() < EPSILON;
            let quota = (!is_whole).then(|| Quota {
                period_us: self.period_us,
                quota_us: micros(wanted[place] * f64::from(self.period_us)),
            });
            cpuset.sort_unstable();
            limits[place] = Some(CpuLimit { cpuset, quota });
        }
        limits.into_iter().collect()
    }
}

/// At least a millisecond: the kernel takes no less.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn micros(number: f64) -> u32 {
    number.round().clamp(1_000.0, 1e9) as u32
}
