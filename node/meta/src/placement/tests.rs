//! The planner against a simulated cluster: nodes die and return, steps are lost, late and repeated.

mod checks;
mod group;
mod scenarios;
mod sim;

use proptest::prelude::*;
use sim::{Faults, Sim};

fn run(seed: u64, faults: Faults, operators: bool) {
    let mut sim = Sim::new(seed, faults);
    for _ in 0..400 {
        if operators {
            sim.operate();
        }
        sim.tick();
    }
    sim.calm_down();
    sim.converge(6_000);
    checks::converged(&sim);
    checks::same_everywhere(&sim);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_node_down_at_a_time_loses_no_majority(seed in any::<u64>()) {
        run(seed, Faults { down_max: 1, ..Faults::harsh() }, false);
    }

    #[test]
    fn operators_and_one_node_down_lose_no_majority(seed in any::<u64>()) {
        run(seed, Faults { down_max: 1, ..Faults::harsh() }, true);
    }

    #[test]
    fn the_cluster_recovers_when_half_of_it_was_down(seed in any::<u64>()) {
        run(seed, Faults { down_max: 5, ..Faults::harsh() }, true);
    }
}
