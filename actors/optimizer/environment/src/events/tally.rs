//! What a replication counts, and the figures made of it.

use crate::events::histogram::Histogram;

/// Most controls of a model: each costs a degree of freedom of every interval.
pub const CONTROLS_MAX: usize = 6;

/// Sums and histograms of one replication.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Numerators and denominators of ratios.
    pub ratios: Vec<Ratio>,
    /// Sums of drawn times over what their laws expect, when the model says.
    pub controls: Vec<Ratio>,
    /// Histograms of times.
    pub histograms: Vec<Histogram>,
    /// Customers counted.
    pub customers: u64,
    /// Arrivals at and departures from stations.
    pub events: u64,
}

/// A sum over another sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ratio {
    /// Numerator.
    pub above: f64,
    /// Denominator.
    pub below: f64,
}

impl Ratio {
    /// Adds to both sums.
    #[inline]
    pub fn add(&mut self, above: f64, below: f64) {
        self.above += above;
        self.below += below;
    }
}

impl Tally {
    /// Makes an empty tally; `scales` are those of the histograms.
    pub fn new(ratios: usize, scales: &[f64]) -> Self {
        Self {
            ratios: vec![Ratio::default(); ratios],
            controls: Vec::new(),
            histograms: scales.iter().map(|scale| Histogram::new(*scale)).collect(),
            customers: 0,
            events: 0,
        }
    }

    /// Makes room for `count` controls.
    #[must_use]
    pub fn with_controls(mut self, count: usize) -> Self {
        self.controls = vec![Ratio::default(); count];
        self
    }

    /// Adds to a control what was drawn and what its law expected; one without room is left out.
    #[inline]
    pub fn control(&mut self, index: usize, drawn: f64, expected: f64) {
        if let Some(control) = self.controls.get_mut(index) {
            control.add(drawn, expected);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ratios.fill(Ratio::default());
        self.controls.fill(Ratio::default());
        for histogram in &mut self.histograms {
            histogram.clear();
        }
        self.customers = 0;
        self.events = 0;
    }
}

/// A figure that a model reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name.
    pub key: String,
    /// Its place when the name stands for a list.
    pub place: Option<usize>,
    /// What it is made of.
    pub source: Source,
}

/// What a figure is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// Ratio of this index.
    Ratio(usize),
    /// Ratio of this index less what the controls explain of its error.
    Controlled(usize),
    /// One less ratio of this index.
    Complement(usize),
    /// Quantile of a histogram, with controls where there are some.
    Quantile {
        /// Index of the histogram.
        histogram: usize,
        /// Share of times that the quantile is not less than.
        level: f64,
    },
}

impl Figure {
    /// Makes the figure of a ratio.
    pub fn ratio(key: &str, index: usize) -> Self {
        Self {
            key: key.to_owned(),
            place: None,
            source: Source::Ratio(index),
        }
    }

    /// Makes the figure of a ratio with controls.
    pub fn controlled(key: &str, index: usize) -> Self {
        Self {
            source: Source::Controlled(index),
            ..Self::ratio(key, index)
        }
    }

    /// Makes the figure of a ratio that is one of a list.
    pub fn listed(key: &str, place: usize, index: usize) -> Self {
        Self {
            place: Some(place),
            ..Self::ratio(key, index)
        }
    }

    /// Makes the quantiles 50, 95 and 99 % of a histogram, named `p50_<what>` and so on.
    pub fn quantiles(what: &str, histogram: usize) -> [Self; 3] {
        [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].map(|(name, level)| Self {
            key: format!("{name}_{what}"),
            place: None,
            source: Source::Quantile { histogram, level },
        })
    }
}
