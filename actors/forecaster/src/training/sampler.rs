//! Draws batches of origins from a corpus.

use crate::features::{fill_row, targets};
use crate::network::{FeatureBatch, HORIZON_SHAPES, Purpose};
use crate::numeric::narrow;
use crate::series::Series;
use crate::training::corpus::{Corpus, Member};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Share of rows from synthetic series.
const SYNTHETIC_SHARE: f64 = 0.2;
/// Share of rows whose history is disturbed.
const DISTURBED_SHARE: f64 = 0.3;
/// Attempts to find an origin whose truth is not missing or all zero.
const ATTEMPTS: usize = 8;
/// Bound on a target, in units of the row's scale: beyond it only the sign of the miss teaches.
const TARGET_MAX: f64 = 1e4;
/// Days of context that a disturbed row copies.
const CONTEXT_DAYS: usize = 29;
/// Longest history of young rows, in days: beyond the week after which other networks answer alone.
pub const YOUNG_DAYS_TRAINED: usize = 10;
/// Histories that validate a network for young ones, in quarters of a day; in turn.
const YOUNG_QUARTERS: [usize; 8] = [1, 2, 4, 6, 8, 12, 18, 27];

/// Rows with their truth.
#[derive(Clone, Debug)]
pub struct TrainingBatch {
    /// Inputs.
    pub features: FeatureBatch,
    /// Truth in units of each row's scale above its level. Shape `[rows, horizon]`.
    pub targets: Vec<f32>,
    /// 1 where the truth was observed, else 0. Shape `[rows, horizon]`.
    pub mask: Vec<f32>,
}

/// Which grids a batch is drawn from, and how far ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// Half an hour or coarser, 24 steps ahead.
    Coarse,
    /// Finer, 48 steps ahead.
    Fine,
    /// Half an hour or coarser, 168 steps ahead.
    CoarseLong,
    /// Finer, 168 steps ahead.
    FineLong,
}

impl BatchKind {
    /// Steps ahead.
    pub fn horizon(self) -> usize {
        match self {
            Self::Coarse => HORIZON_SHAPES[0],
            Self::Fine => HORIZON_SHAPES[1],
            Self::CoarseLong | Self::FineLong => HORIZON_SHAPES[2],
        }
    }

    fn is_coarse(self) -> bool {
        matches!(self, Self::Coarse | Self::CoarseLong)
    }

    fn members(self, corpus: &Corpus) -> (&[Member], &[Member]) {
        if self.is_coarse() {
            (&corpus.coarse, &corpus.synthetic_coarse)
        } else {
            (&corpus.fine, &corpus.synthetic_fine)
        }
    }
}

/// Draws from the training spans of a corpus, for a network of some purpose: histories are as long as the
/// corpus has them, with some cut short; or, for young ones, all cut to between a quarter of a day and
/// [`YOUNG_DAYS_TRAINED`].
#[derive(Debug)]
pub struct Sampler<'corpus> {
    corpus: &'corpus Corpus,
    purpose: Purpose,
    coarse: Weighted,
    fine: Weighted,
}

/// Running totals of the members' weights.
#[derive(Debug)]
struct Weighted {
    totals: Vec<f64>,
}

impl Weighted {
    /// Weighs a group by the root of its size, and shares it among its members likewise: large sets lead,
    /// small ones are heard.
    fn of(members: &[Member]) -> Self {
        let mut groups: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for member in members {
            let size = member.series.len() as f64;
            let (samples, roots) = groups.entry(&member.group).or_default();
            *samples += size;
            *roots += size.sqrt();
        }
        let mut total = 0.0;
        let totals = members
            .iter()
            .map(|member| {
                let (samples, roots) = groups[member.group.as_str()];
                total += samples.sqrt() * (member.series.len() as f64).sqrt() / roots;
                total
            })
            .collect();
        Self { totals }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Option<usize> {
        let last = *self.totals.last()?;
        let at: f64 = rng.random_range(0.0..last);
        Some(self.totals.partition_point(|total| *total <= at))
    }
}

impl<'corpus> Sampler<'corpus> {
    /// Prepares to draw.
    pub fn new(corpus: &'corpus Corpus, purpose: Purpose) -> Self {
        Self {
            corpus,
            purpose,
            coarse: Weighted::of(&corpus.coarse),
            fine: Weighted::of(&corpus.fine),
        }
    }

