//! Who a certificate speaks for.
//!
//! A node's certificate has the DNS name `node-<id>.<cluster>.twinscale`; that of an account has the URI
//! `twinscale://<cluster>/operator/<name>` or `/viewer/<name>`. Invariant: a certificate speaks for one
//! identity of one cluster, or for none; other names in it (`localhost`, addresses) mean nothing here.

use rustls::pki_types::DnsName;
use std::fmt;
use std::str::FromStr;
use twinscale_protocol::{AccountName, ClusterId, NodeId};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A node of the cluster.
    Node(NodeId),
    /// An account that may change the cluster.
    Operator(AccountName),
    /// An account that may look.
    Viewer(AccountName),
}

/// What an identity may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes part in the cluster.
    Node,
    /// May change the cluster.
    Operator,
    /// May look.
    Viewer,
}

/// Why a text or a certificate names no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate cannot be read.
    #[error("the certificate is not X.509 in DER: issue it again")]
    Unreadable,
    /// The certificate has no name of this program's form.
    #[error(
        "the certificate names no identity (its names: {names}): want DNS \
         node-<id>.<cluster>.twinscale or URI twinscale://<cluster>/operator|viewer/<name>"
    )]
    Missing {
        /// The names that it has.
        names: String,
    },
    /// The certificate names more than one.
    #[error("the certificate names {first} and {second}: issue one certificate for each")]
    Ambiguous {
        /// One.
        first: String,
        /// Another.
        second: String,
    },
    /// The name does not fit a certificate.
    #[error("`{name}` is no DNS name: give an id of at most 58 characters that does not end in -")]
    NoDnsName {
        /// The name.
        name: String,
    },
    /// Not the text of an identity.
    #[error("`{text}` is no identity: want node/<id>, operator/<name> or viewer/<name>")]
    Text {
        /// The text.
        text: String,
    },
}

/// An identity with the cluster it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertifiedIdentity {
    pub(crate) cluster: ClusterId,
    pub(crate) identity: Identity,
}

/// A name as it stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertificateName {
    Dns(DnsName<'static>),
    Uri(String),
}

impl Identity {
    /// What it may be used for.
    pub fn role(&self) -> Role {
        match self {
            Self::Node(_) => Role::Node,
            Self::Operator(_) => Role::Operator,
            Self::Viewer(_) => Role::Viewer,
        }
    }

    /// Its id or name, without the role.
    pub fn name(&self) -> &str {
        match self {
            Self::Node(id) => id.as_str(),
            Self::Operator(name) | Self::Viewer(name) => name.as_str(),
        }
    }

    pub(crate) fn certificate_name(
        &self,
        cluster: &ClusterId,
    ) -> Result<CertificateName, IdentityError> {
        match self {
            Self::Node(id) => node_dns_name(id, cluster).map(CertificateName::Dns),
            Self::Operator(_) | Self::Viewer(_) => Ok(CertificateName::Uri(format!(
                "twinscale://{cluster}/{self}"
            ))),
        }
    }
}

/// The DNS name of a node's certificate.
pub(crate) fn node_dns_name(
    id: &NodeId,
    cluster: &ClusterId,
) -> Result<DnsName<'static>, IdentityError> {
    let name = format!("node-{id}.{cluster}.twinscale");
    match DnsName::try_from(name.clone()) {
        Ok(dns) => Ok(dns),
        Err(_) => Err(IdentityError::NoDnsName { name }),
    }
}

/// Reads for whom a certificate speaks.
pub(crate) fn certified_identity(der: &[u8]) -> Result<CertifiedIdentity, IdentityError> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Err(IdentityError::Unreadable);
    };
    let Ok(extension) = certificate.subject_alternative_name() else {
        return Err(IdentityError::Unreadable);
    };
    let names = extension.map_or(&[][..], |names| &names.value.general_names);
    let mut found: Option<(CertifiedIdentity, &str)> = None;
    for (identity, text) in names.iter().filter_map(identity_of_name) {
        if let Some((_, first)) = found {
            return Err(IdentityError::Ambiguous {
                first: first.to_owned(),
                second: text.to_owned(),
            });
        }
        found = Some((identity, text));
    }
    found.map(|(identity, _)| identity).ok_or_else(|| {
        let names: Vec<_> = names.iter().take(8).map(ToString::to_string).collect();
        IdentityError::Missing {
            names: names.join(", "),
        }
    })
}

fn identity_of_name<'a>(name: &'a GeneralName<'_>) -> Option<(CertifiedIdentity, &'a str)> {
    match name {
        GeneralName::DNSName(name) => Some((identity_of_dns(name)?, name)),
        GeneralName::URI(uri) => {
            let (cluster, identity) = uri.strip_prefix("twinscale://")?.split_once('/')?;
            let identity: Identity = identity.parse().ok()?;
            let cluster = ClusterId::new(cluster).ok()?;
            // A node is known by its DNS name alone, which the TLS layer checks too.
            let is_account = identity.role() != Role::Node;
            is_account.then_some((CertifiedIdentity { cluster, identity }, *uri))
        }
        _ => None,
    }
}

/// Reads a node's DNS name.
pub(crate) fn identity_of_dns(name: &str) -> Option<CertifiedIdentity> {
    let (node, cluster) = name.strip_suffix(".twinscale")?.split_once('.')?;
    let id = NodeId::new(node.strip_prefix("node-")?).ok()?;
    Some(CertifiedIdentity {
        cluster: ClusterId::new(cluster).ok()?,
        identity: Identity::Node(id),
    })
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role(), self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        })
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let wrong = || IdentityError::Text {
            text: text.chars().take(100).collect(),
        };
        let (role, name) = text.split_once('/').ok_or_else(wrong)?;
        let read = match role {
            "node" => NodeId::new(name).map(Self::Node),
            "operator" => AccountName::new(name).map(Self::Operator),
            "viewer" => AccountName::new(name).map(Self::Viewer),
            _ => return Err(wrong()),
        };
        read.ok().ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_identity_comes_back_from_its_text_and_its_name() {
        let cluster = ClusterId::new("c-1").expect("an id");
        for text in ["node/a", "operator/alice", "viewer/bob"] {
            let identity: Identity = text.parse().expect("an identity");
            assert_eq!(identity.to_string(), text);
        }
        let name = node_dns_name(&NodeId::new("a-7").expect("an id"), &cluster).expect("a name");
        let certified = identity_of_dns(name.as_ref()).expect("a node");
        assert_eq!(certified.identity.to_string(), "node/a-7");
        assert_eq!(certified.cluster, cluster);
    }

    #[test]
    fn an_id_that_fits_no_dns_label_is_told() {
        let cluster = ClusterId::new("c1").expect("an id");
        for id in ["x".repeat(59), "a-".to_owned()] {
            let id = NodeId::new(id).expect("an id");
            let error = node_dns_name(&id, &cluster).expect_err("no DNS name");
            assert!(error.to_string().contains("58 characters"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_certificate_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(certified_identity(&bytes).is_err());
        }

        #[test]
        fn names_off_the_wire_never_panic(text in ".{0,80}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text.clone());
            }
            let _read = identity_of_dns(&text);
        }
    }
}
