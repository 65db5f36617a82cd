//! Formulas for several stations.

use crate::analytic::approximate;
use crate::analytic::closed::ClosedNetwork;
use crate::analytic::fork_join as joined;
use crate::analytic::jackson::{OpenNetwork, hypoexponential_quantile};
use crate::analytic::many::ManyServers;
use crate::analytic::renewal::RenewalArrivals;
use crate::analytic::single::SingleServer;
use crate::analytic::stable;
use crate::cases::CaseError;
use crate::cases::answers::Answers;
use crate::cases::queues;
use crate::events::balance::{Balancer, Policy};
use crate::events::chain::Chain;
use crate::events::fork_join::ForkJoin;
use crate::law::Law;

const APART: &str = "approximation: each station as M/G/c by itself";

fn is_exponential(law: &Law) -> bool {
    matches!(law, Law::Exponential { .. })
}

pub(crate) fn chain(chain: &Chain, answers: &mut Answers) -> Result<(), CaseError> {
    let entering = 1.0 / chain.gap.mean();
    let mut rate = entering;
    let mut visits = 1.0;
    let (mut busy, mut queue, mut residence) = (Vec::new(), Vec::new(), Vec::new());
    let mut response = 0.0;
    let product = chain
        .stages
        .iter()
        .all(|stage| is_exponential(&stage.service));
    for (index, stage) in chain.stages.iter().enumerate() {
        rate *= stage.visited;
        visits *= stage.visited;
        let mean = stage.service.mean();
        let load = rate * mean / f64::from(stage.servers);
        busy.push(stable(&format!("station {}", index + 1), load)?);
        let time = mean
            + approximate::many_general_wait_mean(stage.servers, rate, mean, stage.service.scv())?;
        residence.push(time);
        queue.push(rate * time);
        response += visits * time;
    }
    answers.exact_list("utilisation", &busy);
    answers.exact("throughput", entering);
    if !product {
        answers.other("mean_response", response, APART);
        answers.other("mean_in_system", entering * response, APART);
        return Ok(());
    }
    answers.exact("mean_response", response);
    answers.exact("mean_in_system", entering * response);
    answers.exact_list("queue", &queue);
    answers.exact_list("residence", &residence);
    let plain = |stage: &crate::events::chain::Stage| stage.servers == 1 && stage.visited >= 1.0;
    if chain.stages.iter().all(plain) {
        let rates: Vec<f64> = residence.iter().map(|time| 1.0 / time).collect();
        queues::quantiles(answers, "response", |level| {
            hypoexponential_quantile(&rates, level)
        });
    }
    Ok(())
}

fn network(outside: &[f64], routing: &[Vec<f64>], stations: &[(u32, Law)]) -> OpenNetwork {
    OpenNetwork {
        outside: outside.to_vec(),
        routing: routing.to_vec(),
        stations: stations
            .iter()
            .map(|(servers, law)| (*servers, 1.0 / law.mean()))
            .collect(),
    }
}

/// Arrivals per second at each station.
pub(crate) fn arrivals(
    outside: &[f64],
    routing: &[Vec<f64>],
    stations: &[(u32, Law)],
) -> Result<Vec<f64>, CaseError> {
    Ok(network(outside, routing, stations).solve()?.arrivals)
}

pub(crate) fn open(
    outside: &[f64],
    routing: &[Vec<f64>],
    stations: &[(u32, Law)],
    answers: &mut Answers,
) -> Result<(), CaseError> {
    let solution = network(outside, routing, stations).solve()?;
    let entering: f64 = outside.iter().sum();
    let each = |value: &dyn Fn(&ManyServers, f64) -> f64| -> Vec<f64> {
        solution
            .stations
            .iter()
            .zip(&solution.arrivals)
            .map(|(station, rate)| {
                station
                    .as_ref()
                    .map_or(0.0, |station| value(station, *rate))
            })
            .collect()
    };
    answers.exact_list("utilisation", &each(&|station, _| station.utilisation()));
    answers.exact_list(
        "queue",
        &each(&|station, rate| rate * station.response_mean()),
    );
    let residence = each(&|station, rate| rate / entering * station.response_mean());
    answers.exact_list("residence", &residence);
    answers.exact("mean_response", solution.response_mean);
    answers.exact("mean_in_system", entering * solution.response_mean);
    answers.exact("throughput", entering);
    Ok(())
}

