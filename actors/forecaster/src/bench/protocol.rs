//! The protocol file: which series are forecast, when and how far.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rules of one dataset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DatasetProtocol {
    /// Length of a step.
    pub interval_s: u32,
    /// Steps ahead.
    pub horizon: u16,
    /// Number of origins.
    pub n_origins: u32,
    /// Steps between origins.
    pub stride: u32,
    /// The series to forecast, `customer/vm_type/metric`, by split.
    pub series: BTreeMap<String, Vec<String>>,
}

/// The protocol: rules by dataset.
pub type ForecastProtocol = BTreeMap<String, DatasetProtocol>;

/// Why a protocol cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The file cannot be read.
    #[error("cannot read {}: give a directory that holds protocol.json", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not a forecast protocol", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads `protocol.json` of a data directory.
///
/// # Errors
/// [`ProtocolError`] when the file is missing or malformed.
pub fn read_protocol(directory: &Path) -> Result<ForecastProtocol, ProtocolError> {
    let path = directory.join("protocol.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ProtocolError::Read { path, source }),
    };
    serde_json::from_slice(&text).map_err(|source| ProtocolError::Parse { path, source })
}

impl DatasetProtocol {
    /// Positions of the last samples that a forecast may see, ascending, in a series of `samples` steps.
    ///
    /// Origins before the series' start are left out.
    pub fn origins(&self, samples: usize) -> Vec<usize> {
        let count = self.n_origins as usize;
        (0..count)
            .filter_map(|number| {
                let after = usize::from(self.horizon) + self.stride as usize * (count - 1 - number);
                samples.checked_sub(1 + after)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_end_one_horizon_before_the_end() {
        let rules = DatasetProtocol {
            interval_s: 3600,
            horizon: 24,
            n_origins: 3,
            stride: 7,
            series: BTreeMap::new(),
        };
        assert_eq!(rules.origins(100), vec![61, 68, 75]);
        assert_eq!(rules.origins(30), vec![5]);
    }
}
