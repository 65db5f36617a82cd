//! The engines against laws that hold whatever they simulate, and against each other.

use super::balance::{Balancer, Policy};
use super::chain::{Chain, Stage};
use super::estimate::Estimate;
use super::finite::Finite;
use super::fork_join::ForkJoin;
use super::histogram::Histogram;
use super::line::Line;
use super::network::{Customers, Network};
use super::priority::{Preemption, Priority};
use super::replicate::{Model, Simulated};
use super::servers::{Heap, Row, Servers};
use super::sharing::Sharing;
use super::{SimulationError, SimulationOptions, StopRule, simulate};
use crate::law::Law;

fn options(customers: u64, seed: u64) -> SimulationOptions {
    SimulationOptions {
        customers,
        seed,
        threads: 2,
        stop: None,
    }
}

fn run(model: &dyn Model, customers: u64) -> Simulated {
    simulate(model, &options(customers, 7), &|_| true).unwrap()
}

fn figure<'a>(simulated: &'a Simulated, key: &str) -> &'a Estimate {
    let found = |one: &&Estimate| one.figure.key == key && one.figure.place.unwrap_or(0) == 0;
    simulated.estimates.iter().find(found).unwrap()
}

/// Asserts that a figure's interval holds the value.
#[track_caller]
fn check(simulated: &Simulated, key: &str, expected: f64) {
    let one = figure(simulated, key);
    assert!(
        (one.value - expected).abs() <= one.half_width_joint,
        "{key} is {} +- {}, expected {expected}",
        one.value,
        one.half_width_joint
    );
}

fn exponential(mean: f64) -> Law {
    Law::Exponential { mean }
}

fn line(servers: u32, load: f64) -> Line {
    Line {
        servers,
        gap: exponential(1.0 / (load * f64::from(servers))),
        service: exponential(1.0),
    }
}

#[test]
fn a_line_meets_the_exact_figures() {
    let found = run(&line(1, 0.5), 400_000);
    for (key, expected) in [
        ("utilisation", 0.5),
        ("prob_wait", 0.5),
        ("prob_no_wait", 0.5),
        ("mean_response", 2.0),
        ("mean_in_system", 1.0),
        ("p99_response", -2.0 * 0.01_f64.ln()),
        ("p95_wait", -2.0 * 0.1_f64.ln()),
    ] {
        check(&found, key, expected);
    }
    // Two servers: Erlang C is 0.9, the wait half of it over the idle rate.
    check(&run(&line(2, 0.8), 400_000), "mean_wait", 0.64 / 0.36);
}

#[test]
fn controls_take_error_away_and_keep_the_value() {
    use super::control::Controls;
    let model = line(1, 0.7);
    let tallies: Vec<_> = (0..32)
        .map(|replication| {
            let mut run = model.start(&super::streams::Streams::new(3, replication));
            let mut tally = model.tally();
            run.advance(2_000, &mut tally);
            tally.clear();
            run.advance(100_000, &mut tally);
            tally
        })
        .collect();
    let tallies: Vec<_> = tallies.iter().collect();
    let with = |controls: &Controls| {
        let found = super::estimate::estimates(&model.figures(), &tallies, controls);
        found
            .into_iter()
            .find(|one| one.figure.key == "mean_wait")
            .unwrap()
    };
    let (plain, controlled) = (
        with(&Controls::none(tallies.len())),
        with(&Controls::new(&tallies)),
    );
    let exact = 0.7 / 0.3;
    assert!((controlled.value - exact).abs() < controlled.half_width_joint);
    assert!(controlled.half_width_each < 0.8 * plain.half_width_each);
}

#[test]
fn one_seed_gives_one_result_on_any_number_of_threads() {
    let model = line(3, 0.8);
    let with = |threads, seed| {
        let options = SimulationOptions {
            threads,
            ..options(50_000, seed)
        };
        simulate(&model, &options, &|_| true).unwrap()
    };
    assert_eq!(with(1, 1), with(3, 1));
    let (one, two) = (with(1, 1), with(1, 2));
    for (one, two) in one.estimates.iter().zip(&two.estimates) {
        assert!((one.value - two.value).abs() > 0.0, "{}", one.figure.key);
    }
}

#[test]
fn few_customers_give_wide_intervals() {
    let found = run(&line(4, 0.9), 1_000);
    let mean = figure(&found, "mean_wait");
    assert!(mean.half_width_joint > 0.2 * mean.value, "{mean:?}");
    let tail = figure(&found, "p99_response");
    assert!(tail.half_width_joint > 0.1 * tail.value, "{tail:?}");
}

#[test]
fn rows_and_heaps_serve_alike() {
    let mut row = Row::<8>::new(&[0.0; 5]);
    let mut heap = Heap::new(&[0.0; 5]);
    for step in 0..1_000_u32 {
        let until = row.first() + f64::from(step * 7919 % 104);
        row.occupy(until);
        heap.occupy(until);
        assert!((row.first() - heap.first()).abs() <= 0.0);
    }
}

