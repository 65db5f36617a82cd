//! The weights that ship with the program, inside it.

use crate::serving::Network;
use crate::weights::{WeightsError, weights_id};
use twinscale_forecaster::card::{CardError, WeightsCard};

/// The shipped weights file.
pub const SHIPPED_WEIGHTS: &[u8] = include_bytes!("../../../../models/shipped.safetensors");

/// The card of the shipped weights.
pub const SHIPPED_CARD: &[u8] = include_bytes!("../../../../models/shipped.json");

/// Why weights and card cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The card.
    #[error(transparent)]
    Card(#[from] CardError),
}

/// Builds the networks of a weights file and reads its card, which must belong to it.
///
/// # Errors
/// [`ModelError`] when either is corrupt, of a newer version, or belongs to other weights.
pub fn load(weights: &[u8], card: &[u8]) -> Result<(Vec<Network>, WeightsCard), ModelError> {
    let card = WeightsCard::from_json(card)?;
    let networks = Network::all_of(weights)?;
    card.check_weights(&weights_id(weights)?)?;
    Ok((networks, card))
}

/// Builds the shipped networks and reads its card.
///
/// # Errors
/// [`ModelError`] when the program was built with broken files.
pub fn load_shipped() -> Result<(Vec<Network>, WeightsCard), ModelError> {
    load(SHIPPED_WEIGHTS, SHIPPED_CARD)
}
