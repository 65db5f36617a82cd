//! Which cells of a table may be told, so that none with fewer than *k* users can be inferred from the others.
//!
//! A table is the total of an interval and its cells, one per cohort (or action), and one of users without any, which
//! is never told. A cell with 1 to *k* - 1 users is *primary*: not told. If only it were missing, it were the total
//! less the others; so further cells are withheld (*complementary* suppression: L. H. Cox, "Suppression methodology
//! and statistical disclosure control", JASA 75, 1980), the smallest first, until an attacker cannot place any primary
//! cell within *k* / 2. The attacker is taken to know the most: the exact users of every told cell, that nobody is in two
//! cells, and this rule. If even all cells together do not hide it, the total is withheld too.

/// What may be told of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the total may be told.
    pub tells_total: bool,
    /// For each cell, whether it may be told; a cell of nobody never is, so that its absence says nothing.
    pub tells_cell: Vec<bool>,
}

/// Decides over a table: `total` distinct users, the users of each cell, and those of no cell.
pub fn decide(total: u64, cells: &[u64], without: u64, threshold: u64) -> Decision {
    let mut decision = Decision {
        tells_total: false,
        tells_cell: vec![false; cells.len()],
    };
    if total < threshold {
        return decision;
    }
    decision.tells_total = true;
    // Cells that may be told, smallest first; of equals the first.
    let mut tellable: Vec<(u64, usize)> = (0..)
        .zip(cells)
        .map(|(place, users)| (*users, place))
        .collect();
    tellable.retain(|(users, _)| *users >= threshold);
    tellable.sort_unstable();
    let primary: Vec<u64> = cells
        .iter()
        .copied()
        .filter(|users| (1..threshold).contains(users))
        .collect();
    let most_withheld = tellable.len();
    let withheld = (0..=most_withheld).find(|withheld| {
        let (hidden, told) = tellable.split_at(*withheld);
        let hidden: Vec<u64> = hidden.iter().map(|(users, _)| *users).collect();
        let least_told = told.first().map(|(users, _)| *users);
        is_hidden(&primary, &hidden, least_told, without, threshold)
    });
    decision.tells_total = withheld.is_some();
    for (_, place) in tellable.into_iter().skip(withheld.unwrap_or(most_withheld)) {
        if let Some(tells) = decision.tells_cell.get_mut(place) {
            *tells = true;
        }
    }
    decision
}

/// Whether every primary cell could be as far apart as *k* / 2, for one who knows the sum of all hidden cells.
fn is_hidden(
    primary: &[u64],
    withheld: &[u64],
    least_told: Option<u64>,
    without: u64,
    threshold: u64,
) -> bool {
    if primary.is_empty() {
        return withheld.is_empty();
    }
    let sum = |cells: &[u64]| {
        cells
            .iter()
            .fold(0_u64, |sum, users| sum.saturating_add(*users))
    };
    let hidden = sum(primary)
        .saturating_add(sum(withheld))
        .saturating_add(without);
    let others = primary.len() as u64 - 1;
    // A withheld cell has at least k users, and at most as many as the least that was told.
    let least_of_others = (withheld.len() as u64).saturating_mul(threshold);
    let unbounded = without > 0 || (least_told.is_none() && !withheld.is_empty());
    let lowest = if unbounded {
        0
    } else {
        let most_withheld = least_told
            .unwrap_or(0)
            .saturating_mul(withheld.len() as u64);
        let most_of_others = others
            .saturating_mul(threshold - 1)
            .saturating_add(most_withheld);
        hidden.saturating_sub(most_of_others)
    };
    let highest = hidden.saturating_sub(least_of_others).min(threshold - 1);
    highest.saturating_sub(lowest) >= (threshold / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_small_cell_takes_a_larger_one_with_it() {
        // 5 alone would be 75 - 30 - 40; with 30 it is anything below 10.
        let decision = decide(75, &[5, 30, 40], 0, 10);
        assert_eq!(decision.tells_cell, [false, false, true]);
        assert!(decision.tells_total);
    }

    #[test]
    fn a_cell_that_the_rule_itself_would_tell_is_hidden_further() {
        // 12 is the smallest: hiding it next to 12 would say that it has 10 to 12, so that 5 would be 5 to 7.
        let decision = decide(57, &[5, 12, 12, 28], 0, 10);
        assert_eq!(decision.tells_cell, [false, false, false, true]);
        // Nothing but small cells, whose sum tells both.
        assert!(!decide(18, &[9, 9], 0, 10).tells_total);
        // A sum that tells nothing.
        assert!(decide(12, &[4, 4, 4], 0, 10).tells_total);
    }

    #[test]
    fn large_cells_are_told_and_few_users_are_not() {
        assert_eq!(
            decide(75, &[25, 50, 0], 0, 10).tells_cell,
            [true, true, false]
        );
        assert_eq!(decide(80, &[25, 50], 5, 10).tells_cell, [true, true]);
        let few = decide(9, &[9], 0, 10);
        assert!(!few.tells_total && few.tells_cell == [false]);
        // Users of no cell hide the small one: how many they are is never told.
        assert_eq!(decide(100, &[5, 50], 45, 10).tells_cell, [false, true]);
    }

    /// Every value that a primary cell could have, by trying all tables of disjoint cells.
    fn possible(
        place: usize,
        cells: &[u64],
        told: &[bool],
        total: u64,
        threshold: u64,
    ) -> Vec<u64> {
        let least_told = cells
            .iter()
            .zip(told)
            .filter(|(_, told)| **told)
            .map(|(users, _)| *users)
            .min();
        let ranges: Vec<(u64, u64)> = cells
            .iter()
            .zip(told)
            .map(|(users, told)| match (told, *users >= threshold) {
                (true, _) => (*users, *users),
                (false, true) => (threshold, least_told.unwrap_or(total)),
                (false, false) if *users == 0 => (0, 0),
                (false, false) => (0, threshold - 1),
            })
            .collect();
        let fits = |value: u64| {
            let rest = total.checked_sub(value);
            let others = ranges.iter().enumerate().filter(|(at, _)| *at != place);
            let (low, high) = others.fold((0, 0), |(low, high), (_, range)| {
                (low + range.0, high + range.1)
            });
            rest.is_some_and(|rest| (low..=high).contains(&rest))
        };
        (0..threshold).filter(|value| fits(*value)).collect()
    }

    proptest! {
        #[test]
        fn no_small_cell_can_be_placed(
            cells in proptest::collection::vec(0_u64..30, 1..7),
            threshold in 3_u64..12,
        ) {
            let total: u64 = cells.iter().sum();
            let decision = decide(total, &cells, 0, threshold);
            prop_assert!(decision.tells_total || decision.tells_cell.iter().all(|told| !told) );
            for (place, users) in cells.iter().enumerate() {
                prop_assert!(!decision.tells_cell[place] || *users >= threshold);
                if decision.tells_total && (1..threshold).contains(users) {
                    let values = possible(place, &cells, &decision.tells_cell, total, threshold);
                    let width = values.last().zip(values.first()).map_or(0, |(last, first)| last - first);
                    prop_assert!(width >= (threshold / 2).max(1), "{cells:?} {decision:?} {values:?}");
                }
            }
        }
    }
}
