//! The least loaded of many, in logarithmic time.

/// A tournament over keys: the winner is the place with the least key, the first among equals.
#[derive(Clone, Debug, Default)]
pub(super) struct Least {
    /// Places that there are.
    places: usize,
    /// Leaves, a power of two.
    leaves: usize,
    /// Keys by place; infinite where the place must not win.
    keys: Vec<f64>,
    /// Winners of the inner nodes, the root at 1.
    winners: Vec<u32>,
}

impl Least {
    /// Makes a tournament of keys.
    pub(super) fn new(keys: Vec<f64>) -> Self {
        let places = keys.len();
        let leaves = places.next_power_of_two().max(1);
        let mut found = Self {
            places,
            leaves,
            keys,
            winners: vec![0; 2 * leaves],
        };
        for leaf in 0..leaves {
            found.winners[leaves + leaf] = u32::try_from(leaf).unwrap_or(u32::MAX);
        }
        for node in (1..leaves).rev() {
            found.play(node);
        }
        found
    }

    fn key(&self, place: u32) -> f64 {
        self.keys
            .get(place as usize)
            .copied()
            .unwrap_or(f64::INFINITY)
    }

    fn better(&self, left: u32, right: u32) -> u32 {
        if self.key(right) < self.key(left) {
            right
        } else {
            left
        }
    }

    fn play(&mut self, node: usize) {
        self.winners[node] = self.better(self.winners[2 * node], self.winners[2 * node + 1]);
    }

    /// Sets the key of a place.
    pub(super) fn set(&mut self, place: usize, key: f64) {
        self.keys[place] = key;
        let mut node = self.leaves.midpoint(place);
        while node >= 1 {
            self.play(node);
            node /= 2;
        }
    }

    /// The place with the least key among all; `None` where none may win.
    pub(super) fn least(&self) -> Option<usize> {
        let winner = self.winners[1.min(self.winners.len() - 1)];
        (self.places > 0 && self.key(winner).is_finite()).then_some(winner as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::Least;
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_winner_is_the_first_of_the_least(
            keys in proptest::collection::vec(0_u8..9, 1..40),
            changes in proptest::collection::vec((0_usize..40, 0_u8..9), 0..40),
        ) {
            let mut keys: Vec<f64> = keys
                .iter()
                .map(|key| if *key == 8 { f64::INFINITY } else { f64::from(*key) })
                .collect();
            let mut least = Least::new(keys.clone());
            for (place, key) in changes {
                let place = place % keys.len();
                keys[place] = f64::from(key);
                least.set(place, f64::from(key));
                let best = keys.iter().copied().fold(f64::INFINITY, f64::min);
                prop_assert_eq!(least.least(), keys.iter().position(|key| *key <= best));
            }
        }
    }

    #[test]
    fn nobody_wins_where_nobody_may() {
        assert_eq!(Least::new(Vec::new()).least(), None);
        assert_eq!(Least::new(vec![f64::INFINITY; 3]).least(), None);
    }
}
