//! The tree: finds the template of a line, or begins one.

use super::mask::{Token, tokens_of};
use super::template::{Template, TemplateId, TemplateView, WILDCARD, WORD_BIT, code_of};
use crate::secret::{InputSecret, first_u64, hmac_of};
use siphasher::sip::SipHasher24;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Lines that a template takes before it has a number and its words a text.
pub const ESTABLISHED_LINES_MIN: u64 = 10;

/// Most established templates. When there are as many, one that took none of the last [`ESTABLISHED_REST_LINES`]
/// lines makes room; while there is none, further lines count as [`TemplateId::OTHER`].
pub const ESTABLISHED_MAX: usize = 512;

/// Lines without one of its own after which an established template may make room.
pub const ESTABLISHED_REST_LINES: u64 = 1_000_000;

/// Most tentative templates; past it a part of them, the longest unused, is forgotten.
pub const TENTATIVE_MAX: usize = 512;

/// Most templates of one leaf.
pub const LEAF_TEMPLATES_MAX: usize = 48;

/// Most first tokens that lead to leaves of their own, for each number of tokens; others share one leaf.
pub const FIRST_TOKENS_MAX: usize = 64;

/// Share of tokens that must agree, in percent. The paper uses 0.4 to 0.7, most often 0.5.
pub const SIMILARITY_PERCENT: usize = 50;

/// Tentative templates forgotten at once: the search for them then costs little per line.
const FORGOTTEN_AT_ONCE: usize = TENTATIVE_MAX / 8;

/// Whether the words of established templates are kept as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateText {
    /// Kept once [`ESTABLISHED_LINES_MIN`] lines agreed in them.
    Kept,
    /// Never; a template then reads `<word> <word> <num>`.
    Never,
}

/// Where a line looks: its number of tokens and the code of its first, or [`WILDCARD`].
pub(super) type LeafKey = (usize, u64);

/// Mines templates line by line.
pub struct TemplateMiner {
    key: Zeroizing<[u8; 16]>,
    /// Tells in the stored state under which key the hashes were made.
    pub(super) key_check: u64,
    text: TemplateText,
    pub(super) leaves: BTreeMap<LeafKey, Vec<Template>>,
    pub(super) lines: u64,
    pub(super) next_id: u64,
    pub(super) established: usize,
    pub(super) tentative: usize,
    codes: Vec<u64>,
}

impl fmt::Debug for TemplateMiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateMiner")
            .field("lines", &self.lines)
            .field("established", &self.established)
            .field("tentative", &self.tentative)
            .finish_non_exhaustive()
    }
}

impl TemplateMiner {
    /// Makes a miner without templates. Words are hashed under the secret: another one makes other templates of the
    /// same numbers, so it must stay the same.
    pub fn new(secret: &InputSecret, text: TemplateText) -> Self {
        let derived = secret.derive("log words", 0);
        let mut key = Zeroizing::new([0; 16]);
        for (byte, from) in key.iter_mut().zip(derived.iter()) {
            *byte = *from;
        }
        Self {
            key,
            key_check: first_u64(&hmac_of(&derived, &[b"check"])),
            text,
            leaves: BTreeMap::new(),
            lines: 0,
            next_id: 1,
            established: 0,
            tentative: 0,
            codes: Vec::new(),
        }
    }

    /// Takes a message and says which established template it belongs to, or [`TemplateId::OTHER`].
    ///
    /// Cost: linear in the message, plus at most 2 * [`LEAF_TEMPLATES_MAX`] comparisons of at most
    /// [`super::TOKENS_MAX`] tokens, plus in some lines a look at all tentative templates.
    pub fn observe(&mut self, message: &str) -> TemplateId {
        let mut tokens = Vec::new();
        tokens_of(message, &mut tokens);
        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        codes.extend(tokens.iter().map(|token| self.code(token)));
        self.lines = self.lines.saturating_add(1);
        let id = self.take(&tokens, &codes);
        self.codes = codes;
        id
    }

