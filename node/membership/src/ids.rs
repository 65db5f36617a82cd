//! Ids of members and their incarnations.

use std::fmt;
use std::str::FromStr;

use twinscale_protocol::NodeNumber;

/// Reads the one spelling of a node's number that its `Display` writes, so that one member has one name in
/// gossip.
pub(crate) fn member_from_canonical(text: &str) -> Option<NodeNumber> {
    let id = u64::from_str(text).ok()?;
    (id.to_string() == text).then_some(NodeNumber(id))
}

/// One life of a node's process; a later start has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Incarnation {
    /// Numbers a start: the time, but always above the `previous` life, which the node keeps on disk.
    ///
    /// A number that is used twice would let an older state of the node hide its newer one.
    #[must_use]
    pub fn starting(previous: Option<Self>, unix_ms: u64) -> Self {
        let least = previous.map_or(1, |Self(number)| number.saturating_add(1));
        Self(unix_ms.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_rises_also_when_the_clock_went_back() {
        let first = Incarnation::starting(None, 1_000);
        let second = Incarnation::starting(Some(first), 400);
        assert_eq!((first, second), (Incarnation(1_000), Incarnation(1_001)));
        assert_eq!(
            Incarnation::starting(Some(second), 5_000),
            Incarnation(5_000)
        );
    }

    #[test]
    fn a_member_has_one_spelling() {
        assert_eq!(member_from_canonical("17"), Some(NodeNumber(17)));
        for other in [
            "",
            "017",
            "+17",
            " 17",
            "17 ",
            "x",
            "-1",
            "18446744073709551616",
        ] {
            assert_eq!(member_from_canonical(other), None, "{other}");
        }
    }
}
