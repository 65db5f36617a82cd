//! Weights on disk: safetensors, checked before anything is built of them.

use crate::architecture::Architecture;
use crate::parameters::{ParameterSpec, Values};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use twinscale_protocol::{ParseIdError, WeightsId};

/// Largest weights file that is read: the shipped one has a few megabytes.
const WEIGHTS_BYTES_MAX: usize = 64 << 20;

/// Networks of one file at most.
pub const NETWORKS_MAX: usize = 8;

/// One network's parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) architecture: Architecture,
    pub(crate) values: Values,
}

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file is no safetensors file, or was cut off.
    #[error(
        "weights of {bytes} bytes are corrupt or cut off ({cause}): restore the file or train again"
    )]
    Corrupt {
        /// Size of what was read.
        bytes: usize,
        /// What the reader met.
        cause: String,
    },
    /// A tensor that the network needs is not there.
    #[error(
        "weights lack tensor `{name}`: they belong to another version of the network; train again"
    )]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A tensor has another shape or type.
    #[error(
        "tensor `{name}` is {found}, expected F32 {expected:?}: the weights belong to another version of the network; train again"
    )]
    Mismatch {
        /// Its name.
        name: &'static str,
        /// Type and shape found.
        found: String,
        /// Shape expected.
        expected: Vec<usize>,
    },
    /// A weight is no number.
    #[error("tensor `{name}` holds values that are not finite: restore the file or train again")]
    NotFinite {
        /// Its name.
        name: &'static str,
    },
    /// The library behind the network refused.
    #[error("network library failed to {step}: {cause}")]
    Library {
        /// What was being done.
        step: &'static str,
        /// First line of its message.
        cause: String,
    },
    /// The hash makes no id.
    #[error(transparent)]
    Id(#[from] ParseIdError),
}

impl WeightsError {
    pub(crate) fn library(step: &'static str, error: &tch::TchError) -> Self {
        Self::Library {
            step,
            cause: first_line(error),
        }
    }
}

/// First line of the library's message; the rest is a C++ stack.
pub(crate) fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Names weights: the first 16 hex digits of their SHA-256.
///
/// # Errors
/// [`WeightsError::Id`], never in practice.
pub fn weights_id(bytes: &[u8]) -> Result<WeightsId, WeightsError> {
    let digest = Sha256::digest(bytes);
    let hex = digest.iter().take(8).fold(String::new(), |hex, byte| {
        let (high, low) = (byte >> 4, byte & 15);
        let digits = [high, low].map(|digit| char::from_digit(u32::from(digit), 16));
        digits.into_iter().flatten().fold(hex, |mut hex, digit| {
            hex.push(digit);
            hex
        })
    });
    Ok(WeightsId::new(hex)?)
}

/// Opens a weights file; what is too large for one is refused unread.
fn open(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    if bytes.len() > WEIGHTS_BYTES_MAX {
        return Err(corrupt(
            bytes,
            format!("more than {WEIGHTS_BYTES_MAX} bytes"),
        ));
    }
    SafeTensors::deserialize(bytes).map_err(|error| corrupt(bytes, error.to_string()))
}

fn corrupt(bytes: &[u8], cause: String) -> WeightsError {
    WeightsError::Corrupt {
        bytes: bytes.len(),
        cause,
    }
}

/// Reads all networks, in their order; a file of the first version holds one, without its kind.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Member>, WeightsError> {
    let file = open(bytes)?;
    let mut members = Vec::new();
    while let Some(architecture) = architecture_of(&file, members.len()) {
        if members.len() == NETWORKS_MAX {
            return Err(corrupt(bytes, format!("more than {NETWORKS_MAX} networks")));
        }
        let prefix = prefix(members.len(), architecture);
        members.push(read_member(&file, architecture, &prefix)?);
    }
    if members.is_empty() {
        members.push(read_member(&file, Architecture::Recurrent, "")?);
    }
    Ok(members)
}

