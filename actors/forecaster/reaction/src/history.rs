//! What was observed of a customer: demand, what it met, what was asked for it, and what happened around.

use crate::drivers::{Features, Memory, Met, Span};
use twinscale_protocol::Event;

/// Longest history: over a year of five minutes.
pub const STEPS_MAX: usize = 1 << 17;
/// Most events; the latest are kept.
pub const EVENTS_MAX: usize = 2_048;
/// Longest step: a day.
pub const INTERVAL_S_MAX: u32 = 86_400;
/// Seconds in a day.
const DAY_S: u32 = 86_400;
/// Share of the mean demand that lower demand is taken for, so that it has a logarithm.
const FLOOR: f64 = 0.01;
/// Least length of a history whose week is told apart by hours of the week, in seconds: three weeks.
const WEEK_KNOWN_S: i64 = 21 * 86_400;
/// Least length of a history whose day is told apart by hours.
const DAY_KNOWN_S: i64 = 2 * 86_400;

/// What was observed, unchecked. All vectors have one value per step; `None` = missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Start of the first step, in epoch seconds.
    pub start_s: i64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Demand, in any unit.
    pub demand: Vec<Option<f64>>,
    /// What was expected without a reaction, such as the forecast's median; empty = the usual week of the
    /// history itself.
    pub expected: Vec<Option<f64>>,
    /// Response time over its objective; empty = not measured.
    pub latency: Vec<Option<f64>>,
    /// Share of requests refused, given up on or unserved; empty = not measured.
    pub throttled: Vec<Option<f64>>,
    /// Price over the usual one; the last one stands where it is missing. Empty = never changed.
    pub price: Vec<Option<f64>>,
    /// Events, in any order.
    pub events: Vec<Span>,
}

/// Why observations are no history.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// The step has no place in a day.
    #[error("interval of {interval_s} s is not usable: give 1 to {INTERVAL_S_MAX} s")]
    Interval {
        /// The interval given.
        interval_s: u32,
    },
    /// More than is looked at.
    #[error("history of {steps} steps is too long: give at most {STEPS_MAX}, the latest")]
    TooLong {
        /// The number given.
        steps: usize,
    },
    /// Series of different lengths.
    #[error("{series} has {found} steps, demand has {expected}: give one value per step, or none")]
    Length {
        /// Which series.
        series: &'static str,
        /// Its steps.
        found: usize,
        /// Steps of the demand.
        expected: usize,
    },
    /// A value that is none.
    #[error("{series} is {value} at step {at}: give {rule}, or nothing")]
    Value {
        /// Which series.
        series: &'static str,
        /// The value.
        value: f64,
        /// Its step.
        at: usize,
        /// What it may be.
        rule: &'static str,
    },
    /// Nothing was observed.
    #[error("history of {steps} steps holds no demand above 0: give at least one")]
    Empty {
        /// Steps given.
        steps: usize,
    },
}

/// A checked history.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    observed: Observed,
    /// Demand below this counts as this.
    floor: f64,
}

impl From<&Event> for Span {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.kind,
            start_s: event.start.0,
            end_s: event.end.0,
        }
    }
}

impl History {
    /// Checks what was observed.
    ///
    /// # Errors
    /// [`HistoryError`] names what cannot be used.
    pub fn new(mut observed: Observed) -> Result<Self, HistoryError> {
        let steps = observed.demand.len();
        if observed.interval_s == 0 || observed.interval_s > INTERVAL_S_MAX {
            let interval_s = observed.interval_s;
            return Err(HistoryError::Interval { interval_s });
        }
        if steps > STEPS_MAX {
            return Err(HistoryError::TooLong { steps });
        }
        check(("demand", &observed.demand), steps, (0.0, 1e300))?;
        check(
            ("what was expected", &observed.expected),
            steps,
            (0.0, 1e300),
        )?;
        check(
            ("latency over its objective", &observed.latency),
            steps,
            (0.0, 1e9),
        )?;
        check(
            ("the throttled share", &observed.throttled),
            steps,
            (0.0, 1.0),
        )?;
        check(
            ("price over the usual one", &observed.price),
            steps,
            (1e-6, 1e6),
        )?;
        let positive = || observed.demand.iter().flatten().filter(|one| **one > 0.0);
        let count = positive().count();
        if count == 0 {
            return Err(HistoryError::Empty { steps });
        }
        // Divided first, so that the sum of the largest values is finite.
        let mean: f64 = positive().map(|one| one / count as f64).sum();
        let is_span = |event: &Span| event.start_s < event.end_s;
        observed.events.retain(is_span);
        observed.events.sort_unstable();
        observed.events.dedup();
        let left = observed.events.len().saturating_sub(EVENTS_MAX);
        observed.events.drain(..left);
        Ok(Self {
            observed,
            floor: FLOOR * mean,
        })
    }

