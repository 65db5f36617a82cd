//! The network of how demand answers: profiles that are exactly zero where all is normal.
//!
//! Purpose: the learned model behind [`twinscale_reaction::effect::SharedEffect`], its training and its file.
//! Drivers, a customer's own scales, judging and the gate are in `twinscale-reaction`.

mod card;
mod network;
mod shipped;
mod train;

pub use card::{CARD_VERSION, MadeOf, ReactionCard, ReactionCardError};
pub use network::{ReactionNetwork, ReactionWeightsError};
pub use shipped::{SHIPPED_REACTION, SHIPPED_REACTION_CARD, load_reaction, load_shipped_reaction};
pub use train::{ReactionProgress, ReactionTrainError, ReactionTrainOptions, train_reaction};
