//! Laws as a case writes them: a name with numbers in the text or beside it.

use crate::cases::CaseError;
use crate::cases::params::{Params, count, missing, positive, shown};
use crate::law::Law;
use serde_json::{Map, Value};

/// Most phases of an Erlang law.
const PHASES_MAX: u32 = 1_000_000;
const LAWS: &str = "exponential, deterministic, lognormal, hyperexp2, erlang k=<phases> or gamma, with mean and scv";

/// Reads the law under one of `names`. A mean that its text does not hold is in `params` under one of
/// `mean_names`, or as a rate under one of `rate_names`; other numbers are in `numbers`.
pub(crate) fn law(
    params: Params<'_>,
    names: &[&'static str],
    mean_names: &[&'static str],
    rate_names: &[&'static str],
    numbers: Params<'_>,
) -> Result<Option<Law>, CaseError> {
    let Some((name, value)) = params.find(names) else {
        return Ok(None);
    };
    match value {
        Value::Object(map) => object(Params::new(map), name).map(Some),
        Value::String(text) => {
            let (family, inline) = words(text);
            let inline = Params::new(&inline);
            let mean = match inline.positive(&["mean", "m"])? {
                Some(mean) => Some(mean),
                None => match inline.positive(&["rate", "mu", "lam", "lambda"])? {
                    Some(rate) => Some(1.0 / rate),
                    None => mean_or_rate(params, mean_names, rate_names)?,
                },
            };
            build(&family, text, mean, &[inline, numbers]).map(Some)
        }
        other => Err(CaseError::Value {
            name: name.to_owned(),
            value: shown(other),
            remedy: LAWS,
        }),
    }
}

/// Law that a text names, with a given mean.
pub(crate) fn named(text: &str, mean: f64, params: Params<'_>) -> Result<Law, CaseError> {
    let (family, inline) = words(text);
    build(&family, text, Some(mean), &[Params::new(&inline), params])
}

/// Mean under one of `mean_names`, or from a rate under one of `rate_names`.
pub(crate) fn mean_or_rate(
    params: Params<'_>,
    mean_names: &[&'static str],
    rate_names: &[&'static str],
) -> Result<Option<f64>, CaseError> {
    match params.positive(mean_names)? {
        Some(mean) => Ok(Some(mean)),
        None => Ok(params.positive(rate_names)?.map(|rate| 1.0 / rate)),
    }
}

/// Reads a law from an object such as `{"lognormal": 0.06, "scv": 1.0}` or
/// `{"service": "lognormal", "mean": 0.06, "scv": 1.0}`.
pub(crate) fn object(params: Params<'_>, name: &str) -> Result<Law, CaseError> {
    let names = ["service", "law", "dist", "distribution", "type", "kind"];
    let means = ["mean", "s", "service_time"];
    let rates = ["mu", "rate"];
    if let Some(law) = law(params, &names, &means, &rates, params)? {
        return Ok(law);
    }
    for (key, value) in params.entries() {
        if family(key).is_some() {
            let mean = positive(key, value)?;
            return build(key, key, Some(mean), &[params]);
        }
    }
    match mean_or_rate(params, &means, &rates)? {
        Some(mean) => Ok(Law::Exponential { mean }),
        None => Err(CaseError::Missing {
            name: format!("the law of {name}"),
            remedy: LAWS,
        }),
    }
}

/// The families of laws.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Exponential,
    Deterministic,
    Lognormal,
    Hyperexponential,
    Erlang(Option<u32>),
    Gamma,
}

/// Family of a name as found in text or as a letter of Kendall's notation.
fn family(name: &str) -> Option<Family> {
    let name = name.to_lowercase();
    let letters = name.trim_end_matches(|letter: char| !letter.is_alphabetic());
    let phases = name
        .trim_start_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .ok();
    match letters {
        "exp" | "exponential" | "m" | "markov" | "poisson" => Some(Family::Exponential),
        "det" | "deterministic" | "d" | "constant" | "const" | "fixed" => {
            Some(Family::Deterministic)
        }
        "lognormal" | "ln" | "lognorm" | "log-normal" => Some(Family::Lognormal),
        "hyperexp" | "hyperexponential" | "h" | "hyper" => Some(Family::Hyperexponential),
        "erlang" | "e" | "erl" | "e_k" | "ek" | "erlang-k" => Some(Family::Erlang(phases)),
        "gamma" | "ga" => Some(Family::Gamma),
        _ => None,
    }
}

/// Builds the law that `name` stands for; numbers come from the first of `sources` that has them.
pub(crate) fn build(
    name: &str,
    text: &str,
    mean: Option<f64>,
    sources: &[Params<'_>],
) -> Result<Law, CaseError> {
    let family = family(name).ok_or_else(|| CaseError::Value {
        name: "the law".to_owned(),
        value: format!("{text:?}"),
        remedy: LAWS,
    })?;
    let number = |names: &[&'static str]| {
        first(sources, |params| params.find(names))
            .map(|(name, value)| positive(name, value))
            .transpose()
    };
    let need = |value: Option<f64>, names: &[&'static str]| value.ok_or_else(|| missing(names));
    let mean_needed = || need(mean, &["mean"]);
    let scv = match number(&["scv", "cv2", "c2"])? {
        Some(scv) => Some(scv),
        None => number(&["cv"])?.map(|cv| cv * cv),
    };
    let law = match family {
        Family::Exponential => Law::Exponential {
            mean: mean_needed()?,
        },
        Family::Deterministic => Law::Deterministic {
            mean: mean_needed()?,
        },
        Family::Lognormal => Law::Lognormal {
            mean: mean_needed()?,
            scv: need(scv, &["scv"])?,
        },
        Family::Gamma => Law::Gamma {
            mean: mean_needed()?,
            scv: match number(&["shape"])? {
                Some(shape) => 1.0 / shape,
                None => need(scv, &["scv", "shape"])?,
            },
        },
        Family::Erlang(phases) => Law::Erlang {
            phases: match phases {
                Some(phases) => phases,
                None => erlang_phases(sources, scv)?,
            },
            mean: mean_needed()?,
        },
        Family::Hyperexponential => hyperexponential(sources, mean, scv)?,
    };
    Ok(law.checked("the law")?)
}

fn first<'a, T>(sources: &[Params<'a>], find: impl Fn(Params<'a>) -> Option<T>) -> Option<T> {
    sources.iter().copied().find_map(find)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first"
)]
fn erlang_phases(sources: &[Params<'_>], scv: Option<f64>) -> Result<u32, CaseError> {
    let names = ["k", "phases", "stages", "shape"];
    if let Some((name, value)) = first(sources, |params| params.find(&names)) {
        return count(name, value, PHASES_MAX);
    }
    match scv {
        Some(scv) => Ok((1.0 / scv).round().clamp(1.0, f64::from(PHASES_MAX)) as u32),
        None => Err(missing(&["k"])),
    }
}

fn hyperexponential(
    sources: &[Params<'_>],
    mean: Option<f64>,
    scv: Option<f64>,
) -> Result<Law, CaseError> {
    let number = |names: &[&'static str]| {
        first(sources, |params| params.find(names))
            .map(|(name, value)| positive(name, value))
            .transpose()
    };
    let share = number(&["p", "p1"])?;
    let rates = (number(&["mu1", "rate1"])?, number(&["mu2", "rate2"])?);
    if let (Some(share), (Some(one), Some(two))) = (share, rates) {
        let branches = vec![(share, 1.0 / one), (1.0 - share, 1.0 / two)];
        return Ok(Law::Hyperexponential { branches });
    }
    let mean = mean.ok_or_else(|| missing(&["p, mu1 and mu2", "mean and scv"]))?;
    let scv = scv.ok_or_else(|| missing(&["p, mu1 and mu2", "mean and scv"]))?;
    Ok(Law::balanced(mean, scv)?)
}

/// First word of a text, and the numbers that follow words in it: `erlang k=2 mean 1.25`.
fn words(text: &str) -> (String, Map<String, Value>) {
    let words: Vec<&str> = text
        .split(|letter: char| letter.is_whitespace() || "=,;:()".contains(letter))
        .filter(|word| !word.is_empty())
        .collect();
    let mut numbers = Map::new();
    for pair in words.windows(2) {
        if let (Err(_), Ok(number)) = (pair[0].parse::<f64>(), pair[1].parse::<f64>()) {
            numbers.insert(pair[0].to_lowercase(), Value::from(number));
        }
    }
    (words.first().copied().unwrap_or("").to_owned(), numbers)
}
