//! What a twin keeps of its peaks between requests.

use super::{CANDIDATES, GROUPS, Outlook, PEAK_STEPS_MAX, PeakModel};
use crate::peak::features::{CENTRE_FEATURES, Running, WIDTH_FEATURES};
use crate::peak::histogram::{BINS, Histogram};
use crate::regression::Regression;
use crate::stored::v1;
use twinscale_protocol::PEAK_QUANTILES;

impl PeakModel {
    /// Turns what was learnt into what the twin keeps.
    pub(crate) fn store(&self) -> v1::Peak {
        v1::Peak {
            interval_s: self.interval_s,
            steps: u16::try_from(self.steps).unwrap_or(u16::MAX),
            unit: self.unit,
            next_s: self.next_s,
            learnt: self.learnt,
            running: v1::Running {
                begun: self.running.begun,
                level: self.running.level,
                change: self.running.change,
            },
            centre: stored(&self.centre),
            width: stored(&self.width),
            usual_miss: self.usual_miss,
            histograms: self
                .histograms
                .iter()
                .map(|histogram| v1::Histogram {
                    counts: histogram.counts.clone(),
                    weight: histogram.weight,
                })
                .collect(),
            losses: self.losses.iter().flatten().copied().collect(),
            usual_losses: self.usual_losses.to_vec(),
            loss_weight: self.loss_weight,
            outlooks: self
                .outlooks
                .iter()
                .map(|outlook| v1::Outlook {
                    at_s: outlook.at_s,
                    centre: outlook.centre,
                    width: outlook.width,
                })
                .collect(),
            outlooks_learnt: self.outlooks_learnt,
        }
    }

    /// Takes back what a twin kept; `None` when it is of another shape.
    pub(crate) fn restore(stored: v1::Peak) -> Option<Self> {
        let numbers = [stored.unit, stored.usual_miss, stored.loss_weight];
        let usable = numbers
            .iter()
            .all(|number| number.is_finite() && *number >= 0.0);
        if !usable || stored.unit <= 0.0 || stored.interval_s <= 0 || stored.steps == 0 {
            return None;
        }
        let mut losses = [[0.0; CANDIDATES]; GROUPS];
        let kept = stored.losses.len() == CANDIDATES * GROUPS;
        for (to, from) in losses.iter_mut().flatten().zip(&stored.losses) {
            *to = *from;
        }
        let histograms: Vec<Histogram> = stored
            .histograms
            .into_iter()
            .filter(|histogram| histogram.counts.len() == BINS)
            .map(|histogram| Histogram {
                counts: histogram.counts,
                weight: histogram.weight,
            })
            .collect();
        if !kept || histograms.len() != CANDIDATES {
            return None;
        }
        let usual_losses: [f64; PEAK_QUANTILES] = stored.usual_losses.try_into().ok()?;
        Some(Self {
            interval_s: stored.interval_s,
            steps: usize::from(stored.steps),
            unit: stored.unit,
            next_s: stored.next_s,
            learnt: stored.learnt,
            running: Running {
                begun: stored.running.begun,
                level: stored.running.level,
                change: stored.running.change,
            },
            centre: restored::<CENTRE_FEATURES>(stored.centre)?,
            width: restored::<WIDTH_FEATURES>(stored.width)?,
            usual_miss: stored.usual_miss,
            histograms,
            losses,
            usual_losses,
            loss_weight: stored.loss_weight,
            outlooks: stored
                .outlooks
                .iter()
                .take(PEAK_STEPS_MAX + 1)
                .map(|outlook| Outlook {
                    at_s: outlook.at_s,
                    centre: outlook.centre,
                    width: outlook.width,
                })
                .collect(),
            outlooks_learnt: stored.outlooks_learnt,
        })
    }
}

/// The products are symmetric: what lies above the diagonal is not kept.
fn stored<const N: usize>(regression: &Regression<N>) -> v1::Regression {
    let rows = regression.products.iter().enumerate();
    v1::Regression {
        products: rows
            .flat_map(|(row, products)| products.iter().take(row + 1).copied())
            .collect(),
        targets: regression.targets.to_vec(),
        weights: regression.weights.to_vec(),
    }
}

fn restored<const N: usize>(stored: v1::Regression) -> Option<Regression<N>> {
    if stored.products.len() != N * (N + 1) / 2 {
        return None;
    }
    let mut products = vec![[0.0; N]; N];
    let places = (0..N).flat_map(|row| (0..=row).map(move |column| (row, column)));
    for ((row, column), value) in places.zip(stored.products) {
        products[row][column] = value;
        products[column][row] = value;
    }
    Some(Regression {
        products,
        targets: stored.targets.try_into().ok()?,
        weights: stored.weights.try_into().ok()?,
    })
}