#[test]
fn a_chain_of_one_is_a_line() {
    let stage = |servers, mean, visited| Stage {
        servers,
        service: exponential(mean),
        visited,
    };
    let chain = Chain {
        gap: exponential(1.0),
        stages: vec![stage(1, 0.5, 1.0), stage(2, 1.2, 1.0), stage(1, 1.0, 0.5)],
    };
    let found = run(&chain, 400_000);
    check(&found, "mean_response", 1.0 + 1.2 / 0.64 + 0.5 * 2.0);
    check(&found, "utilisation", 0.5);
    // The same network on the calendar.
    let network = Network {
        stations: vec![
            (1, exponential(0.5)),
            (2, exponential(1.2)),
            (1, exponential(1.0)),
        ],
        routing: vec![vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 0.5], vec![0.0; 3]],
        customers: Customers::Open(vec![Some(exponential(1.0)), None, None]),
        visits: vec![1.0, 1.0, 0.5],
    };
    let calendar = run(&network, 400_000);
    let (one, two) = (
        figure(&found, "p99_response"),
        figure(&calendar, "p99_response"),
    );
    assert!((one.value - two.value).abs() < one.half_width_joint + two.half_width_joint);
    check(&calendar, "mean_response", 1.0 + 1.2 / 0.64 + 0.5 * 2.0);
}

#[test]
fn a_full_room_turns_customers_away() {
    let finite = Finite {
        servers: 2,
        room: 2,
        gap: exponential(0.5),
        service: Law::balanced(1.0, 3.0).unwrap(),
    };
    // Erlang's loss formula does not depend on the law: a^2/2 / (1 + a + a^2/2) at a = 2.
    check(&run(&finite, 300_000), "blocking", 0.4);
    let waits = Finite {
        servers: 1,
        room: 3,
        gap: exponential(1.0),
        service: exponential(1.0),
    };
    let found = run(&waits, 300_000);
    check(&found, "blocking", 0.25);
    check(&found, "mean_response", 2.0);
}

#[test]
fn sharing_depends_on_the_mean_alone() {
    let sharing = |service| Sharing {
        servers: 1,
        gap: exponential(2.0),
        service,
    };
    check(
        &run(&sharing(Law::Deterministic { mean: 1.0 }), 200_000),
        "mean_response",
        2.0,
    );
    let varied = sharing(Law::balanced(1.0, 4.0).unwrap());
    check(&run(&varied, 300_000), "mean_response", 2.0);
}

#[test]
fn urgent_customers_wait_less() {
    let classes = vec![
        (exponential(1.0 / 0.3), exponential(1.0)),
        (exponential(2.0), exponential(1.0)),
    ];
    let model = |preemption| Priority {
        servers: 1,
        classes: classes.clone(),
        preemption,
    };
    let found = run(&model(Preemption::None), 400_000);
    check(&found, "mean_wait_class1", 0.8 / 0.7);
    check(&found, "mean_wait_class2", 0.8 / (0.7 * 0.2));
    let found = run(&model(Preemption::Resume), 400_000);
    check(&found, "mean_response_class1", 1.0 / 0.7);
    check(&found, "mean_response_class2", (4.0 - 0.3 / 0.7) / 0.5);
}

#[test]
fn closed_networks_meet_the_mean_value_analysis() {
    // Two customers, one station of demand 1, thinking 1: X = 2 / (1 + 1.5).
    let network = Network {
        stations: vec![(1, exponential(1.0))],
        routing: vec![vec![0.0]],
        customers: Customers::Closed {
            population: 2,
            think: Some(exponential(1.0)),
        },
        visits: vec![1.0],
    };
    let found = run(&network, 200_000);
    check(&found, "throughput", 0.8);
    check(&found, "residence", 1.5);
    check(&found, "utilisation", 0.8);
}

#[test]
fn joined_servers_meet_the_exact_mean() {
    let model = ForkJoin {
        gap: exponential(2.0),
        services: vec![exponential(1.0); 2],
    };
    check(&run(&model, 300_000), "mean_response", 11.5 / 8.0 / 0.5);
}

#[test]
fn better_informed_balancers_answer_sooner() {
    let mean = |policy| {
        let model = Balancer {
            gap: exponential(1.0 / 8.0),
            service: exponential(1.0),
            speeds: vec![1.0; 10],
            policy,
        };
        figure(&run(&model, 200_000), "mean_response").value
    };
    let random = mean(Policy::Random);
    let (round, two) = (mean(Policy::RoundRobin), mean(Policy::Choices(2)));
    let (all, shortest) = (mean(Policy::Choices(10)), mean(Policy::Shortest));
    assert!((random - 5.0).abs() < 0.5, "random {random}");
    assert!(random > round && round > two && two > shortest);
    // To compare all is to know the shortest.
    assert!((all - shortest).abs() < 0.03 * shortest, "{all} {shortest}");
}

#[test]
fn a_stop_rule_ends_early_and_a_caller_at_once() {
    let model = line(1, 0.3);
    let rule = SimulationOptions {
        stop: Some(StopRule {
            relative_half_width: 0.05,
        }),
        ..options(100_000_000, 1)
    };
    let found = simulate(&model, &rule, &|_| true).unwrap();
    assert!(found.customers < 50_000_000, "{}", found.customers);
    let stopped = simulate(&model, &options(1_000_000, 1), &|_| false);
    assert_eq!(stopped, Err(SimulationError::Stopped));
    assert!(simulate(&model, &options(5, 1), &|_| true).is_err());
}

#[test]
fn quantiles_are_exact_to_a_bucket() {
    let mut histogram = Histogram::new(1.0);
    for step in 1..=10_000 {
        histogram.record(f64::from(step) / 1_000.0);
    }
    histogram.record(0.0);
    for (level, expected) in [(0.5, 5.0), (0.95, 9.5), (0.99, 9.9)] {
        let found = histogram.quantile(level);
        assert!((found - expected).abs() < 0.002 * expected, "{found}");
        assert!((histogram.share_upto(found) - level).abs() < 2e-4);
    }
    assert!(histogram.quantile(0.0) <= 0.0);
    assert!(Histogram::new(1.0).quantile(0.5).is_nan());
}
