use super::*;
use crate::calibration::LOCAL;
use crate::fixtures::{Broken, OneCandidate, OneShape, request, wave};
use proptest::prelude::*;
use twinscale_protocol::{QUANTILE_LEVELS, Seconds};

fn engine(candidate: usize) -> Engine {
    let gap = 0.5;
    Engine::new(Box::new(OneCandidate { candidate, gap }), Vec::new())
}

fn only(engine: &mut Engine, request: &ForecastRequest) -> Result<ForecastReply, ForecastError> {
    let replies = engine.forecast_batch(std::slice::from_ref(request));
    replies.into_iter().next().expect("one reply")
}

#[test]
fn company_and_order_change_nothing() {
    let requests: Vec<ForecastRequest> = (0..90)
        .map(|seed| {
            let interval_s = [3600, 300, 60][usize::try_from(seed % 3).expect("small")];
            let steps = 400 + usize::try_from(seed).expect("small") * 9;
            request("acme", interval_s, &wave(steps, interval_s, seed))
        })
        .collect();
    let mut engine = engine(3);
    let together = engine.forecast_batch(&requests);
    for (request, reply) in requests.iter().zip(&together) {
        assert_eq!(only(&mut engine, request), *reply);
    }
    let backwards: Vec<ForecastRequest> = requests.into_iter().rev().collect();
    let mut replies = engine.forecast_batch(&backwards);
    replies.reverse();
    assert_eq!(replies, together);
}

#[test]
fn a_first_request_is_calibrated_and_its_state_is_small() {
    let mut engine = engine(3);
    let request = request("acme", 3600, &wave(56 * 24, 3600, 1));
    let reply = only(&mut engine, &request).expect("a forecast");
    let stored = &reply.calibrations[0];
    assert!(
        !stored.is_empty() && stored.len() < 8_192,
        "{}",
        stored.len()
    );
    let learnt = decode(stored).network.expect("learnt");
    // Four weeks of back-casts, up to the last on the grid of half horizons that has passed.
    let since_h = (request.issued_at.0 - learnt.learnt_until_s) / 3600;
    assert!((25..37).contains(&since_h), "{since_h}");
    assert!(learnt.factors.iter().flatten().any(|factor| *factor != 0));
    // The day before carries all its noise; the adapter has learnt to weigh more days than one.
    let trust = crate::insight::insight(stored).expect("learnt").trust;
    assert!(trust[1].median > 0.5, "{trust:?}");
}

#[test]
fn what_was_issued_is_scored_and_trust_is_told() {
    let values = wave(70 * 24, 3600, 9);
    let mut engine = Engine::new(
        Box::new(OneCandidate {
            candidate: 3,
            gap: 0.5,
        }),
        vec![Box::new(OneCandidate {
            candidate: 0,
            gap: 0.5,
        })],
    );
    let mut calibration = Vec::new();
    for hours in (56 * 24)..=(70 * 24) {
        let mut request = request("acme", 3600, &values[..hours]);
        request.series[0].calibration = calibration;
        let reply = only(&mut engine, &request).expect("a forecast");
        calibration = reply.calibrations[0].clone();
    }
    let insight = crate::insight::insight(&calibration).expect("learnt");
    assert_eq!(insight.weights, engine.weights_id().to_string());
    let names: Vec<&str> = insight
        .trust
        .iter()
        .map(|one| one.forecaster.as_str())
        .collect();
    let known = ["network-1", "network-2", "adapter", "narrower", "wider"];
    assert_eq!(names, known);
    // The day before is right up to noise, the last value is off by the wave.
    assert!(
        insight.trust[0].median > 3.0 * insight.trust[1].median,
        "{insight:?}"
    );
    let total: f64 = insight.trust.iter().map(|one| one.median).sum();
    assert!((total - 1.0).abs() < 1e-9);
    assert_eq!(insight.accuracy.len(), 4);
    assert_eq!(
        (
            insight.accuracy[0].first_step,
            insight.accuracy[3].last_step
        ),
        (1, 24)
    );
    for part in &insight.accuracy {
        assert!(part.accuracy.bias.abs() < 0.1, "{part:?}");
        assert!((0.5..=1.0).contains(&part.accuracy.inside_80), "{part:?}");
        assert!(part.accuracy.weighted_loss < 0.15, "{part:?}");
    }
    assert_eq!(crate::insight::insight(b"broken"), None);
}

