use super::*;
use proptest::prelude::*;
use twinscale_protocol::{
    DomainTime, FixedValue, MetricName, Sample, Seconds, SeriesKey, VmTypeId,
};

const NOW: DomainTime = DomainTime(1_700_000_000);

fn key(name: &str) -> SeriesKey {
    SeriesKey {
        vm_type: VmTypeId::new("web").expect("an id"),
        metric: MetricName::new(name).expect("a name"),
    }
}

fn raw(at: i64, value: f64) -> RawSample {
    RawSample {
        series: key("requests"),
        at: DomainTime(at),
        value,
    }
}

fn options(duplicates: Duplicates) -> CleanOptions {
    CleanOptions {
        duplicates,
        future_max: Seconds(3_600),
    }
}

fn values(cleaned: &Cleaned) -> Vec<(i64, f64)> {
    cleaned
        .samples
        .iter()
        .map(|sample| (sample.at.0, sample.value.units()))
        .collect()
}

#[test]
fn order_is_made_and_duplicates_are_settled() {
    let sent = [
        raw(60, 1.0),
        raw(180, 3.0),
        raw(120, 2.0),
        raw(60, 9.0),
        raw(180, 3.0),
    ];
    let last = clean(&sent, options(Duplicates::LastWins), NOW).expect("few");
    assert_eq!(values(&last), [(60, 9.0), (120, 2.0), (180, 3.0)]);
    assert_eq!(
        (last.out_of_order, last.repeated, last.contradicted),
        (2, 1, 1)
    );
    let first = clean(&sent, options(Duplicates::FirstWins), NOW).expect("few");
    assert_eq!(values(&first)[0], (60, 1.0));
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_place() {
    let sent = [
        raw(60, f64::NAN),
        raw(120, f64::INFINITY),
        raw(180, -1.0),
        raw(240, 1e13),
        raw(NOW.0 + 3_601, 1.0),
        raw(-1, 1.0),
        raw(NOW.0 + 3_600, 1.0),
    ];
    let cleaned = clean(&sent, options(Duplicates::LastWins), NOW).expect("few");
    let faults: Vec<SampleFault> = cleaned
        .refused
        .iter()
        .map(|refused| refused.fault)
        .collect();
    let wanted = [
        SampleFault::NotANumber,
        SampleFault::Infinite,
        SampleFault::Negative,
        SampleFault::TooLarge,
        SampleFault::InTheFuture,
        SampleFault::BeforeTheEpoch,
    ];
    assert_eq!(faults, wanted);
    assert_eq!(values(&cleaned), [(NOW.0 + 3_600, 1.0)]);
    let text = cleaned.refused[2].to_string();
    assert!(
        text.starts_with("sample 2 of web/requests at 180, -1"),
        "{text}"
    );
    assert!(
        clean(
            &vec![raw(1, 1.0); SAMPLES_MAX + 1],
            options(Duplicates::LastWins),
            NOW
        )
        .is_err()
    );
}

fn series(name: &str, values: &[f64]) -> Vec<Sample> {
    let sample = |(at, value): (i64, &f64)| Sample {
        series: key(name),
        at: DomainTime(at),
        value: FixedValue::from_measured(*value).expect("in range"),
    };
    (0..).step_by(300).zip(values).map(sample).collect()
}

#[test]
fn a_change_of_unit_is_flagged_where_it_happened() {
    let wave = |index: usize| 20.0 + 5.0 * (index as f64 * 0.7).sin();
    for (factor, is_up) in [(60_u32, true), (100, false), (1_000, true), (1_024, false)] {
        let values: Vec<f64> = (0..40)
            .map(|index| {
                if (index >= 20) == is_up {
                    wave(index) * f64::from(factor)
                } else {
                    wave(index)
                }
            })
            .collect();
        let changes = find_unit_changes(&series("mem_mb", &values));
        assert_eq!(changes.len(), 1, "{factor}: {changes:?}");
        assert_eq!(changes[0].at, DomainTime(20 * 300));
        let wanted = if factor > 500 {
            vec![1_000, 1_024]
        } else {
            vec![factor]
        };
        assert!(wanted.contains(&changes[0].factor), "{changes:?}");
    }
}

#[test]
fn growth_peaks_and_zeros_are_no_change_of_unit() {
    let growth: Vec<f64> = (0..40).map(|index| 1.5_f64.powi(index)).collect();
    assert_eq!(find_unit_changes(&series("requests", &growth)), []);
    let mut peak = vec![10.0; 40];
    peak[20] = 10_000.0;
    peak[21] = 10_000.0;
    assert_eq!(find_unit_changes(&series("requests", &peak)), []);
    let tenfold: Vec<f64> = (0..40)
        .map(|index| if index < 20 { 10.0 } else { 100.0 })
        .collect();
    assert_eq!(find_unit_changes(&series("requests", &tenfold)), []);
    let woken: Vec<f64> = (0..40)
        .map(|index| if index < 20 { 0.0 } else { 100.0 })
        .collect();
    assert_eq!(find_unit_changes(&series("requests", &woken)), []);
    // Two series side by side are not one.
    let both = [series("a", &[1.0; 20]), series("b", &[1_000.0; 20])].concat();
    assert_eq!(find_unit_changes(&both), []);
}

#[test]
fn counters_give_rates_over_resets_and_gaps() {
    let reading = |at, total| CounterReading {
        at: DomainTime(at),
        total,
    };
    let readings = [
        reading(0, 100.0),
        reading(10, 150.0),
        reading(20, 30.0),
        reading(20, 40.0),
        reading(30, f64::NAN),
        reading(40, 30.0),
        reading(1_000, 90.0),
        reading(1_010, 95.0),
    ];
    let found = rates_of_counter(&readings, Seconds(60));
    let rates: Vec<(i64, f64)> = found
        .rates
        .iter()
        .map(|(at, rate)| (at.0, rate.units()))
        .collect();
    assert_eq!(rates, [(0, 5.0), (10, 3.0), (20, 0.0), (1_000, 0.5)]);
    assert_eq!(found.resets, [DomainTime(20)]);
    assert_eq!((found.gaps, found.unusable), (1, 2));
}

/// Times every five minutes of two days around a moment, as a sender in a zone writes them.
fn local_times(around: i64, zone: &str) -> Vec<DomainTime> {
    let zone = jiff::tz::TimeZoneDatabase::bundled()
        .get(zone)
        .expect("bundled");
    let local = |index: i64| {
        let at = around - 86_400 + index * 300;
        let offset = zone.to_offset(jiff::Timestamp::from_second(at).expect("in range"));
        DomainTime(at + i64::from(offset.seconds()))
    };
    (0..576).map(local).collect()
}

/// The changes of 2024 in Europe: 31 March and 27 October, at 01:00 UTC.
const SPRING: i64 = 1_711_846_800;
const AUTUMN: i64 = 1_729_990_800;

#[test]
fn times_that_were_local_are_found_at_the_change_of_the_clock() {
    let find = |times: &[DomainTime], zone| {
        find_clock_changes(&key("requests"), times, zone).expect("a zone")
    };
    let spring = find(&local_times(SPRING, "Europe/Berlin"), "Europe/Berlin");
    assert_eq!(spring.len(), 1);
    // 02:00 as it was written.
    assert_eq!(
        (spring[0].kind, spring[0].at),
        (ClockChangeKind::HourMissing, DomainTime(SPRING + 3_600))
    );
    let autumn = find(&local_times(AUTUMN, "Europe/Berlin"), "Europe/Berlin");
    assert_eq!(autumn.len(), 1);
    assert_eq!(
        (autumn[0].kind, autumn[0].at),
        (ClockChangeKind::HourTwice, DomainTime(AUTUMN + 3_600))
    );
    for around in [SPRING, AUTUMN] {
        assert_eq!(find(&local_times(around, "UTC"), "Europe/Berlin"), []);
        assert_eq!(
            find(&local_times(around, "Europe/Berlin"), "America/New_York"),
            []
        );
    }
    assert_eq!(find(&[], "Europe/Berlin"), []);
    assert!(find_clock_changes(&key("requests"), &[], "Nowhere").is_err());
}

proptest! {
    #[test]
    fn cleaning_loses_nothing_uncounted(
        sent in proptest::collection::vec((0_i64..50, prop_oneof![any::<f64>(), 0.0_f64..100.0]), 0..200),
    ) {
        let sent: Vec<RawSample> = sent.into_iter().map(|(at, value)| raw(at, value)).collect();
        let cleaned = clean(&sent, options(Duplicates::LastWins), NOW).expect("few");
        let refused: u64 = cleaned.refused_by_fault.values().sum();
        let all = cleaned.samples.len() as u64 + refused + cleaned.repeated + cleaned.contradicted;
        prop_assert_eq!(all, sent.len() as u64);
        prop_assert!(cleaned.samples.is_sorted_by(|one, other| one.at < other.at));
        // What is clean stays as it is.
        let again: Vec<RawSample> = cleaned.samples.iter().map(|sample| raw(sample.at.0, sample.value.units())).collect();
        let again = clean(&again, options(Duplicates::LastWins), NOW).expect("few");
        prop_assert_eq!(again.samples.len(), cleaned.samples.len());
        prop_assert_eq!(again.out_of_order + again.repeated + again.contradicted, 0);
    }

    #[test]
    fn rates_of_a_counter_are_never_negative(
        readings in proptest::collection::vec((any::<i32>(), any::<f64>()), 0..50),
    ) {
        let readings: Vec<CounterReading> = readings
            .into_iter()
            .map(|(at, total)| CounterReading { at: DomainTime(i64::from(at)), total })
            .collect();
        let found = rates_of_counter(&readings, Seconds(u32::MAX));
        prop_assert!(found.rates.iter().all(|(_, rate)| rate.0 >= 0));
        prop_assert!(found.rates.is_sorted_by(|one, other| one.0 < other.0));
    }
}