pub(crate) fn closed(
    stations: &[(f64, u32)],
    think: f64,
    population: u32,
    scalar: bool,
    answers: &mut Answers,
) -> Result<(), CaseError> {
    let network = ClosedNetwork {
        stations: stations.to_vec(),
        think,
        population,
    };
    let solution = network.solve()?;
    answers.exact("throughput", solution.throughput);
    answers.exact("mean_response", solution.response_mean());
    answers.exact("mean_in_system", solution.queue.iter().sum());
    let mut list = |key: &str, values: &[f64]| {
        if scalar {
            answers.exact(key, values.iter().sum());
        } else {
            answers.exact_list(key, values);
        }
    };
    list("residence", &solution.residence);
    list("queue", &solution.queue);
    list("utilisation", &solution.utilisation);
    if scalar {
        let waits = solution.response_mean() - stations[0].0;
        answers.exact("mean_wait", waits);
        answers.exact("mean_queue_len", waits * solution.throughput);
    }
    Ok(())
}

pub(crate) fn fork_join(fork_join: &ForkJoin, answers: &mut Answers) -> Result<(), CaseError> {
    let rate = 1.0 / fork_join.gap.mean();
    let mut busy = 0.0;
    for (index, law) in fork_join.services.iter().enumerate() {
        busy += stable(&format!("server {}", index + 1), rate * law.mean())?;
    }
    let count = fork_join.services.len();
    answers.exact("utilisation", busy / count as f64);
    answers.exact("throughput", rate);
    let law = &fork_join.services[0];
    let alike = fork_join.services.iter().all(|other| other == law);
    if !alike || !is_exponential(law) {
        return Ok(());
    }
    let mu = 1.0 / law.mean();
    let servers = u32::try_from(count).unwrap_or(u32::MAX);
    let response = joined::approximate_response_mean(servers, rate, mu)?;
    if servers <= 2 {
        answers.exact("mean_response", response);
        answers.exact("mean_in_system", rate * response);
    } else {
        let kind = "approximation: Nelson-Tantawi";
        answers.other("mean_response", response, kind);
        answers.other("mean_in_system", rate * response, kind);
    }
    if servers == 1 {
        let queue = ManyServers::new(1, rate, mu)?;
        queues::quantiles(answers, "response", |level| queue.response_quantile(level));
    }
    Ok(())
}

pub(crate) fn balancer(balancer: &Balancer, answers: &mut Answers) -> Result<(), CaseError> {
    let rate = 1.0 / balancer.gap.mean();
    let mean = balancer.service.mean();
    let count = balancer.speeds.len() as f64;
    let speed: f64 = balancer.speeds.iter().sum();
    let load = stable("the servers", rate * mean / speed)?;
    let alike = balancer
        .speeds
        .iter()
        .all(|speed| (speed - balancer.speeds[0]).abs() <= 1e-12 * speed);
    if !alike {
        return unequal(balancer, rate / count, answers);
    }
    let mean = mean / balancer.speeds[0];
    answers.exact("throughput", rate);
    let exponential = is_exponential(&balancer.service);
    match balancer.policy {
        Policy::Random | Policy::Choices(1) => {
            let law = balancer.service.scaled(1.0 / balancer.speeds[0]);
            let queue = SingleServer::new(rate / count, law)?;
            queues::single(&queue, rate / count, answers);
            answers.exact("mean_queue_len", rate * queue.wait_mean());
            answers.exact("mean_in_system", rate * queue.response_mean());
            answers.exact("throughput", rate);
        }
        Policy::RoundRobin if exponential => {
            let gap = Law::Erlang {
                phases: u32::try_from(balancer.speeds.len()).unwrap_or(u32::MAX),
                mean: count / rate,
            };
            let queue = RenewalArrivals::new(gap, 1.0 / mean)?;
            queues::renewal(&queue, answers);
            answers.exact("mean_in_system", rate * queue.response_mean());
        }
        Policy::Choices(choices) if exponential => {
            let response = mean * approximate::choices_response_mean(choices, load)?;
            let kind = "approximation: limit of many servers (Mitzenmacher)";
            answers.other("mean_response", response, kind);
            answers.other("mean_in_system", rate * response, kind);
            answers.exact("utilisation", load);
        }
        _ => answers.exact("utilisation", load),
    }
    Ok(())
}

/// Servers of unequal speed: those who do not look at them can be overwhelmed.
fn unequal(balancer: &Balancer, each: f64, answers: &mut Answers) -> Result<(), CaseError> {
    let blind = matches!(
        balancer.policy,
        Policy::Random | Policy::RoundRobin | Policy::Choices(1)
    );
    if !blind {
        return Ok(());
    }
    let mut sum = 0.0;
    for (index, speed) in balancer.speeds.iter().enumerate() {
        let load = each * balancer.service.mean() / speed;
        sum += stable(&format!("server {}", index + 1), load)?;
    }
    answers.exact("utilisation", sum / balancer.speeds.len() as f64);
    Ok(())
}