#[test]
fn learning_at_once_and_one_by_one_ends_the_same() {
    let values = wave(40 * 24, 3600, 3);
    let mut engine = engine(3);
    let mut calibration = Vec::new();
    for hours in (31 * 24)..=(40 * 24) {
        let mut request = request("acme", 3600, &values[..hours]);
        request.series[0].calibration = calibration;
        let reply = only(&mut engine, &request).expect("a forecast");
        calibration = reply.calibrations[0].clone();
    }
    let mut early = request("acme", 3600, &values[..31 * 24]);
    early.series[0].calibration =
        only(&mut engine, &early).expect("a forecast").calibrations[0].clone();
    let mut late = request("acme", 3600, &values);
    late.series[0].calibration = early.series[0].calibration.clone();
    let at_once = only(&mut engine, &late).expect("a forecast");
    // What is learnt of the network's outlooks on peaks needs live forecasts; ranges need back-casts alone.
    let learnt = |bytes: &[u8]| {
        let mut network = decode(bytes).network.expect("learnt");
        network.scores = v2::Scores::default();
        network
    };
    assert!(learnt(&at_once.calibrations[0]) == learnt(&calibration));
}

#[test]
fn the_range_comes_to_hold_what_it_says() {
    // Noise is uniform over 3 units; the candidate is the day before, so misses are triangular.
    let values = wave(160 * 24, 3600, 5);
    let mut engine = engine(3);
    let mut calibration = Vec::new();
    let (mut inside, mut count) = (0.0, 0.0);
    for day in 60..159_u16 {
        let end = usize::from(day) * 24;
        let mut request = request("acme", 3600, &values[end - 56 * 24..end]);
        let moved_s = i64::from(day - 56) * 86_400;
        request.issued_at.0 += moved_s;
        request.series[0].first_at.0 += moved_s;
        request.series[0].calibration = calibration;
        let reply = only(&mut engine, &request).expect("a forecast");
        calibration = reply.calibrations[0].clone();
        if day < 110 {
            // The bare range holds less than 60 %; a factor takes weeks to grow by half.
            continue;
        }
        for (ahead, step) in reply.forecasts[0].quantiles.iter().enumerate() {
            let truth = values[end + ahead].expect("observed");
            count += 1.0;
            if (step[1].units()..=step[5].units()).contains(&truth) {
                inside += 1.0;
            }
        }
    }
    let share: f64 = inside / count;
    assert!((0.76..0.84).contains(&share), "{share}");
}

#[test]
fn what_cannot_be_used_is_named_and_fails_alone() {
    let good = request("acme", 3600, &wave(200, 3600, 1));
    let mut far = good.clone();
    far.horizon_steps = 169;
    let mut gap = good.clone();
    gap.issued_at = DomainTime(gap.issued_at.0 + 3600);
    let mut negative = good.clone();
    negative.series[0].values[3] = Some(FixedValue(-1));
    let mut engine = engine(3);
    let replies = engine.forecast_batch(&[far, gap, good, negative]);
    assert_eq!(
        replies[0],
        Err(ForecastError::Horizon {
            steps: 169,
            most: 168
        })
    );
    assert!(matches!(replies[1], Err(ForecastError::Window { .. })));
    assert!(replies[2].is_ok());
    let error = WireError::from(replies[3].as_ref().expect_err("negative"));
    assert_eq!(error.code, WireErrorCode::Invalid);
    assert!(error.message.contains("m5.large/vm_count"), "{error}");
    assert!(error.message.contains("position 3"), "{error}");
}

#[test]
fn little_history_gets_the_fallback_with_its_reason() {
    let mut engine = engine(3);
    let young = request("acme", 3600, &wave(5, 3600, 1));
    let reply = only(&mut engine, &young).expect("a forecast");
    assert!(matches!(
        &reply.forecasts[0].source,
        ForecastSource::SeasonalFallback(reason) if reason.contains("5 steps")
    ));
    let silent = request("acme", 3600, &[None; 100]);
    let reply = only(&mut engine, &silent).expect("a forecast");
    assert_eq!(reply.forecasts[0].context.samples, 0);
    assert!(matches!(
        &reply.forecasts[0].source,
        ForecastSource::SeasonalFallback(reason) if reason.contains("no observation")
    ));
}

