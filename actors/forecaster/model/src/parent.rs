//! Networks that a training goes on from, instead of beginning with random ones.

use crate::parameters::Values;
use crate::train::TrainOptions;
use crate::weights::{Member, WeightsError, read};

/// Highest learning rate of a training that goes on: what is known already is not to be forgotten at once.
pub const RATE_OF_PARENT: f64 = 3e-4;

/// A network of a weights file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent(Member);

impl Parent {
    /// Reads the networks of a weights file, in its order.
    ///
    /// # Errors
    /// [`WeightsError`] when the bytes are corrupt or belong to other networks.
    pub fn all_of(bytes: &[u8]) -> Result<Vec<Self>, WeightsError> {
        Ok(read(bytes)?.into_iter().map(Self).collect())
    }

    /// Options of a training that goes on from it.
    pub fn options(self) -> TrainOptions {
        TrainOptions {
            architecture: self.0.architecture,
            rate: RATE_OF_PARENT,
            parent: Some(self),
            ..TrainOptions::default()
        }
    }

    pub(crate) fn values(&self) -> Values {
        self.0.values.clone()
    }
}
