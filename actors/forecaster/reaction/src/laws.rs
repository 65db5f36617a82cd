//! Laws by which simulated customers answer: assumptions, each from the literature, drawn anew per customer.
//!
//! - Who waits longer than is usual gives up, up to a share that would give up at any wait: Mandelbaum and
//!   Zeltyn, Service engineering in action: the Palm/Erlang-A queue (2007); Brutlag, Speed matters (2009), also
//!   for that fewer come for weeks after, and that they come back.
//! - Refused requests come again after a back-off, or leave: Brooker, Exponential backoff and jitter (2015).
//! - A price moves demand by a constant elasticity, reached by partial adjustment: Nerlove, The dynamics of
//!   supply (1958).
//! - Events multiply demand before, while and after they last; how much is each customer's own.

use crate::drivers::{COMPONENTS, Component, Features, KINDS, Met, PRICE_MAX, follow};
use crate::effect::{EFFECT_MAX, Profiles};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// What a simulated customer's demand does.
pub trait Answers {
    /// Logarithms of what a step's demand is multiplied by, by component. `features` are those of the step.
    fn effects(&mut self, features: &Features) -> Profiles;

    /// Tells what the step met.
    fn meet(&mut self, met: Met);
}

/// Mean and spread between customers of what events of a kind do, as logarithms, in the order of [`KINDS`].
const EVENTS: [(f64, f64); KINDS.len()] = [
    (-0.30, 0.25),
    (0.35, 0.25),
    (0.10, 0.20),
    (0.20, 0.25),
    (0.00, 0.25),
    (0.00, 0.10),
    (0.00, 0.25),
    (-0.20, 0.25),
];

/// Laws of one customer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Laws {
    /// Share that gives up at any wait, and the logarithm of latency over its objective at which 63 % of them
    /// have.
    pub abandonment: (f64, f64),
    /// Share of refused requests that come again, the share whose customers leave, and for how long, in seconds.
    pub retries: (f64, f64, f64),
    /// How much fewer come after bad latency and after throttling, and how long they stay away, in seconds.
    pub churn: (f64, f64, f64),
    /// Price elasticity, and the time of its adjustment in seconds.
    pub price: (f64, f64),
    /// What events do, by kind.
    pub events: [f64; KINDS.len()],
    /// Shares of an event's effect before and after it.
    pub around: (f64, f64),
}

impl Laws {
    /// Laws of a customer who answers to nothing.
    pub const NONE: Self = Self {
        abandonment: (0.0, 1.0),
        retries: (0.0, 0.0, 300.0),
        churn: (0.0, 0.0, 86_400.0),
        price: (0.0, 86_400.0),
        events: [0.0; KINDS.len()],
        around: (0.0, 0.0),
    };

    /// Draws a customer's laws.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut events = [0.0; KINDS.len()];
        for (event, (mean, sd)) in events.iter_mut().zip(EVENTS) {
            *event = normal(rng, mean, sd);
        }
        Self {
            abandonment: (rng.random_range(0.1..0.6), rng.random_range(0.4..1.2)),
            retries: (
                rng.random_range(0.2..1.2),
                rng.random_range(0.0..0.5),
                rng.random_range(150.0..1_200.0),
            ),
            churn: (
                0.15 * normal(rng, 0.0, 0.5).exp(),
                0.8 * normal(rng, 0.0, 0.5).exp(),
                86_400.0 * rng.random_range(0.25..4.0),
            ),
            price: (
                0.8 * normal(rng, 0.0, 0.5).exp(),
                86_400.0 * rng.random_range(0.3..4.0),
            ),
            events,
            around: (rng.random_range(0.0..0.4), rng.random_range(0.0..0.6)),
        }
    }
}

fn normal(rng: &mut ChaCha8Rng, mean: f64, sd: f64) -> f64 {
    Normal::new(mean, sd).map_or(mean, |law| law.sample(rng))
}

/// A customer who answers by [`Laws`].
#[derive(Clone, Debug)]
pub struct ByLaws {
    laws: Laws,
    step_s: f64,
    waited: f64,
    refused: f64,
    kept_waiting: f64,
    turned_away: f64,
    price: f64,
}

