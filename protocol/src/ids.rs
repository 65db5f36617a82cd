//! Typed identifiers, all declared here.
//!
//! Invariant: a value of an id type has passed its rule, also when it came off the wire.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest textual id, in bytes: a DNS label, so that ids fit names, labels and paths of other systems.
pub const ID_BYTES_MAX: usize = 63;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{value}` is not valid: use {rule}")]
pub struct ParseIdError {
    /// What was asked for, such as `customer id`.
    pub kind: &'static str,
    /// What was given, cut to a printable length.
    pub value: String,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text and makes an id of it.
            ///
            /// # Errors
            /// [`ParseIdError`] with the rule that the text breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, ParseIdError> {
                let value = value.into();
                let allowed: fn(char) -> bool = $allowed;
                let fits = (1..=ID_BYTES_MAX).contains(&value.len()) && value.chars().all(allowed);
                // `.` and `..` mean something to file systems.
                if fits && !value.starts_with('.') {
                    Ok(Self(value))
                } else {
                    let value = value.chars().take(ID_BYTES_MAX).collect();
                    Err(ParseIdError { kind: $kind, value, rule: $rule })
                }
            }

            /// Reads the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// A customer: the tenant that owns demand; one twin each.
    CustomerId,
    "customer id",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);
text_id!(
    /// A VM type of a provider or pool, such as `m5.large` or `typeB`.
    VmTypeId,
    "VM type",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A metric, such as `vm_count`.
    MetricName,
    "metric name",
    "1 to 63 of a-z, 0-9 and _",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
);
text_id!(
    /// A tier (or volume) of a customer's application stack.
    TierName,
    "tier name",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A class of requests of a customer: requests that take the same way and cost the same.
    RequestClassName,
    "request class",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A storage volume of a customer's application stack.
    VolumeName,
    "volume name",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A network link of a customer's application stack.
    LinkName,
    "link name",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A representative data set of a customer's application stack.
    DataSetName,
    "data set name",
    "1 to 63 of a-z, A-Z, 0-9, . _ and -, not starting with .",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);
text_id!(
    /// A part of a data centre that fails as a whole.
    ZoneName,
    "zone",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);
text_id!(
    /// A node of the cluster.
    NodeId,
    "node id",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);
text_id!(
    /// A cluster: nodes that trust one certificate authority and share one shard map.
    ClusterId,
    "cluster id",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);
text_id!(
    /// Someone or something that administers a cluster, as named in its certificate.
    AccountName,
    "account name",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);
text_id!(
    /// A set of model weights: the first 16 hex digits of their SHA-256, or `none`.
    WeightsId,
    "weights id",
    "1 to 63 of a-z, 0-9 and -",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
);

number_id!(
    /// Ownership number of one shard: its leader's term, and the fencing number of outside effects.
    Generation
);
number_id!(
    /// A node's number in its cluster, counted from 1: allotted once to one name and one disk, and never
    /// given again. A node whose log was lost comes back under a new one, because what it promised to others
    /// under the old one is forgotten.
    NodeNumber
);

impl From<u64> for NodeNumber {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

number_id!(
    /// A VM's own identity, unique for its customer and for ever; allocated by a committed intent.
    VmId
);
number_id!(
    /// A committed wish to change the outside, unique for its customer.
    IntentId
);
number_id!(
    /// A plan's place in its customer's chain of plans, counted from 1.
    PlanNumber
);

/// A shard: a part of all customers, which one consensus group serves. Numbers run from 0 to the count that
/// was fixed when the cluster was made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request that is to take effect once, however often it is sent: chosen at random by whoever asks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Of a request that may take effect again: it says the same again, or its own rules refuse it.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_could_leave_their_alphabet() {
        for bad in [
            "",
            "..",
            "../x",
            "Acme",
            "a\0",
            "a b",
            "ä",
            "x".repeat(64).as_str(),
        ] {
            let error = CustomerId::new(bad).expect_err("not an id");
            assert_eq!(error.kind, "customer id");
        }
        assert_eq!(
            CustomerId::new("sf-region1").expect("an id").as_str(),
            "sf-region1"
        );
        assert!(VmTypeId::new("db.m5.large").is_ok());
        assert!(VmTypeId::new(".hidden").is_err());
    }

    #[test]
    fn an_id_off_the_wire_is_checked_too() {
        let bytes = bincode::serde::encode_to_vec("../etc", bincode::config::standard())
            .expect("a string encodes");
        let decoded: Result<(CustomerId, usize), _> =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard());
        assert!(decoded.is_err());
    }
}
