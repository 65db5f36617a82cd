//! What is supposed of prices and service: checked, and put in words.

use super::super::ahead::check_within;
use super::super::{DriverKind, Moment, SupposedDriver, WhatIfRequest};
use crate::service::api::error::ApiError;
use twinscale_protocol::DomainTime;
use twinscale_protocol::forecaster::ForecastRequest;
use twinscale_reaction::drivers::{LATENCY_MAX, PRICE_MAX};

/// Drivers of one question at most.
const DRIVERS_MAX: usize = 8;

/// Checks what is supposed of drivers, and puts it in words.
pub(in crate::service::api::what_if) fn checked(
    asked: &WhatIfRequest,
    request: &ForecastRequest,
) -> Result<(Vec<SupposedDriver>, Vec<String>), ApiError> {
    if asked.drivers.len() > DRIVERS_MAX {
        return Err(ApiError::invalid(
            format!(
                "{} drivers are more than {DRIVERS_MAX}",
                asked.drivers.len()
            ),
            "ask for fewer at once",
        ));
    }
    let mut words = Vec::new();
    for driver in &asked.drivers {
        let (start, end) = span(driver, request.issued_at.0);
        if start >= end {
            return Err(ApiError::invalid(
                format!(
                    "{} ends at {}, not after its start {}",
                    driver.what.word(),
                    DomainTime(end),
                    DomainTime(start)
                ),
                "give a start before the end, or neither",
            ));
        }
        check_within(driver.what.word(), (start, end), request)?;
        let value = driver.value;
        let (low, high, rule) = driver.what.limits();
        if !(low..=high).contains(&value) {
            return Err(ApiError::invalid(
                format!("{} of {value} is not usable", driver.what.word()),
                rule,
            ));
        }
        words.push(in_words(driver));
    }
    Ok((asked.drivers.clone(), words))
}

fn in_words(driver: &SupposedDriver) -> String {
    let value = driver.value;
    let what = match driver.what {
        DriverKind::Price => format!("price {:+.0} %", 100.0 * (value - 1.0)),
        DriverKind::Latency => format!("latency x {value} of its objective"),
        DriverKind::LatencyMs => format!("latency of {value} ms"),
        DriverKind::Throttled => format!("{:.0} % of requests throttled", 100.0 * value),
    };
    match (driver.start, driver.end) {
        (None, None) => what,
        (start, end) => {
            let time = |at: Option<Moment>, none: &str| {
                at.map_or(none.to_owned(), |at| DomainTime(at.0).to_string())
            };
            format!(
                "{what} from {} to {}",
                time(start, "now"),
                time(end, "the end")
            )
        }
    }
}

pub(super) fn span(driver: &SupposedDriver, issued_s: i64) -> (i64, i64) {
    let start = driver.start.map_or(issued_s, |at| at.0);
    (start, driver.end.map_or(i64::MAX, |at| at.0))
}

impl DriverKind {
    fn word(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Latency | Self::LatencyMs => "latency",
            Self::Throttled => "throttled",
        }
    }

    fn limits(self) -> (f64, f64, &'static str) {
        match self {
            Self::Price => (
                (-PRICE_MAX).exp(),
                PRICE_MAX.exp(),
                "give the price over today's, from 0.25 to 4: 1.1 = a tenth more",
            ),
            Self::Latency => (
                0.0,
                LATENCY_MAX.exp(),
                "give latency over its objective, up to 16: 2 = twice",
            ),
            Self::LatencyMs => (0.0, 1e7, "give milliseconds, up to 10000000"),
            Self::Throttled => (0.0, 1.0, "give a share from 0 to 1: 0.05 = 5 %"),
        }
    }
}
