//! What the forecaster leaves with a twin between requests, by version.
//!
//! The twin stores the bytes and never reads them. An unknown version or another network's calibration is
//! not an error: the engine starts afresh by back-casting.

use serde::{Deserialize, Serialize};

/// Bound on the decoder, and on what a series may add to a commit.
pub const CALIBRATION_BYTES_MAX: usize = 16_384;

/// A calibration as bytes hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StoredCalibration {
    /// The first format.
    V1(Box<v1::Stored>),
}

/// The first format.
pub mod v1 {
    use serde::{Deserialize, Serialize};

    /// Buckets of the horizon.
    pub const BUCKETS: usize = 4;
    /// Quantiles of each bucket.
    pub const QUANTILES: usize = 8;

    /// All that is kept of one series.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct Stored {
        /// The calibration of the network's forecasts, once there were any.
        pub network: Option<Calibration>,
        /// What was learnt of its peaks.
        pub peak: Option<Peak>,
    }

    /// What was learnt of a series' peaks.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Peak {
        /// Length of a step in seconds.
        pub interval_s: i64,
        /// Steps of a peak.
        pub steps: u16,
        /// The series' unit for all below, in the metric's.
        pub unit: f64,
        /// Time of the moment whose peak is learnt from next, epoch seconds.
        pub next_s: i64,
        /// Peaks learnt from.
        pub learnt: u32,
        /// Running means.
        pub running: Running,
        /// The centre.
        pub centre: Regression,
        /// The width.
        pub width: Regression,
        /// Mean miss of the centre.
        pub usual_miss: f64,
        /// Misses, by candidate.
        pub histograms: Vec<Histogram>,
        /// Losses, by group of levels and candidate.
        pub losses: Vec<f64>,
        /// Mean losses, by level.
        pub usual_losses: Vec<f64>,
        /// Weight of the losses.
        pub loss_weight: f64,
        /// The network's outlooks on peaks to come, oldest first.
        pub outlooks: Vec<Outlook>,
        /// Peaks learnt from that the network had an outlook on.
        pub outlooks_learnt: u32,
    }

    /// What the network expected of a peak.
    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Outlook {
        /// The moment that the peak begins at, epoch seconds.
        pub at_s: i64,
        /// Its centre, in the series' unit.
        pub centre: f64,
        /// Its width, in the series' unit.
        pub width: f64,
    }

    /// Running means.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Running {
        /// Whether there was a sample.
        pub begun: bool,
        /// Of values, from the shortest span to the longest.
        pub level: [f64; 3],
        /// Of changes, from the shortest span to the longest.
        pub change: [f64; 3],
    }

    /// A regression.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Regression {
        /// Sums of products, row by row up to the diagonal.
        pub products: Vec<f64>,
        /// Sums of products with the target.
        pub targets: Vec<f64>,
        /// The solution in use.
        pub weights: Vec<f64>,
    }

    /// A histogram.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Histogram {
        /// Weight per bin.
        pub counts: Vec<u32>,
        /// Weight of the next miss.
        pub weight: f64,
    }

    /// The calibration of one series' network forecasts.
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

/// Encodes what is kept of a series.
pub(crate) fn encode(stored: v1::Stored) -> Vec<u8> {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    // What is kept has a fixed size, which fits; without it the next request starts afresh.
    bincode::serde::encode_to_vec(StoredCalibration::V1(Box::new(stored)), config)
        .unwrap_or_default()
}

/// Decodes what was kept of a series; nothing for no bytes, an unknown version or broken ones.
pub(crate) fn decode(bytes: &[u8]) -> v1::Stored {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    let decoded: Result<(StoredCalibration, usize), _> =
        bincode::serde::decode_from_slice(bytes, config);
    match decoded {
        Ok((StoredCalibration::V1(stored), read)) if read == bytes.len() => *stored,
        _ => v1::Stored::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> v1::Stored {
        v1::Stored {
            network: Some(v1::Calibration {
                weights: "0123456789abcdef".to_owned(),
                interval_s: 3600,
                shape: 24,
                learnt_until_s: 1_700_000_000,
                factors: [[-300; 8]; 4],
            }),
            peak: None,
        }
    }

    #[test]
    fn the_first_format_keeps_its_bytes() {
        let bytes = encode(stored());
        let head: Vec<u8> = [&[0, 1, 16][..], b"0123456789abcdef", &[251, 16, 14, 24]].concat();
        assert_eq!(bytes.get(..head.len()), Some(head.as_slice()));
        assert!(bytes.len() < 200, "{}", bytes.len());
        assert_eq!(decode(&bytes), stored());
    }

    #[test]
    fn broken_bytes_are_no_calibration() {
        let bytes = encode(stored());
        for broken in [
            &[][..],
            &bytes[..bytes.len() - 1],
            &[9, 9, 9],
            &[bytes.as_slice(), &[0]].concat(),
        ] {
            assert_eq!(decode(broken), v1::Stored::default());
        }
    }
}
