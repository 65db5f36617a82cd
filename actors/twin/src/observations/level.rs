//! One resolution of one series: blocks of slots, ascending in time.
//!
//! Invariants: the key of a block is the time of its first slot; blocks do not overlap; a block holds 1
//! to [`BLOCK_SLOTS_MAX`] slots and stays encoded, so that a twin is small in memory too.

use super::{Slot, columns};
use crate::limits::{BLOCK_SLOTS_MAX, BLOCKS_PER_LEVEL_MAX, OLDEST_TIME};
use std::collections::{BTreeMap, BTreeSet};
use twinscale_protocol::DomainTime;

/// One resolution of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    blocks: BTreeMap<DomainTime, Block>,
    /// Nothing older is taken any more; never goes back.
    floor: DomainTime,
}

/// Encoded slots.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    bytes: Vec<u8>,
    last_at: DomainTime,
}

/// A level under change; [`Editor::finish`] says which blocks changed.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    level: &'a mut Level,
    open: Option<OpenBlock>,
    touched: BTreeSet<DomainTime>,
}

#[derive(Debug)]
struct OpenBlock {
    key: Option<DomainTime>,
    /// First time of the block after it: slots from there on belong there.
    before: Option<DomainTime>,
    slots: Vec<Slot>,
    changed: bool,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            floor: OLDEST_TIME,
        }
    }
}

impl Level {
    /// Makes a level of what was stored; blocks follow by [`Level::restore`].
    pub(super) fn with_floor(floor: DomainTime) -> Self {
        Self {
            blocks: BTreeMap::new(),
            floor,
        }
    }

    /// Takes a stored block; says why it cannot be one.
    pub(super) fn restore(&mut self, key: DomainTime, bytes: Vec<u8>) -> Result<(), &'static str> {
        let slots =
            columns::decode(&bytes, BLOCK_SLOTS_MAX).ok_or("its slots cannot be decoded")?;
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else {
            return Err("it is empty");
        };
        if first.at != key {
            return Err("its first slot is not the one in its key");
        }
        let last_at = last.at;
        if self
            .blocks
            .values()
            .next_back()
            .is_some_and(|block| block.last_at >= key)
        {
            return Err("it overlaps the block before");
        }
        self.blocks.insert(key, Block { bytes, last_at });
        Ok(())
    }

    pub(super) fn floor(&self) -> DomainTime {
        self.floor
    }

    pub(super) fn block_bytes(&self, key: DomainTime) -> Option<&[u8]> {
        self.blocks.get(&key).map(|block| block.bytes.as_slice())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = DomainTime> + '_ {
        self.blocks.keys().copied()
    }

    pub(super) fn edit(&mut self) -> Editor<'_> {
        Editor {
            level: self,
            open: None,
            touched: BTreeSet::new(),
        }
    }

    /// Reads the slots from `from` up to `until`, exclusive.
    pub(super) fn range(&self, from: DomainTime, until: DomainTime) -> Vec<Slot> {
        let mut found = Vec::new();
        if from >= until {
            return found;
        }
        let first_key = self
            .blocks
            .range(..=from)
            .next_back()
            .map_or(from, |(key, _)| *key);
        for (_, block) in self.blocks.range(first_key..until) {
            let slots = block.slots();
            found.extend(
                slots
                    .into_iter()
                    .filter(|slot| slot.at >= from && slot.at < until),
            );
        }
        found
    }

    pub(super) fn first_at(&self) -> Option<DomainTime> {
        self.blocks.keys().next().copied()
    }

    pub(super) fn last_at(&self) -> Option<DomainTime> {
        self.blocks.values().next_back().map(|block| block.last_at)
    }

    /// Raises the floor and drops whole blocks below it; returns the keys of those.
    pub(super) fn prune(&mut self, floor: DomainTime) -> BTreeSet<DomainTime> {
        self.floor = self.floor.max(floor);
        let mut dropped = BTreeSet::new();
        while let Some((key, last_at)) = self.first_block() {
            let too_many = self.blocks.len() > BLOCKS_PER_LEVEL_MAX;
            if last_at >= self.floor && !too_many {
                break;
            }
            self.blocks.remove(&key);
            self.floor = self.floor.max(DomainTime(last_at.0.saturating_add(1)));
            dropped.insert(key);
        }
        dropped
    }

    fn first_block(&self) -> Option<(DomainTime, DomainTime)> {
        let (key, block) = self.blocks.first_key_value()?;
        Some((*key, block.last_at))
    }
}

impl Block {
    fn slots(&self) -> Vec<Slot> {
        columns::decode(&self.bytes, BLOCK_SLOTS_MAX)
            .expect("a block in memory was encoded here or was checked when it was restored")
    }
}

