//! Cycles against series that have none, and cycles that were planted.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use std::f64::consts::TAU;
use twinscale_patterns::{Detail, Grid, KnownEvent, Report, find};
use twinscale_protocol::EventKind;

const HOUR_S: i64 = 3_600;

/// A Monday, 2024-01-01.
const START_S: i64 = 1_704_067_200;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Hourly values that are `shape` of the hour since the start, plus AR(1) noise; kept at 0 or more.
fn series(
    seed: u64,
    days: usize,
    (sd, memory): (f64, f64),
    shape: impl Fn(usize) -> f64,
) -> Vec<Option<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut state = 0.0;
    (0..days * 24)
        .map(|hour| {
            state = memory * state + normal(&mut rng);
            Some((shape(hour) + sd * state).max(0.0))
        })
        .collect()
}

fn report(values: &[Option<f64>]) -> Report {
    find(&Grid::new(START_S, 3_600, values).expect("a series"))
}

fn has(report: &Report, kind: &str) -> bool {
    report.of_kind(kind).next().is_some()
}

/// Share of the seeds for which a kind is told.
fn share(seeds: u64, kind: &str, make: impl Fn(u64) -> Vec<Option<f64>>) -> f64 {
    let told = (0..seeds).filter(|seed| has(&report(&make(*seed)), kind));
    told.count() as f64 / seeds as f64
}

#[test]
fn what_has_no_cycle_shows_none() {
    let kinds = [
        "daily",
        "weekly",
        "monthly",
        "yearly",
        "business_hours",
        "weekend_dip",
        "weekend_peak",
        "batch_job",
    ];
    let laws = [
        ("noise", 70, 3.0, 0.0),
        ("AR(1) 0.9", 70, 1.0, 0.9),
        ("random walk", 10, 0.3, 1.0),
        ("random walk", 70, 0.3, 1.0),
        ("random walk", 800, 0.1, 1.0),
    ];
    for (name, days, sd, memory) in laws {
        let seeds = if days > 100 { 100 } else { 300 };
        let reports: Vec<Report> = (0..seeds)
            .map(|seed| report(&series(seed, days, (sd, memory), |_| 100.0)))
            .collect();
        for kind in kinds {
            let told = reports.iter().filter(|report| has(report, kind)).count();
            let share = told as f64 / f64::from(u32::try_from(seeds).expect("few"));
            println!("{name}, {days} days: {kind} told in {:.1} %", share * 100.0);
            assert!(share <= 0.05, "{name}, {days} days: {kind} in {share}");
        }
        if memory < 1.0 {
            // A random walk has levels, and drifts.
            for kind in ["growth", "step", "spikes", "idle"] {
                let told = reports.iter().filter(|report| has(report, kind)).count();
                let share = told as f64 / f64::from(u32::try_from(seeds).expect("few"));
                println!("{name}, {days} days: {kind} told in {:.1} %", share * 100.0);
                assert!(share <= 0.05, "{name}, {days} days: {kind} in {share}");
            }
        }
    }
}

#[test]
fn planted_cycles_are_found() {
    let day = |hour: usize| 20.0 * (TAU * hour as f64 / 24.0).sin();
    let week = |hour: usize| if hour / 24 % 7 >= 5 { -20.0 } else { 0.0 };
    for sd in [2.0, 5.0, 10.0, 20.0] {
        for (memory, days) in [(0.0, 14), (0.8, 42)] {
            // The noise keeps its spread.
            let sd = sd * f64::sqrt(1.0 - memory * memory);
            let daily = share(60, "daily", |seed| {
                series(seed, days, (sd, memory), |hour| 100.0 + day(hour))
            });
            let weekly = share(60, "weekly", |seed| {
                series(seed, 3 * days, (sd, memory), |hour| 100.0 + week(hour))
            });
            println!(
                "sd {sd:.1}, memory {memory}, {days} days: daily {daily}, weekly (3x) {weekly}"
            );
            assert!(daily >= 0.95, "daily at {sd} in {daily}");
            assert!(weekly >= 0.95, "weekly at {sd} in {weekly}");
        }
    }
}

