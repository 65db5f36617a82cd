//! Networks as they serve.

use crate::architecture::{Architecture, Inputs, Layers, Pass};
use crate::weights::{WeightsError, first_line, read, weights_id};
use tch::{TchError, Tensor, no_grad};
use twinscale_forecaster::engine::Engine;
use twinscale_forecaster::network::{FeatureBatch, NetworkError, Purpose, QuantileNetwork};
use twinscale_protocol::WeightsId;

/// A quantile network with fixed weights.
#[derive(Debug)]
pub struct Network {
    layers: Layers,
    weights_id: WeightsId,
}

impl Network {
    /// Builds the networks of the bytes of a weights file; there is at least one, and all have one id.
    ///
    /// # Errors
    /// [`WeightsError`] when the bytes are corrupt, cut off or belong to other networks.
    pub fn all_of(bytes: &[u8]) -> Result<Vec<Self>, WeightsError> {
        use_one_thread();
        let weights_id = weights_id(bytes)?;
        read(bytes)?
            .iter()
            .map(|member| {
                Ok(Self {
                    layers: Layers::of(member.architecture, &member.values)?,
                    weights_id: weights_id.clone(),
                })
            })
            .collect()
    }

    /// Which kind it is.
    pub fn architecture(&self) -> Architecture {
        self.layers.architecture()
    }
}

impl QuantileNetwork for Network {
    fn weights_id(&self) -> WeightsId {
        self.weights_id.clone()
    }

    fn serves(&self, shape: usize) -> bool {
        self.layers.architecture().serves(shape)
    }

    fn purpose(&self) -> Purpose {
        self.layers.architecture().purpose()
    }

    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        // Thread settings and gradient mode belong to the calling thread.
        use_one_thread();
        no_grad(|| {
            let quantiles =
                Inputs::of(batch).and_then(|inputs| self.layers.forward(&inputs, Pass::Serve))?;
            Vec::<f32>::try_from(&quantiles.f_contiguous()?.f_view([-1])?)
        })
        .map_err(|error: TchError| failed("the forward pass", &error))
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        let architecture = self.layers.architecture();
        let zeros = architecture
            .parameters()
            .iter()
            .map(|spec| (spec.name, vec![0.0; spec.len()]))
            .collect();
        self.layers = Layers::of(architecture, &zeros).map_err(|error| NetworkError::Failed {
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

/// Builds the engine that mixes the networks of one weights file.
///
/// # Errors
/// [`NetworkError`] when there is none.
pub fn engine_of(networks: Vec<Network>) -> Result<Engine, NetworkError> {
    let boxed = |network: Network| Box::new(network) as Box<dyn QuantileNetwork>;
    let mut networks = networks.into_iter().map(boxed);
    let first = networks.next().ok_or_else(|| NetworkError::Failed {
        step: "building the engine",
        cause: "there is no network".to_owned(),
    })?;
    Ok(Engine::new(first, networks.collect()))
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
