//! The rivals against an independent implementation of the same formulas in Python.

use super::*;
use twinscale_protocol::{DomainTime, FixedValue, MicroDollars, Seconds, VmTypeId};

/// Counts as runs: how many, for how many steps.
type Runs = &'static [(u32, usize)];

struct Fixture {
    interval: u32,
    start_up: u32,
    history: usize,
    window: usize,
    /// At target utilisations of 0.8 and 0.5.
    reactive: [Runs; 2],
    predictive: [Runs; 2],
    moving_window: [Runs; 2],
    /// Half of the past peak.
    static_half: u32,
}

/// Start of the first sample of every fixture.
const START: i64 = 1_700_013_600;

/// A day's triangle, noise and rare spikes, in thousandths of a VM; integers alone, so that both
/// implementations see the same.
fn load_milli(step: i64, steps_per_day: i64) -> i64 {
    let into = step % steps_per_day;
    let triangle = into.min(steps_per_day - into) * 16_000 / steps_per_day;
    let spike = if step % 97 == 0 { 12_000 } else { 0 };
    4_000 + triangle + (step * step * 31 + step * 977) % 3_001 + spike
}

impl Fixture {
    fn case(&self) -> TierCase {
        let per_day = 86_400 / i64::from(self.interval);
        let load: Vec<Option<FixedValue>> = (0..self.history + self.window)
            .map(|step| load_milli(i64::try_from(step).expect("few"), per_day))
            .map(|milli| Some(FixedValue(milli * 1_000)))
            .collect();
        let (history, demand) = load.split_at(self.history);
        let before = i64::from(self.interval) * i64::try_from(self.history).expect("few");
        TierCase {
            start: DomainTime(START + before),
            interval: Seconds(self.interval),
            demand: demand.to_vec(),
            history: history.to_vec(),
            options: vec![CaseOption {
                vm_type: VmTypeId::new("a").expect("a VM type"),
                price_per_hour: MicroDollars(1_000_000),
                capacity: FixedValue(1_000_000),
            }],
            start_up: Seconds(self.start_up),
            minimum_bill: Seconds(60),
            floor: 1,
            ceiling: 10_000,
        }
    }
}

fn unrolled(runs: Runs) -> Vec<u32> {
    let counts = runs.iter();
    counts
        .flat_map(|(count, steps)| std::iter::repeat_n(*count, *steps))
        .collect()
}

#[test]
fn the_rivals_agree_with_an_independent_implementation() {
    for fixture in FIXTURES {
        let case = fixture.case();
        let (forecast, wishes) = (HourlyForecast::of(&case), window_wishes(&case));
        for (place, target) in [0.8, 0.5].into_iter().enumerate() {
            let settings = ReactiveSettings {
                target,
                ..ReactiveSettings::default()
            };
            let told = format!(
                "interval {}, history {}, target {target}",
                fixture.interval, fixture.history
            );
            let counts = reactive_counts(&case, &settings);
            assert_eq!(counts, unrolled(fixture.reactive[place]), "{told}");
            let counts = predictive_counts(&case, &forecast, &settings);
            assert_eq!(counts, unrolled(fixture.predictive[place]), "{told}");
            let counts = moving_window_counts(&case, &wishes, &settings);
            assert_eq!(counts, unrolled(fixture.moving_window[place]), "{told}");
        }
        let fleet = static_peak(&case, 0.5);
        let count: u32 = fleet.iter().map(|life| life.count).sum();
        assert_eq!(count, fixture.static_half);
    }
}

#[test]
fn a_buffer_shorter_than_a_step_starts_within_the_step() {
    // An hour's steps and 180 s of start-up: capacity is asked for 300 s before the hour, as on AWS.
    let fixture = Fixture {
        start_up: 180,
        ..FIXTURES[0]
    };
    let case = fixture.case();
    let lives = predictive(
        &case,
        &HourlyForecast::of(&case),
        &ReactiveSettings::default(),
    );
    let early = lives
        .iter()
        .filter(|life| (life.requested.0 - START).rem_euclid(3_600) == 3_300)
        .count();
    assert!(early > 0, "{lives:?}");
    let late = evaluate(&case, &reactive(&case, &ReactiveSettings::default()));
    assert!(evaluate(&case, &lives).unserved_unit_seconds < late.unserved_unit_seconds);
}

#[test]
fn groups_of_vms_cost_what_single_ones_do() {
    let case = FIXTURES[3].case();
    let grouped = reactive(&case, &ReactiveSettings::default());
    let single: Vec<VmLife> = grouped
        .iter()
        .flat_map(|life| {
            let one = VmLife {
                count: 1,
                ..life.clone()
            };
            std::iter::repeat_n(one, life.count as usize)
        })
        .collect();
    assert!(single.len() > grouped.len());
    assert_eq!(evaluate(&case, &single), evaluate(&case, &grouped));
}

