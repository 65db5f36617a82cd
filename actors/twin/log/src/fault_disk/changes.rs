//! Changes of the faulty disk that are not durable yet, and how a crash treats them.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) visible: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<FileChange>,
}

#[derive(Clone, Debug)]
pub(super) enum FileChange {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl FileChange {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write {
                offset,
                bytes: written,
            } => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                if let Some(target) = bytes.get_mut(*offset..end) {
                    target.copy_from_slice(written);
                }
            }
        }
    }

    /// What of a write still fits; `None` when all of it does.
    pub(super) fn cut_to(&self, length: usize, room: usize) -> Option<Self> {
        let Self::Write { offset, bytes } = self else {
            return None;
        };
        let end_max = length.saturating_add(room);
        if offset + bytes.len() <= end_max {
            return None;
        }
        let fits = end_max.saturating_sub(*offset);
        Some(Self::Write {
            offset: *offset,
            bytes: bytes.get(..fits).unwrap_or_default().to_vec(),
        })
    }

    /// Applies all, nothing, or a random part: bytes that are lost leave what was there.
    fn apply_part(&self, bytes: &mut Vec<u8>, random: &mut u64) {
        match (next_random(random) % 4, self) {
            (0, _) => {}
            (1, _) | (_, Self::Length(_)) => self.apply(bytes),
            (
                2,
                Self::Write {
                    offset,
                    bytes: written,
                },
            ) => {
                let kept = pick(random, written.len() + 1);
                let part = written.get(..kept).unwrap_or_default().to_vec();
                Self::Write {
                    offset: *offset,
                    bytes: part,
                }
                .apply(bytes);
            }
            (
                _,
                Self::Write {
                    offset,
                    bytes: written,
                },
            ) => {
                let chunk_bytes = 1 + pick(random, 64);
                for (at, chunk) in written.chunks(chunk_bytes).enumerate() {
                    if next_random(random).is_multiple_of(2) {
                        Self::Write {
                            offset: offset + at * chunk_bytes,
                            bytes: chunk.to_vec(),
                        }
                        .apply(bytes);
                    }
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: FileChange) {
        change.apply(&mut self.visible);
        self.pending.push(change);
    }

    pub(super) fn lose_part(&mut self, random: &mut u64) {
        for change in std::mem::take(&mut self.pending) {
            change.apply_part(&mut self.durable, random);
        }
    }
}

/// The next number of a splitmix64 sequence.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `bound`, which is not 0.
pub(super) fn pick(state: &mut u64, bound: usize) -> usize {
    let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
    usize::try_from(next_random(state) % bound).unwrap_or(0)
}
