//! The peak of demand until what is asked for at the next step can serve, out to rare levels.
//!
//! Each twin learns its own, sample by sample: a regression gives the centre, a second one the width, and
//! histograms of past misses, in units of a width, the shape out to the rarest level. The width is taken
//! as forecast, as usual for the series, or between both; misses are remembered for shorter and for
//! longer. The network's outlook is a further centre and width, with histograms of its own, from the
//! moment on at which the twin first had one. Which of these candidates to trust at which levels is
//! weighed by their pinball losses.
//! Sources: pinball loss, Koenker and Bassett (1978); weights by exponentiated losses, Cesa-Bianchi and
//! Lugosi (2006), chapter 2.
//!
//! Its unit follows the series, so that a bound on a width means the same after demand grew a hundredfold.
//!
//! Invariants: a peak is learnt from when all its steps have passed, so a forecast rests on samples before
//! it alone; learning step by step or many at once gives the same; the state is a function of the samples
//! and of where it began. It knows nothing of requests or of the network.

mod features;
mod histogram;
mod store;

#[cfg(test)]
mod tests;

use crate::numeric::pinball;
use crate::regression::Regression;
use crate::rows::StepQuantiles;
use crate::series::Series;
use features::{CENTRE_FEATURES, LATEST, Running, View, WIDTH_FEATURES};
use histogram::Histogram;
use twinscale_protocol::quantile::MEDIAN;
use twinscale_protocol::{PEAK_LEVELS, PEAK_QUANTILES};

/// Longest peak in steps; a longer start-up is forecast step by step.
pub(crate) const PEAK_STEPS_MAX: usize = 64;

/// Peaks that must have been learnt from before one is forecast.
const LEARNT_MIN: u32 = 100;
/// Peaks learnt from before the first solution; until then the latest level is the centre.
const SOLVED_MIN: u32 = 60;
/// Peaks learnt from before candidates are compared.
const COMPARED_MIN: u32 = 50;

/// Samples that the latest values are taken from.
const FIRST_MIN: usize = 3;

/// Ways to take the width; the last is that of the network, with the network's centre.
const WIDTHS: usize = 4;
/// Lengths of memory.
const MEMORIES: usize = 2;
/// Candidates: each width with each memory.
const CANDIDATES: usize = WIDTHS * MEMORIES;
/// Candidates that need no network; the others follow.
const LOCAL: usize = (WIDTHS - 1) * MEMORIES;
/// Outlooks that must have been learnt from before the network takes part, by group: in a tail, a
/// histogram of few misses says little.
const OUTLOOKS_MIN: [u32; GROUPS] = [100, 300, 1_500];
/// Groups of levels that trust alike: the body, the tail, and rare levels.
const GROUPS: usize = 3;
/// Levels below which a group ends.
const GROUP_ENDS: [f64; GROUPS - 1] = [0.94, 0.992];

/// Half-life of the regressions in days.
const HALF_LIFE_FIT_DAYS: f64 = 14.0;
/// Half-life of the losses that weigh candidates, in days.
const HALF_LIFE_WEIGHTS_DAYS: f64 = 2.0;
/// Shortest half-lives in steps: tails need many samples, whatever the step.
const HALF_LIFE_FIT_STEPS_MIN: f64 = 500.0;
const HALF_LIFE_WEIGHTS_STEPS_MIN: f64 = 400.0;
/// Half-life of the longer memory, as a multiple of the shorter's.
const MEMORY_LONGER: f64 = 5.0;

