//! Approximations from the literature; nothing here is exact beyond the cases that are named.

use crate::analytic::many::ManyServers;
use crate::analytic::{AnalyticError, positive, stable};

/// Mean wait of M/G/c in seconds, first come first served.
///
/// Up to a squared coefficient of variation of one: between M/D/c (Cosmetatos, Management Science 22,
/// 1976) and M/M/c, linear in it; above: M/M/c times the mean of one and it (Lee and Longton; Allen and
/// Cunneen). Exact for exponential service, and for one server at any variation.
///
/// # Errors
/// When a parameter is out of range or the queue is not stable.
pub fn many_general_wait_mean(
    servers: u32,
    lambda: f64,
    service_mean: f64,
    service_scv: f64,
) -> Result<f64, AnalyticError> {
    let queue = ManyServers::new(servers, lambda, 1.0 / positive("mean", service_mean)?)?;
    let exponential = queue.wait_mean();
    if service_scv >= 1.0 {
        return Ok(exponential * 0.5 * (1.0 + service_scv));
    }
    let count = f64::from(servers);
    let load = queue.utilisation();
    let correction =
        (1.0 - load) * (count - 1.0) * ((4.0 + 5.0 * count).sqrt() - 2.0) / (16.0 * load * count);
    // The correction is made for moderate loads; near zero load it has no bound of its own.
    let deterministic = exponential * (0.5 * (1.0 + correction)).min(1.0);
    Ok(service_scv * exponential + (1.0 - service_scv) * deterministic)
}

/// Mean wait of G/G/1 in seconds after Kingman: a product of variability, utilisation and service time.
///
/// Source: Kingman, The single server queue in heavy traffic (1961).
///
/// # Errors
/// When a parameter is out of range or the queue is not stable.
pub fn kingman_wait_mean(
    gap_mean: f64,
    gap_scv: f64,
    service_mean: f64,
    service_scv: f64,
) -> Result<f64, AnalyticError> {
    let (gap, service) = (
        positive("the mean gap", gap_mean)?,
        positive("the mean service", service_mean)?,
    );
    let load = stable("the server", service / gap)?;
    Ok(0.5 * (gap_scv + service_scv) * load / (1.0 - load) * service)
}

/// Mean wait of G/G/c in seconds after Allen and Cunneen: M/M/c times the mean variability.
///
/// # Errors
/// When a parameter is out of range or the queue is not stable.
pub fn allen_cunneen_wait_mean(
    servers: u32,
    gap: (f64, f64),
    service: (f64, f64),
) -> Result<f64, AnalyticError> {
    let ((gap_mean, gap_scv), (service_mean, service_scv)) = (gap, service);
    let gap_mean = positive("the mean gap", gap_mean)?;
    let service_mean = positive("the mean service", service_mean)?;
    let queue = ManyServers::new(servers, 1.0 / gap_mean, 1.0 / service_mean)?;
    Ok(queue.wait_mean() * 0.5 * (gap_scv + service_scv))
}

/// Mean response of the best of `choices` random servers in units of a service time, in the limit of many
/// servers.
///
/// Source: Mitzenmacher, The power of two choices in randomized load balancing (2001), theorem 1.
///
/// # Errors
/// When the load is not below one or there is no choice.
pub fn choices_response_mean(choices: u32, load: f64) -> Result<f64, AnalyticError> {
    let load = stable("the servers", positive("the load", load)?)?;
    match choices {
        0 => Err(AnalyticError::parameter("choices", 0.0, "at least one")),
        1 => Ok(1.0 / (1.0 - load)),
        _ => {
            // Exponent of term i: d + d^2 + … + d^(i - 1).
            let (mut sum, mut exponent) = (0.0, 0.0);
            loop {
                let term = load.powf(exponent);
                sum += term;
                if term < 1e-18 {
                    return Ok(sum);
                }
                exponent = f64::from(choices) * (exponent + 1.0);
            }
        }
    }
}
