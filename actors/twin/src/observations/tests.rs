use super::*;
use crate::fixtures::{HOUR, START, hours, series, vms};
use proptest::prelude::*;

const RETENTION: Retention = Retention {
    raw: Seconds(10 * 86_400),
    five_minutes: Seconds(20 * 86_400),
    one_hour: Seconds(400 * 86_400),
};

fn put(observations: &mut Observations, now: DomainTime, samples: &[(DomainTime, FixedValue)]) {
    let mut touched = Touched::default();
    let key = series("typeA", "vm_count");
    let number = observations
        .ensure_series(&key, &mut touched)
        .expect("room");
    observations.record(number, samples, &mut touched);
    observations.prune(number, now, &RETENTION, &mut touched);
}

#[test]
fn intervals_read_roll_ups_where_raw_samples_are_gone() {
    let key = series("typeA", "vm_count");
    let mut observations = Observations::default();
    for day in 0..40 {
        let first = hours(day * 24);
        let samples: Vec<_> = (0..24)
            .map(|hour| (hours(day * 24 + hour), vms(day + hour)))
            .collect();
        put(&mut observations, first.plus(Seconds(86_400)), &samples);
    }
    let raw = observations.range(&key, Resolution::Raw, START, hours(960));
    assert!(raw.len() < 24 * 24, "{} raw samples are kept", raw.len());
    let means = observations.intervals(&key, START, HOUR, 960);
    let wanted: Vec<_> = (0..960_i64)
        .map(|hour| Some(vms(hour / 24 + hour % 24)))
        .collect();
    assert_eq!(means, wanted);
    // Ten minutes are no multiple of an hour: what only the hours know stays unknown.
    let fine = observations.intervals(&key, START, Seconds(600), 6);
    assert_eq!(fine, vec![None; 6]);
}

#[test]
fn a_clock_that_leaps_ahead_drops_nothing() {
    let key = series("typeA", "vm_count");
    let mut observations = Observations::default();
    put(&mut observations, hours(1), &[(START, vms(1))]);
    let mut touched = Touched::default();
    let year_ahead = START.plus(Seconds(365 * 86_400));
    observations.prune(0, year_ahead, &RETENTION, &mut touched);
    assert_eq!(
        observations
            .range(&key, Resolution::Raw, START, hours(1))
            .len(),
        1
    );
}

proptest! {
    /// Whatever the order of arrival: the raw samples are a map whose last writer wins, the roll-ups are
    /// what the raw samples add up to, and the counts say what happened.
    #[test]
    fn roll_ups_equal_a_recomputation(
        batches in proptest::collection::vec(
            proptest::collection::vec((0_i64..40_000, 0_i64..1_000), 1..60), 1..12),
    ) {
        let key = series("typeA", "requests");
        let mut observations = Observations::default();
        let mut expected: BTreeMap<DomainTime, FixedValue> = BTreeMap::new();
        for batch in batches {
            let samples: Vec<_> = batch
                .iter()
                .map(|(at, value)| (DomainTime(START.0 + at * 7), FixedValue(*value)))
                .collect();
            let mut touched = Touched::default();
            let number = observations.ensure_series(&key, &mut touched).expect("room");
            let recorded = observations.record(number, &samples, &mut touched);
            let mut wanted = Recorded::default();
            for (at, value) in samples {
                match expected.insert(at, value) {
                    None => wanted.stored += 1,
                    Some(old) if old == value => wanted.duplicates += 1,
                    Some(_) => wanted.replaced += 1,
                }
            }
            prop_assert_eq!(recorded, wanted);
        }
        let until = hours(200);
        let raw: Vec<_> = observations
            .range(&key, Resolution::Raw, START, until)
            .iter()
            .map(|slot| (slot.at, slot.sum))
            .collect();
        let wanted: Vec<_> =
            expected.iter().map(|(at, value)| (*at, i128::from(value.0))).collect();
        prop_assert_eq!(raw, wanted);
        for resolution in [Resolution::FiveMinutes, Resolution::OneHour] {
            let mut sums: BTreeMap<DomainTime, (i128, u32)> = BTreeMap::new();
            for (at, value) in &expected {
                let (sum, count) = sums.entry(at.floor_to(resolution.length())).or_default();
                *sum += i128::from(value.0);
                *count += 1;
            }
            let found: Vec<_> = observations
                .range(&key, resolution, DomainTime(0), until)
                .iter()
                .map(|slot| (slot.at, (slot.sum, slot.count)))
                .collect();
            prop_assert_eq!(found, sums.into_iter().collect::<Vec<_>>());
        }
    }
}