/// How strongly the centre is held near the latest level.
const CENTRE_STRENGTH: f64 = 1.0;
/// How strongly the width is held near zero.
const WIDTH_STRENGTH: f64 = 1e-3;
/// Weight of a peak in the centre's regression, in units of its width.
const CENTRE_WEIGHT: f64 = 0.2;
/// Quantile whose distance from the median is the network's width: the 0.9.
const OUTLOOK_WIDTH: usize = 5;
/// Smallest width, as a share of the series' mean.
const WIDTH_MIN: f64 = 2e-3;
/// Smallest width that a peak is weighed by: below it a quiet time would outweigh all others.
const WIDTH_WEIGHED_MIN: f64 = 1e-2;
/// Largest miss that the width's regression believes, in widths.
const MISS_MAX: f64 = 20.0;
/// Smallest loss that losses are measured in, as a share of the mean.
const LOSS_MIN: f64 = 1e-9;
/// By how much a loss of the candidates' mean loss counts in the exponent.
const TRUST: f64 = 0.02;
/// How many times the unit, or how small a part of it, a day's mean may be before it becomes the unit.
const UNIT_OUTGROWN: f64 = 4.0;
/// Misses below which all are forgotten at the same pace, so that a young twin learns its scale fast.
const YOUNG: f64 = 2.0;

/// What a twin has learnt of its peaks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeakModel {
    interval_s: i64,
    steps: usize,
    /// What all values below are multiples of, in the series' own unit: its mean at first, and a day's mean
    /// when that has left the old unit behind.
    unit: f64,
    /// Time of the moment whose peak is learnt from next.
    next_s: i64,
    learnt: u32,
    /// Over all samples before `next_s`.
    running: Running,
    centre: Regression<CENTRE_FEATURES>,
    width: Regression<WIDTH_FEATURES>,
    /// Mean miss of the centre.
    usual_miss: f64,
    /// By candidate.
    histograms: Vec<Histogram>,
    /// Losses so far, newer ones weighing more. Shape `[group][candidate]`.
    losses: [[f64; CANDIDATES]; GROUPS],
    /// Mean loss of all candidates so far, and the weight of all of them. Shape `[level]`.
    usual_losses: [f64; PEAK_QUANTILES],
    loss_weight: f64,
    /// The network's outlooks whose peaks were not learnt from yet, oldest first; at most as many as a
    /// peak has steps, and one.
    outlooks: Vec<Outlook>,
    /// Peaks learnt from that the network had an outlook on.
    outlooks_learnt: u32,
}

/// What the network expected of a peak, in the model's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outlook {
    /// The moment that the peak begins at.
    at_s: i64,
    centre: f64,
    width: f64,
}

/// What is known of a peak before it comes.
#[derive(Clone, Copy, Debug)]
struct Known {
    centre: [f64; CENTRE_FEATURES],
    width: [f64; WIDTH_FEATURES],
    outlook: Option<Outlook>,
}

/// By how much is forgotten with each peak.
#[derive(Clone, Copy, Debug)]
struct Pace {
    fit: f64,
    weights: f64,
    memories: [f64; MEMORIES],
}

type CandidateQuantiles = [[f64; PEAK_QUANTILES]; CANDIDATES];

impl Pace {
    fn of(series: &Series) -> Self {
        let day = series.steps_per_day() as f64;
        let keep = |half_life: f64| 0.5_f64.powf(1.0 / half_life.max(1.0));
        // Shorter steps give more samples a day, so fewer days tell as much of the tail.
        let days = match series.interval_s() {
            ..=120 => 2.0,
            121..1_800 => 5.0,
            _ => 40.0,
        };
        Self {
            fit: keep((HALF_LIFE_FIT_DAYS * day).max(HALF_LIFE_FIT_STEPS_MIN)),
            weights: keep((HALF_LIFE_WEIGHTS_DAYS * day).max(HALF_LIFE_WEIGHTS_STEPS_MIN)),
            memories: [keep(days * day), keep(MEMORY_LONGER * days * day)],
        }
    }
}

