//! Changes of level and scale, by quarter days.

use crate::change::blocks::Block;
use crate::change::{ChangeKind, weekday};
use crate::numeric::normal_tail;
use serde::{Deserialize, Serialize};

/// Weeks after which a cell of the profile is known, and weeks that it remembers.
const WEEKS_MIN: f64 = 2.0;
const WEEKS_KEPT: f64 = 8.0;

/// Blocks that the scale remembers: eight weeks of quarter days, so that it does not follow a change.
const SCALE_KEPT: f64 = 224.0;

/// Blocks that the correlation remembers: slow, so that a change is not taken for correlation.
const CORRELATION_KEPT: f64 = 224.0;

/// Blocks before which the scale is not believed.
const SCALE_MIN: f64 = 14.0;

/// Largest correlation of neighbours that is taken off.
const CORRELATION_MAX: f64 = 0.9;

/// Largest residual that correlation is learned from, in standard deviations.
const PAIR_MAX: f64 = 2.0;

/// Largest score, in standard deviations.
const SCORE_MAX: f64 = 4.0;

/// What a score must exceed to count, and the sum that confirms: eight blocks of the largest score.
const LEVEL_SLACK: f64 = 0.65;
const LEVEL_LIMIT: f64 = 24.0;

/// The same for the size of scores, whose mean is 0.8; at the largest scores the level comes first.
const SIZE_MEAN: f64 = 0.8;
const SCALE_SLACK: f64 = 0.45;
const SCALE_LIMIT: f64 = 24.0;

/// And for scores that shrink, which can fall by 0.8 at most.
/// Between bursts scores are small too, so this is slow.
const NARROW_SLACK: f64 = 0.35;
const NARROW_LIMIT: f64 = 24.0;

/// Mean of the size of a normal score is this part of its standard deviation.
const SIZE_TO_SD: f64 = 1.2533;

/// Smallest standard deviation, as a share of the level: less is no change that matters.
const SD_SHARE_MIN: f64 = 0.01;

/// And as a share of the largest block, which is forgotten within a year: a series that has ended does not
/// tell ever smaller noise.
const SD_LARGEST_MIN: f64 = 2e-3;
const LARGEST_KEPT: f64 = 896.0;

/// A change of level that is smaller than this share of the larger level is adapted to and not told.
const CHANGE_SHARE_MIN: f64 = 0.05;

/// A confirmed change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) kind: ChangeKind,
    pub(crate) at_s: i64,
    pub(crate) confidence: f64,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// Mean of a quarter day of a weekday.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    mean: f64,
    weeks: f64,
}

/// A cumulative sum, and what happened since it was last 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    sum: f64,
    from_s: i64,
    blocks: f64,
    scores: f64,
    residuals: f64,
    sizes: f64,
    usual: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Levels {
    per_day: usize,
    cells: Vec<Cell>,
    /// Largest block, slowly forgotten.
    largest: f64,
    /// Residual of the block before.
    before: Option<f64>,
    /// Products and squares of neighbouring residuals, and their number.
    products: f64,
    squares: f64,
    pairs: f64,
    /// Mean size of the innovations, and their number.
    size: f64,
    sizes: f64,
    up: Run,
    down: Run,
    wider: Run,
    narrower: Run,
}

/// A block against the profile.
struct Score {
    at_s: i64,
    residual: f64,
    innovation: f64,
    clipped: f64,
    usual: f64,
    /// Whether the standard deviation is that of the series, not the smallest allowed.
    is_sd_measured: bool,
}

impl Run {
    fn push(&mut self, step: f64, score: &Score) {
        if self.sum <= 0.0 {
            *self = Self {
                from_s: score.at_s,
                ..Self::default()
            };
        }
        self.sum = (self.sum + step).max(0.0);
        self.blocks += 1.0;
        self.scores += score.clipped;
        self.residuals += score.residual;
        self.sizes += score.innovation.abs();
        self.usual += score.usual;
    }
}

impl Levels {
    pub(crate) fn new(per_day: usize) -> Self {
        Self {
            per_day,
            cells: vec![Cell::default(); 7 * per_day],
            largest: 0.0,
            before: None,
            products: 0.0,
            squares: 0.0,
            pairs: 0.0,
            size: 0.0,
            sizes: 0.0,
            up: Run::default(),
            down: Run::default(),
            wider: Run::default(),
            narrower: Run::default(),
        }
    }

    pub(crate) fn is_like(&self, fresh: &Self) -> bool {
        self.per_day == fresh.per_day && self.cells.len() == fresh.cells.len()
    }

