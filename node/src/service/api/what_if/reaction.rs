//! How a customer's demand would answer to other prices and service: what is asked, of which history, and what it
//! does to a forecast.

mod change;
pub(super) mod drivers;
mod gather;

use self::drivers::span;
use self::gather::{LATENCY, gather};
use super::supposed::Learnt;
use super::{DriverKind, ReactionView, SupposedDriver};
use crate::service::api::customers::read;
use crate::service::api::error::{ApiError, ErrorCode};
use crate::service::api::word;
use crate::service::state::Service;
use twinscale_forecast_model::reaction::load_shipped_reaction;
use twinscale_protocol::forecaster::{ForecastReply, ForecastRequest};
use twinscale_protocol::{CustomerId, EventKind, SeriesKey};
use twinscale_reaction::drivers::{Component, Span};
use twinscale_reaction::effect::{LEVELS, MIDDLE, SharedEffect};
use twinscale_reaction::estimate::{ComponentEstimate, Estimate, Prior, estimate};
use twinscale_reaction::history::{History, Observed};
use twinscale_reaction::response::{Effect, effects, moved, of_component};
use twinscale_reaction::supposed::{Supposed, What, paths};

/// Standard deviations of an interval of 95 %.
const LEARNT_Z: f64 = 1.959_963_984_540_054;
/// What a series' demand would do.
#[derive(Debug)]
pub(super) struct SeriesReaction {
    key: SeriesKey,
    effects: Vec<Effect>,
    pub(super) views: Vec<ReactionView>,
    /// Kinds of events that its own history tells of.
    pub(super) learnt: Vec<(EventKind, Learnt)>,
}

/// A series' history and the objective of its latency, in milliseconds.
type Gathered = (SeriesKey, Option<Observed>, Option<f64>);

/// Finds how the forecast series would answer.
pub(super) async fn reactions(
    service: &Service,
    customer: &CustomerId,
    request: &ForecastRequest,
    (drivers, kinds): (Vec<SupposedDriver>, Vec<EventKind>),
    forecasts: &ForecastReply,
) -> Result<Vec<SeriesReaction>, ApiError> {
    let mut gathered: Vec<Gathered> = Vec::new();
    for forecast in &forecasts.forecasts {
        // One by one, so that the writer gets its turn between them.
        let key = forecast.key.clone();
        let interval = request.interval;
        let found = read(service, customer, |state| gather(state, &key, interval))?;
        gathered.push((key, found.0, found.1));
    }
    let asked = Asked {
        drivers,
        kinds,
        issued_s: request.issued_at.0,
        interval_s: request.interval.0,
        steps: usize::from(request.horizon_steps),
        events: request.events.iter().map(Span::from).collect(),
    };
    let found = tokio::task::spawn_blocking(move || answers(&gathered, &asked)).await;
    found.map_err(|error| {
        tracing::error!(%error, "reactions could not be looked for");
        unavailable("they could not be looked for")
    })?
}

fn unavailable(why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format!("the reactions of demand are not known: {why}"),
        "ask again, or give events a factor and growth in place of drivers",
    )
}

/// What is asked of all series.
struct Asked {
    drivers: Vec<SupposedDriver>,
    /// Kinds of events whose effect is asked.
    kinds: Vec<EventKind>,
    issued_s: i64,
    interval_s: u32,
    steps: usize,
    events: Vec<Span>,
}

fn answers(gathered: &[Gathered], asked: &Asked) -> Result<Vec<SeriesReaction>, ApiError> {
    let (shared, _) = load_shipped_reaction().map_err(|error| unavailable(&error.to_string()))?;
    let one = |(key, observed, objective): &Gathered| {
        answer(&shared, asked, (key, observed.as_ref(), *objective))
    };
    gathered.iter().map(one).collect()
}

