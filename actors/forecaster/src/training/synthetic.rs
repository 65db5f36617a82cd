//! Made-up demand: days and weeks, growth, shifts, bursts, nightly jobs, pauses, small counts.
//!
//! Real sets that may be used are few; these keep the network from learning their habits by heart.

use crate::series::{DAY_S, Series};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

/// The make-up of one series.
struct Recipe {
    day_swing: f64,
    second_swing: f64,
    phase: f64,
    second_phase: f64,
    weekend: f64,
    growth: f64,
    noise: f64,
    memory: f64,
    wander: f64,
    burst_rate: f64,
    burst_size: f64,
    burst_kept: f64,
    job_height: f64,
    job_at: f64,
    job_length: f64,
    shift_rate: f64,
    pause_rate: f64,
    counts: Option<f64>,
}

impl Recipe {
    fn draw(rng: &mut ChaCha8Rng, per_day: f64) -> Self {
        let some = |rng: &mut ChaCha8Rng, chance: f64, high: f64| {
            let on = rng.random_bool(chance);
            let size: f64 = rng.random_range(0.0..high);
            if on { size } else { 0.0 }
        };
        Self {
            day_swing: some(rng, 0.8, 0.9),
            second_swing: some(rng, 0.5, 0.4),
            phase: rng.random_range(0.0..TAU),
            second_phase: rng.random_range(0.0..TAU),
            weekend: 1.0 - some(rng, 0.6, 0.8),
            growth: rng.random_range(-0.01..0.015),
            noise: rng.random_range(0.01_f64..0.5).powi(2) * 2.0,
            memory: rng.random_range(0.0_f64..0.98).sqrt(),
            wander: some(rng, 0.5, 0.25) / per_day.sqrt(),
            burst_rate: some(rng, 0.5, 4.0) / per_day,
            burst_size: rng.random_range(0.5..6.0),
            burst_kept: rng.random_range(0.0..0.95),
            job_height: some(rng, 0.4, 4.0),
            job_at: rng.random_range(0.0..1.0),
            job_length: rng.random_range(0.005..0.2),
            shift_rate: some(rng, 0.3, 0.3) / per_day,
            pause_rate: some(rng, 0.15, 1.5) / per_day,
            counts: rng
                .random_bool(0.3)
                .then(|| rng.random_range(0.0_f64..6.0).exp()),
        }
    }

    fn season(&self, time_s: i64) -> (f64, f64) {
        let share = time_s.rem_euclid(DAY_S) as f64 / DAY_S as f64;
        let off = (time_s.div_euclid(DAY_S) + 3).rem_euclid(7) >= 5;
        let swing = self.day_swing * (TAU * share + self.phase).sin()
            + self.second_swing * (2.0 * TAU * share + self.second_phase).sin();
        let since_job = (share - self.job_at).rem_euclid(1.0);
        let job = if since_job < self.job_length {
            self.job_height
        } else {
            0.0
        };
        let week = if off { self.weekend } else { 1.0 };
        ((1.0 + swing).max(0.02) * week, job)
    }
}

/// Draws one series; `None` never in practice.
pub(crate) fn draw(rng: &mut ChaCha8Rng, interval_s: u32, days: u32) -> Option<Series> {
    let per_day = DAY_S as f64 / f64::from(interval_s);
    let recipe = Recipe::draw(rng, per_day);
    let steps = i64::from(days) * DAY_S / i64::from(interval_s);
    let start_s = 1_600_000_000 / DAY_S * DAY_S + rng.random_range(0..7) * DAY_S;
    let missing = if rng.random_bool(0.3) { 0.03 } else { 0.0 };
    let (mut noise, mut level, mut burst, mut paused) = (0.0, 0.0, 0.0, 0_u32);
    let mut values = Vec::new();
    for step in 0..steps {
        let time_s = start_s + step * i64::from(interval_s);
        noise =
            recipe.memory * noise + (1.0 - recipe.memory.powi(2)).sqrt() * recipe.noise * bell(rng);
        level += recipe.wander * bell(rng) + recipe.growth / per_day;
        if rng.random_bool(recipe.shift_rate.min(1.0)) {
            level += 0.7 * bell(rng);
        }
        level = level.clamp(-3.0, 3.0);
        burst *= recipe.burst_kept;
        if rng.random_bool(recipe.burst_rate.min(1.0)) {
            burst += recipe.burst_size * rng.random_range(0.1_f64..1.0);
        }
        if rng.random_bool(recipe.pause_rate.min(1.0)) {
            paused = rng.random_range(1..40);
        }
        let (season, job) = recipe.season(time_s);
        let shape = (season * (noise + level).exp() + burst + job).max(0.0);
        let value = recipe.counts.map_or(shape, |mean| count(rng, mean * shape));
        let value = if paused > 0 { 0.0 } else { value };
        paused = paused.saturating_sub(1);
        values.push((!rng.random_bool(missing)).then_some(value));
    }
    Series::new(start_s, interval_s, &values).ok()
}

/// A draw near the standard normal distribution: the sum of twelve uniform ones.
fn bell(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0
}

/// A count with the given mean: exact for small means, rounded normal for large ones.
fn count(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    if mean > 30.0 {
        return (mean + mean.sqrt() * bell(rng)).round().max(0.0);
    }
    let limit = (-mean).exp();
    let mut product: f64 = rng.random_range(0.0..1.0);
    let mut events = 0.0;
    while product > limit {
        product *= rng.random_range(0.0..1.0);
        events += 1.0;
    }
    events
}
