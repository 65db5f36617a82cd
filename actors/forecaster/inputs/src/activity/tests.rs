use super::*;
use crate::InputSecret;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use twinscale_protocol::{DomainTime, Sample, Seconds, VmTypeId};

/// Monday, 2023-10-09T00:00:00Z.
const MONDAY: i64 = 1_696_809_600;

fn options() -> ActivityOptions {
    ActivityOptions {
        vm_type: VmTypeId::new("web").expect("an id"),
        interval: Seconds(3_600),
        lateness: Seconds(3_600),
        threshold: 10,
        cohorts: vec!["free".to_owned(), "paid".to_owned(), "trial".to_owned()],
        actions: vec!["login".to_owned()],
        noise: None,
    }
}

fn secret() -> InputSecret {
    InputSecret::take(&mut [4; 32])
}

fn activity() -> Activity {
    Activity::new(options(), secret()).expect("valid")
}

fn user(number: u32) -> String {
    format!("user-{number}@example.org")
}

/// Lets users of a cohort do one thing each.
fn act(activity: &mut Activity, at: i64, users: std::ops::Range<u32>, cohort: Option<&str>) {
    for number in users {
        let user = user(number);
        let event = ActivityEvent {
            at: DomainTime(at),
            user: user.as_bytes(),
            cohort,
            action: None,
        };
        activity
            .observe(&event, DomainTime(MONDAY + 40 * 86_400))
            .expect("in time");
    }
}

fn by_name(samples: &[Sample]) -> BTreeMap<(String, i64), f64> {
    let key = |sample: &Sample| (sample.series.metric.to_string(), sample.at.0 - MONDAY);
    samples
        .iter()
        .map(|sample| (key(sample), sample.value.units()))
        .collect()
}

fn value(samples: &[Sample], name: &str, at: i64) -> Option<f64> {
    by_name(samples).get(&(name.to_owned(), at)).copied()
}

#[test]
fn users_are_counted_once_per_interval_day_and_week() {
    let mut activity = activity();
    for hour in [0, 1, 25] {
        act(&mut activity, MONDAY + hour * 3_600, 0..40, Some("free"));
        act(&mut activity, MONDAY + hour * 3_600, 0..40, Some("free"));
        act(&mut activity, MONDAY + hour * 3_600, 40..70, Some("paid"));
    }
    let samples = activity.take_all();
    let check = |name, at, wanted: f64| {
        let found = value(&samples, name, at).unwrap_or(-1.0);
        assert!((found - wanted).abs() < 1e-5, "{name} {at}: {found}");
    };
    check("active_users", 0, 70.0);
    check("active_users", 25 * 3_600, 70.0);
    check("active_users_day", 0, 70.0);
    check("active_users_day", 86_400, 70.0);
    check("active_users_week", 0, 70.0);
    check("cohort_free_rate", 0, 80.0 / 3_600.0);
    check("cohort_paid_rate", 3_600, 30.0 / 3_600.0);
}

#[test]
fn a_small_cohort_is_not_told_nor_what_would_tell_it() {
    let mut activity = activity();
    act(&mut activity, MONDAY, 0..40, Some("free"));
    act(&mut activity, MONDAY, 40..70, Some("paid"));
    act(&mut activity, MONDAY, 70..73, Some("trial"));
    let samples = activity.take_all();
    assert_eq!(value(&samples, "active_users", 0), Some(73.0));
    assert!(value(&samples, "cohort_free_rate", 0).is_some());
    assert_eq!(value(&samples, "cohort_trial_rate", 0), None);
    assert_eq!(value(&samples, "cohort_paid_rate", 0), None);
    assert_eq!(activity.counts().withheld_rates, 2);
}

#[test]
fn a_table_that_hides_its_total_hides_it_in_the_other_too() {
    let options = ActivityOptions {
        actions: vec!["login".to_owned(), "logout".to_owned()],
        ..options()
    };
    let mut activity = Activity::new(options, secret()).expect("valid");
    for number in 0..18 {
        let user = user(number);
        let event = ActivityEvent {
            at: DomainTime(MONDAY),
            user: user.as_bytes(),
            cohort: Some("free"),
            action: Some(if number < 9 { "login" } else { "logout" }),
        };
        activity
            .observe(&event, DomainTime(MONDAY))
            .expect("in time");
    }
    // 18 users less the 9 at most of one action were the 9 of the other.
    let samples = activity.take_all();
    assert_eq!(value(&samples, "active_users", 0), None);
    assert_eq!(value(&samples, "cohort_free_rate", 0), None);
    assert_eq!(value(&samples, "active_users_day", 0), None);
}

#[test]
fn a_day_that_would_tell_a_small_interval_is_withheld() {
    let mut telling = activity();
    act(&mut telling, MONDAY, 0..11, None);
    act(&mut telling, MONDAY + 3_600, 20..29, None);
    let samples = telling.take_all();
    // 20 of the day less 11 of the first hour were the 9 of the second.
    assert_eq!(value(&samples, "active_users", 0), Some(11.0));
    assert_eq!(value(&samples, "active_users", 3_600), None);
    assert_eq!(value(&samples, "active_users_day", 0), None);
    assert_eq!(value(&samples, "active_users_week", 0), None);
    let mut silent = activity();
    act(&mut silent, MONDAY, 0..40, None);
    act(&mut silent, MONDAY + 3_600, 0..9, None);
    let samples = silent.take_all();
    assert_eq!(value(&samples, "active_users_day", 0), Some(40.0));
    assert_eq!(value(&samples, "active_users_week", 0), Some(40.0));
}

