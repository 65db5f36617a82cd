//! Fork-join: every customer asks all of `n` servers and leaves when the last has answered.
//!
//! Source: Nelson and Tantawi, Approximate analysis of fork/join synchronization in parallel queues, IEEE
//! Transactions on Computers 37 (1988): exact for two servers, scaled from there for more.

use crate::analytic::{AnalyticError, positive, stable};

/// Mean response in seconds of two M/M/1 servers that are joined. Exact.
///
/// # Errors
/// When a rate is not positive or the servers are not stable.
pub fn two_response_mean(lambda: f64, mu: f64) -> Result<f64, AnalyticError> {
    let (lambda, mu) = (positive("lam", lambda)?, positive("mu", mu)?);
    let load = stable("each server", lambda / mu)?;
    Ok((12.0 - load) / 8.0 / (mu - lambda))
}

/// Mean response in seconds of `servers` M/M/1 servers that are joined: exact for one and two, within
/// some 5 % up to 32.
///
/// # Errors
/// When a rate is not positive, there is no server or they are not stable.
pub fn approximate_response_mean(servers: u32, lambda: f64, mu: f64) -> Result<f64, AnalyticError> {
    let two = two_response_mean(lambda, mu)?;
    match servers {
        0 => Err(AnalyticError::parameter("n", 0.0, "at least one server")),
        1 => Ok(1.0 / (mu - lambda)),
        _ => {
            let harmonic: f64 = (1..=servers).map(|k| 1.0 / f64::from(k)).sum();
            let ratio = harmonic / 1.5;
            Ok((ratio + 4.0 / 11.0 * (1.0 - ratio) * lambda / mu) * two)
        }
    }
}
