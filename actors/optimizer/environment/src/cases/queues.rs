//! Formulas for one station.

use crate::analytic::approximate;
use crate::analytic::finite::FiniteRoom;
use crate::analytic::many::ManyServers;
use crate::analytic::priority as classes;
use crate::analytic::renewal::RenewalArrivals;
use crate::analytic::single::SingleServer;
use crate::analytic::stable;
use crate::cases::CaseError;
use crate::cases::answers::Answers;
use crate::events::finite::Finite;
use crate::events::line::Line;
use crate::events::priority::{Preemption, Priority};
use crate::events::sharing::Sharing;
use crate::law::Law;

const LEVELS: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
const INVERTED: &str = "numerical: inversion of the transform, about 1e-9";

/// Adds quantiles 50, 95 and 99 % of `what`.
pub(crate) fn quantiles(answers: &mut Answers, what: &str, quantile: impl Fn(f64) -> f64) {
    for (name, level) in LEVELS {
        answers.exact(&format!("{name}_{what}"), quantile(level));
    }
}

fn exponential(law: &Law) -> Option<f64> {
    match law {
        Law::Exponential { mean } => Some(*mean),
        _ => None,
    }
}

/// Adds what follows from the mean wait and response by Little's law.
fn little(answers: &mut Answers, rate: f64, wait: f64, response: f64) {
    answers.exact("mean_queue_len", rate * wait);
    answers.exact("mean_in_system", rate * response);
    answers.exact("throughput", rate);
}

pub(crate) fn line(line: &Line, answers: &mut Answers) -> Result<(), CaseError> {
    stable("the station", line.load())?;
    let rate = 1.0 / line.gap.mean();
    match (
        exponential(&line.gap),
        exponential(&line.service),
        line.servers,
    ) {
        (Some(_), Some(mean), servers) => {
            let queue = ManyServers::new(servers, rate, 1.0 / mean)?;
            many(&queue, answers);
            little(answers, rate, queue.wait_mean(), queue.response_mean());
        }
        (Some(_), None, 1) => single(
            &SingleServer::new(rate, line.service.clone())?,
            rate,
            answers,
        ),
        (None, Some(mean), 1) => {
            let queue = RenewalArrivals::new(line.gap.clone(), 1.0 / mean)?;
            renewal(&queue, answers);
            kingman(line, answers)?;
            little(answers, rate, queue.wait_mean(), queue.response_mean());
        }
        (gap, _, servers) => {
            answers.exact("utilisation", line.load());
            let (wait, kind) = if gap.is_some() {
                let (mean, scv) = (line.service.mean(), line.service.scv());
                (
                    approximate::many_general_wait_mean(servers, rate, mean, scv)?,
                    "approximation: M/G/c from M/M/c and M/D/c (Lee-Longton, Cosmetatos)",
                )
            } else {
                let gap = (line.gap.mean(), line.gap.scv());
                let service = (line.service.mean(), line.service.scv());
                (
                    approximate::allen_cunneen_wait_mean(servers, gap, service)?,
                    "approximation: Allen-Cunneen",
                )
            };
            if servers == 1 {
                kingman(line, answers)?;
            }
            let response = wait + line.service.mean();
            for (key, value) in [
                ("mean_wait", wait),
                ("mean_response", response),
                ("mean_queue_len", rate * wait),
                ("mean_in_system", rate * response),
            ] {
                answers.other(key, value, kind);
            }
            answers.exact("throughput", rate);
        }
    }
    Ok(())
}

fn kingman(line: &Line, answers: &mut Answers) -> Result<(), CaseError> {
    let wait = approximate::kingman_wait_mean(
        line.gap.mean(),
        line.gap.scv(),
        line.service.mean(),
        line.service.scv(),
    )?;
    answers.other("kingman_approx_mean_wait", wait, "approximation: Kingman");
    Ok(())
}

/// Adds what is known of M/M/c.
pub(crate) fn many(queue: &ManyServers, answers: &mut Answers) {
    answers.exact("utilisation", queue.utilisation());
    answers.exact("prob_wait", queue.wait_probability());
    answers.exact("prob_no_wait", 1.0 - queue.wait_probability());
    answers.exact("mean_wait", queue.wait_mean());
    answers.exact("mean_response", queue.response_mean());
    quantiles(answers, "response", |level| queue.response_quantile(level));
    quantiles(answers, "wait", |level| queue.wait_quantile(level));
}

/// Adds what is known of GI/M/1.
pub(crate) fn renewal(queue: &RenewalArrivals, answers: &mut Answers) {
    answers.exact("utilisation", queue.utilisation());
    answers.exact("prob_wait", queue.wait_probability());
    answers.exact("prob_no_wait", 1.0 - queue.wait_probability());
    answers.exact("mean_wait", queue.wait_mean());
    answers.exact("mean_response", queue.response_mean());
    quantiles(answers, "response", |level| queue.response_quantile(level));
    quantiles(answers, "wait", |level| queue.wait_quantile(level));
}

