//! Relaxations that get rounded rows until they break none or the time for it is over.

use crate::linear::{Effort, LinearError, Relaxed};
use crate::program::{Cut, Program, Scope};

/// Rounds of rounded rows, and the share of the time that is left for relaxations in which they may begin:
/// they raise the bound, the search for plans needs the time as well.
const CUT_ROUNDS: usize = 6;
const CUT_SHARE: f64 = 0.3;

/// A relaxation with rounded rows.
#[derive(Debug)]
pub(super) struct Tightened {
    pub(super) relaxed: Relaxed,
    /// Dual values before rows were rounded.
    pub(super) plain_duals: Vec<f64>,
    /// New rounded rows by block, with their place among the rows.
    cuts: Vec<(usize, Cut, usize)>,
}

impl Tightened {
    /// Adds the new rounded rows that bind to those that are known, by tier; blocks stand for `tiers`.
    pub(super) fn keep(&self, known: &mut [Vec<Cut>], tiers: &[usize]) {
        for (block, cut, row) in &self.cuts {
            if self.relaxed.duals[*row] > 0.0 {
                known[tiers[*block]].push(*cut);
            }
        }
    }
}

/// Solves a relaxation of the whole horizon and adds the rounded rows that it breaks, in rounds, while time
/// is left for it; `parts` programs share that time, this one too.
pub(super) fn tightened(
    program: &mut Program,
    scope: &Scope<'_>,
    (effort, parts): (&Effort, usize),
    may_go_on: &mut dyn FnMut() -> Option<Effort>,
) -> Result<Tightened, LinearError> {
    let all = may_go_on().and_then(|effort| effort.time);
    let (mut relaxed, mut session) = program.linear.relaxing(effort)?;
    let plain_duals = relaxed.duals.clone();
    let mut cuts = Vec::new();
    for _ in 0..CUT_ROUNDS {
        let on = may_go_on().is_some_and(|left| match (left.time, all) {
            (Some(left), Some(all)) => left > all.mul_f64(1.0 - CUT_SHARE / parts as f64),
            _ => true,
        });
        let first = program.linear.rows();
        for block in 0..if on { program.tiers.len() } else { 0 } {
            let broken = program.broken_cuts(scope, block, &relaxed.columns);
            let rows = program.linear.rows();
            cuts.extend(
                broken
                    .iter()
                    .zip(rows..)
                    .map(|(cut, row)| (block, *cut, row)),
            );
            program.add_cuts(scope, block, &broken);
        }
        if program.linear.rows() == first {
            break;
        }
        let Ok(tighter) = session.again(&program.linear) else {
            break;
        };
        relaxed = tighter;
    }
    // What the last rows are worth is not known where the solver stopped: nothing is a proof as well.
    relaxed.duals.resize(program.linear.rows(), 0.0);
    Ok(Tightened {
        relaxed,
        plain_duals,
        cuts,
    })
}
