//! The card of a set of weights: what they were trained on, up to when, and how well they did.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use twinscale_protocol::WeightsId;

/// Version of the card's format that is written.
pub const CARD_VERSION: u32 = 2;

/// The card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsCard {
    /// Version of the format.
    pub card_version: u32,
    /// Which weights it describes.
    pub weights_id: WeightsId,
    /// Size of the weights file in bytes.
    pub weights_bytes: u64,
    /// The networks of the file, in its order.
    pub networks: Vec<NetworkCard>,
    /// What was trained on, by dataset.
    pub datasets: BTreeMap<String, DatasetCard>,
    /// What the weights are not good for.
    pub limits: Vec<String>,
    /// The weights that these were trained further from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<WeightsId>,
}

/// A network's part of the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkCard {
    /// The network, in words.
    pub network: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Step whose weights were kept.
    pub best_step: u64,
    /// Mean pinball loss on the validation span, in units of the day-to-day change.
    pub validation_loss: f64,
}

/// The first version, which knew one network.
#[derive(Deserialize)]
struct CardV1 {
    weights_id: WeightsId,
    weights_bytes: u64,
    #[serde(flatten)]
    network: NetworkCard,
    datasets: BTreeMap<String, DatasetCard>,
    limits: Vec<String>,
}

impl From<CardV1> for WeightsCard {
    fn from(card: CardV1) -> Self {
        Self {
            card_version: CARD_VERSION,
            weights_id: card.weights_id,
            weights_bytes: card.weights_bytes,
            networks: vec![card.network],
            datasets: card.datasets,
            limits: card.limits,
            parent: None,
        }
    }
}

/// A dataset's part of the card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetCard {
    /// Where it comes from and under which licence.
    pub source: String,
    /// Per series: no sample at or after this time (epoch seconds) was used.
    pub cut_s: BTreeMap<String, i64>,
}

/// Why a card cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Not a card.
    #[error("weights card is not readable: restore the file beside the weights or train again")]
    Parse(#[source] serde_json::Error),
    /// Written by a newer program.
    #[error("weights card has version {found}, known up to {known}: update the program")]
    Newer {
        /// Version found.
        found: u32,
        /// Newest version that is understood.
        known: u32,
    },
    /// The card belongs to other weights.
    #[error("card describes weights {card}, the file holds {weights}: keep both files together")]
    OtherWeights {
        /// Weights that the card names.
        card: WeightsId,
        /// Weights found.
        weights: WeightsId,
    },
}

/// The weights saw what they are to be tested on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "weights {weights} were trained on `{series}` of `{dataset}` up to {cut_s}, later than the first origin {origin_s}: use weights with an earlier cut"
)]
pub struct LeakError {
    /// The weights.
    pub weights: WeightsId,
    /// The dataset.
    pub dataset: String,
    /// The series.
    pub series: String,
    /// End of training, epoch seconds.
    pub cut_s: i64,
    /// The first forecast's origin, epoch seconds.
    pub origin_s: i64,
}

#[derive(Deserialize)]
struct VersionOnly {
    card_version: u32,
}

impl WeightsCard {
    /// Reads a card.
    ///
    /// # Errors
    /// [`CardError`] when it is malformed or of a newer version.
    pub fn from_json(text: &[u8]) -> Result<Self, CardError> {
        let version: VersionOnly = serde_json::from_slice(text).map_err(CardError::Parse)?;
        if version.card_version > CARD_VERSION {
            return Err(CardError::Newer {
                found: version.card_version,
                known: CARD_VERSION,
            });
        }
        if version.card_version < CARD_VERSION {
            let first: CardV1 = serde_json::from_slice(text).map_err(CardError::Parse)?;
            return Ok(first.into());
        }
        serde_json::from_slice(text).map_err(CardError::Parse)
    }

    /// Writes the card for people and programs.
    ///
    /// # Errors
    /// [`CardError::Parse`], never in practice.
    pub fn to_json(&self) -> Result<String, CardError> {
        let mut text = serde_json::to_string_pretty(self).map_err(CardError::Parse)?;
        text.push('\n');
        Ok(text)
    }

    /// Checks that the card belongs to these weights.
    ///
    /// # Errors
    /// [`CardError::OtherWeights`].
    pub fn check_weights(&self, weights: &WeightsId) -> Result<(), CardError> {
        if self.weights_id == *weights {
            Ok(())
        } else {
            Err(CardError::OtherWeights {
                card: self.weights_id.clone(),
                weights: weights.clone(),
            })
        }
    }

    /// Finds until when a series was trained on (epoch seconds); `None` when it was not.
    pub fn cut_s(&self, dataset: &str, series: &str) -> Option<i64> {
        self.datasets.get(dataset)?.cut_s.get(series).copied()
    }

    /// Checks that nothing at or after `origin_s + interval` was seen.
    ///
    /// # Errors
    /// [`LeakError`] when training went past the first origin.
    pub fn check_cut(&self, dataset: &str, series: &str, origin_s: i64) -> Result<(), LeakError> {
        match self.cut_s(dataset, series) {
            Some(cut_s) if cut_s > origin_s => Err(LeakError {
                weights: self.weights_id.clone(),
                dataset: dataset.to_owned(),
                series: series.to_owned(),
                cut_s,
                origin_s,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> WeightsCard {
        let mut cut_s = BTreeMap::new();
        cut_s.insert("c/v/m".to_owned(), 1000);
        let mut datasets = BTreeMap::new();
        datasets.insert(
            "set".to_owned(),
            DatasetCard {
                source: "here".to_owned(),
                cut_s,
            },
        );
        WeightsCard {
            card_version: CARD_VERSION,
            weights_id: WeightsId::new("0123456789abcdef").expect("an id"),
            weights_bytes: 1,
            networks: vec![NetworkCard {
                network: "gru".to_owned(),
                seed: 1,
                steps: 2,
                best_step: 2,
                validation_loss: 0.5,
            }],
            datasets,
            limits: Vec::new(),
            parent: None,
        }
    }

    #[test]
    fn a_card_comes_back_and_a_newer_one_is_refused() {
        let text = card().to_json().expect("serialises");
        assert_eq!(
            WeightsCard::from_json(text.as_bytes()).expect("reads"),
            card()
        );
        let newer = text.replace("\"card_version\": 2", "\"card_version\": 3");
        let error = WeightsCard::from_json(newer.as_bytes()).expect_err("newer");
        assert!(matches!(error, CardError::Newer { found: 3, known: 2 }));
        assert!(WeightsCard::from_json(b"{").is_err());
    }

    #[test]
    fn a_card_of_the_first_version_has_one_network() {
        let text = r#"{"card_version": 1, "weights_id": "0123456789abcdef", "weights_bytes": 1,
            "network": "gru", "seed": 1, "steps": 2, "best_step": 2, "validation_loss": 0.5,
            "datasets": {"set": {"source": "here", "cut_s": {"c/v/m": 1000}}}, "limits": []}"#;
        let read = WeightsCard::from_json(text.as_bytes()).expect("reads");
        assert_eq!(read, card());
    }

    #[test]
    fn training_past_the_first_origin_is_refused() {
        let card = card();
        assert!(card.check_cut("set", "c/v/m", 1000).is_ok());
        assert!(card.check_cut("set", "other", 0).is_ok());
        let error = card.check_cut("set", "c/v/m", 999).expect_err("a leak");
        assert_eq!((error.cut_s, error.origin_s), (1000, 999));
    }
}
