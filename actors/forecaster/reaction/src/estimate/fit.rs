//! The regression: scales and the noise's memory by Gauss-Newton steps.

use super::{Estimate, ORDER, ROWS_MIN};
use crate::drivers::{COMPONENTS, Component, Sign, follow};
use crate::effect::Profiles;
use crate::history::History;
use crate::matrix::Symmetric;

/// How long its means remember, in seconds.
const LASTING_S: [f64; 4] = [3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// All that the noise remembers.
const MEMORIES: usize = ORDER + LASTING_S.len();
/// Days before and after a placebo change.
const PLACEBO_DAYS: usize = 3;
/// How often a change is counted by the differences of all days around it: the sum of the squares of 1/3, 2/3, 1,
/// 2/3, 1/3.
const COUNTED: f64 = 19.0 / 9.0;
/// Most Gauss-Newton steps.
const ROUNDS_MAX: usize = 30;
/// A round that moves nothing by more than this is the last.
const STILL: f64 = 1e-7;
/// The regression's data: demeaned by slots, so that what is usual is gone.
pub(super) struct Fit {
    logarithms: Vec<Option<f64>>,
    pub(super) profiles: Vec<Profiles>,
    /// Means of the profiles of earlier steps. Shape `[lasting][step]`.
    profile_means: Vec<Vec<Profiles>>,
    step_s: f64,
    /// Steps of a day.
    day: usize,
    /// Steps whose own value and whose [`ORDER`] last ones are known.
    pub(super) rows: Vec<usize>,
    prior_mean: Profiles,
    prior_precision: Profiles,
}

/// What is left of each step by some scales, and means of earlier ones.
pub(super) struct Left {
    values: Vec<f64>,
    /// Shape `[lasting][step]`.
    means: [Vec<f64>; LASTING_S.len()],
}

pub(super) struct Fitted {
    pub(super) theta: Profiles,
    pub(super) rho: [f64; MEMORIES],
    pub(super) sd: Profiles,
    pub(super) variance: f64,
}

const WIDTH: usize = COMPONENTS + MEMORIES;

impl Fit {
    pub(super) fn new(history: &History, profiles: &[Profiles], prior: &Estimate) -> Self {
        let mut logarithms = history.logarithms();
        let mut profiles = profiles.to_vec();
        let slots = history.slots();
        let count = slots.iter().max().map_or(0, |last| last + 1);
        let mut sums = vec![(0.0_f64, 0.0_f64, [0.0_f64; COMPONENTS]); count];
        for ((slot, value), row) in slots.iter().zip(&logarithms).zip(&profiles) {
            if let Some(value) = value {
                let (count, sum, all) = &mut sums[*slot];
                *count += 1.0;
                *sum += value;
                for (sum, one) in all.iter_mut().zip(row) {
                    *sum += one;
                }
            }
        }
        for ((slot, value), row) in slots.iter().zip(&mut logarithms).zip(&mut profiles) {
            let (count, sum, all) = &sums[*slot];
            if let Some(value) = value {
                *value -= sum / count;
            }
            for (one, sum) in row.iter_mut().zip(all) {
                *one -= sum / count.max(1.0);
            }
        }
        let step_s = f64::from(history.interval_s());
        let profile_means =
            LASTING_S.map(|lasting| means(&logarithms, &profiles, (step_s, lasting)));
        let rows = (ORDER..logarithms.len())
            .filter(|at| logarithms[at - ORDER..=*at].iter().all(Option::is_some))
            .collect();
        let mut prior_mean = [0.0; COMPONENTS];
        let mut prior_precision = [0.0; COMPONENTS];
        for (place, one) in prior.components.iter().enumerate() {
            prior_mean[place] = one.mean;
            prior_precision[place] = one.prior_sd.powi(-2);
        }
        Self {
            logarithms,
            profiles,
            profile_means: profile_means.to_vec(),
            step_s,
            day: (86_400 / history.interval_s().max(1)).max(1) as usize,
            rows,
            prior_mean,
            prior_precision,
        }
    }

    /// What is left of a step by the scales; 0 where it is missing, which no used row reads.
    pub(super) fn left(&self, theta: &Profiles) -> Left {
        let steps = self.logarithms.iter().zip(&self.profiles);
        let left = |(value, row): (&Option<f64>, &Profiles)| {
            let explained: f64 = row.iter().zip(theta).map(|(one, scale)| one * scale).sum();
            value.map_or(0.0, |value| value - explained)
        };
        let values: Vec<f64> = steps.map(left).collect();
        let means = LASTING_S.map(|lasting| {
            let mut mean = 0.0;
            let remembered = values.iter().zip(&self.logarithms).map(|(left, seen)| {
                let before = mean;
                if seen.is_some() {
                    follow(&mut mean, *left, self.step_s, lasting);
                }
                before
            });
            remembered.collect()
        });
        Left { values, means }
    }

    /// The news of a row, and how it moves with scales and memory.
    pub(super) fn row(&self, at: usize, left: &Left, rho: &[f64; MEMORIES]) -> (f64, [f64; WIDTH]) {
        let mut row = [0.0; WIDTH];
        row[..COMPONENTS].copy_from_slice(&self.profiles[at]);
        let mut news = left.values[at];
        for (place, memory) in rho.iter().enumerate() {
            let (remembered, profiles) = match place.checked_sub(ORDER) {
                None => {
                    let before = at - 1 - place;
                    (left.values[before], &self.profiles[before])
                }
                Some(mean) => (left.means[mean][at], &self.profile_means[mean][at]),
            };
            news -= memory * remembered;
            row[COMPONENTS + place] = remembered;
            for (one, profile) in row.iter_mut().zip(profiles) {
                *one -= memory * profile;
            }
        }
        (news, row)
    }

    /// Least variances of scales that are told by lasting changes alone: those of placebo changes.
    fn placebo(&self, theta: &Profiles) -> Profiles {
        let left = self.left(theta);
        let days = self.logarithms.len() / self.day;
        let mean = |day: usize, of: &dyn Fn(usize) -> f64| {
            let steps = day * self.day..(day + 1) * self.day;
            let seen = steps.filter(|at| self.logarithms[*at].is_some());
            let sum = seen.fold((0.0, 0.0), |all, at| (all.0 + of(at), all.1 + 1.0));
            (sum.1 > 0.0).then(|| sum.0 / sum.1)
        };
        let differences = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let means: Vec<Option<f64>> = (0..days).map(|day| mean(day, of)).collect();
            let part = |days: &[Option<f64>]| {
                let sum: Option<f64> = days.iter().copied().sum();
                sum.map(|sum| sum / days.len() as f64)
            };
            let windows = means.windows(2 * PLACEBO_DAYS);
            windows
                .filter_map(|window| {
                    Some(part(&window[PLACEBO_DAYS..])? - part(&window[..PLACEBO_DAYS])?)
                })
                .collect()
        };
        let squares = |values: &[f64]| values.iter().map(|one| one * one).sum::<f64>();
        let strays = differences(&|at| left.values[at]);
        let stray = squares(&strays) / strays.len().max(1) as f64;
        let mut least = [0.0; COMPONENTS];
        for (place, component) in Component::ALL.iter().enumerate() {
            if component.sign() == Sign::Falling
                && self.rows.iter().any(|at| self.profiles[*at][place] != 0.0)
            {
                let seen = squares(&differences(&|at| self.profiles[at][place])) / COUNTED;
                least[place] = if strays.is_empty() {
                    f64::INFINITY
                } else {
                    stray / seen
                };
            }
        }
        least
    }

    pub(super) fn solve(&self) -> Option<Fitted> {
        if self.rows.len() < ROWS_MIN {
            return None;
        }
        let mut theta = self.prior_mean;
        let mut rho = [0.0; MEMORIES];
        for _ in 0..ROUNDS_MAX {
            let (inverse, right, _) = self.normal(&theta, &rho)?;
            let moved = inverse.times(&right);
            for (value, by) in theta.iter_mut().chain(&mut rho).zip(&moved) {
                *value += by;
            }
            if !moved.iter().all(|by| by.is_finite()) {
                return None;
            }
            if moved.iter().all(|by| by.abs() < STILL) {
                break;
            }
        }
        let (inverse, _, variance) = self.normal(&theta, &rho)?;
        let robust = self.robust(&inverse, (&theta, &rho), variance);
        let placebo = self.placebo(&theta);
        let mut sd = [0.0; COMPONENTS];
        for (place, sd) in sd.iter_mut().enumerate() {
            let precision = self.prior_precision[place];
            let found = inverse.get(place, place).max(robust[place]);
            // What the data say alone, not more than placebo changes do.
            let own = (found.recip() - precision)
                .max(0.0)
                .recip()
                .max(placebo[place]);
            let all = (own.recip() + precision).recip();
            // Less is known than was shrunk by: the rest comes from the prior.
            let shrunk = (found.recip() - precision).max(0.0) * found;
            if shrunk > 1e-12 {
                let alone = (theta[place] - (1.0 - shrunk) * self.prior_mean[place]) / shrunk;
                theta[place] = (alone / own + precision * self.prior_mean[place]) * all;
            }
            *sd = all.sqrt();
        }
        Some(Fitted {
            theta,
            rho,
            sd,
            variance,
        })
    }

    /// Inverse of the normal matrix, its right side, and the variance of the news.
    fn normal(
        &self,
        theta: &Profiles,
        rho: &[f64; MEMORIES],
    ) -> Option<(Symmetric, Vec<f64>, f64)> {
        let left = self.left(theta);
        let mut matrix = Symmetric::zero(WIDTH);
        let mut right = vec![0.0; WIDTH];
        let mut squares = 0.0;
        for at in &self.rows {
            let (news, row) = self.row(*at, &left, rho);
            matrix.add_square(&row, 1.0);
            for (sum, one) in right.iter_mut().zip(row) {
                *sum += one * news;
            }
            squares += news * news;
        }
        let variance = (squares / self.rows.len() as f64).max(1e-12);
        for value in matrix.values.iter_mut().chain(&mut right) {
            *value /= variance;
        }
        for place in 0..COMPONENTS {
            *matrix.get_mut(place, place) += self.prior_precision[place];
            right[place] += self.prior_precision[place] * (self.prior_mean[place] - theta[place]);
        }
        for lag in COMPONENTS..WIDTH {
            // A constant series has no memory to be found.
            *matrix.get_mut(lag, lag) += 1.0;
            right[lag] -= rho[lag - COMPONENTS];
        }
        Some((matrix.inverse()?, right, variance))
    }

    /// Variances that hold when the news' own variance is not everywhere the same.
    fn robust(
        &self,
        inverse: &Symmetric,
        (theta, rho): (&Profiles, &[f64; MEMORIES]),
        variance: f64,
    ) -> Profiles {
        let left = self.left(theta);
        let mut meat = Symmetric::zero(WIDTH);
        for at in &self.rows {
            let (news, row) = self.row(*at, &left, rho);
            meat.add_square(&row, (news / variance).powi(2));
        }
        for place in 0..COMPONENTS {
            *meat.get_mut(place, place) += self.prior_precision[place];
        }
        let mut variances = [0.0; COMPONENTS];
        for (place, found) in variances.iter_mut().enumerate() {
            let bread = &inverse.values[place * WIDTH..(place + 1) * WIDTH];
            let product = meat.times(bread);
            *found = bread
                .iter()
                .zip(product)
                .map(|(one, other)| one * other)
                .sum();
        }
        variances
    }
}

/// Means of the profiles of the steps before each one.
fn means(
    seen: &[Option<f64>],
    profiles: &[Profiles],
    (step_s, lasting_s): (f64, f64),
) -> Vec<Profiles> {
    let mut mean = [0.0; COMPONENTS];
    let remembered = seen.iter().zip(profiles).map(|(value, row)| {
        let before = mean;
        let moving = mean.iter_mut().zip(row).filter(|_| value.is_some());
        moving.for_each(|(mean, one)| follow(mean, *one, step_s, lasting_s));
        before
    });
    remembered.collect()
}
