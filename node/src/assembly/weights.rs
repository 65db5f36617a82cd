//! The forecaster's weights, as a node is given them.

use crate::error::ExpectedError;
use std::path::Path;
use std::sync::Arc;
use twinscale_forecast_model::shipped::{SHIPPED_CARD, SHIPPED_WEIGHTS, load};
use twinscale_forecast_model::{Network, engine_of};
use twinscale_forecaster::actor::MakeEngine;
use twinscale_forecaster::card::WeightsCard;
use twinscale_forecaster::engine::Engine;
use twinscale_forecaster::serving::{Serving, WeightsVersion};
use twinscale_protocol::{WeightsId, WireError, WireErrorCode};

/// How an engine names weights that were set to zero.
const ZEROED: &str = "zeroed";

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

    /// Serves these weights until others are wanted.
    pub fn serving(&self) -> Serving {
        Serving::new(self.version())
    }

    /// These weights, as a forecaster is given them.
    pub fn version(&self) -> WeightsVersion {
        let id = if self.zeroed {
            WeightsId::new(ZEROED).unwrap_or_else(|_word| self.card.weights_id.clone())
        } else {
            self.card.weights_id.clone()
        };
        WeightsVersion {
            id,
            make: self.make_engine(),
        }
    }

    /// Checks weights and card of a registered file against each other, and that networks can be made of them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of_bytes(weights: &[u8], card: &[u8]) -> Result<Self, WireError> {
        let loaded = load(weights, card);
        let (_networks, card) =
            loaded.map_err(|error| WireError::new(WireErrorCode::Invalid, error.to_string()))?;
        Ok(Self {
            bytes: weights.into(),
            card,
            zeroed: false,
        })
    }

    fn make_engine(&self) -> MakeEngine {
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
