//! The network that chooses a price of a miss: an actor with a critic.
//!
//! Purpose: the learned policy behind [`twinscale_policy::policies::StochasticPolicy`], its training and
//! its file. What it may do, what it sees and whether it acts is decided in `twinscale-policy`.

mod card;
mod cross;
mod network;
mod train;

pub use card::{CARD_VERSION, PolicyCard, PolicyCardError, PolicyScore, kept_back_by};
pub use cross::{CrossError, CrossOptions, Crossed, cross_train};
pub use network::{PolicyNetwork, PolicyWeightsError};
pub use train::{PolicyProgress, PolicyTrainError, PolicyTrainOptions, train_policy};