impl PeakModel {
    /// Begins at the start of a series.
    pub(crate) fn new(series: &Series, steps: usize) -> Self {
        let mean = series.mean(series.len().saturating_sub(1), series.len());
        let mut nearest = [0.0; CENTRE_FEATURES];
        nearest[LATEST] = 1.0;
        let mut width = [0.0; WIDTH_FEATURES];
        width[0] = 0.4;
        width[2] = 2.0;
        Self {
            interval_s: series.interval_s(),
            steps: steps.clamp(1, PEAK_STEPS_MAX),
            unit: if mean > 0.0 { mean } else { 1.0 },
            next_s: series.start_s(),
            learnt: 0,
            running: Running::default(),
            centre: Regression::starting_at(nearest),
            width: Regression::starting_at(width),
            usual_miss: 0.1,
            histograms: vec![Histogram::default(); CANDIDATES],
            losses: [[0.0; CANDIDATES]; GROUPS],
            usual_losses: [0.0; PEAK_QUANTILES],
            loss_weight: 0.0,
            outlooks: Vec::new(),
            outlooks_learnt: 0,
        }
    }

    /// Whether it can go on with a series: same steps, and none missed in between.
    pub(crate) fn fits(&self, series: &Series, steps: usize) -> bool {
        let since_s = self.next_s.saturating_sub(series.start_s());
        self.interval_s == series.interval_s()
            && self.steps == steps.clamp(1, PEAK_STEPS_MAX)
            && since_s >= 0
            && since_s % self.interval_s == 0
            && self.next_s <= series.time_s(series.len())
    }

    /// Learns from all peaks of a series that have passed.
    pub(crate) fn learn(&mut self, series: &Series) {
        let pace = Pace::of(series);
        // Before a day has passed there is no same time before.
        let first = series.steps_per_day().max(FIRST_MIN);
        let mut at = self.position(series);
        while at + self.steps <= series.len() {
            if let Some(last) = at.checked_sub(1) {
                self.outgrow(series.mean(last, series.steps_per_day()));
            }
            let view = self.view(series);
            if at > first && view.is_observed(at) {
                self.learn_one(&view, at, &pace);
            }
            self.running.take(&view, at);
            at += 1;
        }
        self.next_s = series.time_s(at);
        let next_s = self.next_s;
        self.outlooks.retain(|outlook| outlook.at_s >= next_s);
    }

    /// Takes what the network expects of the steps behind a series, as quantiles of each in the series'
    /// own unit.
    pub(crate) fn expect(&mut self, series: &Series, steps: &StepQuantiles) {
        let highest = |level: usize| {
            let of_level = steps.iter().take(self.steps).map(|step| step[level]);
            of_level.fold(0.0, f64::max) / self.unit
        };
        let centre = highest(MEDIAN);
        let outlook = Outlook {
            at_s: series.time_s(series.len()),
            centre,
            width: (highest(OUTLOOK_WIDTH) - centre).max(WIDTH_MIN),
        };
        // Asked again for the same moment: the later answer counts.
        self.outlooks.retain(|other| other.at_s < outlook.at_s);
        self.outlooks.push(outlook);
        let excess = self.outlooks.len().saturating_sub(self.steps + 1);
        self.outlooks.drain(..excess);
    }

    fn outlook_at(&self, at_s: i64) -> Option<Outlook> {
        self.outlooks
            .iter()
            .copied()
            .find(|outlook| outlook.at_s == at_s)
    }

    /// Forecasts the peak that begins at the end of a series, in the series' own unit; `None` while too
    /// little was learnt. The series must have been learnt from.
    pub(crate) fn forecast(&self, series: &Series) -> Option<[f64; PEAK_QUANTILES]> {
        if self.learnt < LEARNT_MIN {
            return None;
        }
        let view = self.view(series);
        let mut running = self.running;
        for at in self.position(series)..series.len() {
            running.take(&view, at);
        }
        let known = self.known(&view, series.len(), &running);
        let candidates = self.candidates(&known);
        let weights = self.trust(known.outlook.is_some());
        let mut quantiles = [0.0; PEAK_QUANTILES];
        let mut least = 0.0_f64;
        for (level, quantile) in quantiles.iter_mut().enumerate() {
            let weights = &weights[group_of(PEAK_LEVELS[level])];
            let of = weights.iter().zip(&candidates);
            let mean: f64 = of
                .map(|(weight, candidate)| weight * candidate[level])
                .sum();
            least = least.max(mean);
            *quantile = least * self.unit;
        }
        Some(quantiles)
    }

