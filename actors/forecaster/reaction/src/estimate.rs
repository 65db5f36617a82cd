//! How strongly one customer answers, found in his own history.
//!
//! The logarithm of demand is: what is usual for the hour, plus the shared profiles times the customer's scales,
//! plus noise that remembers its last steps ([`ORDER`]) and its means of hours, days and a week. High demand makes latency, so that a plain
//! regression on latency finds its own cause. Here each step's news (what the noise's own past does not say) is
//! compared with drivers of earlier steps, which cannot have been made by it; what latency and demand have in
//! common from before is in the noise's past, which is known. Sequential exogeneity is all that is assumed:
//! capacity and failures may depend on anything that came before. Scales and memory are found together by
//! Gauss-Newton steps, since they are not independent: fixing the memory makes intervals too narrow.
//!
//! What changes once and stays, as a price does, is compared with how far demand strays over days by itself: its
//! interval is not narrower than that of placebo changes at all other days.
//!
//! Source: Cochrane and Orcutt (1949) for the transformed regression, Hamilton, Time Series Analysis (1994),
//! section 8.2 for predetermined regressors, Corsi (2009) for memories of several lengths, White (1980) for intervals under unequal variances, Efron and
//! Morris (1975) for shrinking to the shared model.

mod fit;

use self::fit::{Fit, Fitted};
use crate::drivers::{COMPONENTS, Component, Features, Memory};
use crate::effect::{EffectError, Scale, SharedEffect};
use crate::history::History;
use serde::{Deserialize, Serialize};

/// Last steps that the noise remembers one by one.
pub const ORDER: usize = 8;
/// Fewest usable steps from which anything is learned.
pub const ROWS_MIN: usize = 60;
/// Standard deviation of a scale of which nothing is believed.
const FLAT_SD: f64 = 1e3;
/// Standard deviation of an event's effect between events of a kind, before any is seen, as a logarithm; weight
/// of that belief, in events.
const BETWEEN_SD: f64 = 0.15;
const BETWEEN_WEIGHT: f64 = 2.0;
/// Gap that ends an incident, in seconds.
const GAP_S: u32 = 3_600;
/// Latency (a logarithm) and throttled share that are an incident.
const INCIDENT: [f64; 2] = [0.1, 0.01];
/// Share of the prior variance that must have gone for a component to count as learned.
const LEARNED: f64 = 0.2;
/// How far around an event it is looked at, in seconds.
const AROUND_S: i64 = 86_400;
/// Width of all intervals told: 90 %.
pub const INTERVAL_Z: f64 = 1.644_853_626_951_472_7;

/// What is believed of a customer's scales before his history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// What the shared model saw of others.
    Shared,
    /// Nothing: estimates are not shrunk.
    Flat,
}

/// How strongly a customer answers in one way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentEstimate {
    /// In which way.
    pub component: Component,
    /// The scale.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
    /// Standard deviation before his history.
    pub prior_sd: f64,
    /// Incidents, changes of price or events that it was seen in.
    pub episodes: usize,
}

impl ComponentEstimate {
    /// Whether the history says enough to speak of the customer's own.
    pub fn is_learned(&self) -> bool {
        self.episodes > 0 && self.sd * self.sd < (1.0 - LEARNED) * self.prior_sd * self.prior_sd
    }

    /// The 90 % interval of the scale.
    pub fn interval(&self) -> (f64, f64) {
        let half = INTERVAL_Z * self.sd;
        (self.mean - half, self.mean + half)
    }
}

/// What one customer's history says.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// By component, in the order of [`Component::ALL`].
    pub components: Vec<ComponentEstimate>,
    /// Steps that were learned from; 0 = nothing was, all is the shared model's.
    pub rows: usize,
    /// Standard deviation of a step's news, as a logarithm.
    pub news_sd: f64,
    /// What the noise remembers of the last steps.
    pub memory: Vec<f64>,
    /// What demand remembers at the end of the history.
    pub drivers: Memory,
}

impl Estimate {
    /// What is believed of a customer without a history.
    pub fn unknown(scales: &[Scale; COMPONENTS], interval_s: u32) -> Self {
        let components = Component::ALL.into_iter().zip(scales);
        let components = components.map(|(component, scale)| ComponentEstimate {
            component,
            mean: scale.mean(),
            sd: scale.sd(),
            prior_sd: scale.sd(),
            episodes: 0,
        });
        Self {
            components: components.collect(),
            rows: 0,
            news_sd: 0.0,
            memory: Vec::new(),
            drivers: Memory::new(interval_s),
        }
    }
}

