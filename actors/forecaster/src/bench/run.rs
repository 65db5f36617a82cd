//! Runs the forecast benchmark: every series at every origin, oldest first.
//!
//! Each request holds samples up to its origin alone and the calibration of the reply before it, as a live
//! twin's would. Who answers is passed in, so that the same requests can go through actors.

#[cfg(test)]
mod tests;

use crate::bench::files::{
    FileError, LoadedEvent, LoadedSeries, events_of, read_known_events, read_series,
};
use crate::bench::protocol::{DatasetProtocol, ProtocolError, read_protocol};
use crate::bench::submission::{Submission, SubmissionError};
use crate::bench::tally::{Outcome, Tallies};
use crate::card::{LeakError, WeightsCard};
use crate::engine::context_steps;
use std::path::{Path, PathBuf};
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest, SeriesWindow};
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, ParseIdError, Seconds, SeriesKey, UnitError,
    VmTypeId, WireError,
};

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchOptions {
    /// Directory with `protocol.json`, `events.csv` and the splits.
    pub directory: PathBuf,
    /// The split, such as `dev`.
    pub split: String,
    /// The submission to write, if any; compressed when it ends in `.gz`.
    pub out: Option<PathBuf>,
    /// Days of history that a forecast may look back; all that it can use when not given.
    pub history_days: Option<u32>,
    /// Whether announced events are told.
    pub with_events: bool,
}

/// What a run made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BenchOutcome {
    /// Forecasts made.
    pub forecasts: usize,
    /// Losses by dataset, in and outside event windows.
    pub tallies: Tallies,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchProgress {
    /// Forecasts made.
    pub done: usize,
    /// Forecasts in all.
    pub total: usize,
}

/// Answers requests, each as if it were alone.
pub type AnswerRequests<'a> =
    dyn FnMut(&[ForecastRequest]) -> Vec<Result<ForecastReply, WireError>> + 'a;

/// Why there is no submission.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The protocol file.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// A data or events file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The submission file.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The weights saw what they are tested on.
    #[error(transparent)]
    Leak(#[from] LeakError),
    /// A series' name is none.
    #[error("series `{id}` of `{dataset}` has no usable name")]
    Name {
        /// Dataset.
        dataset: String,
        /// Series.
        id: String,
        /// Which part.
        #[source]
        source: ParseIdError,
    },
    /// A value does not fit.
    #[error("series `{id}` of `{dataset}` has a value that does not fit")]
    Value {
        /// Dataset.
        dataset: String,
        /// Series.
        id: String,
        /// Why.
        #[source]
        source: UnitError,
    },
    /// No dataset of the protocol has series in the split.
    #[error("split `{split}` has no series in {}: check its name", directory.display())]
    NothingToDo {
        /// The split.
        split: String,
        /// The directory.
        directory: PathBuf,
    },
    /// A series of the protocol that its file does not hold.
    #[error("series `{id}` is not in the file of `{dataset}`")]
    MissingSeries {
        /// Dataset.
        dataset: String,
        /// Series.
        id: String,
    },
    /// A request was refused.
    #[error("forecast of `{id}` of `{dataset}` at {origin_s} failed")]
    Refused {
        /// Dataset.
        dataset: String,
        /// Series.
        id: String,
        /// The origin, epoch seconds.
        origin_s: i64,
        /// Why.
        #[source]
        source: WireError,
    },
}

/// One series on its way through the origins.
struct Entrant {
    dataset: String,
    id: String,
    customer: CustomerId,
    key: SeriesKey,
    start_s: i64,
    interval_s: u32,
    horizon_steps: u16,
    values: Vec<Option<FixedValue>>,
    events: Vec<twinscale_protocol::Event>,
    origins: Vec<usize>,
    calibration: Vec<u8>,
    /// Mean of what was observed.
    unit: f64,
}

