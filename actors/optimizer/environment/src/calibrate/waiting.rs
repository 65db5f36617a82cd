//! Waiting in a queue with several servers: the few formulas that the calibration needs.

/// Servers up to which the recursion runs; beyond, its limit for many servers is as good.
const SERVERS_EXACT: f64 = 2000.0;

/// Probability that a request waits with exponential times (Erlang C).
///
/// `servers` may lie between two whole numbers, of which the answer is a mean. 1 when the load is more than the
/// servers can do.
pub(crate) fn wait_probability(servers: f64, utilisation: f64) -> f64 {
    if utilisation >= 1.0 {
        return 1.0;
    }
    if utilisation <= 0.0 {
        return 0.0;
    }
    if servers > SERVERS_EXACT {
        return many_servers(servers, utilisation);
    }
    let below = servers.floor().max(1.0);
    let part = (servers - below).clamp(0.0, 1.0);
    let lower = erlang_c(below, utilisation);
    if part > 0.0 {
        lower + part * (erlang_c(below + 1.0, utilisation) - lower)
    } else {
        lower
    }
}

/// Mean wait in an M/M/c queue by the mean service time.
pub(crate) fn relative_wait(servers: f64, utilisation: f64) -> f64 {
    wait_probability(servers, utilisation) / (servers.max(1.0) * (1.0 - utilisation))
}

fn erlang_c(servers: f64, utilisation: f64) -> f64 {
    let offered = servers * utilisation;
    let mut blocked = 1.0;
    let mut count = 1.0;
    while count <= servers {
        blocked = offered * blocked / (count + offered * blocked);
        count += 1.0;
    }
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

/// S. Halfin, W. Whitt, "Heavy-traffic limits for queues with many exponential servers", 1981, theorem 1.
fn many_servers(servers: f64, utilisation: f64) -> f64 {
    let beta = (1.0 - utilisation) * servers.sqrt();
    if beta > 30.0 {
        return 0.0;
    }
    let density = (-0.5 * beta * beta).exp() / (2.0 * std::f64::consts::PI).sqrt();
    1.0 / (1.0 + beta * normal_share(beta) / density.max(f64::MIN_POSITIVE))
}

/// Share of a normal distribution below a point: Zelen and Severo's 26.2.17, to 7.5e-8.
fn normal_share(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let sum = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    1.0 - (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_that_of_the_textbooks() {
        // M/M/1: the probability to wait is the utilisation, the mean wait rho / (1 - rho).
        assert!((wait_probability(1.0, 0.6) - 0.6).abs() < 1e-12);
        assert!((relative_wait(1.0, 0.6) - 1.5).abs() < 1e-12);
        // M/M/2: C = 2 rho^2 / (1 + rho).
        assert!((wait_probability(2.0, 0.5) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn many_servers_join_the_recursion() {
        let exact = erlang_c(2000.0, 0.98);
        let limit = many_servers(2000.0, 0.98);
        assert!((exact - limit).abs() < 0.01, "{exact} and {limit}");
    }
}
