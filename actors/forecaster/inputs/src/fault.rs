//! What could not be used: counted by reason, with place and shape of the first example.
//!
//! Invariant: no text of a customer is kept, only its shape: each run of letters is `a`, each run of digits `0`.

use std::collections::BTreeMap;

/// Longest shape that is kept, in characters.
pub const SHAPE_CHARS_MAX: usize = 96;

/// How often a reason was met, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCount {
    /// How often.
    pub count: u64,
    /// Line or index of the first, counted from 1.
    pub first_place: u64,
    /// Shape of the first, see [`shape_of`].
    pub first_shape: String,
}

/// Counts by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults<Reason> {
    by_reason: BTreeMap<Reason, FaultCount>,
}

impl<Reason> Default for Faults<Reason> {
    fn default() -> Self {
        Self {
            by_reason: BTreeMap::new(),
        }
    }
}

impl<Reason: Ord + Copy> Faults<Reason> {
    /// Counts one.
    pub fn note(&mut self, reason: Reason, place: u64, text: &[u8]) {
        let noted = self.by_reason.entry(reason).or_insert_with(|| FaultCount {
            count: 0,
            first_place: place,
            first_shape: shape_of(text),
        });
        noted.count = noted.count.saturating_add(1);
    }

    /// Lists what was met, in the order of the reasons.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, &FaultCount)> {
        self.by_reason
            .iter()
            .map(|(reason, noted)| (*reason, noted))
    }

    /// Counts one reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.by_reason.get(&reason).map_or(0, |noted| noted.count)
    }

    /// Counts all.
    pub fn total(&self) -> u64 {
        self.by_reason
            .values()
            .fold(0, |sum, noted| sum.saturating_add(noted.count))
    }

    /// Tells whether there was none.
    pub fn is_empty(&self) -> bool {
        self.by_reason.is_empty()
    }
}

/// Describes a text without repeating it: `user bob, 17` is `a a, 0`. Bytes outside ASCII count as letters, control
/// characters as `?`.
///
/// ```
/// assert_eq!(twinscale_inputs::fault::shape_of(b"<34>Oct 11 22:14:15 host su:"), "<0>a 0 0:0:0 a a:");
/// ```
pub fn shape_of(text: &[u8]) -> String {
    let mut shape = String::new();
    let mut previous = '\0';
    for byte in text {
        let class = match byte {
            b'0'..=b'9' => '0',
            b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => 'a',
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        };
        let is_run = class == previous && matches!(class, '0' | 'a' | '?' | ' ');
        previous = class;
        if is_run {
            continue;
        }
        if shape.len() == SHAPE_CHARS_MAX {
            shape.push_str("...");
            break;
        }
        shape.push(class);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_example_stays_and_all_are_counted() {
        let mut faults = Faults::default();
        faults.note('t', 3, b"alice 1");
        faults.note('t', 9, b"bob");
        assert_eq!((faults.count('t'), faults.total()), (2, 2));
        let (_, first) = faults.iter().next().expect("one reason");
        assert_eq!((first.first_place, first.first_shape.as_str()), (3, "a 0"));
    }

    proptest! {
        #[test]
        fn a_shape_repeats_no_letter_and_is_short(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let shape = shape_of(&text);
            prop_assert!(shape.len() <= SHAPE_CHARS_MAX + 3);
            prop_assert!(!shape.contains("aa") && !shape.contains("00"));
            prop_assert!(shape.chars().all(|c| c == 'a' || c == '0' || !c.is_alphanumeric()));
        }
    }
}
