//! Mines the templates of log messages: Drain's fixed-depth tree over masked tokens.
//!
//! P. He, J. Zhu, Z. Zheng and M. R. Lyu, "Drain: An Online Log Parsing Approach with Fixed Depth Tree", IEEE ICWS
//! 2017, section III. A message is masked and cut into tokens ([`tokens_of`]); its number of tokens and its first
//! token lead to a leaf, whose templates are compared token by token; the most similar one takes the line, and its
//! places that differ become wildcards.
//!
//! Differences from the paper, each for bounds or privacy:
//! - A template is *tentative* until it has taken [`ESTABLISHED_LINES_MIN`] lines. Only then it gets a number, which is
//!   never given again; before, its lines count as [`TemplateId::OTHER`]. Of tentative ones the longest unused go
//!   first, so a flood of random lines drives out no established one.
//! - Words are kept as keyed 64-bit hashes (SipHash-2-4). The text of a word is kept when its template is established,
//!   and so only if that many lines agreed in it at that place; [`TemplateText::Never`] keeps none.
//!
//! Invariants: at most [`ESTABLISHED_MAX`] + [`TENTATIVE_MAX`] templates, at most [`LEAF_TEMPLATES_MAX`] compared per
//! leaf and two leaves per line; the same lines give the same templates, also over [`TemplateMiner::to_bytes`].

mod mask;
mod miner;
mod state;
mod template;
#[cfg(test)]
mod tests;

pub use mask::{Mask, TOKENS_MAX, Token, WORD_BYTES_MAX, tokens_of};
pub use miner::{
    ESTABLISHED_LINES_MIN, ESTABLISHED_MAX, ESTABLISHED_REST_LINES, FIRST_TOKENS_MAX,
    LEAF_TEMPLATES_MAX, SIMILARITY_PERCENT, TENTATIVE_MAX, TemplateMiner, TemplateText,
};
pub(crate) use state::MinerState;
pub use template::{TemplateId, TemplateView};