    /// Steps.
    pub fn steps(&self) -> usize {
        self.observed.demand.len()
    }

    /// Length of a step, in seconds.
    pub fn interval_s(&self) -> u32 {
        self.observed.interval_s
    }

    /// Start of a step, in epoch seconds.
    pub fn time_s(&self, step: usize) -> i64 {
        let ahead = i64::try_from(step).unwrap_or(i64::MAX);
        let ahead = ahead.saturating_mul(i64::from(self.observed.interval_s));
        self.observed.start_s.saturating_add(ahead)
    }

    /// What was observed.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Whether latency or throttling was ever measured.
    pub fn knows_service(&self) -> bool {
        let seen = |series: &[Option<f64>]| series.iter().any(Option::is_some);
        seen(&self.observed.latency) || seen(&self.observed.throttled)
    }

    /// The first `steps` of it, with the events that start in them.
    ///
    /// # Errors
    /// [`HistoryError::Empty`] when nothing was observed in them.
    pub fn until(&self, steps: usize) -> Result<Self, HistoryError> {
        let mut part = self.observed.clone();
        for series in [
            &mut part.demand,
            &mut part.expected,
            &mut part.latency,
            &mut part.throttled,
            &mut part.price,
        ] {
            series.truncate(steps);
        }
        let end_s = self.time_s(steps.min(self.steps()));
        part.events.retain(|event| event.start_s < end_s);
        Self::new(part)
    }

    /// What a step met, as far as it was measured; `None` when it should have been and was not.
    fn met(&self, step: usize) -> Option<Met> {
        let of = |series: &[Option<f64>], normal: f64| match series.get(step) {
            Some(value) => *value,
            None => Some(normal),
        };
        Some(Met {
            latency: of(&self.observed.latency, 1.0)?,
            throttled: of(&self.observed.throttled, 0.0)?,
        })
    }

    /// What is taken to have been before the first step: the mean of the first day, and the first price.
    fn start(&self) -> (Met, f64) {
        let day = (DAY_S / self.observed.interval_s.max(1)).max(1) as usize;
        let mean = |series: &[Option<f64>], normal: f64| {
            let seen = series.iter().take(day).flatten();
            let (sum, count) = seen.fold((0.0, 0.0), |all, one| (all.0 + one, all.1 + 1.0));
            if count > 0.0 { sum / count } else { normal }
        };
        let met = Met {
            latency: mean(&self.observed.latency, 1.0),
            throttled: mean(&self.observed.throttled, 0.0),
        };
        (
            met,
            mean(
                &self.observed.price[..self.observed.price.len().min(1)],
                1.0,
            ),
        )
    }

    /// Features of each step, and the memory after the last one.
    pub fn features(&self) -> (Vec<Features>, Memory) {
        let (start, mut price) = self.start();
        let mut memory = Memory::new(self.observed.interval_s).settled(start, price);
        let mut rows = Vec::with_capacity(self.steps());
        let around = 6 * 86_400;
        let longest = self.observed.events.iter();
        let longest = longest.map(|event| event.end_s - event.start_s).max();
        let reach = longest.unwrap_or(0).saturating_add(around);
        let mut first = 0;
        for step in 0..self.steps() {
            if let Some(Some(one)) = self.observed.price.get(step) {
                price = *one;
            }
            let at = self.time_s(step);
            let events = &self.observed.events;
            while events
                .get(first)
                .is_some_and(|one| one.start_s.saturating_add(reach) < at)
            {
                first += 1;
            }
            let end = at.saturating_add(i64::from(self.observed.interval_s) + around);
            let near = events[first..].partition_point(|one| one.start_s < end);
            rows.push(memory.features(price, at, &events[first..first + near]));
            memory.meet(self.met(step));
        }
        (rows, memory)
    }

