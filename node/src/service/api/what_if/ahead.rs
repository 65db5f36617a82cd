//! How far ahead a question looks, and what lies beyond.

use super::{SupposedDriver, SupposedEvent, WhatIfRequest};
use crate::service::api::error::ApiError;
use crate::service::api::forecasts::{STEPS_MAX, check_steps};
use twinscale_protocol::DomainTime;
use twinscale_protocol::forecaster::ForecastRequest;

/// Length of what has a start and no end, in seconds: a day.
const OPEN_S: i64 = 86_400;

/// Steps that both sides of a question look ahead: as many as it says; else the customer's horizon, and further, up to
/// [`STEPS_MAX`], where something supposed lies or ends beyond it.
///
/// # Errors
/// When the question says more steps than forecasts are made for, or none.
pub(super) fn steps(asked: &WhatIfRequest, request: &ForecastRequest) -> Result<u16, ApiError> {
    if let Some(steps) = asked.steps {
        check_steps(steps)?;
        return Ok(steps);
    }
    let events = asked.events.iter().map(end_of_event);
    let ends = events.chain(asked.drivers.iter().filter_map(end_of_driver));
    let needed = ends.map(|end| steps_until(end, request)).max().unwrap_or(0);
    // Whatever lies beyond is refused by name where it is checked.
    Ok(request.horizon_steps.max(needed.min(STEPS_MAX)))
}

/// When an event ends, exclusive, in epoch seconds.
pub(super) fn end_of_event(event: &SupposedEvent) -> i64 {
    let open = event.start.0.saturating_add(OPEN_S);
    event.end.map_or(open, |end| end.0)
}

/// Until when a driver is looked at; none where it has neither start nor end.
fn end_of_driver(driver: &SupposedDriver) -> Option<i64> {
    let open = driver.start.map(|start| start.0.saturating_add(OPEN_S));
    driver.end.map(|end| end.0).or(open)
}

/// Steps from the last observation up to a moment, the one that it lies in with them.
fn steps_until(moment: i64, request: &ForecastRequest) -> u16 {
    let ahead = moment.saturating_sub(request.issued_at.0);
    let steps = u64::try_from(ahead).unwrap_or(0);
    let steps = steps.div_ceil(u64::from(request.interval.0.max(1)));
    u16::try_from(steps).unwrap_or(u16::MAX)
}

/// Refuses what does not touch the steps that are looked at.
///
/// # Errors
/// With what it is, where it lies, up to where the question looks, and what helps.
pub(super) fn check_within(
    what: &str,
    (start, end): (i64, i64),
    request: &ForecastRequest,
) -> Result<(), ApiError> {
    let (issued_at, steps) = (request.issued_at, request.horizon_steps);
    let length_s = i64::from(steps).saturating_mul(i64::from(request.interval.0));
    let horizon = DomainTime(issued_at.0.saturating_add(length_s));
    if start < horizon.0 && end > issued_at.0 {
        return Ok(());
    }
    let remedy = if end <= issued_at.0 {
        "ask for what ends later than the last observation".to_owned()
    } else if steps < STEPS_MAX {
        format!("ask for more steps, up to {STEPS_MAX}, or leave them out")
    } else {
        format!(
            "nothing is forecast beyond {STEPS_MAX} steps: ask for what starts before {horizon}, or give the \
             customer's stack longer steps (interval_s)"
        )
    };
    let end = match end {
        i64::MAX => "then on".to_owned(),
        end => DomainTime(end).to_string(),
    };
    Err(ApiError::invalid(
        format!(
            "{what} from {start} to {end} lies outside the horizon of {steps} steps, from {issued_at} to {horizon}"
        ),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::api::{DriverKind, Moment};
    use twinscale_protocol::{CustomerId, EventKind, Seconds};

    const HOUR_S: i64 = 3_600;
    const ISSUED_S: i64 = 10 * HOUR_S;

    /// Of an hourly customer that looks a day ahead.
    fn request() -> ForecastRequest {
        ForecastRequest {
            customer: CustomerId::new("acme").expect("an id"),
            issued_at: DomainTime(ISSUED_S),
            interval: Seconds(3_600),
            horizon_steps: 24,
            series: Vec::new(),
            events: Vec::new(),
        }
    }

    fn moment(hours: i64) -> Moment {
        Moment(ISSUED_S + hours * HOUR_S)
    }

    fn event(start: i64, end: Option<i64>) -> WhatIfRequest {
        let event = SupposedEvent {
            kind: EventKind::Campaign,
            start: moment(start),
            end: end.map(moment),
            factor: None,
        };
        WhatIfRequest {
            events: vec![event],
            ..WhatIfRequest::default()
        }
    }

    fn driver(start: Option<i64>, end: Option<i64>) -> WhatIfRequest {
        let driver = SupposedDriver {
            what: DriverKind::Price,
            value: 1.1,
            start: start.map(moment),
            end: end.map(moment),
        };
        WhatIfRequest {
            drivers: vec![driver],
            ..WhatIfRequest::default()
        }
    }

    #[test]
    fn a_question_looks_as_far_as_it_must() {
        let check = |asked: &WhatIfRequest, expected: u16| {
            assert_eq!(
                steps(asked, &request()).expect("sound"),
                expected,
                "{asked:?}"
            );
        };
        check(&WhatIfRequest::default(), 24);
        check(&event(-5, Some(-2)), 24);
        check(&event(4, Some(6)), 24);
        check(&event(20, Some(25)), 25);
        // A day when it has no end.
        check(&event(100, None), 124);
        check(&event(160, None), STEPS_MAX);
        check(&event(i64::from(u32::MAX), None), STEPS_MAX);
        check(&driver(None, None), 24);
        check(&driver(None, Some(50)), 50);
        check(&driver(Some(30), None), 54);
        check(&driver(Some(30), Some(31)), 31);
        let minutes = ForecastRequest {
            interval: Seconds(300),
            ..request()
        };
        assert_eq!(steps(&event(4, Some(6)), &minutes).expect("sound"), 72);
        let mut twice = event(100, Some(101));
        twice.drivers = driver(None, Some(120)).drivers;
        check(&twice, 120);
    }

    #[test]
    fn stated_steps_count_alone_and_have_a_limit() {
        let stated = |count| WhatIfRequest {
            steps: Some(count),
            ..event(100, None)
        };
        for count in [1, 36, 168] {
            assert_eq!(steps(&stated(count), &request()).expect("sound"), count);
        }
        for count in [0, 169, u16::MAX] {
            let told = steps(&stated(count), &request()).expect_err("too many or none");
            let told = told.message();
            assert!(
                told.contains(&format!("{count} steps")) && told.contains("168"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_lies_outside_is_refused_with_what_helps() {
        let refused = |steps: u16, (start, end): (i64, i64)| {
            let request = ForecastRequest {
                horizon_steps: steps,
                ..request()
            };
            let span = (moment(start).0, moment(end).0);
            check_within("campaign", span, &request).map_err(|error| format!("{error:?}"))
        };
        for sound in [(-2, 1), (23, 300), (0, 1)] {
            assert_eq!(refused(24, sound), Ok(()), "{sound:?}");
        }
        let check = |steps, span, parts: &[&str]| {
            let told = refused(steps, span).expect_err("outside");
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        };
        check(
            24,
            (24, 30),
            &["campaign from", "24 steps", "more steps, up to 168"],
        );
        check(168, (168, 170), &["168 steps", "interval_s"]);
        check(168, (-4, 0), &["ends later"]);
    }
}
