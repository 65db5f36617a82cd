//! A template: what lines of one form have in common.

use super::mask::{Mask, Token};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The code of a place where lines differ.
pub(super) const WILDCARD: u64 = 0;

/// The bit that every code of a word has, and no other.
pub(super) const WORD_BIT: u64 = 1 << 63;

/// The number of an established template; never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateId(pub u64);

impl TemplateId {
    /// Lines of no established template.
    pub const OTHER: Self = Self(0);
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::OTHER {
            f.write_str("other")
        } else {
            self.0.fmt(f)
        }
    }
}

/// An established template, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateView {
    /// Its number.
    pub id: TemplateId,
    /// Its text: words, masks such as `<num>`, `<*>` where lines differ, `<word>` for a word whose text is not kept.
    pub text: String,
    /// Lines that it took.
    pub lines: u64,
}

/// A template in a leaf, and its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Template {
    /// Its number once it is established.
    pub(super) id: Option<TemplateId>,
    /// A code per token: [`WILDCARD`], a mask, or the keyed hash of a word with [`WORD_BIT`].
    pub(super) codes: Vec<u64>,
    /// Text per token where it is a word whose text is kept; empty until established.
    pub(super) words: Vec<Option<String>>,
    /// Lines that it took.
    pub(super) lines: u64,
    /// Number of the newest of them, of all lines of the miner.
    pub(super) last_line: u64,
}

impl Template {
    /// Counts the places in which a line agrees, and those which are wildcards.
    pub(super) fn agreement(&self, codes: &[u64]) -> (usize, usize) {
        let mut agreeing = 0;
        let mut wild = 0;
        for (own, code) in self.codes.iter().zip(codes) {
            agreeing += usize::from(own == code && *own != WILDCARD);
            wild += usize::from(*own == WILDCARD);
        }
        (agreeing, wild)
    }

    /// Takes a line: what differs becomes a wildcard.
    pub(super) fn take(&mut self, codes: &[u64], line: u64) {
        self.lines = self.lines.saturating_add(1);
        self.last_line = line;
        for (place, (own, code)) in self.codes.iter_mut().zip(codes).enumerate() {
            if own != code && *own != WILDCARD {
                *own = WILDCARD;
                if let Some(word) = self.words.get_mut(place) {
                    *word = None;
                }
            }
        }
    }

    /// Keeps the words of a line in which all lines agreed.
    pub(super) fn keep_words(&mut self, tokens: &[Token<'_>]) {
        let kept = self
            .codes
            .iter()
            .zip(tokens)
            .map(|(code, token)| match token {
                Token::Word(word) if *code != WILDCARD => Some((*word).to_owned()),
                _ => None,
            });
        self.words = kept.collect();
    }

    pub(super) fn view(&self) -> Option<TemplateView> {
        let texts: Vec<&str> = self
            .codes
            .iter()
            .enumerate()
            .map(|(place, code)| {
                let word = self.words.get(place).and_then(Option::as_deref);
                word.unwrap_or_else(|| text_of(*code))
            })
            .collect();
        Some(TemplateView {
            id: self.id?,
            text: texts.join(" "),
            lines: self.lines,
        })
    }
}

/// The code of a mask, from 1.
pub(super) fn code_of(mask: Mask) -> u64 {
    (1..)
        .zip(Mask::ALL)
        .find(|(_, known)| *known == mask)
        .map_or(WILDCARD, |(code, _)| code)
}

fn text_of(code: u64) -> &'static str {
    if code == WILDCARD {
        return "<*>";
    }
    (1..)
        .zip(Mask::ALL)
        .find(|(known, _)| *known == code)
        .map_or("<word>", |(_, mask)| mask.text())
}
