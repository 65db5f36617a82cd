//! Values from closed forms worked out apart from this crate, and identities between models.

use super::approximate;
use super::closed::ClosedNetwork;
use super::finite::FiniteRoom;
use super::fork_join;
use super::jackson::{OpenNetwork, hypoexponential_quantile, hypoexponential_tail};
use super::many::{ManyServers, erlang_b};
use super::priority;
use super::renewal::RenewalArrivals;
use super::single::SingleServer;
use super::{AnalyticError, poisson::PoissonWindow};
use crate::law::Law;

/// Relative tolerance: the digits that the recursions keep.
const CLOSE: f64 = 1e-9;

#[track_caller]
fn check(found: f64, expected: f64) {
    check_within(found, expected, CLOSE);
}

#[track_caller]
fn check_within(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs(),
        "found {found}, expected {expected}"
    );
}

#[test]
fn one_exponential_server_has_an_exponential_response() {
    let queue = ManyServers::new(1, 0.95, 1.0).unwrap();
    check(queue.wait_probability(), 0.95);
    check(queue.response_mean(), 20.0);
    check(queue.response_quantile(0.99), -20.0 * 0.01_f64.ln());
    check(queue.wait_quantile(0.95), -20.0 * (0.05_f64 / 0.95).ln());
}

#[test]
fn many_servers_match_values_worked_out_with_fractions() {
    // Erlang C for 2 servers: 2 rho^2 / (1 + rho).
    let queue = ManyServers::new(2, 1.5, 1.0).unwrap();
    check(queue.wait_probability(), 2.0 * 0.75 * 0.75 / 1.75);
    let queue = ManyServers::new(8, 6.8, 1.0).unwrap();
    check(queue.wait_probability(), 0.572_568_933_014_920_2);
    check(queue.response_quantile(0.99), 5.685_117_048_277_386_5);
    // Where the rate of the line meets that of the service.
    let queue = ManyServers::new(2, 1.0, 1.0).unwrap();
    let wait = queue.wait_probability();
    check(
        queue.response_tail(3.0),
        (1.0 + 3.0 * wait) * (-3.0_f64).exp(),
    );
    assert!(
        ManyServers::new(1_000_000, 999_000.0, 1.0)
            .unwrap()
            .wait_probability()
            > 0.1
    );
}

#[test]
fn finite_room_without_waiting_is_erlangs_loss_formula() {
    let queue = FiniteRoom::new(10, 10, 8.0, 1.0).unwrap();
    check(queue.blocking(), erlang_b(10, 8.0));
    check(queue.response_quantile(0.99), -0.01_f64.ln());
    assert!(queue.wait_mean().abs() < 1e-15);
}

#[test]
fn finite_room_matches_values_of_its_balance() {
    let queue = FiniteRoom::new(4, 10, 4.8, 1.0).unwrap();
    check(queue.blocking(), 0.205_472_283_575_096_92);
    check(queue.response_mean(), 1.864_560_059_361_107_1);
    check(queue.response_quantile(0.99), 5.760_873_688_612_998);
    // A room that is never full is none.
    let large = FiniteRoom::new(3, 2_000, 2.4, 1.0).unwrap();
    let open = ManyServers::new(3, 2.4, 1.0).unwrap();
    check(large.response_quantile(0.99), open.response_quantile(0.99));
    check(large.wait_quantile(0.99), open.wait_quantile(0.99));
    // M/M/1/K: an arrival finds Erlang waits.
    let single = FiniteRoom::new(1, 2, 1.0, 1.0).unwrap();
    check(
        single.response_tail(1.0),
        0.5 * (-1.0_f64).exp() * (1.0 + 2.0),
    );
}

#[test]
fn finite_room_takes_large_and_overloaded_rooms() {
    let queue = FiniteRoom::new(1_000, 1_000_000, 2_000.0, 1.0).unwrap();
    check(queue.blocking(), 0.5);
    let queue = FiniteRoom::new(1, 1_000_000, 0.5, 1.0).unwrap();
    check(queue.in_system_mean(), 1.0);
}

#[test]
fn single_servers_agree_where_laws_coincide() {
    let exponential = ManyServers::new(1, 0.8, 1.0).unwrap();
    let one_phase = Law::Erlang {
        phases: 1,
        mean: 1.0,
    };
    let gamma = Law::Gamma {
        mean: 1.0,
        scv: 1.0,
    };
    for (law, tolerance) in [(one_phase, CLOSE), (gamma, 1e-8)] {
        let queue = SingleServer::new(0.8, law).unwrap();
        let expected = exponential.response_quantile(0.99);
        check_within(queue.response_quantile(0.99), expected, tolerance);
        check_within(
            queue.wait_quantile(0.95),
            exponential.wait_quantile(0.95),
            tolerance,
        );
    }
    // Erlang by phases and by inversion of the same transform.
    let phases = SingleServer::new(
        0.9,
        Law::Erlang {
            phases: 4,
            mean: 1.0,
        },
    )
    .unwrap();
    let inverted = SingleServer::new(
        0.9,
        Law::Gamma {
            mean: 1.0,
            scv: 0.25,
        },
    )
    .unwrap();
    for level in [0.5, 0.95, 0.99] {
        let (exact, numerical) = (
            phases.response_quantile(level),
            inverted.response_quantile(level),
        );
        check_within(numerical, exact, 1e-7);
    }
}

