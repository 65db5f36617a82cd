//! One station in Kendall's notation: arrivals/service/servers/room.

use crate::analytic::finite::ROOM_MAX;
use crate::analytic::many::SERVERS_MAX;
use crate::cases::CaseError;
use crate::cases::laws::{build, law, mean_or_rate, named, object};
use crate::cases::params::{Params, missing, positive};
use crate::cases::problem::Problem;
use crate::events::finite::Finite;
use crate::events::line::Line;
use crate::events::sharing::Sharing;
use crate::law::Law;
use serde_json::{Map, Value};

pub(crate) const RATES: [&str; 4] = ["lam", "lambda", "rate", "arrival_rate"];
pub(crate) const MUS: [&str; 2] = ["mu", "service_rate"];
pub(crate) const MEANS: [&str; 3] = ["mean", "service_mean", "s"];
pub(crate) const SERVERS: [&str; 2] = ["c", "servers"];
const ROOMS: [&str; 3] = ["K", "capacity", "room"];

/// Parts of the notation in a text: `m/m/c/k fcfs` gives `m`, `m`, `c`, `k`.
pub(crate) fn parts(text: &str) -> Option<Vec<&str>> {
    let word = text
        .split(|letter: char| letter.is_whitespace() || letter == '-' || letter == ',')
        .find(|word| word.matches('/').count() >= 2)?;
    Some(word.split('/').collect())
}

/// Reads one station.
pub(crate) fn station(
    kind: &str,
    name: &str,
    params: Params<'_>,
) -> Result<Option<Problem>, CaseError> {
    let Some(parts) = parts(kind).or_else(|| parts(name)) else {
        return Ok(None);
    };
    let servers = match params.count(&SERVERS, SERVERS_MAX)? {
        Some(servers) => servers,
        None => parts[2].parse().unwrap_or(1_u32).clamp(1, SERVERS_MAX),
    };
    let gap = gap(parts[0], params)?;
    let service = service(parts[1], params)?;
    let sharing = shares(kind);
    let room = match params.count(&ROOMS, ROOM_MAX)? {
        Some(room) => Some(room),
        // M/M/c/c: as much room as servers.
        None => parts.get(3).and_then(|part| match *part {
            "c" => Some(servers),
            other => other.parse().ok(),
        }),
    };
    if kind.contains("/k") && room.is_none() && parts.len() > 3 {
        return Err(missing(&["K"]));
    }
    Ok(Some(match room {
        Some(room) if room < servers => {
            return Err(CaseError::Value {
                name: "K".to_owned(),
                value: format!("{room} with c = {servers}"),
                remedy: "at least as many as there are servers",
            });
        }
        Some(room) => Problem::Finite(Finite {
            servers,
            room,
            gap,
            service,
        }),
        None if sharing => Problem::Sharing(Sharing {
            servers,
            gap,
            service,
        }),
        None => Problem::Line(Line {
            servers,
            gap,
            service,
        }),
    }))
}

/// Whether the kind says that customers share the servers.
pub(crate) fn shares(kind: &str) -> bool {
    let mut words = kind.split(|letter: char| !letter.is_alphanumeric());
    kind.contains("processor sharing")
        || kind.contains("processor-sharing")
        || words.any(|word| word == "ps")
}

/// Law of the gaps between arrivals: written out, or by letter and rate.
fn gap(letter: &str, params: Params<'_>) -> Result<Law, CaseError> {
    let means = ["arrival_mean", "gap_mean", "interarrival_mean"];
    let names = ["arrival", "arrivals", "interarrival", "gap"];
    // Numbers such as scv belong to the service unless they say otherwise.
    let own = arrival_numbers(params)?;
    let own = Params::new(&own);
    if let Some(law) = law(params, &names, &means, &RATES, own)? {
        return Ok(law);
    }
    let mean = mean_or_rate(params, &means, &RATES)?.ok_or_else(|| missing(&["lam", "arrival"]))?;
    match letter {
        "m" | "g" | "gi" => Ok(Law::Exponential { mean }),
        other => build(other, other, Some(mean), &[own]),
    }
}

fn arrival_numbers(params: Params<'_>) -> Result<Map<String, Value>, CaseError> {
    let mut own = Map::new();
    for (name, key) in [("arrival_scv", "scv"), ("ca2", "scv"), ("arrival_k", "k")] {
        if let Some((_, value)) = params.find(&[name]) {
            positive(name, value)?;
            own.insert(key.to_owned(), value.clone());
        }
    }
    Ok(own)
}

/// Law of service: written out, or by letter and mean or rate.
pub(crate) fn service(letter: &str, params: Params<'_>) -> Result<Law, CaseError> {
    if let Some(part) = params.part("service") {
        return object(part, "service");
    }
    if let Some(law) = law(params, &["service", "dist"], &MEANS, &MUS, params)? {
        return Ok(law);
    }
    let mean = mean_or_rate(params, &MEANS, &MUS)?;
    match letter {
        "g" | "m" | "gi" => {
            let mean = mean.ok_or_else(|| missing(&["mu", "mean", "service"]))?;
            Ok(Law::Exponential { mean })
        }
        other => build(other, other, mean, &[params]),
    }
}

/// Law of service with a given mean; its shape as in [`service`].
pub(crate) fn service_with(letter: &str, params: Params<'_>, mean: f64) -> Result<Law, CaseError> {
    if let Some(Value::String(text)) = params.find(&["service", "dist"]).map(|found| found.1) {
        return named(text, mean, params);
    }
    match letter {
        "g" | "m" | "gi" => Ok(Law::Exponential { mean }),
        other => build(other, other, Some(mean), &[params]),
    }
}
