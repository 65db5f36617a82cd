//! Why an end of a connection, or what it says of itself, is refused.

use crate::identity::{IdentityError, identity_of_dns};
use crate::recorded::tls_error;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use std::fmt;
use std::io;
use time::OffsetDateTime;
use twinscale_protocol::{ClusterId, NodeId};

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

    /// Explains the failure of a handshake, as the server `node` saw it.
    pub(crate) fn of_caller(error: &io::Error) -> Self {
        match tls_error(error) {
            Some(rustls::Error::NoCertificatesPresented) => Self::new(
                RefusalReason::NoCertificate,
                "the caller sent no certificate: give it one of this cluster",
            ),
            Some(rustls::Error::InvalidCertificate(error)) => {
                of_certificate("the caller's certificate", error)
            }
            Some(rustls::Error::InvalidMessage(_)) => Self::new(
                RefusalReason::NotTls,
                "the caller does not speak TLS: this port takes nodes and certified accounts only",
            ),
            Some(rustls::Error::AlertReceived(alert)) => Self::new(
                reason_of_alert(*alert),
                format!(
                    "the caller refused this node's certificate ({alert:?}): see the caller's log"
                ),
            ),
            Some(error) => Self::new(RefusalReason::BadTls, format!("TLS failed: {error}")),
            None => Self::new(
                RefusalReason::BadTls,
                format!("the connection ended during the handshake: {error}"),
            ),
        }
    }

    /// Explains why peers would refuse this end's own certificate.
    pub(crate) fn of_own(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => of_certificate("this certificate", error),
            error => Self::new(RefusalReason::BadTls, error.to_string()),
        }
    }

    /// Explains why the server at `address` is not the node that was to be called.
    pub(crate) fn of_peer(
        error: &rustls::Error,
        peer: &NodeId,
        cluster: &ClusterId,
        address: &str,
        own: &OwnValidity,
    ) -> Option<Self> {
        let what = format!("the certificate of {address}, wanted for node `{peer}`,");
        match error {
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            }) => Some(of_presented(presented, peer, cluster, address)),
            rustls::Error::InvalidCertificate(error) => Some(of_certificate(&what, error)),
            rustls::Error::AlertReceived(alert) => Some(of_alert(*alert, peer, address, own)),
            rustls::Error::InvalidMessage(_) => Some(Self::new(
                RefusalReason::NotTls,
                format!(
                    "{address}, wanted for node `{peer}`, does not speak TLS: check the address"
                ),
            )),
            _ => None,
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

fn of_certificate(what: &str, error: &CertificateError) -> Refusal {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Refusal::new(
            RefusalReason::UnknownAuthority,
            format!(
                "{what} was issued by an authority that is not in this node's trusted file: issue \
                 it by the cluster's authority, or finish the rotation of the authority here first"
            ),
        ),
        CertificateError::ExpiredContext { time, not_after } => Refusal::new(
            RefusalReason::Expired,
            format!(
                "{what} was valid until {} and this node's clock says {} ({} later): issue a new \
                 one, or set the clock",
                date(seconds(*not_after)),
                date(seconds(*time)),
                length(seconds(*time) - seconds(*not_after)),
            ),
        ),
        CertificateError::NotValidYetContext { time, not_before } => Refusal::new(
            RefusalReason::NotYetValid,
            format!(
                "{what} is valid from {} and this node's clock says {} ({} earlier): set the clock \
                 of this node, or of the machine that issued the certificate, and issue it again",
                date(seconds(*not_before)),
                date(seconds(*time)),
                length(seconds(*not_before) - seconds(*time)),
            ),
        ),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            Refusal::new(
                RefusalReason::WrongPurpose,
                format!(
                    "{what} is not for this use: a node's is for server and client, an account's \
                     for client only; issue the right one"
                ),
            )
        }
        error => Refusal::new(
            RefusalReason::BadTls,
            format!("{what} is not acceptable ({error}): issue it again"),
        ),
    }
}

fn of_presented(
    presented: &[String],
    peer: &NodeId,
    cluster: &ClusterId,
    address: &str,
) -> Refusal {
    // The names come as `DnsName("…")`.
    let found = presented
        .iter()
        .flat_map(|name| name.split('"'))
        .find_map(identity_of_dns);
    match found {
        Some(found) if found.cluster != *cluster => Refusal::new(
            RefusalReason::OtherCluster,
            format!(
                "{address}, wanted for node `{peer}` of cluster `{cluster}`, is {} of cluster \
                 `{}`: correct the address",
                found.identity, found.cluster
            ),
        ),
        Some(found) => Refusal::new(
            RefusalReason::OtherIdentity,
            format!(
                "{address}, wanted for node `{peer}`, is {}: correct the address, or give that \
                 node its own certificate",
                found.identity
            ),
        ),
        None => Refusal::new(
            RefusalReason::NoIdentity,
            format!(
                "the certificate of {address}, wanted for node `{peer}`, names no node (its names: \
                 {}): issue one for node-{peer}.{cluster}.twinscale",
                presented.join(", ")
            ),
        ),
    }
}

fn reason_of_alert(alert: AlertDescription) -> RefusalReason {
    match alert {
        AlertDescription::UnknownCA => RefusalReason::UnknownAuthority,
        AlertDescription::CertificateExpired => RefusalReason::Expired,
        AlertDescription::CertificateRequired => RefusalReason::NoCertificate,
        AlertDescription::UnsupportedCertificate => RefusalReason::WrongPurpose,
        _ => RefusalReason::BadTls,
    }
}

fn of_alert(alert: AlertDescription, peer: &NodeId, address: &str, own: &OwnValidity) -> Refusal {
    let reason = reason_of_alert(alert);
    let file = &own.file;
    let remedy = match reason {
        RefusalReason::UnknownAuthority => format!(
            "it does not trust the authority that issued {file}: give both nodes certificates of \
             one authority, or give that node the trusted file of the rotation first"
        ),
        // The alert is one for both ends of the validity, so the two clocks are told.
        RefusalReason::Expired if own.now <= own.not_after && own.now >= own.not_before => format!(
            "it holds {file} for not valid now, while by this node's clock ({}) it is, from {} to \
             {}: one of the two clocks is wrong; set it",
            date(own.now),
            date(own.not_before),
            date(own.not_after)
        ),
        RefusalReason::Expired => format!(
            "{file} is valid from {} to {} and this node's clock says {}: issue a new one",
            date(own.not_before),
            date(own.not_after),
            date(own.now)
        ),
        _ => format!("it refuses {file} ({alert:?}): see the log of that node"),
    };
    Refusal::new(
        reason,
        format!("node `{peer}` at {address} refused: {remedy}"),
    )
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
