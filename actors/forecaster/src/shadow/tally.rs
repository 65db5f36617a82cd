//! Paired sums of one series, and those of all nodes put together.

use crate::numeric::pinball;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::{CustomerId, QUANTILE_LEVELS, QUANTILES, SeriesKey};

/// Series whose sums one node keeps, at most; enough for a verdict, small enough for one message.
pub const TALLIES_MAX: usize = 2_048;

/// Places in [`QUANTILE_LEVELS`] of the ends of the 80 % and of the 90 % interval.
const INTERVALS: [(usize, usize); 2] = [(1, 5), (0, 6)];

/// Steps of one series that a node can have compared, with room to add up those of all nodes and series.
const STEPS_MAX: u64 = 1 << 40;

/// The highest sum of losses that is believed.
const LOSS_MAX: f64 = 1e15;

/// What two sets of weights lost on the same steps of one series; champion first, challenger second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PairTally {
    /// Forecasts of which a step was compared.
    pub forecasts: u64,
    /// Steps that were compared.
    pub steps: u64,
    /// Pinball losses over all quantiles, in units of the series' mean.
    pub losses: [f64; 2],
    /// Steps within the 80 % interval.
    pub within_80: [u64; 2],
    /// Steps within the 90 % interval.
    pub within_90: [u64; 2],
    /// Begin of the first step that was compared, in seconds since 1970.
    pub first_at: i64,
    /// Begin of the last one.
    pub last_at: i64,
}

/// The sums of one series as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesTally {
    /// Names the series: see [`series_number`].
    pub series: u64,
    /// Its sums.
    pub tally: PairTally,
}

impl PairTally {
    /// Compares one step.
    pub(super) fn add(
        &mut self,
        at: i64,
        truth: f64,
        scale: f64,
        quantiles: &[[f32; QUANTILES]; 2],
    ) {
        if self.steps == 0 {
            self.first_at = at;
        }
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        self.steps += 1;
        for (side, quantiles) in quantiles.iter().enumerate() {
            let loss: f64 = QUANTILE_LEVELS
                .iter()
                .zip(quantiles)
                .map(|(level, quantile)| pinball(truth, f64::from(*quantile), *level))
                .sum();
            self.losses[side] += loss / scale;
            let within = |(low, high): (usize, usize)| {
                let range = f64::from(quantiles[low])..=f64::from(quantiles[high]);
                u64::from(range.contains(&truth))
            };
            self.within_80[side] += within(INTERVALS[0]);
            self.within_90[side] += within(INTERVALS[1]);
        }
    }

    /// Adds the sums of another node for the same series.
    pub fn absorb(&mut self, other: &Self) {
        if other.steps == 0 {
            return;
        }
        if self.steps == 0 {
            *self = *other;
            return;
        }
        self.forecasts = self.forecasts.saturating_add(other.forecasts);
        self.steps = self.steps.saturating_add(other.steps);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        for side in 0..2 {
            self.losses[side] += other.losses[side];
            self.within_80[side] = self.within_80[side].saturating_add(other.within_80[side]);
            self.within_90[side] = self.within_90[side].saturating_add(other.within_90[side]);
        }
    }

    /// Whether its numbers can be calculated with; what another node sends may be anything.
    pub(super) fn is_sound(&self) -> bool {
        let is_loss = |loss: &f64| (0.0..=LOSS_MAX).contains(loss);
        let mut within = self.within_80.iter().chain(&self.within_90);
        self.losses.iter().all(is_loss)
            && self.steps <= STEPS_MAX
            && self.forecasts <= self.steps
            && within.all(|count| *count <= self.steps)
            && self.first_at <= self.last_at
    }
}

/// Puts the sums of all nodes together; unsound ones are left out.
pub fn merge(tallies: impl IntoIterator<Item = SeriesTally>) -> BTreeMap<u64, PairTally> {
    let mut merged: BTreeMap<u64, PairTally> = BTreeMap::new();
    for SeriesTally { series, tally } in tallies {
        if tally.is_sound() {
            merged.entry(series).or_default().absorb(&tally);
        }
    }
    merged
}

/// Names a series by a number that is the same on every node (FNV-1a, 64 bits).
pub fn series_number(customer: &CustomerId, key: &SeriesKey) -> u64 {
    let parts = [customer.as_str(), key.vm_type.as_str(), key.metric.as_str()];
    parts
        .join("/")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
