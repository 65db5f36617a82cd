//! What was measured of one customer: per series raw samples and roll-ups of five minutes and an hour.
//!
//! Invariants: a sample's key is (series, time); roll-ups are integer sums and counts, so they equal a
//! recomputation from the raw samples exactly, whatever the order in which samples came; what was
//! acknowledged stays until it is older than the retention.

mod columns;
mod level;

use crate::limits::{FUTURE_MAX, OLDEST_TIME, SERIES_MAX};
use level::Level;
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::policy::Retention;
use twinscale_protocol::{DomainTime, FixedValue, Seconds, SeriesKey};

/// A resolution at which observations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// As they came.
    Raw,
    /// Sums and counts of five minutes.
    FiveMinutes,
    /// Sums and counts of one hour.
    OneHour,
}

/// One moment of one series: a raw sample (count 1) or a roll-up that starts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it starts.
    pub at: DomainTime,
    /// Sum of its samples, in millionths of the metric's unit.
    pub sum: i128,
    /// How many samples it holds.
    pub count: u32,
}

/// One block of one series, by which the store is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockKey {
    pub(crate) series: u32,
    pub(crate) resolution: Resolution,
    pub(crate) first_at: DomainTime,
}

/// What changed in one command.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) series: BTreeSet<u32>,
    pub(crate) blocks: BTreeSet<BlockKey>,
}

/// What became of the samples of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) stored: u32,
    pub(crate) duplicates: u32,
    pub(crate) replaced: u32,
}

/// All series of one customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observations {
    /// By number, in the order in which they were first seen; a number never changes.
    series: Vec<Series>,
    numbers: BTreeMap<SeriesKey, u32>,
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Series {
    key: SeriesKey,
    raw: Level,
    five_minutes: Level,
    one_hour: Level,
}

impl Resolution {
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::FiveMinutes, Self::OneHour];

    /// The number that stands for it in stored keys.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::FiveMinutes => 1,
            Self::OneHour => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    const fn length(self) -> Seconds {
        match self {
            Self::Raw => Seconds(1),
            Self::FiveMinutes => Seconds(300),
            Self::OneHour => Seconds(3_600),
        }
    }

    const fn kept(self, retention: &Retention) -> Seconds {
        match self {
            Self::Raw => retention.raw,
            Self::FiveMinutes => retention.five_minutes,
            Self::OneHour => retention.one_hour,
        }
    }
}

impl Slot {
    /// The mean of its samples, rounded down; `None` without samples.
    pub fn mean(&self) -> Option<FixedValue> {
        let mean = self.sum.checked_div(i128::from(self.count))?;
        i64::try_from(mean).ok().map(FixedValue)
    }
}

impl Observations {
    /// Finds a series, making it if there is room; `None` when the twin holds as many as it may.
    pub(crate) fn ensure_series(&mut self, key: &SeriesKey, touched: &mut Touched) -> Option<u32> {
        if let Some(number) = self.numbers.get(key) {
            return Some(*number);
        }
        if self.series.len() >= SERIES_MAX {
            return None;
        }
        let number = u32::try_from(self.series.len()).ok()?;
        self.series.push(Series {
            key: key.clone(),
            raw: Level::default(),
            five_minutes: Level::default(),
            one_hour: Level::default(),
        });
        self.numbers.insert(key.clone(), number);
        touched.series.insert(number);
        Some(number)
    }

    /// The oldest and the newest time that a sample of a series may have.
    pub(crate) fn window(
        &self,
        series: u32,
        now: DomainTime,
        retention: &Retention,
    ) -> (DomainTime, DomainTime) {
        let floor = self.get(series).map_or(OLDEST_TIME, |one| one.raw.floor());
        let oldest = now.minus(retention.raw).max(floor).max(OLDEST_TIME);
        (oldest, now.plus(FUTURE_MAX))
    }

    /// Records samples that lie in [`Observations::window`]; of two with one key the later wins.
    pub(crate) fn record(
        &mut self,
        series: u32,
        samples: &[(DomainTime, FixedValue)],
        touched: &mut Touched,
    ) -> Recorded {
        let Some(one) = self.get_mut(series) else {
            return Recorded::default();
        };
        let mut sorted = samples.to_vec();
        // Stable: of two samples with one key, the one that came later stays behind.
        sorted.sort_by_key(|(at, _)| *at);
        let (recorded, changes) = one.record_raw(series, &sorted, touched);
        one.roll_up(series, Resolution::FiveMinutes, &changes, touched);
        one.roll_up(series, Resolution::OneHour, &changes, touched);
        recorded
    }

