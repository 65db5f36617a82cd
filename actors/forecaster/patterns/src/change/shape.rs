//! Changes of the shape of the day.

use crate::change::blocks::Day;
use crate::change::weekday;
use crate::numeric::mean;
use serde::{Deserialize, Serialize};

/// Days of a class after which its shape is known, and days that it remembers.
const DAYS_MIN: f64 = 4.0;
const DAYS_KEPT: f64 = 20.0;

/// Days after which distances are known, and days that they remember.
const DISTANCES_MIN: f64 = 7.0;
const DISTANCES_KEPT: f64 = 40.0;

/// Fewest slots that have a shape.
const SLOTS_MIN: usize = 4;

const SCORE_MAX: f64 = 4.0;
const SLACK: f64 = 1.0;
/// Four days of the largest score.
const LIMIT: f64 = 12.0;

/// Sum from which on a shape is leaving its own.
const LEAVING: f64 = 4.0;

/// Smallest spread of distances: cosines of near-perfect days differ by less than what matters.
const SPREAD_MIN: f64 = 0.02;

/// Days whose slots stray by less than this share of their mean have no shape.
const FLAT: f64 = 1e-3;

/// A confirmed change of shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShapeVerdict {
    pub(crate) at_s: i64,
    pub(crate) confidence: f64,
    /// Of the new days' mean with the shape before.
    pub(crate) cosine: f64,
    /// Mean of the last day, in the metric's unit.
    pub(crate) mean: f64,
    /// Whether it is only noise: the days stray, each another way, and their mean is still the shape.
    pub(crate) is_noise: bool,
}

/// Mean shape of workdays or weekends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Class {
    shape: Vec<f64>,
    days: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shapes {
    classes: [Class; 2],
    distance: f64,
    spread: f64,
    distances: f64,
    sum: f64,
    from_s: i64,
    run: Run,
}

/// The days since the sum was last 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    days: f64,
    cosines: f64,
    /// Sum of the days, and of the shapes next to them.
    seen: Vec<f64>,
    usual: Vec<f64>,
}

impl Run {
    fn new(slots: usize) -> Self {
        Self {
            days: 0.0,
            cosines: 0.0,
            seen: vec![0.0; slots],
            usual: vec![0.0; slots],
        }
    }

    fn push(&mut self, unit: &[f64], shape: &[f64], cosine: f64) {
        self.days += 1.0;
        self.cosines += cosine;
        let length = length(shape).max(f64::MIN_POSITIVE);
        for (sum, value) in self.seen.iter_mut().zip(unit) {
            *sum += value;
        }
        for (sum, value) in self.usual.iter_mut().zip(shape) {
            *sum += value / length;
        }
    }

    /// Cosine of the mean day with the mean shape; of nothing 1.
    fn cosine(&self) -> f64 {
        let length = length(&self.seen);
        if length <= 0.0 {
            return 1.0;
        }
        let unit: Vec<f64> = self.seen.iter().map(|value| value / length).collect();
        cosine(&unit, &self.usual)
    }

    /// Whether the mean of the days is nearer the shape than each of them, as means of noise are.
    fn is_noise(&self) -> bool {
        let each = (self.cosines / self.days.max(1.0)).clamp(0.0, 1.0);
        let noise = (1.0 - each * each) / self.days.max(1.0);
        let expected = each / (each * each + noise).sqrt().max(f64::MIN_POSITIVE);
        self.cosine() >= each + (expected - each) / 3.0
    }
}

impl Shapes {
    pub(crate) fn new(slots: usize) -> Self {
        let class = Class {
            shape: vec![0.0; slots],
            days: 0.0,
        };
        Self {
            classes: [class.clone(), class],
            distance: 0.0,
            spread: 0.0,
            distances: 0.0,
            sum: 0.0,
            from_s: 0,
            run: Run::new(slots),
        }
    }

