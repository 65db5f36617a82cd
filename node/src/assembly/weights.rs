//! The forecaster's weights, as a node is given them.

use crate::error::ExpectedError;
use std::path::Path;
use std::sync::Arc;
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS, load};
use twinscale_forecast_model::{Network, engine_of};
use twinscale_forecaster::actor::MakeEngine;
use twinscale_forecaster::card::WeightsCard;
use twinscale_forecaster::engine::Engine;
use twinscale_protocol::{WireError, WireErrorCode};

/// Weights with their card, checked against each other.
#[derive(Clone, Debug)]
pub struct ForecastWeights {
    bytes: Arc<[u8]>,
    card: WeightsCard,
    zeroed: bool,
}

impl ForecastWeights {
    /// Loads weights from a file, or the shipped ones.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or the card belongs to other weights.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Self::check(SHIPPED_WEIGHTS, SHIPPED_CARD, "the shipped weights");
        };
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| ExpectedError::file("read", path, source))
        };
        let card = read(&path.with_extension("json"))?;
        Self::check(&read(path)?, &card, &path.display().to_string())
    }

    /// The same weights set to zero, so that a test sees what hangs on them.
    #[must_use]
    pub fn zeroed(self) -> Self {
        Self {
            zeroed: true,
            ..self
        }
    }

    fn check(weights: &[u8], card: &[u8], place: &str) -> anyhow::Result<Self> {
        let (_networks, card) = load(weights, card)
            .map_err(|error| ExpectedError::input(format!("{place} cannot be used"), error))?;
        Ok(Self {
            bytes: weights.into(),
            card,
            zeroed: false,
        })
    }

    /// The weights file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the weights were trained on, and until when.
    pub fn card(&self) -> &WeightsCard {
        &self.card
    }

    /// Loads a network of its own, as the forecaster does for each of its threads.
    ///
    /// # Errors
    /// When the library behind the network refuses.
    pub fn engine(&self) -> Result<Engine, WireError> {
        self.make_engine()()
    }

    pub(super) fn make_engine(&self) -> MakeEngine {
        let (bytes, zeroed) = (Arc::clone(&self.bytes), self.zeroed);
        let internal = |text: String| WireError::new(WireErrorCode::Internal, text);
        Arc::new(move || {
            let networks = Network::all_of(&bytes).map_err(|error| internal(error.to_string()))?;
            let mut engine = engine_of(networks).map_err(|error| internal(error.to_string()))?;
            if zeroed {
                engine
                    .zero_weights()
                    .map_err(|error| internal(error.to_string()))?;
            }
            Ok(engine)
        })
    }
}