    /// Drops what is older than the retention, measured from the newest sample or the clock of the
    /// command, whichever is earlier: a clock that leaps ahead drops nothing.
    pub(crate) fn prune(
        &mut self,
        series: u32,
        now: DomainTime,
        retention: &Retention,
        touched: &mut Touched,
    ) {
        let Some(one) = self.get_mut(series) else {
            return;
        };
        let Some(newest) = one.raw.last_at() else {
            return;
        };
        for resolution in Resolution::ALL {
            let kept = resolution.kept(retention);
            let floor = newest.min(now).minus(kept).floor_to(resolution.length());
            let level = one.level_mut(resolution);
            let before = level.floor();
            for first_at in level.prune(floor) {
                touched.blocks.insert(BlockKey {
                    series,
                    resolution,
                    first_at,
                });
            }
            if level.floor() != before {
                touched.series.insert(series);
            }
        }
    }

    /// Names the series, in the order of their numbers.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SeriesKey> {
        self.series.iter().map(|series| &series.key)
    }

    /// Reads the slots of a series from `from` up to `until`, exclusive.
    pub(crate) fn range(
        &self,
        key: &SeriesKey,
        resolution: Resolution,
        from: DomainTime,
        until: DomainTime,
    ) -> Vec<Slot> {
        self.numbers
            .get(key)
            .and_then(|number| self.get(*number))
            .map(|series| series.level(resolution).range(from, until))
            .unwrap_or_default()
    }

    /// The time of the first raw sample or roll-up of a series.
    pub(crate) fn first_at(&self, key: &SeriesKey) -> Option<DomainTime> {
        let series = self.get(*self.numbers.get(key)?)?;
        Resolution::ALL
            .into_iter()
            .filter_map(|resolution| series.level(resolution).first_at())
            .min()
    }

    /// The time of the newest sample of a series.
    pub(crate) fn last_at(&self, key: &SeriesKey) -> Option<DomainTime> {
        self.get(*self.numbers.get(key)?)?.raw.last_at()
    }

    /// Means per interval from `from` on, `steps` of them; `None` where nothing is known. Roll-ups stand
    /// in where raw samples are no longer kept and the interval is a multiple of theirs.
    pub(crate) fn intervals(
        &self,
        key: &SeriesKey,
        from: DomainTime,
        interval: Seconds,
        steps: usize,
    ) -> Vec<Option<FixedValue>> {
        let length = i64::from(interval.0.max(1));
        let span = length.saturating_mul(i64::try_from(steps).unwrap_or(i64::MAX));
        let until = DomainTime(from.0.saturating_add(span));
        let mut sums = vec![(0_i128, 0_u32); steps];
        for resolution in Resolution::ALL {
            let finer = i64::from(resolution.length().0);
            let usable = length % finer == 0 && from.0.rem_euclid(finer) == 0;
            if !usable || sums.iter().all(|(_, count)| *count > 0) {
                continue;
            }
            let filled: Vec<bool> = sums.iter().map(|(_, count)| *count > 0).collect();
            for slot in self.range(key, resolution, from, until) {
                let index = slot.at.seconds_since(from).div_euclid(length);
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if filled.get(index).is_some_and(|filled| !filled)
                    && let Some((sum, count)) = sums.get_mut(index)
                {
                    *sum = sum.saturating_add(slot.sum);
                    *count = count.saturating_add(slot.count);
                }
            }
        }
        sums.into_iter()
            .map(|(sum, count)| {
                let at = from;
                Slot { at, sum, count }.mean()
            })
            .collect()
    }

    /// What is stored of a series beside its blocks: its key and its floors, by resolution.
    pub(crate) fn series_record(&self, series: u32) -> Option<(SeriesKey, [DomainTime; 3])> {
        let one = self.get(series)?;
        let floors = Resolution::ALL.map(|resolution| one.level(resolution).floor());
        Some((one.key.clone(), floors))
    }

    /// Takes back a stored series; they must come in the order of their numbers.
    pub(crate) fn restore_series(
        &mut self,
        series: u32,
        key: SeriesKey,
        floors: [DomainTime; 3],
    ) -> Result<(), &'static str> {
        if usize::try_from(series) != Ok(self.series.len()) {
            return Err("a series before it is missing");
        }
        if self.numbers.insert(key.clone(), series).is_some() {
            return Err("its series is there twice");
        }
        let [raw, five_minutes, one_hour] = floors.map(Level::with_floor);
        self.series.push(Series {
            key,
            raw,
            five_minutes,
            one_hour,
        });
        Ok(())
    }

    /// Takes back a stored block; they must come in ascending order.
    pub(crate) fn restore_block(
        &mut self,
        key: BlockKey,
        bytes: Vec<u8>,
    ) -> Result<(), &'static str> {
        self.get_mut(key.series)
            .ok_or("its series is missing")?
            .level_mut(key.resolution)
            .restore(key.first_at, bytes)
    }

    /// What is stored of a block; `None` when it is no longer there.
    pub(crate) fn block_bytes(&self, key: BlockKey) -> Option<&[u8]> {
        self.get(key.series)?
            .level(key.resolution)
            .block_bytes(key.first_at)
    }

    /// Names every series and block, for a state that is written whole.
    pub(crate) fn all_parts(&self) -> Touched {
        let mut touched = Touched::default();
        for (number, series) in (0_u32..).zip(&self.series) {
            touched.series.insert(number);
            for resolution in Resolution::ALL {
                let keys = series.level(resolution).keys();
                touched.blocks.extend(keys.map(|first_at| BlockKey {
                    series: number,
                    resolution,
                    first_at,
                }));
            }
        }
        touched
    }

    fn get(&self, series: u32) -> Option<&Series> {
        self.series.get(usize::try_from(series).ok()?)
    }

    fn get_mut(&mut self, series: u32) -> Option<&mut Series> {
        self.series.get_mut(usize::try_from(series).ok()?)
    }
}