    pub(crate) fn is_like(&self, fresh: &Self) -> bool {
        let slots = fresh.run.seen.len();
        let is_whole = |list: &Vec<f64>| list.len() == slots;
        let mut shapes = self.classes.iter().map(|class| &class.shape);
        shapes.all(is_whole) && is_whole(&self.run.seen) && is_whole(&self.run.usual)
    }

    /// Whether recent days look unlike the usual ones, and alike.
    pub(crate) fn is_leaving(&self) -> bool {
        self.sum >= LEAVING && !self.run.is_noise()
    }

    /// Learns anew; answers the cosine of the days that left with the shape before.
    pub(crate) fn restart(&mut self) -> f64 {
        let cosine = self.run.cosine();
        *self = Self::new(self.classes[0].shape.len());
        cosine
    }

    pub(crate) fn push(&mut self, day: &Day) -> Option<ShapeVerdict> {
        let unit = unit(&day.slots)?;
        let class = usize::from(weekday(day.at_s) >= 5);
        let is_known = self.classes.iter().all(|class| class.days >= DAYS_MIN);
        // A holiday looks like a weekend, which is no change.
        let next = self
            .classes
            .iter()
            .map(|class| (cosine(&unit, &class.shape), class))
            .max_by(|left, right| left.0.total_cmp(&right.0))?;
        let (cosine, next) = (next.0, next.1.shape.clone());
        let own = &mut self.classes[class];
        own.days = (own.days + 1.0).min(DAYS_KEPT);
        for (mean, value) in own.shape.iter_mut().zip(&unit) {
            *mean += (value - *mean) / own.days;
        }
        if !is_known {
            return None;
        }
        let away = 1.0 - cosine - self.distance;
        let score = (away / self.spread.max(SPREAD_MIN)).clamp(-SCORE_MAX, SCORE_MAX);
        let is_judged = self.distances >= DISTANCES_MIN;
        self.learn(1.0 - cosine, is_judged);
        if !is_judged {
            return None;
        }
        if self.sum <= 0.0 {
            self.from_s = day.at_s;
            self.run = Run::new(unit.len());
        }
        self.sum = (self.sum + score - SLACK).max(0.0);
        self.run.push(&unit, &next, cosine);
        if self.sum < LIMIT {
            return None;
        }
        let confidence = 1.0 - (-self.sum / 4.0).exp();
        Some(ShapeVerdict {
            at_s: self.from_s,
            confidence,
            mean: mean(&day.slots),
            is_noise: self.run.is_noise(),
            cosine: self.restart(),
        })
    }

    fn learn(&mut self, distance: f64, is_judged: bool) {
        self.distances = (self.distances + 1.0).min(DISTANCES_KEPT);
        let mut away = distance - self.distance;
        if is_judged {
            let limit = SCORE_MAX * self.spread.max(SPREAD_MIN);
            away = away.clamp(-limit, limit);
        }
        self.distance += away / self.distances;
        // Mean distances are 0.8 of a standard deviation.
        self.spread += (1.25 * away.abs() - self.spread) / self.distances;
    }
}

/// A day without its mean, of length 1; nothing of a flat day.
fn unit(slots: &[f64]) -> Option<Vec<f64>> {
    let largest = slots.iter().copied().fold(0.0, f64::max);
    if slots.len() < SLOTS_MIN || largest <= 0.0 {
        return None;
    }
    let scaled: Vec<f64> = slots.iter().map(|value| value / largest).collect();
    let middle = mean(&scaled);
    let away: Vec<f64> = scaled.iter().map(|value| value - middle).collect();
    let length = length(&away);
    let is_flat = length <= FLAT * middle * (slots.len() as f64).sqrt();
    (!is_flat).then(|| away.iter().map(|value| value / length).collect())
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn cosine(unit: &[f64], shape: &[f64]) -> f64 {
    let length = length(shape);
    if length <= 1e-9 {
        return 0.0;
    }
    let product: f64 = unit.iter().zip(shape).map(|(one, other)| one * other).sum();
    product / length
}
