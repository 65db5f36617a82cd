//! The same bytes on any number of threads, also when the forecaster is killed on the way.

use std::num::{NonZeroU16, NonZeroUsize};

use twinscale::replay::ClusterOptions;
use twinscale_chaos::{ReplayCase, differences, short_samples};

/// The warm-up day, and some scored steps.
const STEPS: usize = 36;

#[test]
fn a_replay_gives_the_same_bytes_again_on_any_number_of_threads() {
    let customers = short_samples(3, STEPS).expect("the samples load");
    let killed = ReplayCase {
        kill_forecaster_at: Some(STEPS / 2),
        ..ReplayCase::undisturbed(1).expect("the weights load")
    };
    let first = killed.run(&customers).expect("it replays");
    assert_eq!(first.replayed.forecaster_restarts, 1);
    assert_eq!(first.violations, [""; 0]);
    for threads in [1, 2] {
        let case = ReplayCase {
            threads: NonZeroUsize::new(threads).expect("threads"),
            ..killed.clone()
        };
        let again = case.run(&customers).expect("it replays");
        assert_eq!(again.replayed.forecaster_restarts, 1);
        assert_eq!(differences(&customers, &first, &again), [""; 0]);
    }
    let undisturbed = ReplayCase {
        kill_forecaster_at: None,
        ..killed.clone()
    };
    let calm = undisturbed.run(&customers).expect("it replays");
    assert_eq!(calm.replayed.forecaster_restarts, 0);
    assert_eq!(differences(&customers, &calm, &first), [""; 0]);
}

#[test]
fn another_seed_gives_another_report_of_the_same_demand() {
    let customers = short_samples(1, STEPS).expect("the samples load");
    let run = |seed| {
        let case = ReplayCase::undisturbed(seed).expect("the weights load");
        case.run(&customers).expect("it replays")
    };
    let (one, two) = (run(1), run(2));
    assert_ne!(one.json, two.json);
    let samples =
        |outcome: &twinscale_chaos::ReplayOutcome| outcome.replayed.customers[0].counters.samples;
    assert_eq!(samples(&one), samples(&two));
}

#[test]
fn a_customer_decides_the_same_whoever_else_is_there() {
    let customers = short_samples(3, STEPS).expect("the samples load");
    let case = ReplayCase::undisturbed(1).expect("the weights load");
    let together = case.run(&customers).expect("it replays");
    let alone = case.run(&customers[..1]).expect("it replays");
    let own: Vec<_> = together
        .decisions
        .into_iter()
        .filter(|decision| decision.customer == 0)
        .collect();
    assert!(
        own == alone.decisions,
        "the first customer decided otherwise"
    );
    assert_eq!(
        together.replayed.customers[0].bill,
        alone.replayed.customers[0].bill
    );
}

#[test]
fn a_cluster_gives_the_same_bytes_as_a_node_also_when_a_node_is_killed() {
    let customers = short_samples(3, STEPS).expect("the samples load");
    let alone = ReplayCase {
        threads: NonZeroUsize::new(2).expect("threads"),
        ..ReplayCase::undisturbed(1).expect("the weights load")
    };
    let first = alone.run(&customers).expect("it replays");
    let clusters = [(2, None), (3, Some(STEPS * 2 / 3))];
    for (nodes, kill_node_at) in clusters {
        let cluster = ClusterOptions {
            nodes: NonZeroU16::new(nodes).expect("nodes"),
            kill_node_at,
        };
        let sharded = ReplayCase {
            cluster: Some(cluster),
            ..alone.clone()
        };
        let other = sharded.run(&customers).expect("it replays");
        let found = differences(&customers, &first, &other);
        assert_eq!(found, [""; 0], "{cluster:?}");
    }
}
