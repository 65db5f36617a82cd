//! Splits by customer.

use crate::trace::Trace;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Fewest and most folds.
pub const FOLDS_MIN: usize = 2;
/// Most folds.
pub const FOLDS_MAX: usize = 64;

/// Why there are no folds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FoldsError {
    /// The number is no number of folds.
    #[error(
        "{folds} folds for {customers} customers: give {FOLDS_MIN} to {FOLDS_MAX}, and no more than there are customers"
    )]
    Count {
        /// Folds asked for.
        folds: usize,
        /// Customers there are.
        customers: usize,
    },
}

/// The fold of each trace, given as suite and customer.
///
/// All traces of a customer are in one fold; each suite's customers are spread over the folds.
///
/// # Errors
/// [`FoldsError`] when there are too few or too many folds.
pub fn folds(traces: &[(&str, &str)], count: usize, seed: u64) -> Result<Vec<usize>, FoldsError> {
    let mut suite_of: BTreeMap<&str, &str> = BTreeMap::new();
    for (suite, customer) in traces {
        suite_of.entry(customer).or_insert(suite);
    }
    let customers = suite_of.len();
    if !(FOLDS_MIN..=FOLDS_MAX).contains(&count) || customers < count {
        return Err(FoldsError::Count {
            folds: count,
            customers,
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    let suites: BTreeSet<&str> = suite_of.values().copied().collect();
    let mut next = 0;
    for suite in suites {
        let of_suite = suite_of.iter().filter(|(_, other)| **other == suite);
        let mut members: Vec<&str> = of_suite.map(|(customer, _)| *customer).collect();
        members.shuffle(&mut rng);
        for customer in members {
            fold_of.insert(customer, next % count);
            next += 1;
        }
    }
    let fold = |(_, customer): &(&str, &str)| fold_of.get(customer).copied().unwrap_or(0);
    Ok(traces.iter().map(fold).collect())
}

/// The fold of each trace, by its suite and customer; see [`folds`].
///
/// # Errors
/// [`FoldsError`] when there are too few or too many folds.
pub fn folds_of(traces: &[Trace], count: usize, seed: u64) -> Result<Vec<usize>, FoldsError> {
    let owners: Vec<(&str, &str)> = traces
        .iter()
        .map(|trace| {
            let demand = trace.demand();
            (demand.suite.as_str(), demand.customer.as_str())
        })
        .collect();
    folds(&owners, count, seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_customer_is_in_one_fold_and_every_fold_has_one(
            owners in prop::collection::vec(0_u8..30, 10..80),
            count in 2_usize..6,
            seed in any::<u64>(),
        ) {
            let names: Vec<String> = owners.iter().map(u8::to_string).collect();
            let suites = ["hourly", "minute"];
            let traces: Vec<(&str, &str)> = names
                .iter()
                .enumerate()
                .map(|(at, name)| (suites[at % 2], name.as_str()))
                .collect();
            let customers = names.iter().collect::<BTreeSet<_>>().len();
            prop_assume!(customers >= count);
            let found = folds(&traces, count, seed).expect("enough customers");
            let mut of: BTreeMap<&str, usize> = BTreeMap::new();
            for ((_, customer), fold) in traces.iter().zip(&found) {
                prop_assert!(*of.entry(customer).or_insert(*fold) == *fold);
            }
            let used: BTreeSet<usize> = found.into_iter().collect();
            prop_assert_eq!(used.len(), count);
        }
    }

    #[test]
    fn more_folds_than_customers_are_refused() {
        let refused = folds(&[("hourly", "a"), ("hourly", "a")], 2, 1);
        assert_eq!(
            refused,
            Err(FoldsError::Count {
                folds: 2,
                customers: 1
            })
        );
    }
}