fn prefix(member: usize, architecture: Architecture) -> String {
    format!("{member}.{}.", architecture.name())
}

fn architecture_of(file: &SafeTensors<'_>, member: usize) -> Option<Architecture> {
    Architecture::ALL.into_iter().find(|architecture| {
        let prefix = prefix(member, *architecture);
        file.names().iter().any(|name| name.starts_with(&prefix))
    })
}

fn read_member(
    file: &SafeTensors<'_>,
    architecture: Architecture,
    prefix: &str,
) -> Result<Member, WeightsError> {
    let values = architecture
        .parameters()
        .iter()
        .map(|spec| {
            let stored_as = format!("{prefix}{}", spec.name);
            Ok((spec.name, read_one(file, spec, &stored_as)?))
        })
        .collect::<Result<Values, WeightsError>>()?;
    Ok(Member {
        architecture,
        values,
    })
}

/// Reads the tensors of a file of one network, each stored as its spec names it.
pub(crate) fn read_values<'a>(
    bytes: &[u8],
    specs: impl Iterator<Item = &'a ParameterSpec>,
) -> Result<Values, WeightsError> {
    let file = open(bytes)?;
    specs
        .map(|spec| Ok((spec.name, read_one(&file, spec, spec.name)?)))
        .collect()
}

/// Reads one tensor of the shape of `spec`, stored as `stored_as`.
pub(crate) fn read_one(
    file: &SafeTensors<'_>,
    spec: &ParameterSpec,
    stored_as: &str,
) -> Result<Vec<f32>, WeightsError> {
    let name = spec.name;
    let Ok(view) = file.tensor(stored_as) else {
        return Err(WeightsError::Missing { name });
    };
    if view.dtype() != Dtype::F32 || view.shape() != spec.shape {
        return Err(WeightsError::Mismatch {
            name,
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            expected: spec.shape.to_vec(),
        });
    }
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes))
        .collect();
    if values.len() != spec.len() || values.iter().any(|value| !value.is_finite()) {
        return Err(WeightsError::NotFinite { name });
    }
    Ok(values)
}

/// Writes named sets of tensors; the same values give the same bytes.
pub(crate) fn write(
    tensors: &BTreeMap<String, (&ParameterSpec, &[f32])>,
    metadata: Option<(String, String)>,
) -> Result<Vec<u8>, WeightsError> {
    let bytes: BTreeMap<&String, (Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (spec, values))| {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (name, (spec.shape.to_vec(), bytes))
        })
        .collect();
    let corrupt = |error: safetensors::SafeTensorError| corrupt(&[], error.to_string());
    let views = bytes
        .iter()
        .map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(corrupt)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, WeightsError>>()?;
    let metadata = metadata.map(|pair| std::iter::once(pair).collect());
    safetensors::serialize(views, metadata).map_err(corrupt)
}

/// Writes a file of one network, to be read with [`read_values`].
pub(crate) fn write_values<'a>(
    values: &'a Values,
    specs: impl Iterator<Item = &'a ParameterSpec>,
) -> Result<Vec<u8>, WeightsError> {
    let tensors = specs
        .filter_map(|spec| {
            let values = values.get(spec.name)?;
            Some((spec.name.to_owned(), (spec, values.as_slice())))
        })
        .collect();
    write(&tensors, None)
}

/// Writes networks, in their order.
pub(crate) fn write_members(members: &[Member]) -> Result<Vec<u8>, WeightsError> {
    let tensors = members
        .iter()
        .enumerate()
        .flat_map(|(index, member)| {
            let prefix = prefix(index, member.architecture);
            let specs = member.architecture.parameters().iter();
            specs.filter_map(move |spec| {
                let values = member.values.get(spec.name)?;
                let stored_as = format!("{prefix}{}", spec.name);
                Some((stored_as, (spec, values.as_slice())))
            })
        })
        .collect();
    write(&tensors, None)
}
