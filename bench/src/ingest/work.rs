//! Which samples a request carries: pure but for the place of each customer, which goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use twinscale_protocol::units::MICROS;
use twinscale_protocol::{
    CustomerId, DomainTime, FixedValue, MetricName, ParseIdError, Sample, SeriesKey, VmTypeId,
};

/// Series of each customer.
pub const SERIES: u64 = 2;

/// Seconds between two samples of one series that are sent while it is measured.
const SPACING_S: u64 = 5;

/// Seconds between two samples of the history.
const HISTORY_SPACING_S: u64 = 300;

/// The start of all history: a Monday, long before the clock of the node.
const FIRST_AT: i64 = 1_700_438_400;

/// The clock of the node: forty days later, within the retention of ninety.
pub const NOW: DomainTime = DomainTime(FIRST_AT + 40 * 86_400);

/// Samples of one customer in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the customer, from 0.
    pub customer: usize,
    /// Series, time and value.
    pub samples: Vec<(u64, DomainTime, FixedValue)>,
}

/// The customers, and how far each is; every contender has one of its own, so that all do the same.
#[derive(Debug)]
pub struct Work {
    customers: Vec<CustomerId>,
    series: Vec<SeriesKey>,
    history: u64,
    next: AtomicU64,
    places: Vec<AtomicU64>,
}

impl Work {
    /// Names the customers.
    ///
    /// # Errors
    /// Never: the names follow the rules.
    pub fn new(twins: u32, history: u32) -> Result<Self, ParseIdError> {
        let customers = (0..twins).map(|number| CustomerId::new(format!("customer-{number:06}")));
        let series = (0..SERIES).map(|number| {
            Ok(SeriesKey {
                vm_type: VmTypeId::new(format!("web-{number}"))?,
                metric: MetricName::new("requests")?,
            })
        });
        Ok(Self {
            customers: customers.collect::<Result<_, _>>()?,
            series: series.collect::<Result<_, ParseIdError>>()?,
            history: u64::from(history),
            next: AtomicU64::new(0),
            places: (0..twins).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// How many customers there are.
    pub fn customers(&self) -> usize {
        self.customers.len()
    }

    /// A customer's name.
    pub fn customer(&self, number: usize) -> &CustomerId {
        &self.customers[number]
    }

    /// Samples of the whole history.
    pub fn history_samples(&self) -> u64 {
        self.history * SERIES * self.customers.len() as u64
    }

    /// The history of one customer.
    pub fn history(&self, customer: usize) -> Request {
        let steps =
            (0..self.history).flat_map(|step| (0..SERIES).map(move |series| (step, series)));
        let samples = steps.map(|(step, series)| {
            let at = time(step * HISTORY_SPACING_S);
            (series, at, value(customer as u64, step + series))
        });
        Request {
            customer,
            samples: samples.collect(),
        }
    }

    /// The next request: customers take turns, and the samples of each follow one another in time.
    pub fn next(&self, batch: u32) -> Request {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let customer = (number % self.customers.len() as u64) as usize;
        let first = self.places[customer].fetch_add(u64::from(batch), Ordering::Relaxed);
        let begin = self.history * HISTORY_SPACING_S;
        let samples = (first..first + u64::from(batch)).map(|place| {
            let step = place / SERIES;
            let at = time(begin + step * SPACING_S);
            (place % SERIES, at, value(customer as u64, step))
        });
        Request {
            customer,
            samples: samples.collect(),
        }
    }

    /// A request's samples as the product takes them.
    pub fn samples(&self, request: &Request) -> Vec<Sample> {
        let samples = request.samples.iter();
        samples
            .map(|(series, at, value)| Sample {
                series: self.series[*series as usize].clone(),
                at: *at,
                value: *value,
            })
            .collect()
    }

    /// A request as lines for the API.
    pub fn lines(&self, request: &Request) -> String {
        use std::fmt::Write as _;
        let mut lines = String::new();
        let customer = self.customer(request.customer);
        for (series, at, value) in &request.samples {
            let SeriesKey { vm_type, metric } = &self.series[*series as usize];
            // Writing to a string cannot fail.
            let _written = writeln!(
                lines,
                "{{\"customer\":\"{customer}\",\"vm_type\":\"{vm_type}\",\"metric\":\"{metric}\",\
                 \"timestamp\":{},\"value\":{}}}",
                at.0,
                value.units()
            );
        }
        lines
    }
}

fn time(passed_s: u64) -> DomainTime {
    DomainTime(FIRST_AT + passed_s.cast_signed())
}

/// A day's wave with some noise, in whole units.
fn value(customer: u64, step: u64) -> FixedValue {
    let share = (step % 288) as f64 / 288.0;
    let wave = (std::f64::consts::TAU * share).sin();
    let noise = (step.wrapping_mul(2_654_435_761) ^ customer.wrapping_mul(40_503)) % 97;
    let units = (1_000.0 + 400.0 * wave).floor() as i64 + noise.cast_signed();
    FixedValue(units * MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_samples_share_a_key_and_none_lies_in_the_future() {
        let work = Work::new(7, 10).expect("valid names");
        let mut keys = BTreeSet::new();
        let history = (0..work.customers()).map(|customer| work.history(customer));
        let history: Vec<Request> = history.collect();
        let live = (0..200).map(|round| work.next(if round % 3 == 0 { 100 } else { 1 }));
        let mut count = 0;
        for request in history.into_iter().chain(live) {
            for (series, at, _) in request.samples {
                count += 1;
                assert!(at <= NOW);
                assert!(keys.insert((request.customer, series, at)));
            }
        }
        assert_eq!(count, 7 * 20 + 67 * 100 + 133);
    }
}