/// Finds how strongly a customer answers.
///
/// Cost: about 2 microseconds per step and round. Determinism: a function of its arguments.
///
/// # Errors
/// [`EffectError`] when the shared model has no answer.
pub fn estimate(
    history: &History,
    shared: &dyn SharedEffect,
    prior: Prior,
) -> Result<Estimate, EffectError> {
    let (features, drivers) = history.features();
    let mut found = Estimate::unknown(shared.scales(), history.interval_s());
    if prior == Prior::Flat {
        for one in &mut found.components {
            (one.mean, one.sd, one.prior_sd) = (0.0, FLAT_SD, FLAT_SD);
        }
    }
    found.drivers = drivers;
    let profiles = shared.profiles(&features)?;
    let episodes = episodes(history, &features);
    let fit = Fit::new(history, &profiles, &found);
    let Some(fitted) = fit.solve() else {
        return Ok(found);
    };
    for (place, one) in found.components.iter_mut().enumerate() {
        one.episodes = episodes[place];
        one.mean = fitted.theta[place];
        one.sd = fitted.sd[place];
        if matches!(one.component, Component::Event(_)) {
            widen(
                one,
                shared.scales()[place].mean(),
                prior,
                &fit,
                &fitted,
                history,
            );
        }
    }
    found.rows = fit.rows.len();
    found.news_sd = fitted.variance.sqrt();
    found.memory = fitted.rho.to_vec();
    Ok(found)
}

/// Widens what is known of events of a kind by how far they differ from each other: steps of one event are many,
/// events are few.
fn widen(
    one: &mut ComponentEstimate,
    shared_mean: f64,
    prior: Prior,
    fit: &Fit,
    fitted: &Fitted,
    history: &History,
) {
    let Component::Event(kind) = one.component else {
        return;
    };
    let place = one.component.place();
    let left = fit.left(&fitted.theta);
    let mut found = Vec::new();
    let mut size: f64 = 0.0;
    for event in history
        .observed()
        .events
        .iter()
        .filter(|event| event.kind == kind)
    {
        let near = |at: &&usize| {
            let from = history.time_s(**at);
            from < event.end_s.saturating_add(AROUND_S)
                && from >= event.start_s.saturating_sub(AROUND_S)
        };
        let (mut squares, mut product) = (0.0, 0.0);
        for at in fit.rows.iter().filter(near) {
            let (news, row) = fit.row(*at, &left, &fitted.rho);
            squares += row[place] * row[place];
            product += row[place] * (news + one.mean * row[place]);
            size = size.max(fit.profiles[*at][place].abs());
        }
        if squares > 1e-9 {
            found.push(product / squares);
        }
    }
    let precision = one.prior_sd.powi(-2);
    let seen = one.sd.powi(-2) - precision;
    if found.is_empty() || seen <= 1e-12 || size <= 0.0 {
        return;
    }
    let count = found.len() as f64;
    let middle = found.iter().sum::<f64>() / count;
    let squares: f64 = found.iter().map(|value| (value - middle).powi(2)).sum();
    let believed = BETWEEN_WEIGHT * (BETWEEN_SD / size).powi(2);
    let between = (believed + squares) / (BETWEEN_WEIGHT + count - 1.0);
    let prior_mean = if prior == Prior::Flat {
        0.0
    } else {
        shared_mean
    };
    let own = (one.sd.powi(-2) * one.mean - precision * prior_mean) / seen;
    let wider = (seen.recip() + between / count).recip();
    one.mean = (precision * prior_mean + wider * own) / (precision + wider);
    one.sd = (precision + wider).recip().sqrt();
}

/// Incidents, changes of price or events by component.
fn episodes(history: &History, features: &[Features]) -> [usize; COMPONENTS] {
    let mut found = [0; COMPONENTS];
    let gap = (GAP_S / history.interval_s().max(1)).max(1) as usize;
    for (service, least) in INCIDENT.into_iter().enumerate() {
        let mut quiet = gap;
        for row in features {
            if row[2 * service][0] > least {
                if quiet >= gap {
                    found[2 * service] += 1;
                }
                quiet = 0;
            } else {
                quiet += 1;
            }
        }
        found[2 * service + 1] = found[2 * service];
    }
    let price = Component::Price.place();
    let changes = features.windows(2);
    let changes = changes.filter(|pair| (pair[1][price][0] - pair[0][price][0]).abs() > 1e-6);
    found[price] = changes.count();
    let (start, end) = (history.time_s(0), history.time_s(history.steps()));
    for event in &history.observed().events {
        if event.start_s < end && event.end_s > start {
            found[Component::Event(event.kind).place()] += 1;
        }
    }
    found
}
