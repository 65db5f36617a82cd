//! What is forecast from input that nobody would wish for.

use super::*;
use crate::calibration::LOCAL;
use crate::fixtures::{ForYoung, OneCandidate, request, wave};

const MIDDAY_STEP: usize = 3;

fn engine(gap: f32) -> Engine {
    Engine::new(Box::new(OneCandidate { candidate: 3, gap }), Vec::new())
}

fn only(engine: &mut Engine, request: &ForecastRequest) -> ForecastReply {
    let replies = engine.forecast_batch(std::slice::from_ref(request));
    let reply = replies.into_iter().next().expect("one reply");
    let reply = reply.expect("a forecast");
    for step in &reply.forecasts[0].quantiles {
        assert!(step.windows(2).all(|pair| pair[0] <= pair[1]), "{step:?}");
        assert!(step[0].0 >= 0, "{step:?}");
    }
    reply
}

fn at(reply: &ForecastReply, step: usize, quantile: usize) -> f64 {
    reply.forecasts[0].quantiles[step][quantile].units()
}

fn event(request: &ForecastRequest, start: i64, end: i64) -> Event {
    Event {
        kind: EventKind::Holiday,
        name: "a day off".to_owned(),
        start: DomainTime(start),
        end: DomainTime(end),
        known_from: request.series[0].first_at,
        series: None,
    }
}

#[test]
fn an_event_without_an_end_lasts_and_one_that_ends_before_it_starts_is_none() {
    let mut engine = engine(0.5);
    let plain = request("acme", 3600, &wave(40 * 24, 3600, 1));
    let mut endless = plain.clone();
    endless.events.push(event(&plain, i64::MIN, i64::MAX));
    let reply = only(&mut engine, &endless);
    assert_eq!(reply.forecasts[0].context.events, vec!["a day off"]);
    let now = plain.issued_at.0;
    let mut backwards = plain.clone();
    backwards
        .events
        .push(event(&plain, now + 7_200, now + 3_600));
    let (with, without) = (only(&mut engine, &backwards), only(&mut engine, &plain));
    assert_eq!(with.forecasts[0].quantiles, without.forecasts[0].quantiles);
}

#[test]
fn after_days_without_samples_ranges_are_twice_as_wide_and_the_reply_counts_them() {
    let values = wave(50 * 24, 3600, 4);
    let mut gap = values.clone();
    let end = gap.len();
    gap[end - 72..].fill(None);
    let mut engine = engine(0.5);
    let whole = only(&mut engine, &request("acme", 3600, &values));
    let poor = only(&mut engine, &request("acme", 3600, &gap));
    let width = |reply: &ForecastReply| at(reply, MIDDAY_STEP, 5) - at(reply, MIDDAY_STEP, 1);
    assert!(
        width(&poor) > 1.5 * width(&whole),
        "{} {}",
        width(&poor),
        width(&whole)
    );
    assert_eq!(poor.forecasts[0].context.missing, 72);
}

#[test]
fn one_sample_among_missing_ones_is_answered_by_the_rule_and_says_so() {
    let mut values = vec![None; 100];
    values[97] = Some(8.0);
    let reply = only(&mut engine(0.5), &request("acme", 3600, &values));
    let forecast = &reply.forecasts[0];
    assert!(
        matches!(&forecast.source, ForecastSource::SeasonalFallback(reason) if reason.contains("3 steps")),
        "{:?}",
        forecast.source
    );
    assert_eq!(
        (forecast.context.samples, forecast.context.missing),
        (1, 99)
    );
    assert!(at(&reply, 0, 0) < 8.0 && at(&reply, 0, 7) > 8.0);
}

