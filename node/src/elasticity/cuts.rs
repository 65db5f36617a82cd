//! Whether weights have seen what they are to be scored on.
//!
//! The card names series by dataset as `customer/vm_type/metric`; a suite names its traces in its own way.
//! A trace is taken to be a series of the card when the dataset is the same and the parts of its name that
//! tell series of that dataset apart are in the trace's name. Where that is unsure both are compared, so
//! the check errs on refusing.

use super::suite::{Suite, SuiteTrace};
use std::collections::BTreeSet;
use twinscale_forecaster::card::{LeakError, WeightsCard};

/// Checks that no trace's window begins before the end of what the weights were trained on.
///
/// # Errors
/// [`LeakError`] for the first trace that was trained on too far.
pub fn check_cuts(card: &WeightsCard, suites: &[Suite]) -> Result<(), LeakError> {
    for suite in suites {
        for trace in &suite.traces {
            let first_s = suite.time_s(trace, trace.scored_from);
            for series in same_source(card, trace) {
                card.check_cut(&trace.dataset, series, first_s)?;
            }
        }
    }
    Ok(())
}

/// Series of the card that a trace may be.
pub fn same_source<'card>(card: &'card WeightsCard, trace: &SuiteTrace) -> Vec<&'card str> {
    let Some(dataset) = card.datasets.get(&trace.dataset) else {
        return Vec::new();
    };
    let words = words(&trace.name);
    let known: Vec<&str> = dataset.cut_s.keys().map(String::as_str).collect();
    let customers: BTreeSet<&str> = known.iter().map(|series| part(series, 0)).collect();
    known
        .iter()
        .copied()
        .filter(|series| {
            let customer = part(series, 0);
            let vm_types: BTreeSet<&str> = known
                .iter()
                .filter(|other| part(other, 0) == customer)
                .map(|other| part(other, 1))
                .collect();
            let same_customer = customers.len() == 1 || names(&words, customer);
            let same_type = vm_types.len() == 1 || names(&words, part(series, 1));
            same_customer && same_type
        })
        .collect()
}

fn part(series: &str, at: usize) -> &str {
    series.split('/').nth(at).unwrap_or_default()
}

/// Lower-case words of letters and digits.
fn words(name: &str) -> BTreeSet<String> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Whether the last word of a part, which tells it apart, is among the words.
fn names(words: &BTreeSet<String>, part: &str) -> bool {
    part.rsplit(|letter: char| !letter.is_ascii_alphanumeric())
        .find(|word| !word.is_empty())
        .is_some_and(|word| words.contains(&word.to_ascii_lowercase()))
}