/// Forecasts every scored series of a split, and writes the submission if one is asked for.
///
/// # Errors
/// [`BenchError`] names file, series or origin; weights whose card names a later cut than a series' first
/// origin are refused before anything is forecast.
pub fn run(
    options: &BenchOptions,
    card: &WeightsCard,
    answer: &mut AnswerRequests<'_>,
    progress: &mut dyn FnMut(BenchProgress),
) -> Result<BenchOutcome, BenchError> {
    let mut entrants = enter(options, card)?;
    let total = entrants.iter().map(|entrant| entrant.origins.len()).sum();
    let rounds = entrants.iter().map(|entrant| entrant.origins.len()).max();
    let create = |path: &PathBuf| Submission::create(path);
    let mut submission = options.out.as_ref().map(create).transpose()?;
    let mut outcome = BenchOutcome::default();
    for round in 0..rounds.unwrap_or(0) {
        let mut running: Vec<&mut Entrant> = entrants
            .iter_mut()
            .filter(|entrant| round < entrant.origins.len())
            .collect();
        let requests: Vec<ForecastRequest> = running
            .iter()
            .map(|entrant| entrant.request(round, options))
            .collect();
        let replies = answer(&requests);
        for (entrant, reply) in running.iter_mut().zip(replies) {
            entrant.take(round, reply, submission.as_mut(), &mut outcome.tallies)?;
            outcome.forecasts += 1;
        }
        let done = outcome.forecasts;
        progress(BenchProgress { done, total });
    }
    if let Some(submission) = submission {
        submission.finish()?;
    }
    Ok(outcome)
}

fn enter(options: &BenchOptions, card: &WeightsCard) -> Result<Vec<Entrant>, BenchError> {
    let directory: &Path = &options.directory;
    let protocol = read_protocol(directory)?;
    let events = read_known_events(&directory.join("events.csv"))?;
    let mut entrants = Vec::new();
    for (dataset, rules) in &protocol {
        let Some(wanted) = rules.series.get(&options.split) else {
            continue;
        };
        let file = directory
            .join(&options.split)
            .join(format!("{dataset}.csv.gz"));
        let loaded = read_series(&file, rules.interval_s)?;
        for series in &loaded {
            check_cut(card, dataset, rules, series)?;
        }
        for id in wanted {
            let Some(series) = loaded.iter().find(|series| series.id == *id) else {
                return Err(BenchError::MissingSeries {
                    dataset: dataset.clone(),
                    id: id.clone(),
                });
            };
            entrants.push(Entrant::new(dataset, rules, series, &events)?);
        }
    }
    if entrants.is_empty() {
        return Err(BenchError::NothingToDo {
            split: options.split.clone(),
            directory: directory.to_owned(),
        });
    }
    Ok(entrants)
}

fn check_cut(
    card: &WeightsCard,
    dataset: &str,
    rules: &DatasetProtocol,
    series: &LoadedSeries,
) -> Result<(), LeakError> {
    let origins = rules.origins(series.values.len());
    let Some(first) = origins.first() else {
        return Ok(());
    };
    card.check_cut(
        dataset,
        &series.id,
        time_s(series.start_s, rules.interval_s, *first),
    )
}

fn time_s(start_s: i64, interval_s: u32, at: usize) -> i64 {
    let steps = i64::try_from(at).unwrap_or(i64::MAX);
    start_s.saturating_add(steps.saturating_mul(i64::from(interval_s)))
}