#[test]
fn a_broken_network_is_an_error() {
    let mut engine = Engine::new(Box::new(Broken), Vec::new());
    let request = request("acme", 3600, &wave(200, 3600, 1));
    let error = only(&mut engine, &request).expect_err("broken");
    assert!(matches!(
        error,
        ForecastError::Network(NetworkError::Shape { .. })
    ));
}

#[test]
fn an_event_that_is_not_known_yet_changes_nothing() {
    let plain = request("acme", 3600, &wave(40 * 24, 3600, 1));
    let mut engine = engine(12);
    let mut announced = plain.clone();
    announced.events.push(Event {
        kind: EventKind::Holiday,
        name: "founders' day".to_owned(),
        start: plain.issued_at,
        end: DomainTime(plain.issued_at.0 + 86_400),
        known_from: DomainTime(plain.issued_at.0 + 1),
        series: None,
    });
    let before = only(&mut engine, &plain).expect("a forecast");
    assert_eq!(only(&mut engine, &announced).expect("a forecast"), before);
    announced.events[0].known_from = plain.issued_at;
    let known = only(&mut engine, &announced).expect("a forecast");
    assert_eq!(known.forecasts[0].context.events, vec!["founders' day"]);
}

/// Networks of which one serves a day of hours, and one a week.
fn two_shapes() -> Engine {
    let flat = |candidate| OneCandidate {
        candidate,
        gap: 0.5,
    };
    let others: Vec<Box<dyn QuantileNetwork>> = vec![Box::new(OneShape(168, flat(3)))];
    Engine::new(Box::new(OneShape(24, flat(3))), others)
}

#[test]
fn a_horizon_runs_in_the_smallest_shape_that_there_is_a_network_for() {
    let mut engine = two_shapes();
    let day = request("acme", 3600, &wave(56 * 24, 3600, 1));
    for (steps, shape) in [(1, 24), (24, 24), (25, 168), (168, 168)] {
        let mut asked = day.clone();
        asked.horizon_steps = steps;
        // The networks refuse any other shape than their own.
        let reply = only(&mut engine, &asked).expect("a forecast");
        assert_eq!(reply.forecasts[0].quantiles.len(), usize::from(steps));
        let learnt = decode(&reply.calibrations[0]).network.expect("learnt");
        assert_eq!(learnt.shape, shape, "{steps} steps");
        // One network of each shape, and those that need none.
        assert_eq!(learnt.losses.len(), 1 + LOCAL.len(), "{steps} steps");
    }
    let mut short = Engine::new(
        Box::new(OneShape(
            24,
            OneCandidate {
                candidate: 3,
                gap: 0.5,
            },
        )),
        Vec::new(),
    );
    let mut week = day;
    week.horizon_steps = 168;
    let refused = only(&mut short, &week);
    let (steps, most) = (168, 24);
    assert_eq!(refused, Err(ForecastError::Horizon { steps, most }));
}

