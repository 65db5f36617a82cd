use super::*;
use crate::queueing::Queue;

fn steady(cores: u32, rate: f64, steps: usize) -> SimulatedTier {
    SimulatedTier {
        service_time_s: 1.0,
        p99_target_s: 3.0,
        cores: vec![cores; steps],
        requests_per_s: vec![vec![rate; scenario_levels().len()]; steps],
    }
}

#[test]
fn a_steady_queue_meets_the_analytic_one() {
    for (cores, rate) in [(1, 0.5), (4, 3.0), (32, 27.0)] {
        let found = simulate(&[steady(cores, rate, 400)], 3600.0, 5).expect("requests");
        let exact = Queue::new(cores, rate, 1.0)
            .expect("stable")
            .response_tail(3.0);
        let off = (found.violation - exact).abs();
        assert!(
            off <= found.half_width.max(0.02 * exact),
            "{found:?} against {exact}"
        );
        let p99 = Queue::new(cores, rate, 1.0)
            .expect("stable")
            .response_quantile(0.99);
        assert!(
            (found.p99_s - p99).abs() < 0.06 * p99,
            "{found:?} against {p99}"
        );
        assert!(found.requests > 1_000_000);
    }
}

#[test]
fn too_few_cores_make_requests_late() {
    let enough = simulate(&[steady(8, 5.0, 20)], 3600.0, 1).expect("requests");
    let scarce = simulate(&[steady(4, 5.0, 20)], 3600.0, 1).expect("requests");
    assert!(scarce.violation > 0.9 && enough.violation < 0.1);
    let none = simulate(&[steady(0, 5.0, 2)], 3600.0, 1).expect("requests");
    assert!((none.violation - 1.0).abs() < 1e-12);
}

#[test]
fn the_seed_alone_decides() {
    let tiers = [steady(4, 3.0, 10), steady(2, 1.0, 10)];
    assert_eq!(simulate(&tiers, 60.0, 1), simulate(&tiers, 60.0, 1));
    assert_ne!(simulate(&tiers, 60.0, 1), simulate(&tiers, 60.0, 2));
    assert_eq!(simulate(&[], 60.0, 1), None);
    assert_eq!(simulate(&[steady(4, 0.0, 10)], 60.0, 1), None);
}
