//! A network's parameters: their names, shapes and values.

use crate::architecture::Architecture;
use crate::weights::WeightsError;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::Tensor;
use twinscale_forecaster::network::CANDIDATES;
use twinscale_protocol::QUANTILES;

/// Outputs per step: a weight per candidate, the median's offset, the gaps between the quantiles.
pub(crate) const OUTPUTS: usize = CANDIDATES + QUANTILES;

/// Name and shape of one parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParameterSpec {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static [usize],
}

impl ParameterSpec {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape as tch wants it.
    pub(crate) fn dims(&self) -> Vec<i64> {
        self.shape
            .iter()
            .map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX))
            .collect()
    }

    fn initial(&self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        if self.name == "output_bias" {
            // Gaps start near 0.3 of the scale and widen outwards; all candidates weigh the same.
            let mut bias = vec![0.0; CANDIDATES + 1];
            bias.extend([-1.5, -1.0, -1.0, -1.0, -1.0, -1.0, 0.0]);
            return bias;
        }
        if self.name.contains("bias") {
            return vec![0.0; self.len()];
        }
        let fan_in = self.shape.last().copied().unwrap_or(1) as f32;
        let mut bound = 1.0 / fan_in.sqrt();
        if self.name == "output_weight" {
            bound *= 0.3;
        }
        (0..self.len())
            .map(|_| rng.random_range(-bound..bound))
            .collect()
    }
}

/// A full set of parameter values.
pub(crate) type Values = BTreeMap<&'static str, Vec<f32>>;

/// Draws first values.
pub(crate) fn initial_values(architecture: Architecture, rng: &mut ChaCha8Rng) -> Values {
    architecture
        .parameters()
        .iter()
        .map(|spec| (spec.name, spec.initial(rng)))
        .collect()
}

/// Makes a tensor of one parameter.
pub(crate) fn to_tensor(spec: &ParameterSpec, values: &[f32]) -> Result<Tensor, WeightsError> {
    Tensor::f_from_slice(values)
        .and_then(|tensor| tensor.f_reshape(spec.dims()))
        .map_err(|error| WeightsError::library("load", &error))
}

/// Reads a tensor back.
pub(crate) fn to_values(tensor: &Tensor) -> Result<Vec<f32>, WeightsError> {
    tensor
        .f_detach()
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| tensor.f_view([-1]))
        .and_then(|tensor| Vec::<f32>::try_from(&tensor))
        .map_err(|error| WeightsError::library("read", &error))
}
