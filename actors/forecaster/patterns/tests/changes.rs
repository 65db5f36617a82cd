//! The change detector: false alarms, delays, and that online and batch agree.

mod samples;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};
use std::f64::consts::TAU;
use twinscale_patterns::{Change, ChangeDetector, ChangeError, ChangeKind, Grid, changes};

/// A Monday.
const START_S: i64 = 1_704_067_200;
const DAY_S: i64 = 86_400;

fn series(
    seed: u64,
    days: usize,
    memory: f64,
    value: impl Fn(usize, f64) -> f64,
) -> Vec<Option<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut state = 0.0;
    let fresh = f64::sqrt(1.0 - memory * memory);
    (0..days * 24)
        .map(|hour| {
            let normal: f64 = StandardNormal.sample(&mut rng);
            state = memory * state + fresh * normal;
            Some(value(hour, state).max(0.0))
        })
        .collect()
}

fn found(values: &[Option<f64>]) -> Vec<Change> {
    changes(&Grid::new(START_S, 3_600, values).expect("a series"))
}

fn wave(hour: usize) -> f64 {
    (TAU * hour as f64 / 24.0).sin()
}

/// Demand of a working week.
fn week(hour: usize) -> f64 {
    let works = hour / 24 % 7 < 5 && (8..18).contains(&(hour % 24));
    if works { 120.0 } else { 60.0 }
}

#[test]
fn what_does_not_change_raises_few_alarms() {
    type Law = fn(usize, f64) -> f64;
    let laws: [(&str, f64, Law); 7] = [
        ("AR(1) 0.98", 0.98, |_, noise| 100.0 + 10.0 * noise),
        ("3 % more a month", 0.5, |hour, noise| {
            week(hour) * 1.03_f64.powf(hour as f64 / 730.5) * (1.0 + 0.1 * noise)
        }),
        ("noise", 0.0, |_, noise| 100.0 + 10.0 * noise),
        ("AR(1) 0.9", 0.9, |_, noise| 100.0 + 10.0 * noise),
        ("daily", 0.5, |hour, noise| {
            100.0 + 40.0 * wave(hour) + 10.0 * noise
        }),
        ("working week", 0.5, |hour, noise| {
            week(hour) * (1.0 + 0.1 * noise)
        }),
        ("bursts", 0.0, |_, noise| {
            100.0 + if noise > 2.3 { 300.0 } else { noise }
        }),
    ];
    for (name, memory, law) in laws {
        let seeds: u32 = 60;
        let mut alarms = 0;
        for seed in 0..seeds {
            alarms += found(&series(seed.into(), 365, memory, law)).len();
        }
        println!("{name}: {alarms} alarms in {seeds} years of a series");
        assert!(alarms <= 6, "{name}: {alarms} alarms in {seeds} years");
    }
}

/// Checks that a change on day 60 is found, and answers the longest delay in days.
fn delays(kind: ChangeKind, law: fn(usize, bool, f64) -> f64) -> (f64, f64) {
    let mut delays = Vec::new();
    let mut missed = 0;
    let seeds = 60;
    for seed in 0..seeds {
        let values = series(seed, 120, 0.5, |hour, noise| {
            law(hour, hour >= 60 * 24, noise)
        });
        let at_s = START_S + 60 * DAY_S;
        let change = found(&values)
            .into_iter()
            .find(|change| change.kind == kind && change.confirmed_s >= at_s);
        let Some(change) = change else {
            missed += 1;
            continue;
        };
        assert!((0.0..=1.0).contains(&change.confidence));
        delays.push((change.confirmed_s - at_s) as f64 / DAY_S as f64);
    }
    delays.sort_unstable_by(f64::total_cmp);
    let late = delays
        .get(delays.len() * 9 / 10)
        .copied()
        .unwrap_or(f64::INFINITY);
    (late, f64::from(missed) / seeds as f64)
}

#[test]
fn changes_are_found_in_time() {
    type Law = fn(usize, bool, f64) -> f64;
    let cases: [(&str, ChangeKind, f64, Law); 7] = [
        (
            "level doubles",
            ChangeKind::Level,
            2.5,
            |hour, new, noise| week(hour) * (1.0 + 0.1 * noise) * if new { 2.0 } else { 1.0 },
        ),
        (
            "level a third up",
            ChangeKind::Level,
            5.0,
            |hour, new, noise| week(hour) * (1.0 + 0.1 * noise) * if new { 1.33 } else { 1.0 },
        ),
        (
            "level a fifth up",
            ChangeKind::Level,
            12.0,
            |hour, new, noise| week(hour) * (1.0 + 0.1 * noise) * if new { 1.2 } else { 1.0 },
        ),
        (
            "level halves",
            ChangeKind::Level,
            3.0,
            |hour, new, noise| {
                (100.0 + 30.0 * wave(hour) + 10.0 * noise) * if new { 0.5 } else { 1.0 }
            },
        ),
        (
            "noise trebles",
            ChangeKind::Scale,
            12.0,
            |hour, new, noise| 300.0 + 30.0 * wave(hour) + noise * if new { 30.0 } else { 10.0 },
        ),
        (
            "noise to a sixth",
            ChangeKind::Scale,
            50.0,
            |hour, new, noise| 300.0 + 30.0 * wave(hour) + noise * if new { 5.0 } else { 30.0 },
        ),
        (
            "day turns by eight hours",
            ChangeKind::Shape,
            6.0,
            |hour, new, noise| 100.0 + 40.0 * wave(hour + if new { 8 } else { 0 }) + 5.0 * noise,
        ),
    ];
    for (name, kind, days, law) in cases {
        let (late, missed) = delays(kind, law);
        println!("{name}: nine in ten within {late:.2} days, missed {missed:.3}");
        assert!(missed <= 0.05, "{name}: missed {missed}");
        assert!(late <= days, "{name}: {late} days");
    }
}