    /// Lists the established templates, in the order of their numbers.
    pub fn templates(&self) -> Vec<TemplateView> {
        let all = self.leaves.values().flatten();
        let mut views: Vec<TemplateView> = all.filter_map(Template::view).collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// Counts the established templates.
    pub fn established_count(&self) -> usize {
        self.established
    }

    /// Counts the tentative templates.
    pub fn tentative_count(&self) -> usize {
        self.tentative
    }

    /// Counts the lines taken.
    pub fn line_count(&self) -> u64 {
        self.lines
    }

    fn code(&self, token: &Token<'_>) -> u64 {
        match token {
            Token::Masked(mask) => code_of(*mask),
            Token::Word(word) => {
                SipHasher24::new_with_key(&self.key).hash(word.as_bytes()) | WORD_BIT
            }
        }
    }

    fn take(&mut self, tokens: &[Token<'_>], codes: &[u64]) -> TemplateId {
        let own: LeafKey = (codes.len(), codes.first().copied().unwrap_or(WILDCARD));
        let shared: LeafKey = (codes.len(), WILDCARD);
        let found = [own, shared].into_iter().find_map(|key| {
            let leaf = self.leaves.get(&key)?;
            most_similar(leaf, codes).map(|place| (key, place))
        });
        let Some((key, place)) = found else {
            self.begin(own, shared, codes);
            return TemplateId::OTHER;
        };
        let line = self.lines;
        let Some(template) = self.leaf_template(key, place) else {
            return TemplateId::OTHER;
        };
        template.take(codes, line);
        if let Some(id) = template.id {
            return id;
        }
        if template.lines < ESTABLISHED_LINES_MIN || !self.has_room_for_established() {
            return TemplateId::OTHER;
        }
        self.establish(codes, tokens, key)
    }

    fn leaf_template(&mut self, key: LeafKey, place: usize) -> Option<&mut Template> {
        self.leaves.get_mut(&key)?.get_mut(place)
    }

    fn establish(&mut self, codes: &[u64], tokens: &[Token<'_>], key: LeafKey) -> TemplateId {
        let (id, keeps_text) = (TemplateId(self.next_id), self.text == TemplateText::Kept);
        let line = self.lines;
        // Making room may have moved the leaf's templates; the one that just took this line is known by its number.
        let Some(template) = self
            .leaves
            .get_mut(&key)
            .and_then(|leaf| leaf.iter_mut().find(|one| one.last_line == line))
        else {
            return TemplateId::OTHER;
        };
        assert_eq!(template.codes.len(), codes.len(), "a leaf holds one length");
        template.id = Some(id);
        if keeps_text {
            template.keep_words(tokens);
        }
        self.next_id = self.next_id.saturating_add(1);
        self.established += 1;
        self.tentative -= 1;
        id
    }

    /// Begins a tentative template for a line that is like none.
    fn begin(&mut self, own: LeafKey, shared: LeafKey, codes: &[u64]) {
        if self.tentative >= TENTATIVE_MAX {
            self.forget_tentative();
        }
        let (length, _) = own;
        let has_own = self.leaves.contains_key(&own)
            || self.leaves.range((length, 0)..=(length, u64::MAX)).count() < FIRST_TOKENS_MAX;
        let leaf = self
            .leaves
            .entry(if has_own { own } else { shared })
            .or_default();
        if leaf.len() >= LEAF_TEMPLATES_MAX {
            let tentative = leaf.iter().enumerate().filter(|(_, one)| one.id.is_none());
            let Some((oldest, _)) = tentative.min_by_key(|(_, one)| one.last_line) else {
                return;
            };
            leaf.remove(oldest);
            self.tentative -= 1;
        }
        leaf.push(Template {
            id: None,
            codes: codes.to_vec(),
            words: Vec::new(),
            lines: 1,
            last_line: self.lines,
        });
        self.tentative += 1;
    }

    fn forget_tentative(&mut self) {
        let mut last_lines: Vec<u64> = self
            .leaves
            .values()
            .flatten()
            .filter(|one| one.id.is_none())
            .map(|one| one.last_line)
            .collect();
        last_lines.sort_unstable();
        // No two templates took the same line, so exactly this many go.
        let Some(newest_forgotten) = last_lines.get(FORGOTTEN_AT_ONCE - 1).copied() else {
            return;
        };
        self.leaves.retain(|_, leaf| {
            leaf.retain(|one| one.id.is_some() || one.last_line > newest_forgotten);
            !leaf.is_empty()
        });
        self.tentative -= FORGOTTEN_AT_ONCE;
    }

    fn has_room_for_established(&mut self) -> bool {
        if self.established < ESTABLISHED_MAX {
            return true;
        }
        let oldest = self
            .leaves
            .iter()
            .flat_map(|(key, leaf)| leaf.iter().map(move |one| (one, *key)))
            .filter(|(one, _)| one.id.is_some())
            .map(|(one, key)| (one.last_line, key))
            .min();
        let Some((last_line, key)) = oldest else {
            return false;
        };
        if self.lines.saturating_sub(last_line) < ESTABLISHED_REST_LINES {
            return false;
        }
        if let Some(leaf) = self.leaves.get_mut(&key) {
            leaf.retain(|one| one.last_line != last_line);
            self.established -= 1;
            if leaf.is_empty() {
                self.leaves.remove(&key);
            }
        }
        true
    }
}

/// Finds the template in which most tokens agree, if enough do; among equals the one with more wildcards, as in the
/// paper's implementation, then the older.
fn most_similar(leaf: &[Template], codes: &[u64]) -> Option<usize> {
    let mut best: Option<(usize, (usize, usize))> = None;
    for (place, template) in leaf.iter().enumerate() {
        let agreement = template.agreement(codes);
        if agreement.0 * 100 < SIMILARITY_PERCENT * codes.len() {
            continue;
        }
        if best.is_none_or(|(_, most)| agreement > most) {
            best = Some((place, agreement));
        }
    }
    best.map(|(place, _)| place)
}
