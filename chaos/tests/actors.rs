//! The scenario `actors` in small, and proof that its checkers can fail.

use std::num::NonZeroUsize;
use std::time::Duration;

use twinscale_chaos::{
    ActorsOptions, Blow, ReplayCase, Strike, Victim, differences, run_actors, short_samples,
};

#[test]
fn nobody_notices_felled_actors() {
    let verdict = run_actors(&ActorsOptions {
        rounds: 2,
        seed: 1,
        only: None,
    })
    .expect("it runs");
    assert!(verdict.passed, "{verdict}");
    assert_eq!((verdict.strikes, verdict.recovered), (8, 8), "{verdict}");
    // The first restart waits for its back-off.
    assert!(verdict.recovery_p50_ms >= 50, "{verdict}");
}

#[test]
fn another_outcome_is_told() {
    let customers = short_samples(2, 27).expect("the samples load");
    let case = ReplayCase::undisturbed(1).expect("the weights load");
    let expected = case.run(&customers).expect("it replays");
    assert_eq!(differences(&customers, &expected, &expected), [""; 0]);
    let other = ReplayCase {
        weights: case.weights.clone().zeroed(),
        threads: NonZeroUsize::MIN,
        ..case
    };
    let found = other.run(&customers).expect("it replays");
    let told = differences(&customers, &expected, &found).join("\n");
    assert!(told.contains("decided or saw something else"), "{told}");
    assert!(told.contains("the report is another one"), "{told}");
}

#[test]
fn lost_samples_and_victims_that_are_not_there_are_told() {
    let mut customers = short_samples(1, 3).expect("the samples load");
    let strike = Strike {
        step: 1,
        victim: Victim::Twin(7),
        blow: Blow::Kill,
        delay: Duration::ZERO,
    };
    let case = ReplayCase {
        strikes: vec![strike],
        ..ReplayCase::undisturbed(1).expect("the weights load")
    };
    // The same sample in two steps counts as ingested twice, and is stored once.
    let again = customers[0].steps[0].clone();
    assert!(!again.is_empty());
    customers[0].steps[2].extend(again);
    let outcome = case.run(&customers).expect("it replays");
    let told = outcome.violations.join("\n");
    assert!(told.contains("there are 1 twins only"), "{told}");
    assert!(told.contains("samples counted"), "{told}");
    assert!(outcome.felt.is_empty());
}