fn answer(
    shared: &dyn SharedEffect,
    asked: &Asked,
    (key, observed, objective): (&SeriesKey, Option<&Observed>, Option<f64>),
) -> Result<SeriesReaction, ApiError> {
    let failed = |error: twinscale_reaction::effect::EffectError| unavailable(&error.to_string());
    // A history of which nothing can be learned is as good as none.
    let history = observed.and_then(|observed| History::new(observed.clone()).ok());
    let known = match &history {
        Some(history) => estimate(history, shared, Prior::Shared).map_err(failed)?,
        None => Estimate::unknown(shared.scales(), asked.interval_s),
    };
    let mut supposed = Vec::new();
    for driver in &asked.drivers {
        let what = match driver.what {
            DriverKind::Price => What::Price(driver.value),
            DriverKind::Latency => What::Latency(driver.value),
            DriverKind::Throttled => What::Throttled(driver.value),
            DriverKind::LatencyMs => {
                let objective = objective.ok_or_else(|| no_objective(key))?;
                What::Latency(driver.value / objective.max(1e-6))
            }
        };
        let (start_s, end_s) = span(driver, asked.issued_s);
        supposed.push(Supposed {
            what,
            start_s,
            end_s,
        });
    }
    let prices = observed.map_or(&[][..], |observed| &observed.price);
    let price = prices.iter().rev().flatten().next().copied().unwrap_or(1.0);
    let ahead = (asked.issued_s, asked.interval_s, asked.steps);
    let (today, then) = paths(&known.drivers, price, ahead, &asked.events, &supposed);
    let effects = effects(shared, &known, &today, &then).map_err(failed)?;
    let moved = moved(shared, &today, &then).map_err(failed)?;
    let view = |(component, by): (Component, f64)| {
        let one = &known.components[component.place()];
        view(key, one, of_component(shared, one, by))
    };
    Ok(SeriesReaction {
        key: key.clone(),
        effects,
        views: moved.into_iter().map(view).collect(),
        learnt: learnt_events(shared, &known, &asked.kinds).map_err(failed)?,
    })
}

fn no_objective(key: &SeriesKey) -> ApiError {
    ApiError::invalid(
        format!("{key} has no objective of latency"),
        format!(
            "give its tier service.p99_target_us, send {LATENCY}, or say how many times its objective: x2"
        ),
    )
}

fn view(key: &SeriesKey, one: &ComponentEstimate, effect: Effect) -> ReactionView {
    let name = match one.component {
        Component::LatencyNow => "latency, within hours".to_owned(),
        Component::LatencyLater => "latency, over days".to_owned(),
        Component::ThrottleNow => "throttling, within hours".to_owned(),
        Component::ThrottleLater => "throttling, over days".to_owned(),
        Component::Price => "price".to_owned(),
        Component::Event(kind) => word(kind),
    };
    ReactionView {
        vm_type: key.vm_type.to_string(),
        metric: key.metric.to_string(),
        answers_to: name,
        is_learned: one.is_learned(),
        episodes: one.episodes,
        factor: effect[MIDDLE].exp(),
        lower: effect[0].exp(),
        upper: effect[LEVELS.len() - 1].exp(),
    }
}

/// What the history tells of kinds of events, while they last.
fn learnt_events(
    shared: &dyn SharedEffect,
    known: &Estimate,
    kinds: &[EventKind],
) -> Result<Vec<(EventKind, Learnt)>, twinscale_reaction::effect::EffectError> {
    let mut found = Vec::new();
    for kind in kinds {
        let place = Component::Event(*kind).place();
        let one = &known.components[place];
        if !one.is_learned() {
            continue;
        }
        let mut row = twinscale_reaction::drivers::NORMAL;
        row[place][0] = 1.0;
        let profile = shared.profiles(&[row])?[0][place];
        let half = (LEARNT_Z * one.sd * profile).abs();
        let middle = one.mean * profile;
        let learnt = Learnt {
            events: one.episodes,
            factor: middle.exp(),
            range: ((middle - half).exp(), (middle + half).exp()),
        };
        found.push((*kind, learnt));
    }
    Ok(found)
}

impl SeriesReaction {
    /// Puts what the reaction tells of events beside what patterns tell: where both do, the surer one counts.
    pub(super) fn tell(&self, learnt: &mut Vec<(SeriesKey, EventKind, Learnt)>) {
        let width = |one: &Learnt| (one.range.1 / one.range.0).ln();
        for (kind, own) in &self.learnt {
            let known = learnt.iter_mut();
            let known = known.filter(|(key, other, _)| *key == self.key && other == kind);
            match known.map(|(_, _, known)| known).next() {
                Some(known) if width(own) < width(known) => *known = *own,
                Some(_) => {}
                None => learnt.push((self.key.clone(), *kind, *own)),
            }
        }
    }

    /// Says where each effect comes from.
    pub(super) fn words(&self) -> Vec<String> {
        let word = |one: &ReactionView| {
            let from = match (one.is_learned, one.episodes) {
                (true, count) => format!("learned from {count} of this customer's own"),
                (false, 0) => {
                    "by the shared model of simulated customers: this one's history has none"
                        .to_owned()
                }
                (false, count) => format!(
                    "by the shared model of simulated customers: {count} of this one's own say too little"
                ),
            };
            format!(
                "{} answers to {} with up to x {:.2} ({:.2} to {:.2}), {from}",
                self.key, one.answers_to, one.factor, one.lower, one.upper
            )
        };
        self.views.iter().map(word).collect()
    }
}