#[test]
fn a_holiday_is_no_change() {
    for seed in 0..40 {
        let values = series(seed, 120, 0.5, |hour, noise| {
            let day = hour / 24;
            let is_off = day == 70 || day == 95 || day == 98;
            let base = if is_off { 60.0 } else { week(hour) };
            base * (1.0 + 0.08 * noise)
        });
        assert_eq!(found(&values), [], "seed {seed}");
    }
}

#[test]
fn a_stored_detector_goes_on_as_if_never_stored() {
    let values = series(7, 100, 0.5, |hour, noise| {
        week(hour) * (1.0 + 0.1 * noise) * if hour > 50 * 24 { 1.8 } else { 1.0 }
    });
    let grid = Grid::new(START_S, 3_600, &values).expect("a series");
    let whole = changes(&grid);
    assert!(!whole.is_empty());
    let mut detector = ChangeDetector::new(3_600).expect("hours");
    let mut told = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let at_s = START_S + 3_600 * i64::try_from(at).expect("small");
        told.extend(detector.push(at_s, *value));
        if at % 97 == 0 {
            let text = serde_json::to_string(&detector).expect("json");
            assert!(text.len() < 12_000, "{} bytes", text.len());
            let again: ChangeDetector = serde_json::from_str(&text).expect("the same form");
            detector = again.checked().expect("sound");
        }
    }
    assert_eq!(told.len(), whole.len());
    for (one, other) in told.iter().zip(&whole) {
        assert_eq!(
            (one.kind, one.at_s, one.confirmed_s),
            (other.kind, other.at_s, other.confirmed_s)
        );
    }
    let memory = detector.memory();
    let since = memory.steps_since_change.expect("a change");
    assert!((49 * 24..=51 * 24).contains(&since), "{since}");
    assert!(memory.discount < 0.3, "{}", memory.discount);
    let fresh = ChangeDetector::new(3_600).expect("hours").memory();
    assert_eq!((fresh.steps_since_change, fresh.discount), (None, 1.0));
}

#[test]
fn a_damaged_state_is_refused() {
    let detector = ChangeDetector::new(3_600).expect("hours");
    let mut state = serde_json::to_value(&detector).expect("json");
    state["version"] = 9.into();
    let other: ChangeDetector = serde_json::from_value(state.clone()).expect("the same form");
    assert_eq!(other.checked(), Err(ChangeError::Version { version: 9 }));
    state["version"] = 1.into();
    state["levels"]["cells"] = serde_json::json!([]);
    let short: ChangeDetector = serde_json::from_value(state).expect("the same form");
    assert_eq!(short.checked(), Err(ChangeError::Damaged));
    assert!(ChangeDetector::new(0).is_err());
}

#[test]
fn sample_traces_change_seldom() {
    let mut years = 0.0;
    let mut told = 0;
    for trace in samples::traces() {
        let grid = trace.grid();
        let list = changes(&grid);
        years += (grid.end_s() - grid.start_s()) as f64 / (365.25 * 86_400.0);
        for change in &list {
            println!(
                "{}: {:?} on day {}, {:.3} to {:.3}, {:.3}",
                trace.name,
                change.kind,
                (change.at_s - grid.start_s()) / DAY_S,
                change.before,
                change.after,
                change.confidence
            );
        }
        told += list.len();
    }
    println!(
        "{told} changes in {years:.1} years of {} series",
        samples::traces().len()
    );
    // Real series do change; a detector that cries each month is of no use.
    assert!((told as f64) < 4.0 * years, "{told} in {years} years");
}

#[test]
fn what_ends_is_told_and_then_quiet() {
    for seed in 0..20 {
        let values = series(seed, 365, 0.5, |hour, noise| {
            if hour < 60 * 24 {
                week(hour) * (1.0 + 0.1 * noise)
            } else {
                0.0
            }
        });
        let list = found(&values);
        // What the profile still holds of the old level fades, and is no news more than twice.
        assert!((1..=3).contains(&list.len()), "seed {seed}: {list:?}");
        assert_eq!(list[0].kind, ChangeKind::Level);
        let mut levels = list
            .iter()
            .rev()
            .filter(|change| change.kind == ChangeKind::Level);
        let last = levels.next().expect("a level");
        assert!(last.after < 0.1 * list[0].before, "{list:?}");
    }
}
