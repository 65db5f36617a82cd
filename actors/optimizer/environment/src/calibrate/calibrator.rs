//! The calibration of one stack: takes observations, answers questions.

use crate::calibrate::estimate::{Calibration, Confidence, Estimate};
use crate::calibrate::filter::Filter;
use crate::calibrate::least_squares::value;
use crate::calibrate::observation::{Observation, ResponseTimes, Row};
use crate::calibrate::predict::{EXTRAPOLATION_MAX, Load, PredictError, Prediction};
use crate::calibrate::refine::{State, Waits, refine};
use crate::calibrate::shape::Shape;
use crate::calibrate::transform::{mean_s, quantile_s};
use crate::flow::FlowError;
use crate::model::StackModel;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use twinscale_protocol::RequestClassName;

/// Intervals that are kept: two days of five minutes.
const WINDOW_MAX: usize = 576;
/// Intervals before anything is said.
pub(crate) const OBSERVATIONS_MIN: u64 = 12;
/// Intervals between two fits to response times.
const REFINE_EVERY: u32 = 24;
/// Share of a tier's busy cores from which on a demand's error matters to an answer.
const SHARE_THAT_COUNTS: f64 = 0.01;

/// Learns from telemetry of one stack; its whole state can be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrator {
    shape: Shape,
    window: VecDeque<Row>,
    filters: Vec<Option<Filter>>,
    waits: Waits,
    /// Highest rate of each class, and of all together, in requests per second.
    highest_per_s: Vec<f64>,
    highest_total_per_s: f64,
    observations: u64,
    since_refined: u32,
    refinements: u64,
}

/// Why an observation is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalibrateError {
    /// It has no length, or a count or length that is no number.
    #[error("an observation needs a length above 0 and counts of requests that are numbers from 0")]
    NoNumbers,
}

impl Calibrator {
    /// Begins with what a model states.
    ///
    /// # Errors
    /// [`FlowError`] for a model that was not checked.
    pub fn new(model: &StackModel) -> Result<Self, FlowError> {
        let shape = Shape::of(model)?;
        Ok(Self {
            window: VecDeque::new(),
            filters: vec![None; shape.stations.len()],
            waits: Waits::stated(&shape),
            highest_per_s: vec![0.0; shape.classes.len()],
            highest_total_per_s: 0.0,
            observations: 0,
            since_refined: 0,
            refinements: 0,
            shape,
        })
    }

    /// Learns from one interval. Every 24 of them response times are fitted again, which takes longer.
    ///
    /// # Errors
    /// [`CalibrateError`] when nothing can be learned from it; what was learned before stays.
    pub fn observe(&mut self, observation: &Observation) -> Result<(), CalibrateError> {
        let row = self
            .shape
            .row(observation)
            .ok_or(CalibrateError::NoNumbers)?;
        for (highest, rate) in self.highest_per_s.iter_mut().zip(&row.rates) {
            *highest = highest.max(*rate);
        }
        let total: f64 = row.rates.iter().sum();
        self.highest_total_per_s = self.highest_total_per_s.max(total);
        if self.window.len() == WINDOW_MAX {
            self.window.pop_front();
        }
        self.window.push_back(row);
        self.observations += 1;
        self.filter();
        self.since_refined += 1;
        let is_first = self.observations == OBSERVATIONS_MIN;
        if is_first || self.since_refined >= REFINE_EVERY && self.observations > OBSERVATIONS_MIN {
            self.refine();
        }
        Ok(())
    }

    /// Fits response times to all intervals that are kept.
    pub fn refine(&mut self) {
        let demands_s = self.demands_s();
        self.waits = refine(
            &self.shape,
            &demands_s,
            self.window.iter(),
            &self.waits,
            self.refinements,
        );
        self.refinements += 1;
        self.since_refined = 0;
    }

