//! The open-loop load: requests at times that were decided beforehand, whatever the answers.
//!
//! [`schedule`] decides all arrivals from a seed, by the same law and the same draws as the discrete-event engine.
//! [`LoadRun`] sends them. A response time counts from the time at which a request was *meant* to be sent, so that
//! a slow answer, or a generator that is late, cannot hide waiting (coordinated omission).

mod run;
mod schedule;

pub use self::run::{ClassLoad, Entry, IN_FLIGHT_MAX, LoadOutcome, LoadRun, RunOptions};
pub use self::schedule::{Planned, REQUESTS_MAX, Schedule, ScheduleError, schedule};
pub use crate::clock::now;