    /// Steps of the peak.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    fn view<'series>(&self, series: &'series Series) -> View<'series> {
        View {
            series,
            steps: self.steps,
            unit: self.unit,
        }
    }

    /// Where the moment lies whose peak is learnt from next.
    fn position(&self, series: &Series) -> usize {
        let since = (self.next_s - series.start_s()) / self.interval_s;
        usize::try_from(since).unwrap_or(0)
    }

    fn width_of(&self, features: &[f64; WIDTH_FEATURES]) -> f64 {
        self.width.predict(features).max(WIDTH_MIN)
    }

    fn known(&self, view: &View<'_>, at: usize, running: &Running) -> Known {
        let (centre, width) = view.features(at, running);
        Known {
            centre,
            width,
            outlook: self.outlook_at(view.series.time_s(at)),
        }
    }

    /// Centre and width by each way to take them; without an outlook the network's are not used.
    fn centres_and_widths(&self, known: &Known) -> [(f64, f64); WIDTHS] {
        let middle = self.centre.predict(&known.centre).max(0.0);
        let width = self.width_of(&known.width);
        let between = (width * self.usual_miss).sqrt();
        [
            (middle, width),
            (middle, between),
            (middle, self.usual_miss),
            known
                .outlook
                .map_or((middle, width), |outlook| (outlook.centre, outlook.width)),
        ]
    }

    fn candidates(&self, known: &Known) -> CandidateQuantiles {
        let ways = self.centres_and_widths(known);
        let mut candidates = [[0.0; PEAK_QUANTILES]; CANDIDATES];
        for (number, quantiles) in candidates.iter_mut().enumerate() {
            let (middle, width) = ways[number / MEMORIES];
            self.histograms[number].quantiles(&PEAK_LEVELS, quantiles);
            for quantile in quantiles {
                *quantile = (middle + width * *quantile).max(0.0);
            }
        }
        candidates
    }

    /// Weights of the candidates, which sum to 1. Shape `[group][candidate]`.
    fn trust(&self, has_outlook: bool) -> [[f64; CANDIDATES]; GROUPS] {
        let mut weights = self.losses;
        for (group, weights) in weights.iter_mut().enumerate() {
            if !has_outlook || self.outlooks_learnt < OUTLOOKS_MIN[group] {
                weights[LOCAL..].fill(f64::INFINITY);
            }
            let least = weights.iter().copied().fold(f64::INFINITY, f64::min);
            let levels = PEAK_LEVELS
                .iter()
                .filter(|level| group_of(**level) == group);
            let trust = TRUST / levels.count().max(1) as f64;
            for weight in weights.iter_mut() {
                *weight = ((least - *weight) * trust).exp();
            }
            let sum: f64 = weights.iter().sum();
            for weight in weights.iter_mut() {
                *weight /= sum;
            }
        }
        weights
    }

    fn learn_one(&mut self, view: &View<'_>, at: usize, pace: &Pace) {
        let known = self.known(view, at, &self.running);
        let peak = view.peak(at);
        if self.learnt > COMPARED_MIN {
            self.compare(&known, peak, pace);
        }
        let ways = self.centres_and_widths(&known);
        let (middle, wide) = ways[0];
        let miss = peak - middle;
        let weight = CENTRE_WEIGHT / wide.max(WIDTH_WEIGHED_MIN);
        self.centre.learn(&known.centre, peak, weight, pace.fit);
        let believed = miss.abs().min(MISS_MAX * wide);
        let weight = 1.0 / (wide * wide).max(WIDTH_WEIGHED_MIN * WIDTH_WEIGHED_MIN);
        self.width.learn(&known.width, believed, weight, pace.fit);
        let learning = if known.outlook.is_some() {
            self.outlooks_learnt = self.outlooks_learnt.saturating_add(1);
            CANDIDATES
        } else {
            LOCAL
        };
        let histograms = self.histograms.iter_mut().take(learning).enumerate();
        for (number, histogram) in histograms {
            let keep = pace.memories[number % MEMORIES];
            let (middle, width) = ways[number / MEMORIES];
            histogram.add((peak - middle) / width, 1.0 / keep);
        }
        let share = (1.0 - pace.memories[MEMORIES - 1]).max(1.0 / (f64::from(self.learnt) + YOUNG));
        self.usual_miss += share * (miss.abs() - self.usual_miss);
        self.usual_miss = self.usual_miss.max(WIDTH_MIN);
        self.learnt = self.learnt.saturating_add(1);
        self.solve(view);
    }

    /// Takes a day's mean for the unit where demand has outgrown the old one, or shrunk out of it. A series
    /// that begins with a month of nearly nothing, or whose metric is counted anew in thousandths, would
    /// else be measured against bounds that have nothing to do with it.
    fn outgrow(&mut self, mean: f64) {
        let ratio = self.unit / mean;
        if mean <= 0.0 || (1.0 / UNIT_OUTGROWN..=UNIT_OUTGROWN).contains(&ratio) {
            return;
        }
        self.unit = mean;
        let running = &mut self.running;
        let own = running.level.iter_mut().chain(&mut running.change);
        let own = own.chain(&mut self.usual_losses);
        let outlooks = self.outlooks.iter_mut();
        let expected = outlooks.flat_map(|one| [&mut one.centre, &mut one.width]);
        for value in own.chain(expected) {
            *value *= ratio;
        }
        self.usual_miss = (self.usual_miss * ratio).max(WIDTH_MIN);
        // A peak weighs by its width in the one, by its square in the other.
        self.centre.rescale(ratio, 1.0 / ratio);
        self.width.rescale(ratio, 1.0 / (ratio * ratio));
    }

    /// Solves anew every half an hour, or every six hours where steps are that long.
    fn solve(&mut self, view: &View<'_>) {
        let hour = view.hour_steps();
        let every = if hour > 1 { hour / 2 } else { 6 };
        let due = u32::try_from(every.max(1)).unwrap_or(u32::MAX);
        if self.learnt >= SOLVED_MIN && self.learnt.is_multiple_of(due) {
            let mut nearest = [0.0; CENTRE_FEATURES];
            nearest[LATEST] = 1.0;
            self.centre.solve_near(&nearest, CENTRE_STRENGTH);
            self.width.solve_not_negative(WIDTH_STRENGTH);
        }
    }

    /// Adds the losses of each candidate on a peak, in units of the mean loss at each level. A network
    /// that had no outlook, or has not learnt enough, loses as much as the others do on average.
    fn compare(&mut self, known: &Known, peak: f64, pace: &Pace) {
        let candidates = self.candidates(known);
        for losses in self.losses.iter_mut().flatten() {
            *losses *= pace.weights;
        }
        self.loss_weight = self.loss_weight * pace.weights + 1.0;
        for (level, share) in PEAK_LEVELS.iter().enumerate() {
            let mut losses = candidates.map(|quantiles| pinball(peak, quantiles[level], *share));
            let mean = losses[..LOCAL].iter().sum::<f64>() / LOCAL as f64;
            if known.outlook.is_none() || self.outlooks_learnt < OUTLOOKS_MIN[group_of(*share)] {
                losses[LOCAL..].fill(mean);
            }
            let usual = &mut self.usual_losses[level];
            *usual = *usual * pace.weights + mean;
            let usual = (*usual / self.loss_weight).max(LOSS_MIN);
            let sums = &mut self.losses[group_of(*share)];
            for (sum, loss) in sums.iter_mut().zip(losses) {
                *sum += loss / usual;
            }
        }
    }
}

fn group_of(level: f64) -> usize {
    GROUP_ENDS.iter().filter(|end| level >= **end).count()
}
