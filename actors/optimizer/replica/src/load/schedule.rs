//! Who comes when. Pure.

use twinscale_environment::model::StackModel;
use twinscale_environment::simulation::{Arrivals, Load, child, with_scv};
use twinscale_protocol::RequestClassName;

/// Most requests of a run: they are held in memory, 24 bytes each.
pub const REQUESTS_MAX: usize = 5_000_000;
/// Apart from the seeds of the arrivals, which are those of the places of the classes.
const REQUEST_SEEDS: u64 = 1 << 32;

/// A request to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// When it is sent, in seconds from the start.
    pub at_s: f64,
    /// Place of its class.
    pub class: usize,
    /// Decides all that is random about it.
    pub seed: u64,
}

/// Requests in the order of their times.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Classes, in the order of the model.
    pub classes: Vec<RequestClassName>,
    /// All requests.
    pub requests: Vec<Planned>,
    /// How long the load lasts, in seconds.
    pub seconds: f64,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The load names a class that the model does not have.
    #[error("the stack has no class `{0}`")]
    UnknownClass(RequestClassName),
    /// There are too many requests.
    #[error("the load has more than {REQUESTS_MAX} requests: make it shorter or lower")]
    TooMany,
    /// A number cannot be used.
    #[error("a rate or the length of a step is {0}: give a finite number, 0 or more")]
    Number(f64),
}

/// Decides the requests of a load.
///
/// Determinism: a function of its arguments.
///
/// # Errors
/// [`ScheduleError`].
pub fn schedule(model: &StackModel, load: &Load, seed: u64) -> Result<Schedule, ScheduleError> {
    let rates = load.rates.iter().flat_map(|(_, rates)| rates);
    let bad = |number: &&f64| !(number.is_finite() && **number >= 0.0);
    if let Some(number) = rates.chain([&load.step_s]).find(bad) {
        return Err(ScheduleError::Number(*number));
    }
    // The seed of the first replication of the discrete-event engine.
    let seed = child(seed, 1);
    let mut requests = Vec::new();
    for (name, rates) in &load.rates {
        let found = model
            .classes
            .iter()
            .enumerate()
            .find(|(_, class)| class.0 == name);
        let (place, (_, class)) = found.ok_or_else(|| ScheduleError::UnknownClass(name.clone()))?;
        let gaps = with_scv(class.arrival_scv);
        let arrivals = Arrivals::new(gaps, rates.clone(), load.step_s, seed, place);
        let own = child(seed, REQUEST_SEEDS + place as u64);
        for (number, at_s) in arrivals.enumerate() {
            if requests.len() >= REQUESTS_MAX {
                return Err(ScheduleError::TooMany);
            }
            requests.push(Planned {
                at_s,
                class: place,
                seed: child(own, number as u64),
            });
        }
    }
    requests.sort_by(|left, right| left.at_s.total_cmp(&right.at_s));
    Ok(Schedule {
        classes: model.classes.keys().cloned().collect(),
        requests,
        seconds: load.seconds(),
    })
}
