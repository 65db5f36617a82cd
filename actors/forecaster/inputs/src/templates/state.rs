//! The miner's state as bytes: version 1 is envelope kind 0x0900.

use super::mask::{TOKENS_MAX, WORD_BYTES_MAX};
use super::miner::{
    ESTABLISHED_MAX, FIRST_TOKENS_MAX, LEAF_TEMPLATES_MAX, LeafKey, TENTATIVE_MAX, TemplateMiner,
    TemplateText,
};
use super::template::{Template, WILDCARD};
use crate::sealed::{self, StateError};
use crate::secret::InputSecret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const WHAT: &str = "a template miner";

/// Most lines and numbers of a state: counting on from there never ends.
const COUNT_MAX: u64 = 1 << 62;

/// What outlives the process: hashes under the secret, and the texts of words that many lines shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MinerState {
    key_check: u64,
    lines: u64,
    next_id: u64,
    leaves: BTreeMap<LeafKey, Vec<Template>>,
}

impl TemplateMiner {
    /// Writes the state; at most about a megabyte.
    ///
    /// # Errors
    /// [`StateError`] when it is too large, which the limits exclude.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        sealed::seal(WHAT, sealed::MINER, &self.state())
    }

    /// Goes on from a state: the same lines then give the same numbers as without the break.
    ///
    /// # Errors
    /// [`StateError`] for bytes that are none, of another secret, or beyond a limit.
    pub fn from_bytes(
        bytes: &[u8],
        secret: &InputSecret,
        text: TemplateText,
    ) -> Result<Self, StateError> {
        let state: MinerState = sealed::open(WHAT, sealed::MINER, bytes)?;
        Self::from_state(state, secret, text)
    }

    pub(crate) fn state(&self) -> MinerState {
        MinerState {
            key_check: self.key_check,
            lines: self.lines,
            next_id: self.next_id,
            leaves: self.leaves.clone(),
        }
    }

    pub(crate) fn from_state(
        state: MinerState,
        secret: &InputSecret,
        text: TemplateText,
    ) -> Result<Self, StateError> {
        let mut miner = Self::new(secret, text);
        if state.key_check != miner.key_check {
            return Err(StateError::Secret { what: WHAT });
        }
        let refuse = |rule| Err(StateError::Rule { what: WHAT, rule });
        let templates = || state.leaves.values().flatten();
        if state.lines > COUNT_MAX || state.next_id > COUNT_MAX {
            return refuse("it counts more lines than can have been");
        }
        let established = templates().filter(|one| one.id.is_some()).count();
        let tentative = templates().count() - established;
        if established > ESTABLISHED_MAX || tentative > TENTATIVE_MAX {
            return refuse("it has more templates than are kept");
        }
        let ids: BTreeSet<_> = templates().filter_map(|one| one.id).collect();
        let last_lines: BTreeSet<u64> = templates().map(|one| one.last_line).collect();
        let newest_id = ids.last().map_or(0, |id| id.0);
        let is_numbered = ids.len() == established
            && ids.first().is_none_or(|id| id.0 > 0)
            && newest_id < state.next_id;
        if !is_numbered || last_lines.len() != established + tentative {
            return refuse("numbers of templates or lines are not unique");
        }
        if last_lines
            .last()
            .is_some_and(|newest| *newest > state.lines)
        {
            return refuse("a template is newer than the newest line");
        }
        if !state.leaves.iter().all(|(key, leaf)| is_sound(*key, leaf)) {
            return refuse("a leaf is larger than it may be or holds what it cannot");
        }
        let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
        for (length, _) in state.leaves.keys() {
            *lengths.entry(*length).or_default() += 1;
        }
        // The leaf that the others share comes on top.
        if lengths
            .values()
            .any(|leaves| *leaves > FIRST_TOKENS_MAX + 1)
        {
            return refuse("it has more leaves than are kept");
        }
        miner.leaves = state.leaves;
        miner.lines = state.lines;
        miner.next_id = state.next_id;
        miner.established = established;
        miner.tentative = tentative;
        Ok(miner)
    }
}

fn is_sound((length, first): LeafKey, leaf: &[Template]) -> bool {
    let is_template = |one: &Template| {
        one.codes.len() == length
            && (one.words.is_empty() || one.words.len() == length)
            && one
                .words
                .iter()
                .flatten()
                .all(|word| word.len() <= WORD_BYTES_MAX)
            && (first == WILDCARD || one.codes.first() == Some(&first))
    };
    length <= TOKENS_MAX
        && (1..=LEAF_TEMPLATES_MAX).contains(&leaf.len())
        && leaf.iter().all(is_template)
}