    /// Draws a batch of the training spans.
    pub fn draw(&self, kind: BatchKind, rows: usize, rng: &mut ChaCha8Rng) -> TrainingBatch {
        let mut batch = empty(kind, rows);
        for row in 0..rows {
            self.draw_row(kind, row, rng, &mut batch);
        }
        batch
    }

    fn draw_row(
        &self,
        kind: BatchKind,
        row: usize,
        rng: &mut ChaCha8Rng,
        batch: &mut TrainingBatch,
    ) {
        let horizon = kind.horizon();
        for attempt in 0..ATTEMPTS {
            let Some(member) = self.draw_member(kind, rng) else {
                return;
            };
            let Some(last) = member.validation_from.checked_sub(horizon + 1) else {
                // Too short for so long a horizon.
                continue;
            };
            let first = 8.min(last);
            let origin = rng.random_range(first..=last);
            let day = member.series.steps_per_day();
            let dull = member.series.mean(origin + horizon, 7 * day) <= 0.0
                || member.series.seen_share(origin + horizon, horizon) < 0.3;
            if dull && attempt + 1 < ATTEMPTS {
                continue;
            }
            if let Some((series, origin)) = self.changed(&member.series, origin, horizon, rng) {
                put(&series, origin, row, batch);
                return;
            }
            put(&member.series, origin, row, batch);
            return;
        }
    }

    /// A copy of the window with what the draw changes in it; none where it stays as it is.
    fn changed(
        &self,
        series: &Series,
        origin: usize,
        horizon: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<(Series, usize)> {
        let kept = match self.purpose {
            Purpose::Any if rng.random_bool(DISTURBED_SHARE) => any_length(series, origin, rng),
            Purpose::Any => return None,
            // A day of it tells one series from another too well: none is seen twice alike.
            Purpose::Young => young_length(series, rng),
        };
        disturb(series, origin, horizon, kept, rng)
    }

    fn draw_member(&self, kind: BatchKind, rng: &mut ChaCha8Rng) -> Option<&'corpus Member> {
        let (members, synthetic) = kind.members(self.corpus);
        if !synthetic.is_empty() && (members.is_empty() || rng.random_bool(SYNTHETIC_SHARE)) {
            return synthetic.get(rng.random_range(0..synthetic.len()));
        }
        let weighted = if kind.is_coarse() {
            &self.coarse
        } else {
            &self.fine
        };
        members.get(weighted.draw(rng)?)
    }
}

fn empty(kind: BatchKind, rows: usize) -> TrainingBatch {
    let horizon = kind.horizon();
    TrainingBatch {
        features: FeatureBatch::zeroed(rows, horizon),
        targets: vec![0.0; rows * horizon],
        mask: vec![0.0; rows * horizon],
    }
}

fn put(series: &Series, origin: usize, row: usize, batch: &mut TrainingBatch) {
    let horizon = batch.features.horizon();
    let scale = fill_row(series, origin, &mut batch.features.row_mut(row));
    let truth = targets(series, origin, horizon, scale);
    for (ahead, value) in truth.into_iter().enumerate() {
        let at = row * horizon + ahead;
        batch.targets[at] = narrow(value.unwrap_or(0.0).clamp(-TARGET_MAX, TARGET_MAX));
        batch.mask[at] = f32::from(u8::from(value.is_some()));
    }
}

/// A length of history as twins have it: half of them all that there is.
fn any_length(series: &Series, origin: usize, rng: &mut ChaCha8Rng) -> usize {
    let day = series.steps_per_day();
    let longest = (CONTEXT_DAYS * day).min(origin + 1);
    if rng.random_bool(0.5) {
        return longest;
    }
    // Young twins are common, and their histories are of any length.
    let share: f64 = rng.random_range(0.0..1.0);
    longest.min(
        day / 4
            + rng.random_range(0..=longest / 2).min(longest * 2 / 3)
            + usize::from(share > 0.5) * day,
    )
}

/// A length of a young history: each doubling as likely as the next, since the first days change most.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive number of steps"
)]
fn young_length(series: &Series, rng: &mut ChaCha8Rng) -> usize {
    let doublings = (4.0 * YOUNG_DAYS_TRAINED as f64).log2();
    let quarters = rng.random_range(0.0..doublings).exp2();
    (quarters * series.steps_per_day() as f64 / 4.0).round() as usize
}

