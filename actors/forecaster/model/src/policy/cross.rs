//! Trains one policy per fold of customers, each on the customers of the other folds.

use super::card::{CARD_VERSION, LIMITS, PolicyCard, PolicyScore};
use super::network::PolicyNetwork;
use super::train::{PolicyProgress, PolicyTrainError, PolicyTrainOptions, train_policy};
use crate::weights::{WeightsError, weights_id};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use twinscale_policy::environment::{Choosing, Setting};
use twinscale_policy::folds::{FoldsError, folds_of};
use twinscale_policy::guard::{Guard, GuardError, Ladder};
use twinscale_policy::policies::{Caution, Guarded, PolicyError};
use twinscale_policy::segments::{Segment, segments};
use twinscale_policy::trace::Trace;

/// Pieces that are held at most: about a gigabyte.
const PIECES_MAX: usize = 100_000;

/// How to train by folds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossOptions {
    /// Folds.
    pub folds: usize,
    /// Pieces of each trace at each price.
    pub pieces_each: usize,
    /// How to train each policy; its seed is the root of everything.
    pub train: PolicyTrainOptions,
    /// How far a policy may go.
    pub guard: Guard,
    /// When its answer counts.
    pub caution: Caution,
}

impl Default for CrossOptions {
    fn default() -> Self {
        Self {
            folds: 5,
            pieces_each: 24,
            train: PolicyTrainOptions::default(),
            guard: Guard::default(),
            caution: Caution::default(),
        }
    }
}

/// Policies by fold.
#[derive(Debug)]
pub struct Crossed {
    /// The fold of each trace.
    pub folds: Vec<usize>,
    /// One policy per fold, trained on the others, with its card.
    pub policies: Vec<(Guarded<PolicyNetwork>, PolicyCard)>,
}

/// Why there are no policies.
#[derive(Debug, thiserror::Error)]
pub enum CrossError {
    /// The customers make no folds.
    #[error(transparent)]
    Folds(#[from] FoldsError),
    /// The guard holds nothing.
    #[error("the guard: {0}")]
    Guard(#[from] GuardError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] PolicyTrainError),
    /// Weights could not be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A trained policy has no answer.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// More pieces than are held.
    #[error(
        "{pieces} pieces of traces: give at most {PIECES_MAX}, with fewer pieces of each trace"
    )]
    Pieces {
        /// How many.
        pieces: usize,
    },
}

/// Trains one policy per fold.
///
/// Cost: minutes on one core per fold at the default options.
///
/// # Errors
/// [`CrossError`] when the folds, the guard or the training fail.
pub fn cross_train(
    traces: &[Trace],
    ladder: &Ladder,
    options: &CrossOptions,
    progress: &mut dyn FnMut(usize, &PolicyProgress),
) -> Result<Crossed, CrossError> {
    options.guard.check()?;
    let pieces = (traces.len() * ladder.len()).saturating_mul(options.pieces_each);
    if pieces > PIECES_MAX {
        return Err(CrossError::Pieces { pieces });
    }
    let of_trace = folds_of(traces, options.folds, options.train.seed)?;
    let mut policies = Vec::new();
    for fold in 0..options.folds {
        let train = PolicyTrainOptions {
            seed: options.train.seed.wrapping_add(fold as u64),
            ..options.train
        };
        let mut rng = ChaCha8Rng::seed_from_u64(train.seed);
        let members: Vec<usize> = (0..traces.len())
            .filter(|at| of_trace[*at] != fold)
            .collect();
        let members = (traces, members.as_slice());
        let known = segments(
            members,
            ladder,
            &options.guard,
            options.pieces_each,
            &mut rng,
        );
        let known: Vec<&Segment> = known.iter().collect();
        let network = train_policy(&known, &train, &mut |one| progress(fold, one))?;
        let policy = Guarded {
            range: network.range(),
            policy: network,
            caution: options.caution,
        };
        let card = card(traces, ladder, options, (fold, &of_trace), &policy)?;
        policies.push((policy, card));
    }
    Ok(Crossed {
        folds: of_trace,
        policies,
    })
}

fn card(
    traces: &[Trace],
    ladder: &Ladder,
    options: &CrossOptions,
    (fold, folds): (usize, &[usize]),
    policy: &Guarded<PolicyNetwork>,
) -> Result<PolicyCard, CrossError> {
    let customers = |is_kept_back: bool| -> Vec<String> {
        let members = traces.iter().zip(folds);
        let members = members.filter(|(_, of)| (**of == fold) == is_kept_back);
        let names: BTreeSet<String> = members
            .map(|(trace, _)| trace.demand().customer.clone())
            .collect();
        names.into_iter().collect()
    };
    let kept_back: Vec<&Trace> = traces
        .iter()
        .zip(folds)
        .filter(|(_, of)| **of == fold)
        .map(|(trace, _)| trace)
        .collect();
    let suites: BTreeSet<&str> = kept_back
        .iter()
        .map(|trace| trace.demand().suite.as_str())
        .collect();
    let mut scores = Vec::new();
    for suite in suites {
        let members = kept_back.iter().copied();
        let members: Vec<&Trace> = members
            .filter(|trace| trace.demand().suite == suite)
            .collect();
        scores.push(PolicyScore {
            suite: suite.to_owned(),
            traces: members.len(),
            saved: saved(&members, ladder, &options.guard, policy)?,
        });
    }
    Ok(PolicyCard {
        card_version: CARD_VERSION,
        weights_id: weights_id(&policy.policy.write()?)?.to_string(),
        seed: options.train.seed,
        rounds: options.train.rounds,
        folds: options.folds,
        fold,
        trained_on: customers(false),
        kept_back: customers(true),
        prices: ladder.prices().to_vec(),
        guard: options.guard,
        caution: options.caution,
        scores,
        limits: LIMITS.iter().map(|limit| (*limit).to_owned()).collect(),
    })
}

/// Share saved of the operator's money at each price.
fn saved(
    traces: &[&Trace],
    ladder: &Ladder,
    guard: &Guard,
    policy: &Guarded<PolicyNetwork>,
) -> Result<Vec<f64>, PolicyError> {
    let mut shares = Vec::new();
    for operator in 0..ladder.len() {
        let (mut kept, mut paid) = (0.0, 0.0);
        for trace in traces {
            let setting = Setting {
                trace,
                ladder,
                guard,
                operator,
            };
            let run = setting.run(policy, &setting.states(), &mut Choosing::Likeliest)?;
            let steps = run.desired.len().max(1) as f64;
            kept += setting.money(&setting.kept()).iter().sum::<f64>() / steps;
            paid += setting.money(&run.desired).iter().sum::<f64>() / steps;
        }
        shares.push(1.0 - paid / kept);
    }
    Ok(shares)
}
