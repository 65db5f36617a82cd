//! From the kind of a case and its parameters to the problem.

use crate::analytic::closed::POPULATION_MAX;
use crate::analytic::jackson::STATIONS_MAX;
use crate::analytic::many::SERVERS_MAX;
use crate::cases::CaseError;
use crate::cases::kendall::{self, MUS, RATES, SERVERS};
use crate::cases::laws::object;
use crate::cases::params::{Params, count, finite, missing, positive};
use crate::cases::problem::{Problem, policy, preemption};
use crate::events::balance::{Balancer, Policy};
use crate::events::chain::{Chain, Stage};
use crate::events::fork_join::ForkJoin;
use crate::events::priority::{self, Priority};
use crate::law::Law;
use serde_json::Value;

/// What an unknown kind is answered with.
pub(crate) const KNOWN: &str = "M/M/c, M/M/c/K, M/G/1, M/G/c, G/G/c, processor sharing, priority, Jackson or tandem, closed, fork-join, tiers or load balancer";
/// Most servers that are asked together or balanced.
const SIDE_BY_SIDE_MAX: u32 = 4_096;
/// Most servers that are compared for each customer.
pub(crate) const CHOICES_MAX: u32 = 64;

/// Reads a case; `kind` and `name` are in lower case.
pub(crate) fn problem(kind: &str, name: &str, params: Params<'_>) -> Result<Problem, CaseError> {
    let has = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    let listed = matches!(params.find(&RATES), Some((_, Value::Array(_))));
    let by_class = listed && kendall::parts(kind).is_some();
    if has(&["priorit", "hol", "preempt"]) || by_class {
        return classes(&format!("{kind} {name}"), params);
    }
    if has(&["fork"]) {
        return fork_join(params);
    }
    if has(&[
        "closed",
        "mva",
        "machine repair",
        "machine-repair",
        "repairm",
        "finite source",
        "//",
    ]) {
        return closed(kind, params);
    }
    if has(&["balanc", "choices"]) || params.has(&["policy"]) {
        return balancer(&format!("{kind} {name}"), params);
    }
    if has(&["jackson", "tandem", "feedback", "network"]) || params.has(&["routing"]) {
        return network(params);
    }
    if TIERS.iter().any(|tier| params.part(tier).is_some()) || params.has(&["tiers", "stages"]) {
        return tiers(params);
    }
    kendall::station(kind, name, params)?.ok_or_else(|| CaseError::Kind {
        kind: kind.to_owned(),
    })
}

fn exponential(rate: f64) -> Law {
    Law::Exponential { mean: 1.0 / rate }
}

fn list_length(name: &'static str, given: usize, wanted: usize) -> CaseError {
    CaseError::Value {
        name: name.to_owned(),
        value: format!("a list of {given} where {wanted} are needed"),
        remedy: "one value, or as many as there are stations or classes",
    }
}

/// Repeats a single value to `count` values.
fn spread<T: Clone>(
    name: &'static str,
    values: Vec<T>,
    wanted: usize,
) -> Result<Vec<T>, CaseError> {
    match values.as_slice() {
        [one] => Ok(vec![one.clone(); wanted]),
        _ if values.len() == wanted => Ok(values),
        _ => Err(list_length(name, values.len(), wanted)),
    }
}