#[test]
fn demand_that_moves_by_an_hour_is_followed_within_days() {
    // Clocks went back an hour before the last ten days; times are told in UTC.
    let steady = wave(60 * 24 + 1, 3600, 2);
    let moved_at = 50 * 24;
    let values: Vec<Option<f64>> = (0..60 * 24)
        .map(|hour| steady[hour + usize::from(hour >= moved_at)])
        .collect();
    let reply = only(&mut engine(0.5), &request("acme", 3600, &values));
    // Without noise; the steepest hour of the wave makes 2.6, noise is 1.5 on average.
    let clean =
        |hour: usize| 21.5 + 10.0 * (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).sin();
    let misses = |shift: usize| -> f64 {
        (0..24)
            .map(|step| (at(&reply, step, 3) - clean(step + shift)).abs())
            .sum::<f64>()
            / 24.0
    };
    assert!(misses(1) < 1.0, "{} {}", misses(1), misses(0));
    assert!(misses(1) < 0.7 * misses(0), "{} {}", misses(1), misses(0));
}

#[test]
fn what_other_weights_learnt_is_left_and_what_is_broken_too() {
    let values = wave(40 * 24, 3600, 3);
    let mut other = Engine::new(
        Box::new(OneCandidate {
            candidate: 0,
            gap: 2.0,
        }),
        Vec::new(),
    );
    let theirs = only(&mut other, &request("acme", 3600, &values));
    let mut engine = engine(0.5);
    let fresh = only(&mut engine, &request("acme", 3600, &values));
    for stored in [theirs.calibrations[0].clone(), vec![7; 300]] {
        let mut asked = request("acme", 3600, &values);
        asked.series[0].calibration = stored;
        let reply = only(&mut engine, &asked);
        assert_eq!(reply.forecasts[0].quantiles, fresh.forecasts[0].quantiles);
    }
}

#[test]
fn values_of_billions_beside_zeros_are_forecast() {
    let largest = 5e9;
    let values: Vec<Option<f64>> = (0..30 * 24)
        .map(|hour| Some(if hour % 24 < 12 { 0.0 } else { largest }))
        .collect();
    let reply = only(&mut engine(0.5), &request("acme", 3600, &values));
    assert!(
        at(&reply, 18, 3) > 0.0,
        "{:?}",
        reply.forecasts[0].quantiles[18]
    );
}

#[test]
fn a_network_for_little_history_answers_for_that_alone() {
    let pair = |other: f32| {
        let first = OneCandidate {
            candidate: 3,
            gap: 0.5,
        };
        let young = ForYoung(OneCandidate {
            candidate: 0,
            gap: other,
        });
        Engine::new(Box::new(first), vec![Box::new(young)])
    };
    // Sixty back-casts, two a day, reach back thirty days: to when ten were known.
    let values = wave(40 * 24, 3600, 8);
    let day = request("acme", 3600, &values[..24]);
    let month = request("acme", 3600, &values);
    let (mut with, mut without) = (pair(0.5), engine(0.5));
    assert_ne!(
        only(&mut with, &day).forecasts[0].quantiles,
        only(&mut without, &day).forecasts[0].quantiles
    );
    let (mixed, alone) = (only(&mut with, &month), only(&mut without, &month));
    assert_eq!(mixed.forecasts[0].quantiles, alone.forecasts[0].quantiles);
    // What it learnt is that of one network and of those that need none.
    let trust = crate::insight::insight(&mixed.calibrations[0])
        .expect("learnt")
        .trust;
    assert_eq!(trust.len(), 1 + LOCAL.len());
    // In company of a long history, a short one gets the same answer as alone.
    let together = with.forecast_batch(&[month, day.clone()]);
    let young = together[1].as_ref().expect("a forecast");
    assert_eq!(*young, only(&mut with, &day));
}

#[test]
fn a_network_that_sees_hundreds_of_times_what_was_seen_does_not_decide_after_a_day() {
    let values = wave(24, 3600, 5);
    let highest = values
        .iter()
        .flatten()
        .fold(0.0_f64, |high, value| high.max(*value));
    let reply = only(&mut engine(200.0), &request("acme", 3600, &values));
    let top = at(&reply, 0, 7);
    assert!(top < 10.0 * highest, "{top} after at most {highest}");
}