impl Entrant {
    fn new(
        dataset: &str,
        rules: &DatasetProtocol,
        series: &LoadedSeries,
        events: &[LoadedEvent],
    ) -> Result<Self, BenchError> {
        let (customer, key) = parse_id(&series.id).map_err(|source| BenchError::Name {
            dataset: dataset.to_owned(),
            id: series.id.clone(),
            source,
        })?;
        let seen = series.values.iter().flatten();
        let unit = seen.clone().sum::<f64>() / seen.count().max(1) as f64;
        let values = series
            .values
            .iter()
            .map(|value| value.map(FixedValue::from_measured).transpose())
            .collect::<Result<_, _>>()
            .map_err(|source| BenchError::Value {
                dataset: dataset.to_owned(),
                id: series.id.clone(),
                source,
            })?;
        Ok(Self {
            dataset: dataset.to_owned(),
            events: events_of(events, dataset, &series.id),
            id: series.id.clone(),
            customer,
            key,
            start_s: series.start_s,
            interval_s: rules.interval_s,
            horizon_steps: rules.horizon,
            origins: rules.origins(series.values.len()),
            values,
            calibration: Vec::new(),
            unit,
        })
    }

    /// The request at an origin: no sample after it.
    fn request(&self, round: usize, options: &BenchOptions) -> ForecastRequest {
        let end = self.origins[round] + 1;
        let allowed = options.history_days.map_or(usize::MAX, |days| {
            usize::try_from(days).unwrap_or(usize::MAX) * (86_400 / self.interval_s.max(1)) as usize
        });
        let first = end.saturating_sub(context_steps(self.interval_s).min(allowed));
        // What was learnt at an earlier origin knows more than a short history may.
        let young = options.history_days.is_some();
        let events = if options.with_events {
            self.events.clone()
        } else {
            Vec::new()
        };
        ForecastRequest {
            customer: self.customer.clone(),
            issued_at: DomainTime(time_s(self.start_s, self.interval_s, end)),
            interval: Seconds(self.interval_s),
            horizon_steps: self.horizon_steps,
            series: vec![SeriesWindow {
                key: self.key.clone(),
                first_at: DomainTime(time_s(self.start_s, self.interval_s, first)),
                values: self.values[first..end].to_vec(),
                lead_steps: 1,
                calibration: if young {
                    Vec::new()
                } else {
                    self.calibration.clone()
                },
            }],
            events,
        }
    }

    fn take(
        &mut self,
        round: usize,
        reply: Result<ForecastReply, WireError>,
        submission: Option<&mut Submission>,
        tallies: &mut Tallies,
    ) -> Result<(), BenchError> {
        let origin_s = time_s(self.start_s, self.interval_s, self.origins[round]);
        let reply = reply.map_err(|source| BenchError::Refused {
            dataset: self.dataset.clone(),
            id: self.id.clone(),
            origin_s,
            source,
        })?;
        self.calibration = reply.calibrations.into_iter().next().unwrap_or_default();
        let Some(forecast) = reply.forecasts.first() else {
            return Ok(());
        };
        if let Some(submission) = submission {
            submission.write(&self.dataset, &self.id, origin_s, &forecast.quantiles)?;
        }
        let after = self.values.get(self.origins[round] + 1..);
        let truth: Vec<Option<f64>> = after
            .unwrap_or_default()
            .iter()
            .take(usize::from(self.horizon_steps))
            .map(|value| value.map(FixedValue::units))
            .collect();
        if self.unit > 0.0 {
            let tally = tallies.entry(self.dataset.clone()).or_default();
            let outcome = Outcome {
                first_s: origin_s.saturating_add(i64::from(self.interval_s)),
                interval_s: i64::from(self.interval_s),
                truth: &truth,
                quantiles: &forecast.quantiles,
                unit: self.unit,
            };
            tally.add(&outcome, &self.events);
        }
        Ok(())
    }
}

/// Takes a series' name `customer/vm_type/metric` apart.
///
/// # Errors
/// [`ParseIdError`] for the first part that is missing or no name.
pub fn parse_id(id: &str) -> Result<(CustomerId, SeriesKey), ParseIdError> {
    let mut parts = id.splitn(3, '/');
    let mut next = || parts.next().unwrap_or_default();
    let customer = CustomerId::new(next())?;
    let vm_type = VmTypeId::new(next())?;
    let metric = MetricName::new(next())?;
    Ok((customer, SeriesKey { vm_type, metric }))
}
