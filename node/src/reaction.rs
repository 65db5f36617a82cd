//! The reaction of demand put together: the environment's queue below simulated customers, and a model of reactions
//! above the environment's stacks.
//!
//! The crates of the two do not know each other; both sides of each interface meet here.

use twinscale_environment::analytic::finite::FiniteRoom;
use twinscale_environment::closed_loop::{DemandReaction, MetStep};
use twinscale_reaction::closed_loop::Service;
use twinscale_reaction::drivers::Met;
use twinscale_reaction::effect::SharedEffect;
use twinscale_reaction::estimate::Estimate;
use twinscale_reaction::response::effects;

/// Places for requests per server, those in service among them.
const ROOM_PER_SERVER: u32 = 8;
/// Promised mean response, in mean service times.
const PROMISED: f64 = 1.3;
/// Latency over its promise of a queue that has no answer.
const LATENCY_MAX: f64 = 16.0;

/// What serves simulated customers: an M/M/c/K queue of the environment's formulas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Station;

impl Service for Station {
    fn meet(&mut self, offered: f64, servers: u32) -> Met {
        let room = servers.saturating_mul(ROOM_PER_SERVER);
        match FiniteRoom::new(servers, room, offered, 1.0) {
            Ok(queue) => Met {
                latency: queue.response_mean() / PROMISED,
                throttled: queue.blocking(),
            },
            // Nothing comes, or there is no server at all.
            Err(_) if offered > 0.0 => Met {
                latency: LATENCY_MAX,
                throttled: 1.0,
            },
            Err(_) => Met {
                latency: 0.0,
                throttled: 0.0,
            },
        }
    }
}

/// A model of reactions as the environment asks for one.
#[derive(Clone, Debug)]
pub struct Responder<'a> {
    /// The shared model.
    pub model: &'a dyn SharedEffect,
    /// What is known of the customer; none = what is believed of any.
    pub estimate: Option<Estimate>,
    /// Which of the five quantiles of an effect demand follows; 2 = the median.
    pub level: usize,
}

impl DemandReaction for Responder<'_> {
    fn factors(&self, met: &[MetStep], step_s: f64) -> Result<Vec<f64>, String> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what fits"
        )]
        let interval_s = step_s.round().clamp(1.0, 86_400.0) as u32;
        let known = self.estimate.clone();
        let known = known.unwrap_or_else(|| Estimate::unknown(self.model.scales(), interval_s));
        let (mut calm, mut memory) = (known.drivers.clone(), known.drivers.clone());
        let (mut today, mut then) = (Vec::new(), Vec::new());
        for step in met {
            today.push(calm.features(1.0, 0, &[]));
            then.push(memory.features(1.0, 0, &[]));
            calm.meet(Some(Met {
                latency: 1.0,
                throttled: 0.0,
            }));
            memory.meet(Some(Met {
                latency: step.latency,
                throttled: step.throttled,
            }));
        }
        let found = effects(self.model, &known, &today, &then);
        let found = found.map_err(|error| error.to_string())?;
        let level = |effect: [f64; 5]| effect.get(self.level).copied().unwrap_or(0.0).exp();
        Ok(found.into_iter().map(level).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinscale_environment::closed_loop::{By, close};
    use twinscale_environment::model::read_model;
    use twinscale_environment::simulation::Load;
    use twinscale_forecast_model::reaction::load_shipped_reaction;

    #[test]
    fn a_queue_says_what_it_is_asked_even_of_nothing() {
        let mut station = Station;
        let calm = station.meet(5.0, 10);
        assert!(calm.latency < 1.0 && calm.throttled < 1e-6, "{calm:?}");
        let full = station.meet(20.0, 10);
        assert!(
            (full.throttled - 0.5).abs() < 0.01 && full.latency > 4.0,
            "{full:?}"
        );
        assert!(station.meet(0.0, 10).throttled.abs() < 1e-12);
        assert!((station.meet(1.0, 0).throttled - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_shipped_model_closes_a_stack_and_leaves_a_calm_one_alone() {
        let text = include_str!("../../samples/models/web-shop.toml");
        let model = read_model(text, "web-shop").expect("a model").model;
        let (shared, _) = load_shipped_reaction().expect("opens");
        let responder = Responder {
            model: &shared,
            estimate: None,
            level: 2,
        };
        let load = |by: f64| Load {
            step_s: 300.0,
            rates: vec![
                ("browse".parse().expect("a name"), vec![96.0 * by; 12]),
                ("buy".parse().expect("a name"), vec![24.0 * by; 12]),
            ],
        };
        let calm = close(&model, &load(0.5), &responder, By::Formulas).expect("closes");
        assert_eq!(calm.with, calm.without);
        let over = close(&model, &load(3.0), &responder, By::Formulas).expect("closes");
        assert!((over.factors[0] - 1.0).abs() < 1e-12, "{over:?}");
        assert!(over.factors[11] < 0.98, "{over:?}");
    }
}