#[test]
fn what_a_twin_keeps_of_forecasts_over_a_week_stays_small() {
    let values = wave(63 * 24, 3600, 4);
    let mut engine = two_shapes();
    let mut calibration = Vec::new();
    for hours in (35 * 24)..=(63 * 24) {
        let mut request = request("acme", 3600, &values[..hours]);
        request.horizon_steps = 168;
        request.series[0].calibration = calibration;
        let reply = only(&mut engine, &request).expect("a forecast");
        calibration = reply.calibrations[0].clone();
        let bytes = calibration.len();
        assert!((1..12_288).contains(&bytes), "{bytes} after {hours} hours");
    }
    let insight = crate::insight::insight(&calibration).expect("learnt");
    let parts: Vec<usize> = insight.accuracy.iter().map(|part| part.last_step).collect();
    assert_eq!(parts, [14, 42, 84, 168]);
    assert!(!insight.ranks.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_gives_ascending_finite_quantiles(
        values in proptest::collection::vec(
            proptest::option::weighted(0.8, prop_oneof![Just(0.0), 0.0..1e3, 0.0..1e12]),
            0..700,
        ),
        interval_s in prop_oneof![Just(60_u32), Just(300), Just(3600), Just(7200), Just(86_400), 1_u32..90_000],
        horizon in 1_u16..=168,
    ) {
        let mut request = request("acme", 60, &values);
        request.interval = Seconds(interval_s);
        let length = i64::try_from(values.len()).expect("short") * i64::from(interval_s);
        request.issued_at = DomainTime(request.series[0].first_at.0 + length);
        request.horizon_steps = horizon;
        match only(&mut engine(3), &request) {
            Ok(reply) => {
                let forecast = &reply.forecasts[0];
                prop_assert_eq!(forecast.quantiles.len(), usize::from(horizon));
                for step in &forecast.quantiles {
                    prop_assert!(step.windows(2).all(|pair| pair[0] <= pair[1]), "{:?} {:?}", step, forecast.source);
                    prop_assert!(step[0].0 >= 0);
                }
                prop_assert_eq!(QUANTILE_LEVELS.len(), QUANTILES);
            }
            Err(ForecastError::Series { .. }) => prop_assert!(interval_s > 86_400),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn peaks_of_counts_are_counts_and_cover_no_more_than_was_there() {
    let mut engine = engine(3);
    let peak = |engine: &mut Engine, values: &[Option<f64>]| {
        let reply = only(engine, &request("acme", 3600, values)).expect("a forecast");
        reply.forecasts[0].peak.clone().expect("a long history")
    };
    let constant = peak(&mut engine, &vec![Some(2.0); 30 * 24]);
    assert!(
        constant.quantiles.iter().all(|one| one.0 == 2_000_000),
        "{constant:?}"
    );
    assert_eq!((constant.steps, constant.mean.0), (2, 2_000_000));
    let waves = wave(30 * 24, 3600, 1);
    let counts: Vec<Option<f64>> = waves.iter().map(|one| one.map(f64::round)).collect();
    let counted = peak(&mut engine, &counts);
    assert!(
        counted.quantiles.iter().all(|one| one.0 % 1_000_000 == 0),
        "{counted:?}"
    );
    let measured = peak(&mut engine, &waves);
    assert!(
        measured.quantiles.iter().any(|one| one.0 % 1_000_000 != 0),
        "{measured:?}"
    );
}

/// Width of the 80 % range of a step.
fn width(reply: &ForecastReply, step: usize) -> f64 {
    let quantiles = reply.forecasts[0].quantiles[step];
    quantiles[5].units() - quantiles[1].units()
}

#[test]
fn ranges_widen_where_data_is_missing() {
    let values = wave(50 * 24, 3600, 4);
    let mut gap = values.clone();
    let end = gap.len();
    for value in &mut gap[end - 20..] {
        *value = None;
    }
    let mut engine = engine(3);
    let whole = only(&mut engine, &request("acme", 3600, &values)).expect("a forecast");
    let poor = only(&mut engine, &request("acme", 3600, &gap)).expect("a forecast");
    assert!(
        width(&poor, 3) > 1.4 * width(&whole, 3),
        "{} {}",
        width(&poor, 3),
        width(&whole, 3)
    );
    assert_eq!(poor.forecasts[0].context.missing, 20);
}

#[test]
fn a_unit_that_changes_is_a_change_of_regime_and_ranges_follow() {
    let before = wave(40 * 24, 3600, 6);
    let after = wave(14 * 24, 3600, 7);
    let after = after.iter().map(|value| value.map(|value| value * 1000.0));
    let values: Vec<Option<f64>> = before.into_iter().chain(after).collect();
    let mut engine = engine(3);
    let reply = only(&mut engine, &request("acme", 3600, &values)).expect("a forecast");
    let insight = crate::insight::insight(&reply.calibrations[0]).expect("learnt");
    let changed_s = insight.changed_s.expect("a change was noticed");
    let since_h = (reply.forecasts[0].first_step_at.0 - changed_s) / 3600;
    assert!((0..14 * 24).contains(&since_h), "{since_h}");
    let median = reply.forecasts[0].quantiles[5][3].units();
    assert!((5_000.0..50_000.0).contains(&median), "{median}");
}

#[test]
fn dull_series_have_forecasts_that_say_so() {
    let mut engine = engine(3);
    for value in [0.0, 7.0] {
        let constant = vec![Some(value); 40 * 24];
        let reply = only(&mut engine, &request("acme", 3600, &constant)).expect("a forecast");
        for step in &reply.forecasts[0].quantiles {
            let (low, high) = (step[0].units(), step[7].units());
            assert!(low <= value && value <= high + 1e-6, "{low} {high}");
            assert!(high - low <= 0.2 * value + 0.02, "{low} {high}");
        }
    }
}