    /// Lets the profile be learned anew, from where it is.
    pub(crate) fn forget_profile(&mut self) {
        for cell in &mut self.cells {
            cell.weeks = 0.0;
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.before = None;
        self.up = Run::default();
        self.down = Run::default();
        self.wider = Run::default();
        self.narrower = Run::default();
    }

    pub(crate) fn push(&mut self, block: &Block) -> Option<Verdict> {
        let at = weekday(block.at_s) * self.per_day + block.of_day;
        let Cell { mean, weeks } = self.cells[at];
        let residual = block.mean - mean;
        self.largest = block.mean.max(self.largest * (1.0 - LARGEST_KEPT.recip()));
        let kept = (weeks + 1.0).min(WEEKS_KEPT);
        self.cells[at] = Cell {
            mean: mean + residual / kept,
            weeks: kept,
        };
        if weeks < WEEKS_MIN {
            self.before = None;
            return None;
        }
        // The profile's own error is part of the residual.
        let residual = residual / (1.0 + weeks.recip()).sqrt();
        let before = self.before.replace(residual)?;
        let innovation = residual - self.correlation() * before;
        let sd = self.sd(mean);
        self.learn_correlation(before / sd, residual / sd);
        let score = Score {
            at_s: block.at_s,
            residual,
            innovation,
            clipped: (innovation / sd).clamp(-SCORE_MAX, SCORE_MAX),
            usual: mean,
            is_sd_measured: SIZE_TO_SD * self.size >= sd,
        };
        let is_known = self.sizes >= SCALE_MIN;
        self.learn_size(innovation.abs(), is_known.then_some(SCORE_MAX * sd));
        if is_known {
            self.judge(&score, sd)
        } else {
            None
        }
    }

    fn correlation(&self) -> f64 {
        if self.squares > 0.0 {
            (self.products / self.squares).clamp(0.0, CORRELATION_MAX)
        } else {
            0.0
        }
    }

    /// Learns from two neighbours in standard deviations: clipped, or one change would be all that is
    /// remembered, and squares of what is huge would overflow.
    fn learn_correlation(&mut self, before: f64, residual: f64) {
        self.pairs = (self.pairs + 1.0).min(CORRELATION_KEPT);
        let before = before.clamp(-PAIR_MAX, PAIR_MAX);
        let residual = residual.clamp(-PAIR_MAX, PAIR_MAX);
        self.products += (before * residual - self.products) / self.pairs;
        self.squares += (before * before - self.squares) / self.pairs;
    }

    fn learn_size(&mut self, size: f64, limit: Option<f64>) {
        self.sizes = (self.sizes + 1.0).min(SCALE_KEPT);
        let size = size.min(limit.unwrap_or(f64::INFINITY));
        self.size += (size - self.size) / self.sizes;
    }

    fn sd(&self, mean: f64) -> f64 {
        (SIZE_TO_SD * self.size)
            .max(SD_SHARE_MIN * mean.abs())
            .max(SD_LARGEST_MIN * self.largest)
            .max(f64::MIN_POSITIVE)
    }

    fn judge(&mut self, score: &Score, sd: f64) -> Option<Verdict> {
        let size = score.clipped.abs();
        self.up.push(score.clipped - LEVEL_SLACK, score);
        self.down.push(-score.clipped - LEVEL_SLACK, score);
        self.wider.push(size - SIZE_MEAN - SCALE_SLACK, score);
        // Scores against the smallest standard deviation are small for ever.
        if score.is_sd_measured {
            self.narrower.push(SIZE_MEAN - NARROW_SLACK - size, score);
        }
        if self.up.sum >= LEVEL_LIMIT || self.down.sum >= LEVEL_LIMIT {
            let run = if self.up.sum >= LEVEL_LIMIT {
                self.up
            } else {
                self.down
            };
            return self.end_level(&run);
        }
        if self.wider.sum >= SCALE_LIMIT || self.narrower.sum >= NARROW_LIMIT {
            let run = if self.wider.sum >= SCALE_LIMIT {
                self.wider
            } else {
                self.narrower
            };
            return Some(self.end_scale(&run, sd));
        }
        None
    }

    fn end_level(&mut self, run: &Run) -> Option<Verdict> {
        let shift = run.residuals / run.blocks;
        let before = run.usual / run.blocks;
        let after = (before + shift).max(0.0);
        let factor = if before > 0.0 { after / before } else { 0.0 };
        for cell in &mut self.cells {
            // Demand keeps its shape when its level moves, unless there was next to none before.
            cell.mean = if before > 0.0 && factor <= 5.0 {
                cell.mean * factor
            } else {
                (cell.mean + shift).max(0.0)
            };
            // A week is watched without a word: the new level is not known well yet.
            cell.weeks = WEEKS_MIN - 1.0;
        }
        // Noise falls with the level; whether it rises with it is seen.
        self.size *= factor.clamp(0.0, 1.0);
        self.restart();
        let is_told = (after - before).abs() >= CHANGE_SHARE_MIN * after.max(before);
        is_told.then(|| Verdict {
            kind: ChangeKind::Level,
            at_s: run.from_s,
            confidence: confidence(run.scores / run.blocks, run.blocks),
            before,
            after,
        })
    }

    /// Ends a run of wider scores that days have confirmed before their sum did.
    pub(crate) fn end_wider(&mut self, mean: f64) -> Option<Verdict> {
        let run = self.wider;
        let sd = self.sd(mean);
        let is_wider = run.blocks > 0.0 && SIZE_TO_SD * run.sizes / run.blocks > sd;
        is_wider.then(|| self.end_scale(&run, sd))
    }

    fn end_scale(&mut self, run: &Run, sd: f64) -> Verdict {
        let after = SIZE_TO_SD * run.sizes / run.blocks;
        self.size = run.sizes / run.blocks;
        self.sizes = SCALE_MIN;
        self.restart();
        let distance = (after / sd).max(1e-3).ln();
        Verdict {
            kind: ChangeKind::Scale,
            at_s: run.from_s,
            confidence: confidence(distance, run.blocks),
            before: sd,
            after,
        }
    }
}

/// Confidence that a mean score over some blocks is not 0, neighbours counting half.
fn confidence(mean: f64, blocks: f64) -> f64 {
    1.0 - 2.0 * normal_tail(mean.abs() * (blocks / 2.0).sqrt())
}
