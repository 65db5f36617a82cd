use super::*;
use proptest::prelude::*;

fn close(found: f64, exact: f64) {
    assert!(
        (found - exact).abs() <= 1e-9 * exact.abs().max(1.0),
        "{found} against {exact}"
    );
}

#[test]
fn known_queues_have_their_exact_values() {
    // M/M/1: wait probability rho, response exponential with rate mu - lambda.
    let single = Queue::new(1, 0.95, 1.0).expect("stable");
    close(single.utilisation(), 0.95);
    close(single.wait_probability(), 0.95);
    close(single.response_mean(), 20.0);
    close(single.response_quantile(0.99), 92.103_403_719_76);
    close(single.wait_quantile(0.99), 91.077_537_822_031);
    close(single.waiting_mean(), 18.05);
    // Four servers at 98 %; values from exact rational arithmetic.
    let four = Queue::new(4, 3.92, 1.0).expect("stable");
    close(four.wait_probability(), 0.955_997_276_184_336);
    close(four.wait_mean(), 11.949_965_952_304);
    close(four.response_quantile(0.95), 37.926_420_842_233);
    close(four.wait_quantile(0.95), 36.884_150_730_495);
    // Many servers: the Erlang recursion must not overflow.
    let many = Queue::new(500, 485.0, 1.0).expect("stable");
    close(many.wait_probability(), 0.387_757_910_671_449);
    close(many.response_quantile(0.5), 0.720_466_428_725_34);
}

#[test]
fn overload_and_nonsense_are_no_queue() {
    assert_eq!(Queue::new(2, 2.0, 1.0), None);
    assert_eq!(Queue::new(0, 0.0, 1.0), None);
    assert_eq!(Queue::new(1, f64::NAN, 1.0), None);
    assert_eq!(Queue::new(1, 0.5, 0.0), None);
}

#[test]
fn a_target_below_the_service_time_cannot_be_kept() {
    let service = Service {
        service_time_s: 1.0,
        visits: 1.0,
        p99_target_s: 2.0,
    };
    assert_eq!(servers_for(&service, 0.1), None);
    close(requests_within(&service, 10), 0.0);
}

proptest! {
    #[test]
    fn the_least_number_of_servers_is_the_least(
        requests in 0.1_f64..400.0,
        service_time_s in 0.005_f64..0.2,
        factor in 5.0_f64..20.0,
    ) {
        let service = Service { service_time_s, visits: 1.0, p99_target_s: factor * service_time_s };
        let servers = servers_for(&service, requests).expect("the target is above the service time");
        let late = |servers: u32| {
            Queue::new(servers, requests, 1.0 / service_time_s)
                .map_or(1.0, |queue| queue.response_tail(service.p99_target_s))
        };
        prop_assert!(late(servers) <= MISS_SHARE + 2.0 * MISS_TOLERANCE);
        prop_assert!(servers == 1 || late(servers - 1) > MISS_SHARE);
        let most = requests_within(&service, servers);
        prop_assert!(most >= requests * (1.0 - 1e-9));
        prop_assert!(servers == 1 || requests_within(&service, servers - 1) < requests * (1.0 + 1e-9));
    }

    #[test]
    fn the_tail_and_its_quantile_agree(
        servers in 1_u32..60,
        busy in 0.05_f64..0.98,
        level in 0.05_f64..0.999,
    ) {
        let queue = Queue::new(servers, busy * f64::from(servers), 1.0).expect("stable");
        let at = queue.response_quantile(level);
        prop_assert!((queue.response_tail(at) - (1.0 - level)).abs() < 1e-9);
        // The mean is the integral of the tail.
        let step = queue.response_mean() / 2000.0;
        let sum: f64 = (0..200_000).map(|i| queue.response_tail((f64::from(i) + 0.5) * step)).sum();
        prop_assert!((sum * step - queue.response_mean()).abs() < 1e-4 * queue.response_mean());
    }
}