    /// Logarithm of demand, over what was expected where that is known.
    pub(crate) fn logarithms(&self) -> Vec<Option<f64>> {
        let logarithm = |value: f64| value.max(self.floor).ln();
        let over = |step: usize, value: f64| match self.observed.expected.get(step) {
            None => Some(logarithm(value)),
            Some(expected) => expected.map(|expected| logarithm(value) - logarithm(expected)),
        };
        let steps = self.observed.demand.iter().enumerate();
        steps
            .map(|(step, value)| value.and_then(|value| over(step, value)))
            .collect()
    }

    /// Which steps are alike: hours of the week, of the day, or all of them.
    pub(crate) fn slots(&self) -> Vec<usize> {
        let lasts = self
            .time_s(self.steps())
            .saturating_sub(self.observed.start_s);
        let has_expected = !self.observed.expected.is_empty();
        let slot = |step: usize| {
            let hour = self.time_s(step).div_euclid(3_600);
            let hours = if has_expected || lasts < DAY_KNOWN_S {
                1
            } else if lasts < WEEK_KNOWN_S {
                24
            } else {
                168
            };
            usize::try_from(hour.rem_euclid(hours)).unwrap_or_default()
        };
        (0..self.steps()).map(slot).collect()
    }
}

fn check(
    (series, values): (&'static str, &[Option<f64>]),
    steps: usize,
    (low, high): (f64, f64),
) -> Result<(), HistoryError> {
    if !values.is_empty() && values.len() != steps {
        return Err(HistoryError::Length {
            series,
            found: values.len(),
            expected: steps,
        });
    }
    let rule = match series {
        "the throttled share" => "a share from 0 to 1",
        "price over the usual one" => "a factor from 0.000001 to 1000000",
        _ => "a finite number of at least 0",
    };
    for (at, value) in values.iter().enumerate() {
        if let Some(value) = *value
            && !(low..=high).contains(&value)
        {
            return Err(HistoryError::Value {
                series,
                value,
                at,
                rule,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "exact zeros and exact shares are what is promised"
)]
mod tests {
    use super::*;
    use crate::drivers::NORMAL;
    use twinscale_protocol::EventKind;

    fn observed(demand: Vec<Option<f64>>) -> Observed {
        Observed {
            interval_s: 3_600,
            demand,
            ..Observed::default()
        }
    }

    #[test]
    fn what_is_no_history_is_named() {
        let told = |observed: Observed| History::new(observed).expect_err("none").to_string();
        assert!(told(observed(vec![None, Some(0.0)])).contains("no demand above 0"));
        assert!(told(observed(vec![Some(f64::NAN)])).contains("NaN at step 0"));
        let short = Observed {
            latency: vec![Some(1.0)],
            ..observed(vec![Some(1.0); 2])
        };
        assert!(told(short).contains("latency"));
        let share = Observed {
            throttled: vec![Some(0.1), Some(1.5)],
            ..observed(vec![Some(1.0); 2])
        };
        assert!(told(share).contains("1.5 at step 1"));
        let step = Observed {
            interval_s: 0,
            ..observed(vec![Some(1.0)])
        };
        assert!(told(step).contains("0 s"));
    }

    #[test]
    fn one_sample_is_a_history_without_any_driver() {
        let history = History::new(observed(vec![Some(3.0)])).expect("one sample");
        assert_eq!(history.features().0, vec![NORMAL]);
        assert!(!history.knows_service());
    }

    #[test]
    fn a_price_stands_until_the_next_and_features_of_a_part_are_the_same() {
        let mut whole = observed((0..100).map(|at| Some(1.0 + f64::from(at % 7))).collect());
        whole.price = vec![None; 100];
        whole.price[10] = Some(1.2);
        whole.events = vec![Span {
            kind: EventKind::Campaign,
            start_s: 40 * 3_600,
            end_s: 44 * 3_600,
        }];
        let history = History::new(whole).expect("sound");
        let (rows, _) = history.features();
        assert_eq!(rows[9][4][0], 0.0);
        assert!((rows[99][4][0] - 1.2_f64.ln()).abs() < 1e-12);
        let (part, _) = history.until(60).expect("sound").features();
        assert_eq!(part[..], rows[..60]);
    }
}
