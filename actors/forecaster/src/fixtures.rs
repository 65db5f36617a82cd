//! Requests and networks for tests.

use crate::network::{CANDIDATES, FeatureBatch, NetworkError, Purpose, QuantileNetwork};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twinscale_protocol::forecaster::{ForecastRequest, SeriesWindow};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, QUANTILES, Seconds, SeriesKey, VmTypeId,
    WeightsId,
};

/// Forecasts one candidate with fixed gaps.
#[derive(Debug)]
pub(crate) struct OneCandidate {
    /// Which candidate.
    pub(crate) candidate: usize,
    /// Distance between neighbouring quantiles, in units of the scale.
    pub(crate) gap: f32,
}

impl QuantileNetwork for OneCandidate {
    fn weights_id(&self) -> WeightsId {
        WeightsId::new(format!("candidate-{}", self.candidate)).expect("an id")
    }

    fn serves(&self, _shape: usize) -> bool {
        true
    }

    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        let steps = batch.candidates.chunks_exact(CANDIDATES);
        Ok(steps
            .flat_map(|step| {
                let (median, gap) = (step[self.candidate], self.gap);
                [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0].map(|side: f32| median + gap * side)
            })
            .collect())
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        self.gap = 0.0;
        Ok(())
    }
}

/// Serves one shape of the horizon alone.
#[derive(Debug)]
pub(crate) struct OneShape(pub(crate) usize, pub(crate) OneCandidate);

impl QuantileNetwork for OneShape {
    fn weights_id(&self) -> WeightsId {
        self.1.weights_id()
    }

    fn serves(&self, shape: usize) -> bool {
        shape == self.0
    }

    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        assert_eq!(
            batch.horizon(),
            self.0,
            "asked for a shape that it does not serve"
        );
        self.1.infer(batch)
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        self.1.zero_weights()
    }
}

/// Answers for series with little history alone.
#[derive(Debug)]
pub(crate) struct ForYoung(pub(crate) OneCandidate);

impl QuantileNetwork for ForYoung {
    fn weights_id(&self) -> WeightsId {
        self.0.weights_id()
    }

    fn serves(&self, _shape: usize) -> bool {
        true
    }

    fn purpose(&self) -> Purpose {
        Purpose::Young
    }

    fn infer(&mut self, batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        self.0.infer(batch)
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        self.0.zero_weights()
    }
}

/// Gives a wrong number of values.
#[derive(Debug)]
pub(crate) struct Broken;

impl QuantileNetwork for Broken {
    fn weights_id(&self) -> WeightsId {
        WeightsId::new("broken").expect("an id")
    }

    fn serves(&self, _shape: usize) -> bool {
        true
    }

    fn infer(&mut self, _batch: &FeatureBatch) -> Result<Vec<f32>, NetworkError> {
        Ok(vec![0.0; QUANTILES])
    }

    fn zero_weights(&mut self) -> Result<(), NetworkError> {
        Ok(())
    }
}

/// A day-long wave with a little noise that depends on `seed`.
pub(crate) fn wave(steps: usize, interval_s: u32, seed: u64) -> Vec<Option<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..steps as u64)
        .map(|at| {
            let share = (at * u64::from(interval_s) % 86_400) as f64 / 86_400.0;
            let noise: f64 = rng.random_range(0.0..1.0);
            Some(20.0 + 10.0 * (std::f64::consts::TAU * share).sin() + 3.0 * noise)
        })
        .collect()
}

/// A request of one series.
pub(crate) fn request(customer: &str, interval_s: u32, values: &[Option<f64>]) -> ForecastRequest {
    let steps = i64::try_from(values.len()).expect("short");
    let first_at = DomainTime(1_600_041_600);
    ForecastRequest {
        customer: CustomerId::new(customer).expect("an id"),
        issued_at: DomainTime(first_at.0 + steps * i64::from(interval_s)),
        interval: Seconds(interval_s),
        horizon_steps: 24,
        series: vec![SeriesWindow {
            key: SeriesKey {
                vm_type: VmTypeId::new("m5.large").expect("an id"),
                metric: MetricName::new("vm_count").expect("an id"),
            },
            first_at,
            values: values
                .iter()
                .map(|value| value.map(FixedValue::from_model))
                .collect(),
            lead_steps: 1,
            calibration: Vec::new(),
        }],
        events: Vec::new(),
    }
}
