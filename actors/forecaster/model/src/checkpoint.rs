//! Progress of a training run on disk: one safetensors file, replaced as a whole.

use crate::adam::AdamState;
use crate::architecture::Architecture;
use crate::parameters::{ParameterSpec, Values};
use crate::weights::{WeightsError, read_one, write};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

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
    #[error("checkpoint {} was made by {found}, not by {wanted}: remove it or repeat its run", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The run that made it.
        found: RunName,
        /// The run that asks.
        wanted: RunName,
    },
}

/// What a run is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// What is trained.
    pub architecture: Architecture,
    /// Root of everything random.
    pub seed: u64,
    /// Optimiser steps at most, by which the learning rate falls.
    pub steps: u64,
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            architecture,
            seed,
            steps,
        } = self;
        let name = architecture.name();
        write!(f, "a {name} run of {steps} steps with seed {seed}")
    }
}

/// Everything that a run needs to go on.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) run: RunName,
    pub(crate) step: u64,
    pub(crate) best_step: u64,
    pub(crate) best_loss: f64,
    pub(crate) parameters: Values,
    pub(crate) best: Values,
    pub(crate) adam: AdamState,
}

#[derive(Serialize, Deserialize)]
struct Run {
    name: RunName,
    step: u64,
    best_step: u64,
    best_loss: f64,
    adam_steps: i32,
}

impl Checkpoint {
    /// The state before the first step.
    pub(crate) fn first(run: RunName, parameters: Values) -> Self {
        Self {
            run,
            step: 0,
            best_step: 0,
            best_loss: f64::MAX,
            best: parameters.clone(),
            parameters,
            adam: AdamState::default(),
        }
    }

    /// Reads a checkpoint; `None` when there is none.
    pub(crate) fn read(path: &Path, wanted: RunName) -> Result<Option<Self>, CheckpointError> {
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
        if checkpoint.run != wanted {
            return Err(CheckpointError::OtherRun {
                path: path.to_owned(),
                found: checkpoint.run,
                wanted,
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
            for spec in self.run.architecture.parameters() {
                if let Some(values) = values.get(spec.name) {
                    tensors.insert(format!("{set}.{}", spec.name), (spec, values));
                }
            }
        }
        let run = Run {
            name: self.run,
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
        run.name
            .architecture
            .parameters()
            .iter()
            .map(|spec| {
                let stored_as = format!("{set}.{}", spec.name);
                Ok((spec.name, read_one(&file, spec, &stored_as)?))
            })
            .collect::<Result<Values, WeightsError>>()
    };
    Ok(Checkpoint {
        run: run.name,
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
