//! Notices that a series has changed its ways, so that what was learnt before counts less.
//!
//! The loss of each back-cast is compared with the usual one. Several in a row that are far above it are no
//! bad day but another regime: after a move to another platform, a new customer behind the same name, a
//! changed unit. What was learnt then loses most of its weight, and the new loss becomes the usual one.
//! Sources: Page (1954) for waiting for a run of surprises; the discounted mean as in Gama et al. (2004).
//!
//! Invariant: the state is a function of the losses, and learning one by one or many at once gives the same.

use crate::stored::v2;

/// A loss above this many usual ones is a surprise.
const SURPRISE: f64 = 2.5;
/// Surprises in a row that make a change: with two a day, four days and a half, so that no weekend is one.
const RUN: u8 = 9;
/// Share of the usual loss that is left when the next one is taken.
const KEPT: f64 = 0.95;
/// Losses before which nothing is usual yet.
const KNOWN_MIN: u8 = 12;

/// How much faster is learnt at the first origin.
const HASTE: f64 = 4.0;
/// Share of what was learnt that is left after a change.
pub(crate) const KEPT_AFTER_CHANGE: f64 = 0.2;

/// What is usual, and whether it still is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Regime(v2::Regime);

impl Regime {
    pub(crate) fn restore(stored: v2::Regime) -> Self {
        if stored.usual_loss.is_finite() && stored.usual_loss >= 0.0 {
            Self(stored)
        } else {
            Self::default()
        }
    }

    pub(crate) fn store(self) -> v2::Regime {
        self.0
    }

    /// By how much faster than later is learnt while little is known.
    pub(crate) fn haste(self) -> f64 {
        let known = f64::from(self.0.known) / f64::from(KNOWN_MIN);
        1.0 + HASTE * (1.0 - known).max(0.0)
    }

    /// What is usual once `loss` counts as well.
    pub(crate) fn usual_with(self, loss: f64) -> f64 {
        let Self(state) = self;
        let known = f64::from(state.known);
        if state.known < KNOWN_MIN {
            (known * state.usual_loss + loss) / (known + 1.0)
        } else {
            KEPT * state.usual_loss + (1.0 - KEPT) * loss
        }
    }

    /// Takes the loss of an origin; tells whether the series has changed its ways by now.
    pub(crate) fn changed_with(&mut self, loss: f64, at_s: i64) -> bool {
        let state = &mut self.0;
        if state.known < KNOWN_MIN {
            state.known += 1;
            let share = 1.0 / f64::from(state.known);
            state.usual_loss += share * (loss - state.usual_loss);
            return false;
        }
        if loss <= SURPRISE * state.usual_loss {
            state.surprises = 0;
            state.usual_loss = KEPT * state.usual_loss + (1.0 - KEPT) * loss;
            return false;
        }
        state.surprises += 1;
        if state.surprises < RUN {
            return false;
        }
        *state = v2::Regime {
            usual_loss: loss,
            known: 1,
            surprises: 0,
            changed_s: Some(at_s),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(losses: impl IntoIterator<Item = f64>) -> (Regime, usize) {
        let mut regime = Regime::default();
        let mut changes = 0;
        for (at, loss) in (0..).zip(losses) {
            changes += usize::from(regime.changed_with(loss, at));
        }
        (regime, changes)
    }

    #[test]
    fn a_lasting_rise_is_a_change_and_a_bad_weekend_is_none() {
        let calm = || std::iter::repeat_n(1.0, 40);
        let (regime, changes) = after(calm().chain(std::iter::repeat_n(9.0, 6)).chain(calm()));
        assert_eq!((changes, regime.store().changed_s), (0, None));
        let (regime, changes) = after(calm().chain(std::iter::repeat_n(9.0, 40)));
        assert_eq!((changes, regime.store().changed_s), (1, Some(48)));
        assert!((regime.store().usual_loss - 9.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_stored_goes_on_and_nonsense_begins_anew() {
        let (regime, _) = after([1.0, 2.0, 3.0]);
        assert_eq!(Regime::restore(regime.store()), regime);
        let broken = v2::Regime {
            usual_loss: f64::NAN,
            ..regime.store()
        };
        assert_eq!(Regime::restore(broken), Regime::default());
    }
}