/// Copies a window and disturbs it: shorter history, noise, gaps, another level or a weaker swing.
fn disturb(
    series: &Series,
    origin: usize,
    horizon: usize,
    kept: usize,
    rng: &mut ChaCha8Rng,
) -> Option<(Series, usize)> {
    let day = series.steps_per_day();
    let noise: f64 = if rng.random_bool(0.5) {
        rng.random_range(0.0..0.12)
    } else {
        0.0
    };
    let gaps: f64 = if rng.random_bool(0.3) {
        rng.random_range(0.0..0.15)
    } else {
        0.0
    };
    let lift = if rng.random_bool(0.3) {
        // From almost touching zero to far above it, as utilisation of memory is.
        let times: f64 = rng.random_range(-0.6..2.2);
        (if times > 1.0 {
            (3.0 * (times - 1.0)).exp()
        } else {
            times
        }) * series.mean(origin, 7 * day)
    } else {
        0.0
    };
    cut(series, origin, horizon, kept, |at, value| {
        let factor = 1.0 + noise * rng.random_range(-1.0..1.0);
        let dropped = at <= origin && rng.random_bool(gaps);
        (!dropped).then(|| (value * factor + lift).max(0.0))
    })
}

/// Copies the `kept` steps up to the origin and the horizon after it, each value as `change` has it; also
/// the origin's position in the copy.
fn cut(
    series: &Series,
    origin: usize,
    horizon: usize,
    kept: usize,
    mut change: impl FnMut(usize, f64) -> Option<f64>,
) -> Option<(Series, usize)> {
    let first = origin + 1 - kept.clamp(1, origin + 1);
    let values: Vec<Option<f64>> = (first..=origin + horizon)
        .map(|at| change(at, series.value(at)?))
        .collect();
    let interval_s = u32::try_from(series.interval_s()).ok()?;
    let copy = Series::new(series.time_s(first), interval_s, &values).ok()?;
    // Missing samples at the start are cut off and move the origin.
    let moved =
        usize::try_from((copy.start_s() - series.time_s(first)) / series.interval_s()).ok()?;
    let origin = (origin - first).checked_sub(moved)?;
    Some((copy, origin))
}

/// Draws the batches that validate: real series only, spread evenly over the groups and the spans that
/// training never had as targets. Young histories are cut to lengths that take turns.
pub fn validation_batches(
    corpus: &Corpus,
    kind: BatchKind,
    purpose: Purpose,
    rows: usize,
    count: usize,
) -> Vec<TrainingBatch> {
    let horizon = kind.horizon();
    let (members, _) = kind.members(corpus);
    let mut places: BTreeMap<&str, Vec<(&Member, usize)>> = BTreeMap::new();
    for member in members.iter().filter(|member| !member.group.contains('*')) {
        let last = member.series.len().saturating_sub(horizon + 1);
        let list = places.entry(&member.group).or_default();
        // A stride that is coprime to a day visits all hours.
        let from = member.validation_from.saturating_sub(1).min(last);
        list.extend((from..=last).step_by(7).map(|origin| (member, origin)));
    }
    let groups = places.len().max(1);
    let each = (rows * count).div_ceil(groups);
    let mut chosen: Vec<(&Member, usize)> = Vec::new();
    for list in places.values() {
        let step = (list.len() / each).max(1);
        chosen.extend(list.iter().step_by(step).take(each));
    }
    chosen
        .chunks_exact(rows)
        .map(|places| {
            let mut batch = empty(kind, rows);
            for (row, (member, origin)) in places.iter().enumerate() {
                let quarters = YOUNG_QUARTERS[row % YOUNG_QUARTERS.len()];
                let kept = quarters * member.series.steps_per_day() / 4;
                let young = (purpose == Purpose::Young)
                    .then(|| {
                        cut(&member.series, *origin, horizon, kept, |_, value| {
                            Some(value)
                        })
                    })
                    .flatten();
                match young {
                    Some((series, origin)) => put(&series, origin, row, &mut batch),
                    None => put(&member.series, *origin, row, &mut batch),
                }
            }
            batch
        })
        .collect()
}
