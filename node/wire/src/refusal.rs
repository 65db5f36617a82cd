//! Why an end of a connection, or what it says of itself, is refused.

mod explain;

use crate::identity::IdentityError;
use rustls::pki_types::UnixTime;
use std::fmt;
use time::OffsetDateTime;

/// Why an end of a connection, or what it says of itself, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalReason {
    /// It sent no certificate.
    NoCertificate,
    /// Its certificate was issued by an authority that is not trusted.
    UnknownAuthority,
    /// Its certificate is no longer valid.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// Its certificate is not for this use, as that of an account is not for a server.
    WrongPurpose,
    /// Its certificate names nobody, or more than one.
    NoIdentity,
    /// Its certificate is that of another node, or it says that it is somebody else.
    OtherIdentity,
    /// It belongs to another cluster.
    OtherCluster,
    /// It called another node.
    Misrouted,
    /// Its certificate or its TLS is broken.
    BadTls,
    /// It speaks something else than TLS.
    NotTls,
    /// It began and did not go on.
    HandshakeTimeout,
    /// The server holds as many connections as it may.
    TooManyConnections,
    /// It has as many calls, bytes or streams under way as it may.
    Overloaded,
    /// What it sent is no envelope.
    Malformed,
    /// What it sent is larger than allowed.
    Oversize,
    /// The kind of what it sent is not known here.
    UnknownKind,
}

/// A refusal: the reason to count, and the text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to count it under.
    pub reason: RefusalReason,
    /// Value, place and remedy.
    pub text: String,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl RefusalReason {
    /// Its name, as labels have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::UnknownAuthority => "unknown-authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongPurpose => "wrong-purpose",
            Self::NoIdentity => "no-identity",
            Self::OtherIdentity => "other-identity",
            Self::OtherCluster => "other-cluster",
            Self::Misrouted => "misrouted",
            Self::BadTls => "bad-tls",
            Self::NotTls => "not-tls",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::TooManyConnections => "too-many-connections",
            Self::Overloaded => "overloaded",
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::UnknownKind => "unknown-kind",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    pub(crate) fn new(reason: RefusalReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        Self::new(RefusalReason::NoIdentity, error.to_string())
    }
}

/// When this end's own certificate is valid, and what time it is here.
#[derive(Clone, Debug)]
pub(crate) struct OwnValidity {
    pub(crate) file: String,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) now: i64,
}

/// Writes seconds since 1970 as a date and time that operators read.
pub(crate) fn date(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("{seconds} s"),
    }
}

pub(crate) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// A length of time in the largest unit that says it well.
pub(crate) fn length(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_read_them() {
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(length(3_600), "60 min");
        assert_eq!(length(10 * 86_400), "10 days");
    }
}