#[test]
fn a_year_and_a_month_are_found() {
    let yearly = share(20, "yearly", |seed| {
        series(seed, 1_120, (5.0, 0.5), |hour| {
            let year = TAU * hour as f64 / (365.25 * 24.0);
            100.0 + 20.0 * year.sin() + 10.0 * (2.0 * year).cos() + 6.0 * (3.0 * year).sin()
        })
    });
    println!("yearly, three years: {yearly}");
    assert!(yearly >= 0.95, "{yearly}");
    let monthly = share(20, "monthly", |seed| {
        // Day 15 of 2024's months, 20 % more.
        let starts = [0, 31, 60, 91, 121, 152];
        series(seed, 182, (5.0, 0.5), |hour| {
            let day = hour / 24;
            let is_day = starts.iter().any(|start| start + 14 == day);
            if is_day { 120.0 } else { 100.0 }
        })
    });
    println!("monthly, six months: {monthly}");
    assert!(monthly >= 0.95, "{monthly}");
}

/// First second of summer time of a year by day numbers: from, to.
fn is_summer(at_s: i64, changes: &[(i64, i64)]) -> bool {
    changes
        .iter()
        .any(|(from, to)| (*from..*to).contains(&at_s))
}

#[test]
fn business_hours_are_told_in_local_time() {
    // 2024: 31 March to 27 October in Europe, 10 March to 3 November in the United States.
    let europe = [(1_711_846_800, 1_729_990_800)];
    let states = [(1_710_054_000, 1_730_613_600)];
    let never: [(i64, i64); 0] = [];
    let cases = [
        ("europe", 1, &europe[..]),
        ("united_states", -5, &states[..]),
        ("fixed", 0, &never[..]),
    ];
    for (rule, offset, changes) in cases {
        for seed in 0..10 {
            let values = series(seed, 366, (4.0, 0.3), |hour| {
                let at_s = START_S + i64::try_from(hour).expect("small") * HOUR_S;
                let local = at_s + offset * HOUR_S + HOUR_S * i64::from(is_summer(at_s, changes));
                let weekday = (local.div_euclid(86_400) + 3).rem_euclid(7);
                let hour = local.rem_euclid(86_400) / HOUR_S;
                if weekday < 5 && (8..18).contains(&hour) {
                    90.0
                } else {
                    30.0
                }
            });
            let report = report(&values);
            let hours = report
                .of_kind("business_hours")
                .next()
                .expect("business hours");
            let Detail::BusinessHours(hours) = &hours.detail else {
                panic!("another kind");
            };
            let clock = serde_json::to_value(hours.clock).expect("json");
            assert_eq!(clock["rule"], rule);
            assert_eq!(hours.weekdays, [0, 1, 2, 3, 4]);
            assert_eq!(
                (
                    hours.from_hour,
                    hours.to_hour,
                    i64::from(hours.clock.offset_hours)
                ),
                (8, 18, offset),
                "{rule}, seed {seed}"
            );
            assert!(has(&report, "weekend_dip"));
        }
    }
}

#[test]
fn jobs_are_found_at_odd_periods() {
    // Five-minute samples; period, offset and length in samples.
    for (period, offset, length) in [(18, 3, 1), (72, 10, 4), (288, 30, 6), (7, 2, 1), (12, 0, 2)] {
        for seed in 0..10 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let values: Vec<Option<f64>> = (0..288 * 14)
                .map(|at| {
                    let runs = at % period >= offset && at % period < offset + length;
                    let missing = at % 97 == 0;
                    let value = 50.0 + 3.0 * normal(&mut rng) + if runs { 60.0 } else { 0.0 };
                    (!missing).then_some(value.max(0.0))
                })
                .collect();
            let grid = Grid::new(START_S, 300, &values).expect("a series");
            let report = find(&grid);
            let wanted = i64::from(period) * 300;
            let job = report.of_kind("batch_job").next();
            let job = job.unwrap_or_else(|| panic!("no job at {period}, seed {seed}"));
            let Detail::BatchJob {
                period_s,
                duration_s,
                ..
            } = job.detail
            else {
                panic!("another kind");
            };
            assert_eq!(period_s, wanted, "seed {seed}");
            assert_eq!(duration_s, i64::from(length) * 300);
            assert!(job.strength > 0.9, "{}", job.strength);
        }
    }
}

