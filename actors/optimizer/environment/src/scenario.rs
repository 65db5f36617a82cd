//! Scenarios: sample paths of demand that a plan is judged on, from forecasts that are ranges.
//!
//! A quantile forecast says how each step of each series is distributed, and not which steps are high
//! together. That is the [`Dependence`], learned from how past truths ranked within their forecasts. A
//! scenario is a Gaussian copula over both: ranks in 0..1, correlated over steps and series, that the
//! forecast's own quantile function turns into demand. Over the paths of one set each margin is
//! stratified, so that a hundred paths already hold each forecast's quantiles.
//!
//! What a rank is worth in demand is left to the caller: this module knows no units.

mod dependence;
mod matrix;
mod normal;

pub use self::dependence::{Dependence, DependenceError, PastRanks};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Most ranks of one set of paths: 512 MiB of them.
pub const RANKS_MAX: usize = 1 << 26;

/// Ranks of correlated sample paths.
#[derive(Clone, Debug, PartialEq)]
pub struct RankPaths {
    series: usize,
    steps: usize,
    /// Shape: `[path, series, step]`, row-major; each in 0..1, both ends left out.
    ranks: Vec<f64>,
}

/// Why there are no paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{paths} paths of {series} series over {steps} steps are {}, more than {RANKS_MAX} ranks; \
     ask for fewer paths or steps",
    paths.saturating_mul(*series).saturating_mul(*steps)
)]
pub struct TooManyRanks {
    /// Paths asked for.
    pub paths: usize,
    /// Series of each.
    pub series: usize,
    /// Steps of each.
    pub steps: usize,
}

impl RankPaths {
    /// Draws paths.
    ///
    /// Determinism: a function of its arguments. Each path has a random stream of its own; the strata of
    /// a set depend on all its paths.
    ///
    /// # Errors
    /// [`TooManyRanks`] beyond [`RANKS_MAX`].
    ///
    /// Source: Gaussian copula of Iman and Conover (1982), with the margins of Latin hypercube samples
    /// (`McKay`, Beckman and Conover, 1979).
    pub fn draw(
        dependence: &Dependence,
        paths: usize,
        steps: usize,
        seed: u64,
    ) -> Result<Self, TooManyRanks> {
        let series = dependence.series();
        let size = paths
            .checked_mul(series)
            .and_then(|size| size.checked_mul(steps))
            .filter(|size| *size <= RANKS_MAX)
            .ok_or(TooManyRanks {
                paths,
                series,
                steps,
            })?;
        let mut scores = Vec::with_capacity(size);
        for path in 0..paths {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(path as u64);
            dependence.scores(steps, &mut || StandardNormal.sample(&mut rng), &mut scores);
        }
        let mut found = Self {
            series,
            steps,
            ranks: scores,
        };
        found.stratify(seed);
        Ok(found)
    }

    /// How many paths there are.
    pub fn paths(&self) -> usize {
        self.ranks
            .len()
            .checked_div(self.series * self.steps)
            .unwrap_or(0)
    }

    /// The ranks of one series in one path. Shape: `[step]`.
    ///
    /// # Panics
    /// Where there is no such path or series.
    pub fn ranks(&self, path: usize, series: usize) -> &[f64] {
        assert!(series < self.series, "series {series} of {}", self.series);
        let from = (path * self.series + series) * self.steps;
        &self.ranks[from..from + self.steps]
    }

    /// Replaces the scores of each margin by their place among the paths: one in each stratum.
    fn stratify(&mut self, seed: u64) {
        let margins = self.series * self.steps;
        let paths = self.paths();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Behind the streams of all paths.
        rng.set_stream(u64::MAX);
        let mut order: Vec<usize> = (0..paths).collect();
        for margin in 0..margins {
            order.sort_by(|left, right| {
                self.ranks[left * margins + margin].total_cmp(&self.ranks[right * margins + margin])
            });
            for (stratum, path) in order.iter().enumerate() {
                let within: f64 = rng.sample(rand::distr::Open01);
                self.ranks[path * margins + margin] = (stratum as f64 + within) / paths as f64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