/// What a raw sample adds to the roll-ups: its time, the change of the sum, the change of the count.
type Change = (DomainTime, i128, u32);

impl Series {
    fn record_raw(
        &mut self,
        series: u32,
        sorted: &[(DomainTime, FixedValue)],
        touched: &mut Touched,
    ) -> (Recorded, Vec<Change>) {
        let mut recorded = Recorded::default();
        let mut changes = Vec::with_capacity(sorted.len());
        let mut editor = self.raw.edit();
        for (at, value) in sorted {
            let (at, sum) = (*at, i128::from(value.0));
            editor.upsert(at, |old| {
                match old {
                    None => {
                        recorded.stored = recorded.stored.saturating_add(1);
                        changes.push((at, sum, 1));
                    }
                    Some(old) if old.sum == sum => {
                        recorded.duplicates = recorded.duplicates.saturating_add(1);
                    }
                    Some(old) => {
                        recorded.replaced = recorded.replaced.saturating_add(1);
                        changes.push((at, sum.saturating_sub(old.sum), 0));
                    }
                }
                Slot { at, sum, count: 1 }
            });
        }
        let resolution = Resolution::Raw;
        touched
            .blocks
            .extend(editor.finish().into_iter().map(|first_at| BlockKey {
                series,
                resolution,
                first_at,
            }));
        (recorded, changes)
    }

    fn roll_up(
        &mut self,
        series: u32,
        resolution: Resolution,
        changes: &[Change],
        touched: &mut Touched,
    ) {
        let level = self.level_mut(resolution);
        let floor = level.floor();
        let mut editor = level.edit();
        for (at, sum, count) in changes {
            let at = at.floor_to(resolution.length());
            if at < floor {
                continue;
            }
            editor.upsert(at, |old| {
                let old = old.unwrap_or(Slot {
                    at,
                    sum: 0,
                    count: 0,
                });
                Slot {
                    at,
                    sum: old.sum.saturating_add(*sum),
                    count: old.count.saturating_add(*count),
                }
            });
        }
        touched
            .blocks
            .extend(editor.finish().into_iter().map(|first_at| BlockKey {
                series,
                resolution,
                first_at,
            }));
    }

    const fn level(&self, resolution: Resolution) -> &Level {
        match resolution {
            Resolution::Raw => &self.raw,
            Resolution::FiveMinutes => &self.five_minutes,
            Resolution::OneHour => &self.one_hour,
        }
    }

    const fn level_mut(&mut self, resolution: Resolution) -> &mut Level {
        match resolution {
            Resolution::Raw => &mut self.raw,
            Resolution::FiveMinutes => &mut self.five_minutes,
            Resolution::OneHour => &mut self.one_hour,
        }
    }
}

#[cfg(test)]
mod tests;
