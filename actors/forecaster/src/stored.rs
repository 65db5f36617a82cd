//! What the forecaster leaves with a twin between requests, by version.
//!
//! The twin stores the bytes and never reads them. An unknown version or another network's calibration is
//! not an error: the engine starts afresh by back-casting.

use serde::{Deserialize, Serialize};

/// Bound on the decoder, and on what a series may add to a commit.
pub const CALIBRATION_BYTES_MAX: usize = 2048;

/// A calibration as bytes hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredCalibration {
    /// The first format.
    V1(v1::Calibration),
}

/// The first format.
pub mod v1 {
    use serde::{Deserialize, Serialize};

    /// Buckets of the horizon.
    pub const BUCKETS: usize = 4;
    /// Quantiles of each bucket.
    pub const QUANTILES: usize = 8;

    /// One series' calibration.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Calibration {
        /// The weights that made the forecasts it corrects.
        pub weights: String,
        /// Length of a step in seconds.
        pub interval_s: u32,
        /// Shape of the horizon in steps.
        pub shape: u16,
        /// Time of the latest origin that was learnt from, epoch seconds.
        pub learnt_until_s: i64,
        /// Logarithm of the factor on each quantile's distance from the median, in 16384ths.
        pub factors: [[i16; QUANTILES]; BUCKETS],
    }
}

/// Encodes a calibration.
pub(crate) fn encode(calibration: StoredCalibration) -> Vec<u8> {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    // A calibration of fixed size always fits; without one the next request starts afresh.
    bincode::serde::encode_to_vec(calibration, config).unwrap_or_default()
}

/// Decodes a calibration; `None` for nothing, an unknown version or broken bytes.
pub(crate) fn decode(bytes: &[u8]) -> Option<StoredCalibration> {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    let decoded: Result<(StoredCalibration, usize), _> =
        bincode::serde::decode_from_slice(bytes, config);
    let (calibration, read) = decoded.ok()?;
    (read == bytes.len()).then_some(calibration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredCalibration {
        StoredCalibration::V1(v1::Calibration {
            weights: "0123456789abcdef".to_owned(),
            interval_s: 3600,
            shape: 24,
            learnt_until_s: 1_700_000_000,
            factors: [[-300; 8]; 4],
        })
    }

    #[test]
    fn the_first_format_keeps_its_bytes() {
        let bytes = encode(stored());
        let head: Vec<u8> = [&[0, 16][..], b"0123456789abcdef", &[251, 16, 14, 24]].concat();
        assert_eq!(bytes.get(..head.len()), Some(head.as_slice()));
        assert!(bytes.len() < 200, "{}", bytes.len());
        assert_eq!(decode(&bytes), Some(stored()));
    }

    #[test]
    fn broken_bytes_are_no_calibration() {
        let bytes = encode(stored());
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[9, 9, 9]), None);
        assert_eq!(decode(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