/// Adds what is known of M/G/1, first come first served.
pub(crate) fn single(queue: &SingleServer, rate: f64, answers: &mut Answers) {
    answers.exact("utilisation", queue.utilisation());
    answers.exact("prob_wait", queue.utilisation());
    answers.exact("prob_no_wait", 1.0 - queue.utilisation());
    answers.exact("mean_wait", queue.wait_mean());
    answers.exact("mean_response", queue.response_mean());
    for (name, level) in LEVELS {
        let found = [
            ("response", queue.response_quantile(level)),
            ("wait", queue.wait_quantile(level)),
        ];
        for (what, value) in found {
            let key = format!("{name}_{what}");
            if queue.exact() {
                answers.exact(&key, value);
            } else {
                answers.other(&key, value, INVERTED);
            }
        }
    }
    little(answers, rate, queue.wait_mean(), queue.response_mean());
}

pub(crate) fn finite(finite: &Finite, answers: &mut Answers) -> Result<(), CaseError> {
    let rate = 1.0 / finite.gap.mean();
    let mean = finite.service.mean();
    // Without waiting room only the mean of the service matters (Erlang's loss formula); with it the
    // formulas need exponential service.
    let waits = finite.room > finite.servers;
    if exponential(&finite.gap).is_none() || (waits && exponential(&finite.service).is_none()) {
        return Ok(());
    }
    let queue = FiniteRoom::new(finite.servers, finite.room, rate, 1.0 / mean)?;
    answers.exact("blocking", queue.blocking());
    answers.exact("throughput", queue.throughput());
    answers.exact("utilisation", queue.utilisation());
    answers.exact("mean_wait", queue.wait_mean());
    answers.exact("mean_response", queue.response_mean());
    answers.exact("mean_in_system", queue.in_system_mean());
    answers.exact("mean_queue_len", queue.waiting_mean());
    answers.exact("prob_wait", queue.wait_probability());
    answers.exact("prob_no_wait", 1.0 - queue.wait_probability());
    if exponential(&finite.service).is_some() {
        quantiles(answers, "response", |level| queue.response_quantile(level));
        quantiles(answers, "wait", |level| queue.wait_quantile(level));
    }
    Ok(())
}

pub(crate) fn sharing(sharing: &Sharing, answers: &mut Answers) -> Result<(), CaseError> {
    let rate = 1.0 / sharing.gap.mean();
    let mean = sharing.service.mean();
    let load = stable("the station", rate * mean / f64::from(sharing.servers))?;
    answers.exact("utilisation", load);
    answers.exact("throughput", rate);
    if exponential(&sharing.gap).is_none() {
        return Ok(());
    }
    // Product form: the number present depends on the mean of the service alone, as in M/M/c.
    let queue = ManyServers::new(sharing.servers, rate, 1.0 / mean)?;
    answers.exact("mean_wait", queue.wait_mean());
    answers.exact("mean_response", queue.response_mean());
    answers.exact("mean_in_system", rate * queue.response_mean());
    Ok(())
}

pub(crate) fn priority(priority: &Priority, answers: &mut Answers) -> Result<(), CaseError> {
    let rates: Vec<f64> = priority
        .classes
        .iter()
        .map(|(gap, _)| 1.0 / gap.mean())
        .collect();
    let laws: Vec<Law> = priority
        .classes
        .iter()
        .map(|(_, law)| law.clone())
        .collect();
    let work: f64 = rates
        .iter()
        .zip(&laws)
        .map(|(rate, law)| rate * law.mean())
        .sum();
    let load = stable("the station", work / f64::from(priority.servers))?;
    answers.exact("utilisation", load);
    let pairs: Vec<(f64, Law)> = rates.iter().copied().zip(laws.iter().cloned()).collect();
    let alike = exponential(&laws[0]).filter(|_| laws.iter().all(|law| *law == laws[0]));
    let means = match (priority.preemption, priority.servers, alike) {
        (Preemption::None, 1, _) => classes::head_of_line(&pairs)?,
        (Preemption::Resume, 1, _) => classes::preemptive_resume(&pairs)?,
        (Preemption::None, servers, Some(mean)) => {
            classes::head_of_line_many(servers, &rates, 1.0 / mean)?
        }
        (Preemption::Resume, servers, Some(mean)) => {
            classes::preemptive_many(servers, &rates, 1.0 / mean)?
        }
        _ => return Ok(()),
    };
    let total: f64 = rates.iter().sum();
    let (mut wait, mut response) = (0.0, 0.0);
    for ((number, rate), class) in (1..).zip(&rates).zip(&means) {
        answers.exact(&format!("mean_wait_class{number}"), class.wait);
        answers.exact(&format!("mean_response_class{number}"), class.response);
        wait += rate * class.wait / total;
        response += rate * class.response / total;
    }
    answers.exact("mean_wait", wait);
    answers.exact("mean_response", response);
    answers.exact("mean_in_system", total * response);
    answers.exact("throughput", total);
    Ok(())
}
