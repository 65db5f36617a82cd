//! What a failure of TLS means, in words with a remedy.

use super::{OwnValidity, Refusal, RefusalReason, date, length, seconds};
use crate::identity::identity_of_dns;
use crate::recorded::tls_error;
use rustls::{AlertDescription, CertificateError};
use std::io;
use twinscale_protocol::{ClusterId, NodeId};

impl Refusal {
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
