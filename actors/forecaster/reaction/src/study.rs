//! Simulated customers to learn from, and to be kept back.

use crate::closed_loop::{Scene, Service, Simulated, simulate};
use crate::effect::{EffectError, SharedEffect};
use crate::estimate::{Prior, estimate};
use crate::evaluate::{
    Interval, Score, advantage, affected, cut_of, learned_effects, score, shared_effects,
};
use crate::history::History;
use crate::laws::{ByLaws, Laws};
use crate::response::effects;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Customers of a population at most: each takes a few megabytes.
pub const CUSTOMERS_MAX: usize = 2_000;
/// Effects from here on are asked whether they lie in their range.
const COUNTED: f64 = 0.02;
/// Every so many steps of a history are asked.
const ASKED: usize = 7;

/// A population of customers with laws of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Population {
    /// Root of everything random.
    pub seed: u64,
    /// Length of a step, in seconds.
    pub interval_s: u32,
    /// Steps of each customer.
    pub steps: usize,
}

impl Population {
    /// One customer; the same number is the same customer, whoever else there is.
    pub fn customer(&self, number: u64, service: &mut dyn Service) -> Simulated {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let laws = Laws::draw(&mut rng);
        let scene = Scene::draw(self.interval_s, self.steps, &mut rng);
        let mut answers = ByLaws::new(laws, self.interval_s);
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number);
        simulate(&scene, &mut answers, service, seed)
    }
}

/// What a model is worth on customers that it was not made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// Customers.
    pub customers: usize,
    /// Share of the error of demand an hour ahead, in affected steps, that goes away with each customer's own
    /// scales.
    pub own: Interval,
    /// The same with the shared model alone.
    pub shared: Interval,
    /// Mean miss of the true effect, a logarithm, over all steps behind the cut: own, shared, and without any.
    pub effect_missed: [f64; 3],
    /// Share of true effects of at least 2 % inside their range of 90 %: own.
    pub inside: f64,
}

/// Why a model's worth is not known.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WorthError {
    /// It has no answer.
    #[error(transparent)]
    Effect(#[from] EffectError),
    /// Nothing happened to anybody.
    #[error(
        "none of {customers} customers has a step to judge by: give more customers or longer histories"
    )]
    Nothing {
        /// How many there are.
        customers: usize,
    },
}

/// Judges a model on simulated customers, of whom the truth is known.
///
/// # Errors
/// [`WorthError`].
pub fn worth(customers: &[Simulated], shared: &dyn SharedEffect) -> Result<Worth, WorthError> {
    let (mut own_scores, mut shared_scores) = (Vec::new(), Vec::new());
    let (mut missed, mut steps) = ([0.0; 3], 0.0);
    let (mut inside, mut counted) = (0.0, 0.0);
    for customer in customers {
        let Ok(history) = History::new(customer.observed.clone()) else {
            continue;
        };
        let cut = cut_of(&history);
        let own = learned_effects(&history, shared, cut)?;
        let all = shared_effects(&history, shared)?;
        let sides = [own.as_slice(), all.as_slice()];
        let is_judged = affected(&sides);
        let ahead = (3_600 / history.interval_s().max(1)).max(1) as usize;
        own_scores.push(score(&history, &own, (cut, ahead), &is_judged));
        shared_scores.push(score(&history, &all, (cut, ahead), &is_judged));
        let truth = |step: usize| customer.effects[step].iter().sum::<f64>();
        for step in cut..history.steps() {
            let truth = truth(step);
            missed[0] += (own[step] - truth).abs();
            missed[1] += (all[step] - truth).abs();
            missed[2] += truth.abs();
            steps += 1.0;
        }
        let Ok(before) = history.until(cut) else {
            continue;
        };
        let found = estimate(&before, shared, Prior::Shared)?;
        let rows: Vec<_> = (cut..history.steps()).step_by(ASKED).collect();
        let then: Vec<_> = rows.iter().map(|step| customer.features[*step]).collect();
        let normal = vec![crate::drivers::NORMAL; then.len()];
        let ranges = effects(shared, &found, &normal, &then)?;
        for (step, range) in rows.iter().zip(ranges) {
            let truth = truth(*step);
            if truth.abs() >= COUNTED {
                counted += 1.0;
                inside += f64::from(u8::from(range[0] <= truth && truth <= range[4]));
            }
        }
    }
    let nothing = WorthError::Nothing {
        customers: customers.len(),
    };
    let gain = |scores: &[Score]| advantage(scores, 1).ok_or_else(|| nothing.clone());
    Ok(Worth {
        customers: own_scores.len(),
        own: gain(&own_scores)?,
        shared: gain(&shared_scores)?,
        effect_missed: missed.map(|sum| sum / f64::max(steps, 1.0)),
        inside: inside / f64::max(counted, 1.0),
    })
}