fn classes(text: &str, params: Params<'_>) -> Result<Problem, CaseError> {
    let rates = params.positives(&RATES)?.ok_or_else(|| missing(&["lam"]))?;
    let count = rates.len();
    let letter = kendall::parts(text)
        .and_then(|parts| parts.get(1).copied())
        .unwrap_or("m");
    let listed = |names: &[&'static str]| params.positives(names);
    let laws =
        if let Some(Value::Array(_)) = params.find(&["service", "services"]).map(|found| found.1) {
            let laws = params.list(&["service", "services"], |name, value| match value {
                Value::Object(map) => object(Params::new(map), name),
                other => positive(name, other).map(|mean| Law::Exponential { mean }),
            })?;
            spread("service", laws.unwrap_or_default(), count)?
        } else {
            let shape = |mean: f64| kendall::service_with(letter, params, mean);
            let means: Option<Vec<f64>> = match listed(&kendall::MEANS)? {
                Some(means) => Some(means),
                None => listed(&MUS)?.map(|rates| rates.iter().map(|rate| 1.0 / rate).collect()),
            };
            match means {
                Some(means) => spread("mu", means, count)?
                    .into_iter()
                    .map(shape)
                    .collect::<Result<_, _>>()?,
                None => vec![kendall::service(letter, params)?; count],
            }
        };
    Ok(Problem::Priority(Priority {
        servers: params.count(&SERVERS, priority::SERVERS_MAX)?.unwrap_or(1),
        classes: rates.into_iter().map(exponential).zip(laws).collect(),
        preemption: preemption(text),
    }))
}

fn fork_join(params: Params<'_>) -> Result<Problem, CaseError> {
    let rate = params.need_positive(&RATES)?;
    let listed = params.positives(&MUS)?;
    let count = match params.count(&["n", "servers", "c", "branches"], SIDE_BY_SIDE_MAX)? {
        Some(count) => count as usize,
        None => listed
            .as_ref()
            .map(Vec::len)
            .filter(|count| *count > 1)
            .ok_or_else(|| missing(&["n"]))?,
    };
    let services = match listed {
        Some(rates) if rates.len() > 1 => spread("mu", rates, count)?
            .into_iter()
            .map(exponential)
            .collect(),
        _ => vec![kendall::service("m", params)?; count],
    };
    Ok(Problem::ForkJoin(ForkJoin {
        gap: exponential(rate),
        services,
    }))
}

fn closed(kind: &str, params: Params<'_>) -> Result<Problem, CaseError> {
    let population = params
        .count(
            &["N", "population", "customers", "machines", "M"],
            POPULATION_MAX,
        )?
        .ok_or_else(|| missing(&["N"]))?;
    let repair = ["repair", "finite source", "//"]
        .iter()
        .any(|word| kind.contains(word));
    let demands = match params.positives(&["demands", "D", "demand", "service_times"])? {
        Some(demands) => demands,
        None => match params.positives(&MUS)? {
            Some(rates) => rates.iter().map(|rate| 1.0 / rate).collect(),
            None => params
                .positives(&["mttr", "repair_time", "mean"])?
                .ok_or_else(|| missing(&["demands"]))?,
        },
    };
    let thinks = ["think", "Z", "mttf", "up_time"];
    let think = match params.find(&thinks) {
        Some((name, value)) => {
            let think = finite(name, value)?;
            if think < 0.0 {
                return Err(CaseError::Value {
                    name: name.to_owned(),
                    value: think.to_string(),
                    remedy: "a time of at least 0",
                });
            }
            think
        }
        None => params.positive(&RATES)?.map_or(0.0, |rate| 1.0 / rate),
    };
    let names = ["servers", "c", "m", "repairmen", "R"];
    let servers = params
        .counts(&names, SERVERS_MAX)?
        .unwrap_or_else(|| vec![1]);
    let servers = spread("servers", servers, demands.len())?;
    Ok(Problem::Closed {
        scalar: repair && demands.len() == 1,
        stations: demands.into_iter().zip(servers).collect(),
        think,
        population,
    })
}

fn balancer(text: &str, params: Params<'_>) -> Result<Problem, CaseError> {
    let rate = params.need_positive(&RATES)?;
    let listed = params.positives(&MUS)?;
    let count = match params.count(&["servers", "n", "c"], SIDE_BY_SIDE_MAX)? {
        Some(count) => count as usize,
        None => listed
            .as_ref()
            .map(Vec::len)
            .filter(|count| *count > 1)
            .ok_or_else(|| missing(&["servers"]))?,
    };
    let named = match params.find(&["policy"]) {
        Some((name, value)) => {
            let text = value.as_str().unwrap_or("");
            Some(policy(text).ok_or_else(|| CaseError::Value {
                name: name.to_owned(),
                value: value.to_string(),
                remedy: "random, round robin, least connections, JSQ or P2C",
            })?)
        }
        None => policy(text),
    };
    let mut policy = named.ok_or_else(|| missing(&["policy"]))?;
    if let (Policy::Choices(_), Some(choices)) =
        (policy, params.count(&["d", "choices"], CHOICES_MAX)?)
    {
        policy = Policy::Choices(choices);
    }
    // To look at all servers is to know the shortest line.
    if matches!(policy, Policy::Choices(choices) if choices as usize >= count && choices > 1) {
        policy = Policy::Shortest;
    }
    let (service, speeds) = match listed {
        Some(rates) if rates.len() > 1 => (exponential(1.0), spread("mu", rates, count)?),
        _ => (kendall::service("m", params)?, vec![1.0; count]),
    };
    Ok(Problem::Balancer(Balancer {
        gap: exponential(rate),
        service,
        speeds,
        policy,
    }))
}

fn network(params: Params<'_>) -> Result<Problem, CaseError> {
    let rates = params.positives(&MUS)?;
    let means = params.positives(&["mean", "means", "service_times"])?;
    let means: Vec<f64> = match (rates, means) {
        (Some(rates), _) => rates.iter().map(|rate| 1.0 / rate).collect(),
        (None, Some(means)) => means,
        (None, None) => return Err(missing(&["mu"])),
    };
    let routing = match params.find(&["routing", "P", "p_matrix", "R"]) {
        Some((name, value)) => Some(matrix(name, value)?),
        None => None,
    };
    let feedback = params.number(&["feedback", "p_feedback", "p_back", "p"])?;
    let wanted = routing.as_ref().map_or(means.len(), Vec::len);
    if wanted > STATIONS_MAX || means.len() > STATIONS_MAX {
        return Err(list_length("mu", means.len(), STATIONS_MAX));
    }
    let means = spread("mu", means, wanted)?;
    let servers = params
        .counts(&SERVERS, SERVERS_MAX)?
        .unwrap_or_else(|| vec![1]);
    let servers = spread("c", servers, wanted)?;
    let outside = outside(params, wanted)?;
    let laws = means.iter().map(|mean| Law::Exponential { mean: *mean });
    if routing.is_none() && feedback.is_none() && outside.iter().skip(1).all(|rate| *rate <= 0.0) {
        return Ok(Problem::Chain(Chain {
            gap: exponential(outside[0]),
            stages: laws
                .zip(servers)
                .map(|(service, servers)| Stage {
                    servers,
                    service,
                    visited: 1.0,
                })
                .collect(),
        }));
    }
    let mut lines = routing.unwrap_or_else(|| {
        let next = |from: usize| (0..wanted).map(move |to| f64::from(u8::from(to == from + 1)));
        (0..wanted).map(|from| next(from).collect()).collect()
    });
    if let Some(feedback) = feedback {
        if !(0.0..1.0).contains(&feedback) {
            return Err(CaseError::Value {
                name: "feedback".to_owned(),
                value: feedback.to_string(),
                remedy: "a probability below 1",
            });
        }
        // From the last station back to the first.
        lines[wanted - 1][0] = feedback;
    }
    Ok(Problem::Open {
        outside,
        routing: lines,
        stations: servers.into_iter().zip(laws).collect(),
    })
}

fn outside(params: Params<'_>, wanted: usize) -> Result<Vec<f64>, CaseError> {
    let names = ["lam", "lambda", "gamma", "arrival_rate", "external", "lam0"];
    let rates = params
        .list(&names, finite)?
        .ok_or_else(|| missing(&["lam"]))?;
    if let Some(rate) = rates.iter().find(|rate| **rate < 0.0) {
        return Err(CaseError::Value {
            name: "lam".to_owned(),
            value: rate.to_string(),
            remedy: "rates of at least 0",
        });
    }
    if rates.iter().sum::<f64>() <= 0.0 {
        return Err(CaseError::Value {
            name: "lam".to_owned(),
            value: "0".to_owned(),
            remedy: "a positive rate at one station at least",
        });
    }
    match rates.as_slice() {
        [one] => {
            let mut all = vec![0.0; wanted];
            all[0] = *one;
            Ok(all)
        }
        _ if rates.len() == wanted => Ok(rates),
        _ => Err(list_length("lam", rates.len(), wanted)),
    }
}

fn matrix(name: &str, value: &Value) -> Result<Vec<Vec<f64>>, CaseError> {
    let bad = || CaseError::Value {
        name: name.to_owned(),
        value: crate::cases::params::shown(value),
        remedy: "a square matrix of probabilities, at most 500 x 500",
    };
    let rows = value.as_array().ok_or_else(bad)?;
    let count = rows.len();
    if count == 0 || count > STATIONS_MAX {
        return Err(bad());
    }
    rows.iter()
        .map(|row| {
            let row = row
                .as_array()
                .filter(|row| row.len() == count)
                .ok_or_else(bad)?;
            row.iter().map(|share| finite(name, share)).collect()
        })
        .collect()
}

/// Tiers that a case may name, in the order in which a request meets them.
const TIERS: [&str; 6] = ["lb", "web", "app", "cache", "db", "storage"];

fn tiers(params: Params<'_>) -> Result<Problem, CaseError> {
    let rate = params.need_positive(&RATES)?;
    let miss = match params.find(&["miss", "miss_ratio"]) {
        Some((name, value)) => share(name, value)?,
        None => match params.find(&["hit", "hit_ratio"]) {
            Some((name, value)) => 1.0 - share(name, value)?,
            None => 1.0,
        },
    };
    let mut stages = Vec::new();
    let mut cached = false;
    for tier in TIERS {
        let Some(part) = params.part(tier) else {
            continue;
        };
        stages.push(Stage {
            servers: servers(part)?,
            service: object(part, tier)?,
            visited: if cached { miss } else { 1.0 },
        });
        cached = tier == "cache";
    }
    if stages.is_empty() {
        let listed = params.list(&["tiers", "stages"], |name, value| match value {
            Value::Object(map) => {
                let part = Params::new(map);
                let visited = match part.find(&["visit", "visits", "visited", "p"]) {
                    Some((name, value)) => share(name, value)?,
                    None => 1.0,
                };
                Ok(Stage {
                    servers: servers(part)?,
                    service: object(part, name)?,
                    visited,
                })
            }
            other => positive(name, other).map(|mean| Stage {
                servers: 1,
                service: Law::Exponential { mean },
                visited: 1.0,
            }),
        })?;
        stages = listed.unwrap_or_default();
    }
    // Where nobody goes there is nothing to see.
    let reached = stages.iter().position(|stage| stage.visited <= 0.0);
    stages.truncate(reached.unwrap_or(stages.len()));
    if stages.is_empty() {
        return Err(missing(&["tiers"]));
    }
    Ok(Problem::Chain(Chain {
        gap: exponential(rate),
        stages,
    }))
}

fn servers(part: Params<'_>) -> Result<u32, CaseError> {
    Ok(part
        .find(&SERVERS)
        .map(|(name, value)| count(name, value, SERVERS_MAX))
        .transpose()?
        .unwrap_or(1))
}

fn share(name: &str, value: &Value) -> Result<f64, CaseError> {
    let share = finite(name, value)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(CaseError::Value {
        name: name.to_owned(),
        value: share.to_string(),
        remedy: "a share between 0 and 1",
    })
}
