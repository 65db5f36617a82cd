//! Progress of a training run on disk: one safetensors file, replaced as a whole.

use crate::adam::AdamState;
use crate::parameters::{PARAMETERS, ParameterSpec, Values};
use crate::weights::{WeightsError, read_one, write};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Key of the run's state in the file's metadata.
const RUN_KEY: &str = "run";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read or written.
    #[error("cannot use checkpoint {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is corrupt or belongs to another network.
    #[error("checkpoint {} is unusable: remove it to start afresh", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: WeightsError,
    },
    /// It belongs to another run.
    #[error("checkpoint {} was made with seed {found}, not {wanted}: remove it or use its seed", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// Seed found.
        found: u64,
        /// Seed asked for.
        wanted: u64,
    },
}

/// Everything that a run needs to go on.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) best_step: u64,
    pub(crate) best_loss: f64,
    pub(crate) parameters: Values,
    pub(crate) best: Values,
    pub(crate) adam: AdamState,
}

#[derive(Serialize, Deserialize)]
struct Run {
    seed: u64,
    step: u64,
    best_step: u64,
    best_loss: f64,
    adam_steps: i32,
}

impl Checkpoint {
    /// The state before the first step.
    pub(crate) fn first(seed: u64, parameters: Values) -> Self {
        Self {
            seed,
            step: 0,
            best_step: 0,
            best_loss: f64::MAX,
            best: parameters.clone(),
            parameters,
            adam: AdamState::default(),
        }
    }

    /// Reads a checkpoint; `None` when there is none.
    pub(crate) fn read(path: &Path, seed: u64) -> Result<Option<Self>, CheckpointError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = path.to_owned();
                return Err(CheckpointError::Io { path, source });
            }
        };
        let checkpoint = parse(&bytes).map_err(|source| CheckpointError::Content {
            path: path.to_owned(),
            source,
        })?;
        if checkpoint.seed != seed {
            return Err(CheckpointError::Seed {
                path: path.to_owned(),
                found: checkpoint.seed,
                wanted: seed,
            });
        }
        Ok(Some(checkpoint))
    }

    /// Writes the checkpoint beside the old one and puts it in its place.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.bytes().map_err(|source| CheckpointError::Content {
            path: path.to_owned(),
            source,
        })?;
        let fresh = path.with_extension("new");
        fs::write(&fresh, bytes)
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(|source| CheckpointError::Io {
                path: path.to_owned(),
                source,
            })
    }

    fn sets(&self) -> [(&'static str, &Values); 5] {
        [
            ("parameter", &self.parameters),
            ("best", &self.best),
            ("mean", &self.adam.mean),
            ("square", &self.adam.square),
            ("average", &self.adam.average),
        ]
    }

    fn bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let mut tensors: BTreeMap<String, (&ParameterSpec, &[f32])> = BTreeMap::new();
        for (set, values) in self.sets() {
            for spec in PARAMETERS {
                if let Some(values) = values.get(spec.name) {
                    tensors.insert(format!("{set}.{}", spec.name), (spec, values));
                }
            }
        }
        let run = Run {
            seed: self.seed,
            step: self.step,
            best_step: self.best_step,
            best_loss: self.best_loss,
            adam_steps: self.adam.steps,
        };
        let text = serde_json::to_string(&run).map_err(|error| corrupt(&[], &error))?;
        write(&tensors, Some((RUN_KEY.to_owned(), text)))
    }
}

fn corrupt(bytes: &[u8], error: &dyn std::error::Error) -> WeightsError {
    WeightsError::Corrupt {
        bytes: bytes.len(),
        cause: error.to_string(),
    }
}

fn parse(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| corrupt(bytes, &error))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| corrupt(bytes, &error))?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(RUN_KEY));
    let run: Run = serde_json::from_str(text.map_or("", String::as_str))
        .map_err(|error| corrupt(bytes, &error))?;
    let set = |set: &str| {
        PARAMETERS
            .iter()
            .map(|spec| {
                let stored_as = format!("{set}.{}", spec.name);
                Ok((spec.name, read_one(&file, spec, &stored_as)?))
            })
            .collect::<Result<Values, WeightsError>>()
    };
    Ok(Checkpoint {
        seed: run.seed,
        step: run.step,
        best_step: run.best_step,
        best_loss: run.best_loss,
        parameters: set("parameter")?,
        best: set("best")?,
        adam: AdamState {
            mean: set("mean")?,
            square: set("square")?,
            average: set("average")?,
            steps: run.adam_steps,
        },
    })
}
