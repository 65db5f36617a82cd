//! Ways along calls.

use std::collections::BTreeSet;

/// Finds all places that calls lead to from a place, itself included.
pub(crate) fn reached(calls: &[(usize, usize)], root: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([root]);
    let mut next = vec![root];
    while let Some(at) = next.pop() {
        for (_, to) in calls.iter().filter(|(from, _)| *from == at) {
            if seen.insert(*to) {
                next.push(*to);
            }
        }
    }
    seen
}
