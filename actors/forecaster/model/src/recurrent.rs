//! The network as it serves.

use crate::architecture::{Inputs, Layers};
use crate::parameters::PARAMETERS;
use crate::weights::{WeightsError, first_line, read, weights_id};
use tch::{TchError, Tensor, no_grad};
use twinscale_forecaster::network::{FeatureBatch, NetworkError, QuantileNetwork};
use twinscale_protocol::WeightsId;

/// A recurrent quantile network with fixed weights.
#[derive(Debug)]
pub struct RecurrentNetwork {
    layers: Layers,
    weights_id: WeightsId,
}

impl RecurrentNetwork {
    /// Builds the network of the bytes of a weights file.
    ///
    /// # Errors
    /// [`WeightsError`] when the bytes are corrupt, cut off or belong to another network.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WeightsError> {
        use_one_thread();
        Ok(Self {
            layers: Layers::of(&read(bytes)?)?,
            weights_id: weights_id(bytes)?,
        })
    }
}

impl QuantileNetwork for RecurrentNetwork {
    fn weights_id(&self) -> WeightsId {
        self.weights_id.clone()
    }

    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        // Thread settings and gradient mode belong to the calling thread.
        use_one_thread();
        no_grad(|| {
            let quantiles = Inputs::of(batch).and_then(|inputs| self.layers.forward(&inputs))?;
            Vec::<f32>::try_from(&quantiles.f_contiguous()?.f_view([-1])?)
        })
        .map_err(|error: TchError| failed("the forward pass", &error))
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        let zeros = PARAMETERS
            .iter()
            .map(|spec| (spec.name, vec![0.0; spec.len()]))
            .collect();
        self.layers = Layers::of(&zeros).map_err(|error| NetworkError::Failed {
            step: "zeroing the weights",
            cause: error.to_string(),
        })?;
        self.weights_id = WeightsId::new("zeroed").map_err(|error| NetworkError::Failed {
            step: "naming the weights",
            cause: error.to_string(),
        })?;
        Ok(())
    }
}

/// Keeps the library on the calling thread: its own team would only wait for this small network.
pub(crate) fn use_one_thread() {
    if tch::get_num_threads() != 1 {
        tch::set_num_threads(1);
    }
}

fn failed(step: &'static str, error: &TchError) -> NetworkError {
    NetworkError::Failed {
        step,
        cause: first_line(error),
    }
}

/// Multiplies two square matrices and gives one number of the product, for the peak that a benchmark
/// compares with.
///
/// # Errors
/// [`NetworkError`] when the library refuses.
pub fn multiply_once(size: i64) -> Result<f64, NetworkError> {
    use_one_thread();
    no_grad(|| {
        let left = Tensor::f_ones([size, size], (tch::Kind::Float, tch::Device::Cpu))?;
        left.f_matmul(&left)?.f_double_value(&[0, 0])
    })
    .map_err(|error: TchError| failed("a matrix product", &error))
}
