//! Classes with fixed priorities, the first the most urgent.
//!
//! Source: Cobham, Priority assignment in waiting line problems, Operations Research 2 (1954), for service
//! that is not interrupted; Kleinrock, Queueing Systems II, section 3.4, for preemption that resumes.
//! With several servers: Kella and Yechiali (1985) for one exponential law of service shared by all.

use crate::analytic::many::ManyServers;
use crate::analytic::{AnalyticError, positive, stable};
use crate::law::Law;

/// Means of one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMeans {
    /// Mean time not in service, in seconds.
    pub wait: f64,
    /// Mean time from arrival to departure, in seconds.
    pub response: f64,
}

/// Sums of utilisation up to each class, each sum including the class.
fn cumulated(classes: &[(f64, Law)]) -> Result<Vec<f64>, AnalyticError> {
    let mut sum = 0.0;
    let mut sums = Vec::with_capacity(classes.len());
    for (lambda, law) in classes {
        sum += positive("lam", *lambda)? * law.clone().checked("service")?.mean();
        sums.push(stable("the server", sum)?);
    }
    Ok(sums)
}

/// Means of each class on one server that finishes what it has begun. Exact. `classes` are arrivals per
/// second and laws of service.
///
/// # Errors
/// When a parameter is out of range or the server is not stable.
pub fn head_of_line(classes: &[(f64, Law)]) -> Result<Vec<ClassMeans>, AnalyticError> {
    let sums = cumulated(classes)?;
    let residual: f64 = classes
        .iter()
        .map(|(lambda, law)| 0.5 * lambda * law.second_moment())
        .sum();
    let mut before = 0.0;
    let means = classes.iter().zip(&sums).map(|((_, law), sum)| {
        let wait = residual / ((1.0 - before) * (1.0 - sum));
        before = *sum;
        ClassMeans {
            wait,
            response: wait + law.mean(),
        }
    });
    Ok(means.collect())
}

/// Means of each class on one server that a more urgent customer interrupts; the work done is kept. Exact.
///
/// # Errors
/// When a parameter is out of range or the server is not stable.
pub fn preemptive_resume(classes: &[(f64, Law)]) -> Result<Vec<ClassMeans>, AnalyticError> {
    let sums = cumulated(classes)?;
    let (mut before, mut residual) = (0.0, 0.0);
    let means = classes.iter().zip(&sums).map(|((lambda, law), sum)| {
        residual += 0.5 * lambda * law.second_moment();
        let response = law.mean() / (1.0 - before) + residual / ((1.0 - before) * (1.0 - sum));
        before = *sum;
        ClassMeans {
            wait: response - law.mean(),
            response,
        }
    });
    Ok(means.collect())
}

/// Means of each class on `servers` servers that finish what they have begun, all classes with the same
/// exponential service. Exact.
///
/// # Errors
/// When a parameter is out of range or the station is not stable.
pub fn head_of_line_many(
    servers: u32,
    lambdas: &[f64],
    mu: f64,
) -> Result<Vec<ClassMeans>, AnalyticError> {
    for lambda in lambdas {
        positive("lam", *lambda)?;
    }
    let queue = ManyServers::new(servers, lambdas.iter().sum(), mu)?;
    let capacity = f64::from(servers) * mu;
    let mut before = 0.0;
    let means = lambdas.iter().map(|lambda| {
        let sum = before + lambda / capacity;
        let wait = queue.wait_probability() / capacity / ((1.0 - before) * (1.0 - sum));
        before = sum;
        ClassMeans {
            wait,
            response: wait + 1.0 / mu,
        }
    });
    Ok(means.collect())
}

/// Means of each class on `servers` servers with preemption that resumes, all classes with the same
/// exponential service. Exact: the classes up to one see a station of their own, so its customers are the
/// difference of two.
///
/// # Errors
/// When a parameter is out of range or the station is not stable.
pub fn preemptive_many(
    servers: u32,
    lambdas: &[f64],
    mu: f64,
) -> Result<Vec<ClassMeans>, AnalyticError> {
    let (mut total, mut present) = (0.0, 0.0);
    lambdas
        .iter()
        .map(|lambda| {
            total += positive("lam", *lambda)?;
            let upto = total * ManyServers::new(servers, total, mu)?.response_mean();
            let response = (upto - present) / lambda;
            present = upto;
            Ok(ClassMeans {
                wait: response - 1.0 / mu,
                response,
            })
        })
        .collect()
}