#[test]
fn hyperexponential_and_deterministic_services_match_known_values() {
    let law = Law::balanced(1.0, 4.0).unwrap();
    let queue = SingleServer::new(0.7, law).unwrap();
    check(queue.wait_mean(), 0.5 * 0.7 * 5.0 / 0.3);
    check(queue.response_quantile(0.5), 2.906_729_479_620_802);
    check(queue.response_quantile(0.99), 41.813_559_392_122_96);
    let queue = SingleServer::new(0.9, Law::Deterministic { mean: 1.0 }).unwrap();
    check(queue.response_quantile(0.5), 4.013_047_519_311_559);
    check(queue.response_quantile(0.99), 22.898_237_349_540_114);
    // Within the first service only customers who find the server free are done.
    check(1.0 - queue.wait_tail(0.5), 0.1 * (0.45_f64).exp());
}

#[test]
fn the_tail_of_deterministic_service_is_continuous() {
    let queue = SingleServer::new(0.99, Law::Deterministic { mean: 1.0 }).unwrap();
    let (before, after) = (queue.wait_tail(63.999_999_9), queue.wait_tail(64.000_000_1));
    check_within(before, after, 1e-8);
}

#[test]
fn lognormal_tails_integrate_to_the_exact_mean() {
    let law = Law::Lognormal {
        mean: 1.0,
        scv: 2.0,
    };
    let queue = SingleServer::new(0.5, law).unwrap();
    // Simpson's rule on the tail of the wait; the tail beyond 80 is far below the tolerance.
    let (steps, width) = (160_u32, 0.5);
    let sum: f64 = (0..=steps)
        .map(|step| {
            let weight = match step {
                0 => 1.0,
                last if last == steps => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * queue.wait_tail((f64::from(step) * width).max(1e-9))
        })
        .sum();
    check_within(sum * width / 3.0, queue.wait_mean(), 1e-3);
}

#[test]
fn arrivals_of_any_law_reduce_to_known_queues() {
    let poisson = RenewalArrivals::new(Law::Exponential { mean: 1.25 }, 1.0).unwrap();
    check(poisson.response_mean(), 5.0);
    check(poisson.wait_probability(), 0.8);
    // D/M/1 at load 1/2: the root of s = exp(-2 (1 - s)).
    let regular = RenewalArrivals::new(Law::Deterministic { mean: 2.0 }, 1.0).unwrap();
    let share = regular.wait_probability();
    check(share, (-2.0 * (1.0 - share)).exp());
    check_within(share, 0.203_187_869_979_98, 1e-10);
}

#[test]
fn priorities_conserve_work() {
    let exponential = |mean: f64| Law::Exponential { mean };
    let classes = [(0.3, exponential(1.0)), (0.5, exponential(1.0))];
    let means = priority::head_of_line(&classes).unwrap();
    check(means[0].wait, 0.8 / 0.7);
    check(means[1].wait, 0.8 / (0.7 * 0.2));
    let resumed = priority::preemptive_resume(&classes).unwrap();
    check(resumed[0].response, 1.0 / 0.7);
    // All work together is M/M/1.
    check(
        (0.3 * resumed[0].response + 0.5 * resumed[1].response) / 0.8,
        5.0,
    );
    let many = priority::head_of_line_many(1, &[0.3, 0.5], 1.0).unwrap();
    check(many[1].wait, means[1].wait);
    let many = priority::preemptive_many(1, &[0.3, 0.5], 1.0).unwrap();
    check(many[1].response, resumed[1].response);
}

#[test]
fn open_networks_solve_their_traffic() {
    let network = OpenNetwork {
        outside: vec![1.0, 0.0],
        routing: vec![vec![0.0, 1.0], vec![0.25, 0.0]],
        stations: vec![(1, 2.0), (2, 1.0)],
    };
    let solution = network.solve().unwrap();
    check(solution.arrivals[0], 4.0 / 3.0);
    check(solution.arrivals[1], 4.0 / 3.0);
    let second = ManyServers::new(2, 4.0 / 3.0, 1.0).unwrap();
    let expected = 4.0 / 3.0 * (1.0 / (2.0 - 4.0 / 3.0) + second.response_mean());
    check(solution.response_mean, expected);
    let trapped = OpenNetwork {
        outside: vec![1.0],
        routing: vec![vec![1.0]],
        stations: vec![(1, 2.0)],
    };
    assert!(trapped.solve().is_err());
}

#[test]
fn sums_of_exponentials_do_not_lose_digits_where_rates_meet() {
    let erlang = |time: f64| (-time).exp() * (1.0 + time + 0.5 * time * time);
    check(hypoexponential_tail(&[1.0, 1.0, 1.0], 4.0), erlang(4.0));
    check_within(
        hypoexponential_tail(&[1.0, 1.0 + 1e-9, 1.0], 4.0),
        erlang(4.0),
        1e-8,
    );
    let quantile = hypoexponential_quantile(&[1.0, 3.0 / 7.0, 0.25], 0.99);
    check(quantile, 23.022_778_456_625_886);
}

#[test]
fn closed_networks_agree_by_three_ways() {
    let single = ClosedNetwork {
        stations: vec![(0.005, 1), (0.02, 1), (0.03, 1), (0.012, 1)],
        think: 5.0,
        population: 200,
    };
    let solution = single.solve().unwrap();
    check(solution.throughput, 33.257_433_456_238_076);
    check(solution.queue[2], 30.869_410_880_255_696);
    // The machine repair model by its balance: 20 machines, 3 repairmen.
    let repair = ClosedNetwork {
        stations: vec![(1.0, 3)],
        think: 4.0,
        population: 20,
    };
    let states = super::finite::birth_death(20, |down| {
        f64::from(20 - down) / 4.0 / f64::from((down + 1).min(3))
    });
    let down: f64 = (0..).zip(&states).map(|(n, p)| f64::from(n) * p).sum();
    let solution = repair.solve().unwrap();
    check(solution.queue[0], down);
    check(solution.throughput, (20.0 - down) / 4.0);
}

#[test]
fn closed_networks_of_thousands_stay_stable() {
    let network = |servers: u32| ClosedNetwork {
        stations: vec![(0.02, servers), (0.03, 1), (0.5, 10)],
        think: 20.0,
        population: 3_000,
    };
    let solution = network(2).solve().unwrap();
    check(solution.throughput, 20.0);
    let total: f64 = solution.queue.iter().sum();
    check(total + 20.0 * solution.throughput, 3_000.0);
    let approximate = network(1).approximate().unwrap();
    let exact = network(1).solve().unwrap();
    check_within(approximate.throughput, exact.throughput, 0.01);
}

#[test]
fn fork_join_scales_from_two() {
    check(
        fork_join::two_response_mean(0.7, 1.0).unwrap(),
        11.3 / 8.0 / 0.3,
    );
    let two = fork_join::approximate_response_mean(2, 0.7, 1.0).unwrap();
    check(two, 11.3 / 8.0 / 0.3);
    let none = fork_join::approximate_response_mean(8, 1e-9, 1.0).unwrap();
    check_within(none, 761.0 / 280.0, 1e-6);
}

#[test]
fn approximations_are_exact_at_their_anchors() {
    let exponential = ManyServers::new(5, 4.0, 1.0).unwrap().wait_mean();
    check(
        approximate::many_general_wait_mean(5, 4.0, 1.0, 1.0).unwrap(),
        exponential,
    );
    check(
        approximate::many_general_wait_mean(1, 0.8, 1.0, 0.0).unwrap(),
        0.5 * 0.8 / 0.2,
    );
    check(
        approximate::kingman_wait_mean(1.25, 0.5, 1.0, 1.5).unwrap(),
        4.0,
    );
    check(approximate::choices_response_mean(1, 0.9).unwrap(), 10.0);
}

#[test]
fn poisson_probabilities_sum_to_one() {
    for mean in [0.0, 1e-9, 0.3, 7.0, 15.9, 1e3, 1e6, 1e9] {
        let total: f64 = PoissonWindow::new(mean).pmf.iter().sum();
        check_within(total, 1.0, 1e-10);
    }
    check(PoissonWindow::new(3.0).at(2), 4.5 * (-3.0_f64).exp());
}

#[test]
fn senseless_parameters_are_named() {
    let error = ManyServers::new(2, 2.0, 1.0).unwrap_err();
    assert!(matches!(error, AnalyticError::Unstable { .. }), "{error}");
    assert!(ManyServers::new(0, 1.0, 1.0).is_err());
    assert!(ManyServers::new(1, f64::NAN, 1.0).is_err());
    assert!(FiniteRoom::new(4, 3, 1.0, 1.0).is_err());
    let error = SingleServer::new(0.5, Law::Exponential { mean: 0.0 }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service is 0; give a positive finite mean"
    );
}