const FIXTURES: &[Fixture] = &[
    Fixture {
        interval: 3600,
        start_up: 3600,
        history: 400,
        window: 40,
        reactive: [
            &[
                (12, 1),
                (10, 2),
                (9, 1),
                (10, 2),
                (7, 1),
                (9, 2),
                (6, 2),
                (9, 7),
                (11, 1),
                (14, 5),
                (11, 1),
                (10, 2),
                (9, 5),
                (6, 2),
                (7, 1),
                (9, 3),
                (11, 2),
            ],
            &[
                (19, 2),
                (17, 1),
                (14, 1),
                (16, 2),
                (11, 1),
                (13, 2),
                (9, 2),
                (14, 7),
                (17, 1),
                (22, 5),
                (17, 2),
                (15, 4),
                (14, 2),
                (9, 2),
                (11, 1),
                (14, 3),
                (17, 2),
            ],
        ],
        predictive: [
            &[
                (12, 1),
                (11, 2),
                (9, 1),
                (10, 2),
                (7, 1),
                (9, 2),
                (8, 2),
                (11, 2),
                (10, 1),
                (11, 2),
                (12, 2),
                (13, 1),
                (14, 5),
                (11, 2),
                (10, 1),
                (9, 7),
                (8, 1),
                (11, 2),
                (10, 1),
                (11, 2),
            ],
            &[
                (19, 2),
                (17, 1),
                (14, 1),
                (16, 2),
                (11, 1),
                (13, 2),
                (12, 2),
                (17, 2),
                (15, 1),
                (17, 1),
                (18, 1),
                (19, 2),
                (21, 1),
                (22, 5),
                (18, 2),
                (16, 1),
                (15, 3),
                (14, 2),
                (15, 2),
                (12, 1),
                (17, 2),
                (16, 1),
                (17, 2),
            ],
        ],
        moving_window: [&[(14, 22), (15, 18)], &[(23, 40)]],
        static_half: 11,
    },
    Fixture {
        interval: 3600,
        start_up: 3600,
        history: 12,
        window: 60,
        reactive: [
            &[
                (14, 3),
                (13, 1),
                (11, 3),
                (9, 1),
                (11, 2),
                (8, 1),
                (6, 1),
                (8, 2),
                (7, 4),
                (8, 3),
                (13, 2),
                (11, 2),
                (13, 2),
                (12, 4),
                (11, 1),
                (8, 4),
                (6, 2),
                (7, 3),
                (10, 4),
                (12, 4),
                (15, 2),
                (14, 1),
                (12, 1),
                (10, 1),
                (12, 2),
                (8, 1),
                (10, 2),
                (7, 1),
            ],
            &[
                (23, 3),
                (20, 1),
                (17, 1),
                (20, 2),
                (14, 1),
                (17, 2),
                (12, 1),
                (10, 1),
                (13, 2),
                (11, 4),
                (13, 3),
                (20, 2),
                (18, 9),
                (13, 4),
                (9, 2),
                (12, 3),
                (15, 4),
                (18, 2),
                (21, 5),
                (19, 1),
                (16, 1),
                (18, 2),
                (13, 1),
                (16, 2),
                (11, 1),
            ],
        ],
        predictive: [
            &[
                (14, 3),
                (13, 1),
                (11, 3),
                (9, 1),
                (11, 2),
                (8, 1),
                (16, 2),
                (8, 2),
                (9, 1),
                (10, 2),
                (12, 2),
                (13, 2),
                (14, 2),
                (15, 2),
                (13, 1),
                (12, 4),
                (11, 1),
                (9, 1),
                (8, 2),
                (12, 2),
                (8, 3),
                (9, 2),
                (10, 1),
                (12, 1),
                (13, 4),
                (14, 2),
                (13, 2),
                (12, 1),
                (11, 2),
                (10, 1),
                (9, 2),
                (8, 1),
                (7, 1),
            ],
            &[
                (23, 3),
                (20, 1),
                (17, 1),
                (20, 2),
                (14, 1),
                (17, 2),
                (12, 1),
                (26, 2),
                (12, 2),
                (13, 1),
                (16, 2),
                (18, 2),
                (20, 2),
                (23, 4),
                (20, 3),
                (18, 3),
                (14, 1),
                (13, 2),
                (18, 2),
                (12, 2),
                (13, 1),
                (15, 2),
                (16, 1),
                (18, 1),
                (21, 8),
                (19, 1),
                (17, 2),
                (16, 1),
                (13, 1),
                (16, 2),
                (11, 1),
            ],
        ],
        moving_window: [
            &[(16, 39), (15, 21)],
            &[(26, 37), (25, 2), (24, 16), (23, 5)],
        ],
        static_half: 8,
    },
    Fixture {
        interval: 300,
        start_up: 300,
        history: 1700,
        window: 40,
        reactive: [
            &[
                (7, 1),
                (9, 3),
                (8, 5),
                (7, 10),
                (6, 2),
                (8, 3),
                (7, 2),
                (6, 8),
                (7, 3),
                (6, 2),
                (7, 1),
            ],
            &[
                (11, 1),
                (13, 8),
                (11, 3),
                (10, 1),
                (12, 5),
                (11, 1),
                (10, 1),
                (9, 1),
                (12, 3),
                (11, 1),
                (10, 2),
                (9, 6),
                (11, 4),
                (9, 2),
                (11, 1),
            ],
        ],
        predictive: [
            &[(8, 9), (7, 31)],
            &[(12, 9), (11, 19), (10, 7), (12, 2), (10, 3)],
        ],
        moving_window: [&[(14, 40)], &[(22, 40)]],
        static_half: 13,
    },
    Fixture {
        interval: 60,
        start_up: 300,
        history: 3000,
        window: 40,
        reactive: [
            &[(7, 7), (9, 1), (18, 10), (9, 13), (8, 2), (7, 1), (9, 6)],
            &[(11, 7), (13, 1), (30, 11), (14, 13), (12, 2), (14, 6)],
        ],
        predictive: [
            &[(8, 8), (19, 11), (9, 12), (8, 9)],
            &[(12, 8), (30, 11), (14, 13), (12, 2), (14, 6)],
        ],
        moving_window: [&[(14, 40)], &[(22, 40)]],
        static_half: 13,
    },
];