    /// Reads what was learned.
    pub fn calibration(&self) -> Calibration {
        let mut found = Calibration {
            observations: self.observations,
            ..Calibration::default()
        };
        let stations = self.shape.stations.len();
        let error = |at: usize| value(&self.waits.errors, at);
        for (at, station) in self.shape.stations.iter().enumerate() {
            let tier = || station.tier.clone();
            let factor = |values: &[f64], at: usize, place: usize| Estimate {
                value: value(values, at),
                standard_error: value(values, at) * error(place),
            };
            found
                .wait_factors
                .insert(tier(), factor(&self.waits.factors, at, at));
            found
                .service_scvs
                .insert(tier(), factor(&self.waits.scvs, at, stations + at));
            let Some(filter) = self.filters.get(at).and_then(Option::as_ref) else {
                continue;
            };
            let classes = self.shape.classes.iter().enumerate();
            let demands = classes.filter_map(|(class, name)| {
                let (value, standard_error) = filter.demand(class)?;
                Some((
                    name.clone(),
                    Estimate {
                        value,
                        standard_error,
                    },
                ))
            });
            found.demands_s.insert(tier(), demands.collect());
            let (value, standard_error) = filter.background();
            found.background_cores.insert(
                tier(),
                Estimate {
                    value,
                    standard_error,
                },
            );
            found.jumps.insert(tier(), filter.jumps);
        }
        for (class, name) in self.shape.classes.iter().enumerate() {
            found.delays_s.insert(
                name.clone(),
                Estimate {
                    value: value(&self.waits.delays_s, class),
                    standard_error: error(stations * 2 + class),
                },
            );
        }
        found
    }

    /// Puts the learned demands into a model, where they are better than unknown.
    pub fn calibrated(&self, model: &StackModel) -> StackModel {
        let mut model = model.clone();
        for (tier, demands) in self.calibration().demands_s {
            let Some(tier) = model.tiers.get_mut(&tier) else {
                continue;
            };
            for (class, estimate) in demands {
                let Some(demand) = tier.demands.get_mut(&class) else {
                    continue;
                };
                if estimate.confidence() == Confidence::Unknown {
                    continue;
                }
                // Reads and writes keep their proportion.
                let writes = crate::flow::write_share_of(tier.database.is_some(), demand);
                let write_mean_s = demand.write_mean_s.unwrap_or(demand.mean_s);
                let stated = (1.0 - writes) * demand.mean_s + writes * write_mean_s;
                let factor = if stated > 0.0 {
                    estimate.value / stated
                } else {
                    0.0
                };
                if stated > 0.0 {
                    demand.mean_s *= factor;
                    demand.write_mean_s = demand.write_mean_s.map(|mean_s| mean_s * factor);
                } else {
                    demand.mean_s = estimate.value;
                }
            }
        }
        model
    }

    /// Predicts what a load does.
    ///
    /// # Errors
    /// [`PredictError`] when that is not known: too little was seen, the load is more than
    /// [`EXTRAPOLATION_MAX`] times the highest seen, or a tier cannot serve it.
    pub fn predict(&self, load: &Load) -> Result<Prediction, PredictError> {
        let rates = self.answerable(load)?;
        let demands_s = self.demands_s();
        let mut utilisation = Vec::new();
        let mut vms = Vec::new();
        let mut confidence = Confidence::Good;
        for (at, station) in self.shape.stations.iter().enumerate() {
            let Some(filter) = self.filters.get(at).and_then(Option::as_ref) else {
                return Err(PredictError::Unseen {
                    tier: station.tier.clone(),
                });
            };
            let count = load.vms.get(&station.tier).copied();
            let count = count.filter(|count| count.is_finite() && *count > 0.0);
            let count = count.unwrap_or(station.vms);
            let (mut busy, _) = filter.background();
            for (class, rate) in rates.iter().enumerate() {
                let arrivals = rate * value(&station.visits, class);
                let Some((demand, standard_error)) = filter.demand(class) else {
                    continue;
                };
                busy += arrivals * demand;
                let counts = arrivals * standard_error > SHARE_THAT_COUNTS * station.cores(count);
                if counts {
                    let estimate = Estimate {
                        value: demand,
                        standard_error,
                    };
                    confidence = confidence.min(estimate.confidence());
                }
            }
            let used = busy / station.cores(count).max(f64::MIN_POSITIVE);
            if used >= 1.0 {
                return Err(PredictError::Overloaded {
                    tier: station.tier.clone(),
                    utilisation: used,
                });
            }
            utilisation.push(used);
            vms.push(count);
        }
        let state = State::new(&self.shape, &demands_s, &rates, &vms, utilisation);
        let responses = self.responses(&state);
        let tiers = self
            .shape
            .stations
            .iter()
            .map(|station| station.tier.clone());
        Ok(Prediction {
            utilisation: tiers.zip(state.utilisation.iter().copied()).collect(),
            responses,
            confidence,
        })
    }

