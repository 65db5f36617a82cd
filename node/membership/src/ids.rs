//! Ids of clusters, members and their incarnations.

use std::fmt;
use std::str::FromStr;

/// Longest cluster id, in bytes: a DNS label.
const CLUSTER_ID_BYTES_MAX: usize = 63;

/// Name of a cluster; datagrams of another one are refused, whatever their key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

/// Why a text is no cluster id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cluster id `{value}` is not valid: use 1 to {CLUSTER_ID_BYTES_MAX} characters of a-z, 0-9 and `-`"
)]
pub struct ClusterIdError {
    /// What was given, cut to a printable length.
    pub value: String,
}

impl ClusterId {
    /// Checks a text and makes an id of it.
    ///
    /// # Errors
    /// [`ClusterIdError`] with the rule that the text breaks.
    pub fn new(value: impl Into<String>) -> Result<Self, ClusterIdError> {
        let value = value.into();
        let allowed = |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'-';
        if (1..=CLUSTER_ID_BYTES_MAX).contains(&value.len()) && value.bytes().all(allowed) {
            Ok(Self(value))
        } else {
            let value = value.chars().take(CLUSTER_ID_BYTES_MAX).collect();
            Err(ClusterIdError { value })
        }
    }

    /// Reads the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of a node in its cluster, given once and kept over restarts; consensus knows it by the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MemberId {
    /// Reads the one spelling that [`fmt::Display`] writes, so that one member has one name in gossip.
    pub(crate) fn from_canonical(text: &str) -> Option<Self> {
        let id = u64::from_str(text).ok()?;
        (id.to_string() == text).then_some(Self(id))
    }
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
        assert_eq!(MemberId::from_canonical("17"), Some(MemberId(17)));
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
            assert_eq!(MemberId::from_canonical(other), None, "{other}");
        }
    }

    #[test]
    fn a_cluster_id_is_a_plain_label() {
        assert!(ClusterId::new("prod-eu-1").is_ok());
        for bad in ["", "Prod", "a b", "a/b", &"x".repeat(64)] {
            let refused = ClusterId::new(bad).expect_err("refused");
            assert!(refused.to_string().contains("use 1 to 63"), "{refused}");
        }
    }
}
