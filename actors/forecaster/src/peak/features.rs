//! What a peak is forecast from: latest values, running means and changes, and the same time before.
//!
//! Invariant: the features of a moment read samples before it alone. All values are in units of what the
//! series' mean is about, so that no number here depends on a metric's unit.

use crate::series::Series;

/// Features of the centre of the range.
pub(crate) const CENTRE_FEATURES: usize = 16;
/// Features of its width.
pub(crate) const WIDTH_FEATURES: usize = 8;
/// Centre feature that a regression without history relies on: the running mean of the last samples.
pub(crate) const LATEST: usize = 4;

/// Days whose same time is looked at.
const DAYS: usize = 3;
/// Constant of the width, as a share of the mean.
const WIDTH_CONSTANT: f64 = 0.05;

/// Running means and changes over all samples so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Running {
    /// Whether there was a sample.
    pub(crate) begun: bool,
    /// Mean value over about two samples, an hour and six.
    pub(crate) level: [f64; 3],
    /// Mean change over about four samples, two hours and a day.
    pub(crate) change: [f64; 3],
}

/// A series with its lengths in steps and its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'series> {
    pub(crate) series: &'series Series,
    /// Steps of the peak.
    pub(crate) steps: usize,
    /// About the series' mean; above 0.
    pub(crate) unit: f64,
}

impl Running {
    /// Takes the sample at a position.
    pub(crate) fn take(&mut self, view: &View<'_>, at: usize) {
        let value = view.value(at);
        let change = view.change(at);
        if !self.begun {
            *self = Self {
                begun: true,
                level: [value; 3],
                change: [change; 3],
            };
            return;
        }
        let hour = view.hour();
        let day = view.series.steps_per_day() as f64;
        let shares = [0.5, 2.0 / (hour + 1.0).max(3.0), 2.0 / (6.0 * hour + 1.0)];
        for (level, share) in self.level.iter_mut().zip(shares) {
            *level += share * (value - *level);
        }
        let shares = [0.4, 2.0 / (2.0 * hour + 1.0).max(5.0), 2.0 / (day + 1.0)];
        for (mean, share) in self.change.iter_mut().zip(shares) {
            *mean += share * (change - *mean);
        }
    }
}

/// The same interval some time before.
#[derive(Clone, Copy, Debug)]
struct Before {
    peak: f64,
    /// By how much the peak lay above the sample before it.
    rise: f64,
    mean: f64,
}

impl View<'_> {
    /// Steps of an hour, at least one.
    pub(crate) fn hour(&self) -> f64 {
        self.hour_steps() as f64
    }

    pub(crate) fn hour_steps(&self) -> usize {
        (self.series.steps_per_day() / 24).max(1)
    }

    fn value(&self, at: usize) -> f64 {
        self.series.carried(at) / self.unit
    }

    fn change(&self, at: usize) -> f64 {
        at.checked_sub(1)
            .map_or(0.0, |before| (self.value(at) - self.value(before)).abs())
    }

    /// The highest value of the peak's steps from a position on.
    pub(crate) fn peak(&self, at: usize) -> f64 {
        (at..at + self.steps)
            .map(|at| self.value(at))
            .fold(0.0, f64::max)
    }

    /// Whether every one of the peak's steps was observed.
    pub(crate) fn is_observed(&self, at: usize) -> bool {
        (at..at + self.steps).all(|at| self.series.value(at).is_some())
    }

    /// The value some steps before a moment, or the first.
    fn lag(&self, at: usize, back: usize) -> f64 {
        self.value(at.saturating_sub(back))
    }

    fn mean(&self, end: usize, count: usize) -> f64 {
        end.checked_sub(1)
            .map_or(0.0, |last| self.series.mean(last, count) / self.unit)
    }

    fn before(&self, at: usize, back: usize) -> Option<Before> {
        let then = at.checked_sub(back)?;
        let last = then.checked_sub(1)?;
        if back < self.steps {
            // It would reach into what is to be forecast.
            return None;
        }
        let peak = self.peak(then);
        Some(Before {
            peak,
            rise: peak - self.value(last),
            mean: self.mean(then, 3),
        })
    }

    /// The largest change around the same interval some time before.
    fn change_before(&self, at: usize, back: usize) -> Option<f64> {
        let then = at.checked_sub(back)?;
        let reach = (self.hour_steps() / 4).max(1);
        let steps = then.saturating_sub(reach)..then + self.steps + reach;
        // At and after the moment nothing is known.
        Some(
            steps
                .take_while(|step| *step < at)
                .map(|step| self.change(step))
                .fold(0.0, f64::max),
        )
    }

    /// The features of centre and width for the peak that begins at a position.
    pub(crate) fn features(
        &self,
        at: usize,
        running: &Running,
    ) -> ([f64; CENTRE_FEATURES], [f64; WIDTH_FEATURES]) {
        let day = self.series.steps_per_day();
        let [latest, hour, six_hours] = running.level;
        let flat = Before {
            peak: latest,
            rise: 0.0,
            mean: latest,
        };
        let yesterday = self.before(at, day).unwrap_or(flat);
        let last_week = self.before(at, 7 * day).unwrap_or(yesterday);
        let peaks = (1..=DAYS).filter_map(|days| self.before(at, days * day));
        let (sum, highest, days) = peaks.fold((0.0, 0.0_f64, 0.0), |(sum, highest, days), one| {
            (sum + one.peak, highest.max(one.peak), days + 1.0)
        });
        let (typical, highest) = if days > 0.0 {
            (sum / days, highest)
        } else {
            (latest, latest)
        };
        let recent = (1..=self.steps)
            .map(|back| self.lag(at, back))
            .fold(0.0, f64::max);
        let centre = [
            1.0,
            self.lag(at, 1),
            self.lag(at, 2),
            self.lag(at, 3),
            latest,
            hour,
            six_hours,
            recent,
            yesterday.peak,
            yesterday.rise,
            yesterday.mean,
            last_week.peak,
            last_week.rise,
            last_week.mean,
            typical,
            highest,
        ];
        let [change, change_hours, change_day] = running.change;
        let changed_yesterday = self.change_before(at, day).unwrap_or(change_hours);
        let width = [
            WIDTH_CONSTANT,
            change,
            change_hours,
            change_day,
            changed_yesterday,
            latest,
            (yesterday.peak - yesterday.mean).max((self.lag(at, 1) - yesterday.mean).abs()),
            self.change_before(at, 7 * day).unwrap_or(changed_yesterday),
        ];
        (centre, width)
    }
}