impl Editor<'_> {
    /// Changes the slot at a time. Cheap when called in ascending order of time.
    pub(super) fn upsert(&mut self, at: DomainTime, change: impl FnOnce(Option<Slot>) -> Slot) {
        let covers = self.open.as_ref().is_some_and(|open| open.covers(at));
        if !covers {
            self.close();
            self.open = Some(self.level.open_for(at));
        }
        let Some(open) = self.open.as_mut() else {
            return;
        };
        match open.slots.binary_search_by_key(&at, |slot| slot.at) {
            Ok(index) => {
                if let Some(slot) = open.slots.get_mut(index) {
                    let next = change(Some(*slot));
                    open.changed |= next != *slot;
                    *slot = next;
                }
            }
            Err(index) => {
                open.slots.insert(index, change(None));
                open.changed = true;
                if open.slots.len() > BLOCK_SLOTS_MAX {
                    self.close();
                }
            }
        }
    }

    /// Ends the change and returns the keys of the blocks that were written or removed.
    pub(super) fn finish(mut self) -> BTreeSet<DomainTime> {
        self.close();
        self.touched
    }

    fn close(&mut self) {
        let Some(open) = self.open.take().filter(|open| open.changed) else {
            return;
        };
        if let Some(key) = open.key {
            self.level.blocks.remove(&key);
            self.touched.insert(key);
        }
        // An append fills blocks to the brim; an insertion in the middle leaves room on both sides.
        let full = open.slots.len() > BLOCK_SLOTS_MAX;
        let at = match (full, open.before) {
            (false, _) => open.slots.len(),
            (true, None) => BLOCK_SLOTS_MAX,
            (true, Some(_)) => open.slots.len() / 2,
        };
        let (head, tail) = open
            .slots
            .split_at_checked(at)
            .unwrap_or((&open.slots, &[]));
        for slots in [head, tail] {
            if let (Some(first), Some(last)) = (slots.first(), slots.last()) {
                let block = Block {
                    bytes: columns::encode(slots),
                    last_at: last.at,
                };
                self.level.blocks.insert(first.at, block);
                self.touched.insert(first.at);
            }
        }
    }
}

impl Level {
    fn open_for(&self, at: DomainTime) -> OpenBlock {
        let found = self
            .blocks
            .range(..=at)
            .next_back()
            .or_else(|| self.blocks.iter().next());
        let Some((key, block)) = found else {
            return OpenBlock {
                key: None,
                before: None,
                slots: Vec::new(),
                changed: false,
            };
        };
        let after = DomainTime(key.0.max(at.0).saturating_add(1));
        OpenBlock {
            key: Some(*key),
            before: self.blocks.range(after..).next().map(|(next, _)| *next),
            slots: block.slots(),
            changed: false,
        }
    }
}

impl OpenBlock {
    /// Whether a slot at this time belongs here: not before the block (unless it is the first there
    /// is, which the caller's ascending order makes rare) and before the next one.
    fn covers(&self, at: DomainTime) -> bool {
        let not_before = self.slots.first().is_none_or(|first| first.at <= at);
        not_before && self.before.is_none_or(|before| at < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(editor: &mut Editor<'_>, at: i64, value: i128) {
        let at = DomainTime(at);
        editor.upsert(at, |_old| Slot {
            at,
            sum: value,
            count: 1,
        });
    }

    #[test]
    fn appending_fills_blocks_to_the_brim() {
        let mut level = Level::default();
        for at in 0..1_000 {
            let mut editor = level.edit();
            put(&mut editor, at, 1);
            assert!(editor.finish().len() <= 2);
        }
        assert_eq!(level.blocks.len(), 1_000_usize.div_ceil(BLOCK_SLOTS_MAX));
    }

    #[test]
    fn pruning_drops_whole_blocks_and_never_lowers_the_floor() {
        let mut level = Level::default();
        let mut editor = level.edit();
        for at in 0..600 {
            put(&mut editor, at, 1);
        }
        editor.finish();
        let dropped = level.prune(DomainTime(300));
        assert_eq!(dropped, BTreeSet::from([DomainTime(0)]));
        assert_eq!(level.floor(), DomainTime(300));
        assert!(level.prune(DomainTime(10)).is_empty());
        assert_eq!(level.floor(), DomainTime(300));
    }

    proptest! {
        #[test]
        fn a_level_is_an_ordered_map(
            runs in proptest::collection::vec(
                proptest::collection::vec((0_i64..3_000, 0_i64..9), 1..400), 1..8),
            from in 0_i64..3_000,
            length in 0_i64..3_000,
        ) {
            let mut level = Level::default();
            let mut expected = BTreeMap::new();
            let mut stored = BTreeMap::new();
            for run in runs {
                let mut editor = level.edit();
                for (at, value) in run {
                    put(&mut editor, at, i128::from(value));
                    expected.insert(at, i128::from(value));
                }
                for key in editor.finish() {
                    match level.block_bytes(key) {
                        Some(bytes) => stored.insert(key, bytes.to_vec()),
                        None => stored.remove(&key),
                    };
                }
            }
            let found: Vec<(i64, i128)> = level
                .range(DomainTime(from), DomainTime(from + length))
                .iter()
                .map(|slot| (slot.at.0, slot.sum))
                .collect();
            let wanted: Vec<(i64, i128)> =
                expected.range(from..from + length).map(|(at, value)| (*at, *value)).collect();
            prop_assert_eq!(found, wanted);
            // What the touched keys say is all there is: a store that follows them holds the level.
            let mut restored = Level::default();
            for (key, bytes) in stored {
                prop_assert_eq!(restored.restore(key, bytes), Ok(()));
            }
            prop_assert_eq!(restored, level);
        }
    }
}
