//! The reaction that ships with the program, inside it.

use super::card::{ReactionCard, ReactionCardError};
use super::network::ReactionNetwork;

/// The shipped weights file.
pub const SHIPPED_REACTION: &[u8] = include_bytes!("../../../../../models/reaction.safetensors");

/// The card of the shipped weights.
pub const SHIPPED_REACTION_CARD: &[u8] = include_bytes!("../../../../../models/reaction.json");

/// Builds the model of a weights file and reads its card, which must belong to it and be open.
///
/// # Errors
/// [`ReactionCardError`] when either is unusable or the gate is shut.
pub fn load_reaction(
    weights: &[u8],
    card: &[u8],
) -> Result<(ReactionNetwork, ReactionCard), ReactionCardError> {
    let card = ReactionCard::from_json(card)?;
    Ok((card.open(weights)?, card))
}

/// Builds the shipped model and reads its card.
///
/// # Errors
/// [`ReactionCardError`] when the program was built with broken files.
pub fn load_shipped_reaction() -> Result<(ReactionNetwork, ReactionCard), ReactionCardError> {
    load_reaction(SHIPPED_REACTION, SHIPPED_REACTION_CARD)
}
