//! Samples gathered to quarter days and days.

use crate::grid::DAY_S;
use crate::numeric::{position, signed};
use serde::{Deserialize, Serialize};

/// Scores of a level are those of quarter days.
const BLOCKS_PER_DAY: usize = 4;

/// Slots of a day's shape.
const SLOTS_PER_DAY: usize = 24;

/// Share of the steps of a block that must be observed.
const SEEN_SHARE: f64 = 0.5;

/// Share of a day's slots that must be.
const DAY_SHARE: f64 = 0.75;

/// A running mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    count: f64,
}

/// The mean of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) at_s: i64,
    /// Which of the day's.
    pub(crate) of_day: usize,
    pub(crate) mean: f64,
}

/// The slots of a day.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Day {
    pub(crate) at_s: i64,
    pub(crate) slots: Vec<f64>,
}

/// What ended with a sample.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) block: Option<Block>,
    pub(crate) day: Option<Day>,
}

/// Sums of the open block and the open day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blocks {
    per_day: usize,
    steps_per_block: f64,
    open_block: Option<i64>,
    block: Sum,
    open_day: Option<i64>,
    day: Vec<Sum>,
}

impl Blocks {
    pub(crate) fn new(interval_s: u32) -> Self {
        let steps = position(DAY_S / i64::from(interval_s)).max(1);
        let per_day = BLOCKS_PER_DAY.min(steps);
        Self {
            per_day,
            steps_per_block: steps as f64 / per_day as f64,
            open_block: None,
            block: Sum::default(),
            open_day: None,
            day: vec![Sum::default(); SLOTS_PER_DAY.min(steps)],
        }
    }

    pub(crate) fn per_day(&self) -> usize {
        self.per_day
    }

    pub(crate) fn slots_per_day(&self) -> usize {
        self.day.len()
    }

    pub(crate) fn is_like(&self, fresh: &Self) -> bool {
        self.per_day == fresh.per_day && self.day.len() == fresh.day.len()
    }

    pub(crate) fn push(&mut self, at_s: i64, value: Option<f64>) -> Ended {
        let block_s = DAY_S / signed(self.per_day);
        let block = at_s.div_euclid(block_s);
        let day = at_s.div_euclid(DAY_S);
        let mut ended = Ended::default();
        if self.open_block != Some(block) {
            ended.block = self.end_block(block_s);
            self.open_block = Some(block);
        }
        if self.open_day != Some(day) {
            ended.day = self.end_day();
            self.open_day = Some(day);
        }
        if let Some(value) = value {
            self.block.sum += value;
            self.block.count += 1.0;
            let slot = at_s.rem_euclid(DAY_S) * signed(self.day.len()) / DAY_S;
            let slot = &mut self.day[position(slot)];
            slot.sum += value;
            slot.count += 1.0;
        }
        ended
    }

    fn end_block(&mut self, block_s: i64) -> Option<Block> {
        let Sum { sum, count } = std::mem::take(&mut self.block);
        let at_s = self.open_block?.saturating_mul(block_s);
        let is_seen = count >= SEEN_SHARE * self.steps_per_block && count > 0.0;
        is_seen.then(|| Block {
            at_s,
            of_day: position(at_s.rem_euclid(DAY_S) / block_s),
            mean: sum / count,
        })
    }

    fn end_day(&mut self) -> Option<Day> {
        let open = self.open_day?;
        let seen: Vec<Option<f64>> = self
            .day
            .iter_mut()
            .map(|slot| {
                let Sum { sum, count } = std::mem::take(slot);
                (count > 0.0).then(|| sum / count)
            })
            .collect();
        let count = seen.iter().flatten().count() as f64;
        if count < DAY_SHARE * seen.len() as f64 {
            return None;
        }
        let mut last = seen.iter().flatten().next().copied()?;
        let slots = seen
            .iter()
            .map(|value| {
                last = value.unwrap_or(last);
                last
            })
            .collect();
        Some(Day {
            at_s: open.saturating_mul(DAY_S),
            slots,
        })
    }
}