    fn responses(
        &self,
        state: &State<'_>,
    ) -> std::collections::BTreeMap<RequestClassName, ResponseTimes> {
        let classes = self.shape.classes.iter().enumerate();
        classes
            .filter(|(class, _)| value(state.rates, *class) > 0.0)
            .map(|(class, name)| {
                let visits = state.visits(class, &self.waits);
                let delay_s = value(&self.waits.delays_s, class);
                let within = |level: f64| Some(delay_s + quantile_s(&visits, level));
                let times = ResponseTimes {
                    mean_s: delay_s + mean_s(&visits),
                    p50_s: within(0.5),
                    p95_s: within(0.95),
                    p99_s: within(0.99),
                };
                (name.clone(), times)
            })
            .collect()
    }

    /// Reads the rates of a load, if it is one that can be answered.
    fn answerable(&self, load: &Load) -> Result<Vec<f64>, PredictError> {
        if self.observations < OBSERVATIONS_MIN {
            return Err(PredictError::TooFew {
                seen: self.observations,
            });
        }
        for (class, rate) in &load.rates_per_s {
            let is_known = self.shape.classes.contains(class);
            if !is_known || !rate.is_finite() || *rate < 0.0 {
                return Err(PredictError::NoRate {
                    class: class.clone(),
                    rate_per_s: *rate,
                });
            }
        }
        let rates: Vec<f64> = self
            .shape
            .classes
            .iter()
            .map(|class| load.rates_per_s.get(class).copied().unwrap_or(0.0))
            .collect();
        let classes = self.shape.classes.iter().cloned().map(Some);
        let asked = rates.iter().copied().zip(&self.highest_per_s);
        for (class, (asked_per_s, highest)) in classes.zip(asked) {
            within(class, asked_per_s, *highest)?;
        }
        within(None, rates.iter().sum(), self.highest_total_per_s)?;
        Ok(rates)
    }

    /// Demands by station and class: learned, or stated where nothing was.
    fn demands_s(&self) -> Vec<Vec<f64>> {
        let stations = self.shape.stations.iter().zip(&self.filters);
        stations
            .map(|(station, filter)| {
                (0..self.shape.classes.len())
                    .map(|class| {
                        let learned = filter.as_ref().and_then(|filter| filter.demand(class));
                        learned.map_or(value(&station.stated_s, class), |(demand, _)| demand)
                    })
                    .collect()
            })
            .collect()
    }

    fn filter(&mut self) {
        let Some(newest) = self.window.back() else {
            return;
        };
        let busy_of = |row: &Row, at: usize| {
            let used = row.utilisation.get(at).copied().flatten()?;
            let cores = self.shape.stations.get(at)?.cores(value(&row.vms, at));
            (cores > 0.0).then_some((used * cores, cores))
        };
        for (at, station) in self.shape.stations.iter().enumerate() {
            let Some(slot) = self.filters.get_mut(at) else {
                continue;
            };
            match slot {
                Some(filter) => {
                    if let Some((busy, cores)) = busy_of(newest, at) {
                        filter.observe(station, newest, busy, cores);
                    }
                }
                None if self.observations >= OBSERVATIONS_MIN => {
                    let rows = self.window.iter().filter_map(|row| {
                        let (busy, cores) = busy_of(row, at)?;
                        Some((row, busy, cores))
                    });
                    *slot = Filter::start(station, rows);
                }
                None => {}
            }
        }
    }
}

fn within(
    class: Option<RequestClassName>,
    asked_per_s: f64,
    highest_seen_per_s: f64,
) -> Result<(), PredictError> {
    let limit_per_s = highest_seen_per_s * EXTRAPOLATION_MAX;
    // A rate at the very limit is answered, whatever its last digit.
    if asked_per_s <= limit_per_s * (1.0 + 1e-9) {
        return Ok(());
    }
    Err(PredictError::BeyondSeen {
        class,
        asked_per_s,
        highest_seen_per_s,
        limit_per_s,
    })
}
