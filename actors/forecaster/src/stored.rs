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
    /// With the losses of several forecasters.
    V2(Box<v2::Stored>),
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

/// The second format: several forecasters are mixed.
pub mod v2 {
    pub use super::v1::{BUCKETS, Peak, QUANTILES};
    use serde::{Deserialize, Serialize};

    /// All that is kept of one series.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct Stored {
        /// The calibration of the networks' forecasts, once there were any.
        pub network: Option<Calibration>,
        /// What was learnt of its peaks.
        pub peak: Option<Peak>,
    }

    /// The calibration of one series' forecasts.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
        /// Discounted relative losses by forecaster and quantile, in 65536ths.
        pub losses: Vec<[u32; QUANTILES]>,
        /// What its own history says about the networks' misses.
        pub adapter: Adapter,
        /// How good what was issued turned out to be.
        pub scores: Scores,
        /// Whether the series is as it was.
        pub regime: Regime,
    }

    /// What is usual of a series.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct Regime {
        /// Usual loss of a back-cast.
        pub usual_loss: f64,
        /// Losses that it rests on, as far as they matter.
        pub known: u8,
        /// Losses in a row that were far above it.
        pub surprises: u8,
        /// When it last changed its ways, epoch seconds.
        pub changed_s: Option<i64>,
    }

    /// Sums over scored steps: steps, pinball losses, demand, those inside the 80 % and the 90 % range,
    /// those above the 0.99 quantile, median less demand.
    pub type ScoreSums = [f64; 7];

    /// Issued forecasts and their scores.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct Scores {
        /// Forecasts whose horizon has not passed, oldest first.
        pub issued: Vec<Issued>,
        /// Sums by bucket of the horizon.
        pub sums: [ScoreSums; BUCKETS],
        /// How demand ranked within the latest forecasts that were scored, oldest first.
        pub ranks: Vec<Ranks>,
    }

    /// How demand ranked within a forecast.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Ranks {
        /// First second of the forecast's first step.
        pub first_s: i64,
        /// By step: 0 = not observed, else the share of the forecast below, from 1 = none to 255 = all.
        pub ranks: Vec<u8>,
    }

    /// A forecast as it was issued.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub struct Issued {
        /// First second of its first step.
        pub first_s: i64,
        /// Lowest number in it.
        pub low: f64,
        /// What one code is worth.
        pub unit: f64,
        /// Shape `[step][quantile]`, in codes above the lowest number.
        pub codes: Vec<[u16; QUANTILES]>,
    }

    /// Sums of a regression.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub struct Adapter {
        /// Sums of products, row by row up to the diagonal.
        pub products: Vec<f32>,
        /// Sums of products with the target.
        pub targets: Vec<f32>,
    }

    impl From<super::v1::Stored> for Stored {
        /// Peaks go on; a calibration of one network alone says nothing about a mixture.
        fn from(stored: super::v1::Stored) -> Self {
            Self {
                network: None,
                peak: stored.peak,
            }
        }
    }
}

/// Encodes what is kept of a series.
pub(crate) fn encode(stored: v2::Stored) -> Vec<u8> {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    // What is kept has a fixed size, which fits; without it the next request starts afresh.
    bincode::serde::encode_to_vec(StoredCalibration::V2(Box::new(stored)), config)
        .unwrap_or_default()
}

/// Decodes what was kept of a series; nothing for no bytes, an unknown version or broken ones.
pub(crate) fn decode(bytes: &[u8]) -> v2::Stored {
    let config = bincode::config::standard().with_limit::<CALIBRATION_BYTES_MAX>();
    let decoded: Result<(StoredCalibration, usize), _> =
        bincode::serde::decode_from_slice(bytes, config);
    match decoded {
        Ok((stored, read)) if read == bytes.len() => match stored {
            StoredCalibration::V1(stored) => (*stored).into(),
            StoredCalibration::V2(stored) => *stored,
        },
        _ => v2::Stored::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> v2::Stored {
        v2::Stored {
            network: Some(v2::Calibration {
                weights: "0123456789abcdef".to_owned(),
                interval_s: 3600,
                shape: 24,
                learnt_until_s: 1_700_000_000,
                factors: [[-300; 8]; 4],
                losses: vec![[65_536; 8]; 2],
                adapter: v2::Adapter::default(),
                scores: v2::Scores::default(),
                regime: v2::Regime::default(),
            }),
            peak: None,
        }
    }

    #[test]
    fn the_second_format_keeps_its_bytes() {
        let bytes = encode(stored());
        let head: Vec<u8> = [&[1, 1, 16][..], b"0123456789abcdef", &[251, 16, 14, 24]].concat();
        assert_eq!(bytes.get(..head.len()), Some(head.as_slice()));
        assert!(bytes.len() < 500, "{}", bytes.len());
        assert_eq!(decode(&bytes), stored());
    }

    #[test]
    fn of_the_first_format_the_peaks_go_on() {
        let peak = v1::Peak {
            interval_s: 3600,
            steps: 2,
            unit: 1.0,
            next_s: 7200,
            learnt: 3,
            running: v1::Running {
                begun: true,
                level: [1.0; 3],
                change: [0.5; 3],
            },
            centre: regression(),
            width: regression(),
            usual_miss: 1.0,
            histograms: Vec::new(),
            losses: vec![1.0],
            usual_losses: vec![1.0],
            loss_weight: 2.0,
            outlooks: Vec::new(),
            outlooks_learnt: 0,
        };
        let old = StoredCalibration::V1(Box::new(v1::Stored {
            network: Some(v1::Calibration {
                weights: "0123456789abcdef".to_owned(),
                interval_s: 3600,
                shape: 24,
                learnt_until_s: 1_700_000_000,
                factors: [[-300; 8]; 4],
            }),
            peak: Some(peak.clone()),
        }));
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(old, config).expect("encodes");
        let head: Vec<u8> = [&[0, 1, 16][..], b"0123456789abcdef", &[251, 16, 14, 24]].concat();
        assert_eq!(bytes.get(..head.len()), Some(head.as_slice()));
        let read = decode(&bytes);
        assert_eq!(read.peak, Some(peak));
        assert_eq!(read.network, None);
    }

    fn regression() -> v1::Regression {
        v1::Regression {
            products: vec![1.0],
            targets: vec![1.0],
            weights: vec![1.0],
        }
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
            assert_eq!(decode(broken), v2::Stored::default());
        }
    }
}