#[test]
fn nothing_that_leaves_holds_an_identifier_or_its_plain_hash() {
    let mut activity = activity();
    act(&mut activity, MONDAY, 0..600, Some("free"));
    act(
        &mut activity,
        MONDAY + 3_600,
        0..50,
        Some("user-1@example.org"),
    );
    let bad = ActivityEvent {
        at: DomainTime(MONDAY),
        user: &[b'x'; 2_000],
        cohort: None,
        action: None,
    };
    activity.observe(&bad, DomainTime(MONDAY)).expect("counted");
    let bytes = activity.to_bytes().expect("small");
    let error = Activity::from_bytes(&bytes, options(), InputSecret::take(&mut [5; 32]));
    let error = format!("{:?}", error.expect_err("another secret"));
    let shown = format!("{activity:?} {bad:?} {error}");
    assert_eq!(activity.counts().unnamed, 50);
    assert_eq!(activity.counts().bad_user, 1);
    let samples = format!("{:?}", activity.take_all());
    let all = [bytes, shown.into_bytes(), samples.into_bytes()].concat();
    let holds = |part: &[u8]| all.windows(part.len()).any(|window| window == part);
    assert!(holds(b"free") && !holds(b"xxxxxxxx") && !holds(b"example.org"));
    for number in 0..600 {
        let user = user(number);
        let digest = Sha256::digest(user.as_bytes());
        let hex = format!("{digest:x}");
        assert!(!holds(user.as_bytes()) && !holds(&digest[..8]) && !holds(&hex.as_bytes()[..16]));
    }
    assert!(!holds(&[4; 8]), "the secret itself");
}

#[test]
fn hashes_of_two_windows_have_nothing_in_common() {
    let state_of = |at| {
        let mut activity = activity();
        act(&mut activity, at, 0..20, None);
        activity.to_bytes().expect("small")
    };
    let (one, other) = (state_of(MONDAY), state_of(MONDAY + 7 * 86_400));
    // A hash is written as eight bytes behind 0xfd; each of one state is looked for in the other.
    let hashes = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes
            .windows(9)
            .filter(|part| part[0] == 0xfd)
            .map(|part| part[1..].to_vec())
            .collect()
    };
    let found = hashes(&one);
    assert!(found.len() >= 20);
    let shared = found
        .iter()
        .filter(|hash| hash.iter().filter(|byte| **byte > 8).count() > 5);
    let shared = shared.filter(|hash| hashes(&other).contains(hash)).count();
    // The check of the secret is the same in both, and all that is.
    assert!(shared <= 1, "{shared}");
}

#[test]
fn a_state_goes_on_and_one_of_other_settings_is_refused() {
    let mut one = activity();
    act(&mut one, MONDAY, 0..300, Some("free"));
    act(&mut one, MONDAY + 3_600, 0..30, Some("paid"));
    let bytes = one.to_bytes().expect("small");
    let mut other = Activity::from_bytes(&bytes, options(), secret()).expect("its own");
    act(&mut one, MONDAY + 3_600, 20..60, Some("paid"));
    act(&mut other, MONDAY + 3_600, 20..60, Some("paid"));
    assert_eq!(one.take_all(), other.take_all());
    let changed = ActivityOptions {
        cohorts: Vec::new(),
        ..options()
    };
    let error = Activity::from_bytes(&bytes, changed, secret()).expect_err("other cohorts");
    assert!(error.to_string().contains("cohorts"), "{error}");
}

#[test]
fn noise_withholds_rates_and_ends_with_the_budget() {
    let noise = Some(NoiseOptions {
        epsilon_per_value: 0.5,
        epsilon_per_day: 1.0,
    });
    let mut activity =
        Activity::new(ActivityOptions { noise, ..options() }, secret()).expect("valid");
    for hour in 0..4 {
        act(&mut activity, MONDAY + hour * 3_600, 0..200, Some("free"));
    }
    let samples = activity.take_all();
    assert_eq!(samples.len(), 2, "{samples:?}");
    for sample in &samples {
        assert!((sample.value.units() - 200.0).abs() < 40.0);
    }
}

#[test]
fn settings_that_could_tell_of_persons_are_refused() {
    let refused = |options: ActivityOptions| {
        Activity::new(options, secret())
            .expect_err("not valid")
            .to_string()
    };
    assert!(
        refused(ActivityOptions {
            threshold: 1,
            ..options()
        })
        .contains("threshold 1")
    );
    assert!(
        refused(ActivityOptions {
            interval: Seconds(7_000),
            ..options()
        })
        .contains("7000")
    );
    let twice = vec!["a".to_owned(), "a".to_owned()];
    assert!(
        refused(ActivityOptions {
            cohorts: twice,
            ..options()
        })
        .contains("cohorts number 2")
    );
    let noise = Some(NoiseOptions {
        epsilon_per_value: f64::NAN,
        epsilon_per_day: 1.0,
    });
    assert!(refused(ActivityOptions { noise, ..options() }).contains("epsilon"));
}