#[test]
fn growth_and_steps_are_measured() {
    for seed in 0..20 {
        let grows = report(&series(seed, 120, (4.0, 0.5), |hour| {
            100.0 + hour as f64 / 24.0
        }));
        let rate = grows.of_kind("growth").next().expect("growth");
        let Detail::Growth {
            per_month,
            lower,
            upper,
        } = rate.detail
        else {
            panic!("another kind");
        };
        // A day more each day, over the median level of 160.
        let truth = 30.44 / 160.0;
        assert!((per_month - truth).abs() < 0.02, "{per_month}");
        assert!(
            lower <= truth + 0.005 && upper >= truth - 0.005,
            "{lower} to {upper}"
        );
        assert!(!has(&grows, "step"), "seed {seed}: {:?}", grows.patterns);

        let jumps = report(&series(seed, 90, (4.0, 0.5), |hour| {
            if hour < 50 * 24 { 100.0 } else { 160.0 }
        }));
        let step = jumps.of_kind("step").next().expect("a step");
        let Detail::Step { at_s, from, to } = step.detail else {
            panic!("another kind");
        };
        assert_eq!(at_s, START_S + 50 * 86_400, "seed {seed}");
        assert!((from - 100.0).abs() < 5.0 && (to - 160.0).abs() < 5.0);
        assert!(!has(&jumps, "growth"), "{:?}", jumps.patterns);
    }
}

#[test]
fn events_are_answered() {
    for seed in 0..20 {
        let days = [20, 45, 70, 95];
        let values = series(seed, 120, (4.0, 0.3), |hour| {
            let day = hour / 24;
            let day_shape = 30.0 * (TAU * hour as f64 / 24.0).sin();
            if days.contains(&day) {
                2.0 * (100.0 + day_shape)
            } else {
                100.0 + day_shape
            }
        });
        let events = days.map(|day| {
            let start_s = START_S + i64::try_from(day).expect("small") * 86_400;
            KnownEvent {
                kind: EventKind::Campaign,
                start_s,
                end_s: start_s + 86_400,
            }
        });
        let grid = Grid::new(START_S, 3_600, &values).expect("a series");
        let report = find(&grid.with_events(events));
        let answer = report.of_kind("event_response").next().expect("an answer");
        let Detail::EventResponse {
            factor,
            lower,
            upper,
            lead_days,
            decay_days,
            ..
        } = answer.detail
        else {
            panic!("another kind");
        };
        // The level of three weeks holds the event's day itself, and a little is shrunk away.
        assert!((1.8..2.05).contains(&factor), "{factor}");
        assert!(lower < factor && factor < upper);
        assert_eq!((lead_days, decay_days), (0, Some(0)), "seed {seed}");
    }
}