impl ByLaws {
    /// Starts with a customer to whom nothing has happened.
    pub fn new(laws: Laws, step_s: u32) -> Self {
        Self {
            laws,
            step_s: f64::from(step_s.max(1)),
            waited: 0.0,
            refused: 0.0,
            kept_waiting: 0.0,
            turned_away: 0.0,
            price: 0.0,
        }
    }
}

/// Waiting is remembered for so long by who decides whether to stay, in seconds.
const PATIENCE_S: f64 = 600.0;

impl Answers for ByLaws {
    fn effects(&mut self, features: &Features) -> Profiles {
        let Laws {
            abandonment,
            retries,
            churn,
            price,
            events,
            around,
        } = self.laws;
        let price_off = features[Component::Price.place()][0];
        follow(&mut self.price, price_off, self.step_s, price.1);
        let mut effects = [0.0; COMPONENTS];
        let gone = abandonment.0 * (1.0 - (-self.waited / abandonment.1).exp());
        effects[0] = (1.0 - gone).ln();
        effects[1] = -churn.0 * self.kept_waiting;
        effects[2] = (1.0 + (retries.0 - retries.1) * self.refused).ln();
        effects[3] = -churn.1 * self.turned_away;
        effects[4] = -price.0 * self.price.clamp(-PRICE_MAX, PRICE_MAX);
        for (amount, kind) in events.into_iter().zip(KINDS) {
            let place = Component::Event(kind).place();
            let [during, before, after] = features[place];
            effects[place] = amount * during.max(around.0 * before).max(around.1 * after);
        }
        effects.map(|effect| effect.clamp(-EFFECT_MAX, EFFECT_MAX))
    }

    fn meet(&mut self, met: Met) {
        let latency = met.latency.max(1.0).ln();
        follow(&mut self.waited, latency, self.step_s, PATIENCE_S);
        follow(
            &mut self.refused,
            met.throttled,
            self.step_s,
            self.laws.retries.2,
        );
        follow(
            &mut self.kept_waiting,
            latency,
            self.step_s,
            self.laws.churn.2,
        );
        follow(
            &mut self.turned_away,
            met.throttled,
            self.step_s,
            self.laws.churn.2,
        );
    }
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "exact zeros and exact shares are what is promised"
)]
mod tests {
    use super::*;
    use crate::drivers::NORMAL;

    #[test]
    fn retries_raise_load_at_once_and_churn_lowers_it_for_days() {
        let laws = Laws {
            retries: (0.8, 0.0, 300.0),
            churn: (0.2, 0.8, 86_400.0),
            ..Laws::NONE
        };
        let mut customer = ByLaws::new(laws, 300);
        assert_eq!(customer.effects(&NORMAL), [0.0; COMPONENTS]);
        for _ in 0..12 {
            customer.meet(Met {
                latency: 3.0,
                throttled: 0.4,
            });
        }
        let at_once = customer.effects(&NORMAL);
        assert!((at_once[2] - 1.32_f64.ln()).abs() < 0.01, "{at_once:?}");
        for _ in 0..36 {
            customer.meet(Met::default());
        }
        let later = customer.effects(&NORMAL);
        assert!(later[2].abs() < 1e-3 && later[3] < -0.005, "{later:?}");
    }

    #[test]
    fn elasticity_is_reached_with_time() {
        let laws = Laws {
            price: (1.5, 86_400.0),
            ..Laws::NONE
        };
        let mut customer = ByLaws::new(laws, 3_600);
        let mut dear = NORMAL;
        dear[Component::Price.place()][0] = 1.1_f64.ln();
        let first = customer.effects(&dear)[4];
        let last = (0..240).fold(first, |_, _| customer.effects(&dear)[4]);
        assert!(first < 0.0 && first > 0.1 * last, "{first}");
        assert!((last + 1.5 * 1.1_f64.ln()).abs() < 1e-4, "{last}");
    }
}