#[test]
fn gaps_drift_and_another_unit_hide_nothing() {
    let shape = |hour: usize| {
        let works = hour / 24 % 7 < 5 && (8..18).contains(&(hour % 24));
        if works { 90.0 } else { 30.0 }
    };
    for seed in 0..10 {
        let plain = series(seed, 84, (4.0, 0.3), shape);
        let mut gaps = plain.clone();
        gaps[10 * 24 + 5..15 * 24 + 7].fill(None);
        gaps[40 * 24..49 * 24].fill(None);
        for hour in (0..gaps.len()).step_by(11) {
            gaps[hour] = None;
        }
        let drift: Vec<Option<f64>> = plain
            .iter()
            .enumerate()
            .map(|(hour, value)| value.map(|value| value * (1.0 + hour as f64 / 500.0)))
            .collect();
        let unit: Vec<Option<f64>> = plain
            .iter()
            .enumerate()
            .map(|(hour, value)| value.map(|v| if hour < 42 * 24 { v } else { 1_000.0 * v }))
            .collect();
        for (name, values) in [
            ("plain", &plain),
            ("gaps", &gaps),
            ("drift", &drift),
            ("unit", &unit),
        ] {
            let report = report(values);
            for kind in ["daily", "weekly", "business_hours", "weekend_dip"] {
                assert!(has(&report, kind), "{name}, seed {seed}: no {kind}");
            }
            let hours = report
                .of_kind("business_hours")
                .next()
                .expect("business hours");
            let Detail::BusinessHours(hours) = &hours.detail else {
                panic!("another kind");
            };
            assert_eq!((hours.from_hour, hours.to_hour), (8, 18), "{name}");
            assert_eq!(has(&report, "step"), name == "unit", "{name}, seed {seed}");
            assert_eq!(
                has(&report, "growth"),
                name == "drift",
                "{name}, seed {seed}"
            );
        }
    }
}

#[test]
fn what_stands_still_is_told() {
    let values = series(3, 60, (4.0, 0.3), |hour| {
        if (20 * 24..26 * 24).contains(&hour) {
            -100.0
        } else {
            50.0
        }
    });
    let report = report(&values);
    let idle = report.of_kind("idle").next().expect("idle");
    let Detail::Idle {
        zero_share,
        longest_s,
    } = idle.detail
    else {
        panic!("another kind");
    };
    assert_eq!(longest_s, 6 * 86_400);
    assert!((zero_share - 0.1).abs() < 1e-9, "{zero_share}");
    assert_eq!(idle.evidence.examples_s, [START_S + 20 * 86_400]);
    let mut values = values;
    values[40 * 24..43 * 24].fill(Some(90.0));
    let report = self::report(&values);
    let flat = report.of_kind("flat").next().expect("flat");
    let Detail::Flat { longest_s } = flat.detail else {
        panic!("another kind");
    };
    assert_eq!(longest_s, 3 * 86_400);
    assert!((flat.strength - 0.05).abs() < 1e-9, "{}", flat.strength);
}

#[test]
fn random_bursts_are_spikes_and_no_jobs() {
    let seeds = 100;
    let mut jobs = 0;
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bursts = 0;
        let mut left = 0;
        let values: Vec<Option<f64>> = (0..288 * 14)
            .map(|_| {
                if left == 0 && normal(&mut rng) > 2.6 {
                    bursts += 1;
                    left = 3;
                }
                let high = if left > 0 { 70.0 } else { 0.0 };
                left = usize::saturating_sub(left, 1);
                Some((50.0 + 3.0 * normal(&mut rng) + high).max(0.0))
            })
            .collect();
        let report = find(&Grid::new(START_S, 300, &values).expect("a series"));
        jobs += usize::from(has(&report, "batch_job"));
        let spikes = report.of_kind("spikes").next().expect("spikes");
        let Detail::Spikes {
            per_week,
            duration_s,
        } = spikes.detail
        else {
            panic!("another kind");
        };
        // Two that touch are one.
        let truth = f64::from(bursts) / 2.0;
        assert!(
            (per_week - truth).abs() <= 0.2 * truth + 1.0,
            "{per_week} for {truth}"
        );
        assert_eq!(duration_s, 900);
        let size = spikes.evidence.size.expect("a size");
        assert!((65.0..80.0).contains(&size), "{size}");
    }
    println!("random bursts: jobs in {jobs} of {seeds}");
    assert!(jobs <= 5, "{jobs}");
}
