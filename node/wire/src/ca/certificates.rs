//! Making and reading the certificates of an authority.

use super::folder::read_file;
use super::{BACKDATED, CaError};
use crate::credentials::validity_of;
use crate::identity::{CertificateName, Identity};
use crate::refusal::date;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;
use twinscale_protocol::ClusterId;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// An authority: its certificate and its key.
pub(super) struct Authority {
    certificate_pem: String,
    key: KeyPair,
    cluster: ClusterId,
    not_after: i64,
}

/// What is to be issued.
pub(super) struct LeafRequest<'a> {
    pub(super) identity: &'a Identity,
    pub(super) name: &'a CertificateName,
    pub(super) now: i64,
    pub(super) validity: Duration,
}

pub(super) struct Leaf {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl Authority {
    pub(super) fn new(cluster: &ClusterId, now: i64, validity: Duration) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = period(now, validity)?;
        // Two authorities of a rotation must differ in name, or a verifier may try the wrong one only.
        let number = crc32fast::hash(key.public_key_raw());
        let name = format!("Twinscale development CA {number:08x} of {cluster}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("twinscale://{cluster}/ca"))?];
        let not_after = params.not_after.unix_timestamp();
        let certificate = params.self_signed(&key).map_err(CaError::Make)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key,
            cluster: cluster.clone(),
            not_after,
        })
    }

    pub(super) fn read(file: &Path) -> Result<Self, CaError> {
        let pem = read_file(file)?;
        let broken = || CaError::Broken {
            file: file.to_owned(),
            wanted: "the certificate and key of an authority of a cluster",
        };
        let certificate_pem = split(&pem).into_iter().next().ok_or_else(broken)?;
        let Ok(der) = CertificateDer::from_pem_slice(certificate_pem.as_bytes()) else {
            return Err(broken());
        };
        let Ok(key) = KeyPair::from_pem(pem.get(certificate_pem.len()..).unwrap_or_default())
        else {
            return Err(broken());
        };
        let (_, not_after) = validity_of(&der).ok_or_else(broken)?;
        Ok(Self {
            cluster: cluster_of(&der).ok_or_else(broken)?,
            certificate_pem,
            key,
            not_after,
        })
    }

    pub(super) fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    pub(super) fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    pub(super) fn pem(&self) -> String {
        format!("{}{}", self.certificate_pem, self.key.serialize_pem())
    }

    pub(super) fn check_outlives(
        &self,
        now: i64,
        validity: Duration,
        dir: &Path,
    ) -> Result<(), CaError> {
        let (_, end) = period(now, validity)?;
        if end.unix_timestamp() <= self.not_after {
            return Ok(());
        }
        Err(CaError::Ends {
            dir: dir.to_owned(),
            until: date(self.not_after),
        })
    }

    pub(super) fn issue(&self, request: &LeafRequest<'_>) -> Result<Leaf, CaError> {
        let issuer =
            Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key).map_err(CaError::Make)?;
        let key = KeyPair::generate().map_err(CaError::Make)?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = period(request.now, request.validity)?;
        let name = format!("{} of {}", request.identity, self.cluster);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        match request.name {
            CertificateName::Dns(name) => {
                let name = Ia5String::try_from(name.as_ref()).map_err(CaError::Make)?;
                params.subject_alt_names = vec![SanType::DnsName(name)];
                // A node is called and calls.
                params
                    .extended_key_usages
                    .push(ExtendedKeyUsagePurpose::ServerAuth);
            }
            CertificateName::Uri(name) => params.subject_alt_names = vec![uri(name)?],
        }
        let certificate = params.signed_by(&key, &issuer).map_err(CaError::Make)?;
        Ok(Leaf {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// Splits PEM into its certificates, in their order.
pub(super) fn split(pem: &str) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----\n";
    let parts = pem.split_inclusive(END);
    parts
        .filter(|part| part.starts_with(BEGIN) && part.ends_with(END))
        .map(str::to_owned)
        .collect()
}

fn period(now: i64, validity: Duration) -> Result<(OffsetDateTime, OffsetDateTime), CaError> {
    const CENTURY_S: u64 = 100 * 365 * 86_400;
    let wrong = || CaError::Validity { validity };
    if !(1..=CENTURY_S).contains(&validity.as_secs()) {
        return Err(wrong());
    }
    let Ok(now) = OffsetDateTime::from_unix_timestamp(now) else {
        return Err(wrong());
    };
    let end = now.checked_add(time::Duration::seconds(
        i64::try_from(validity.as_secs()).unwrap_or(i64::MAX),
    ));
    Ok((now - BACKDATED, end.ok_or_else(wrong)?))
}

fn uri(text: &str) -> Result<SanType, CaError> {
    let text = Ia5String::try_from(text).map_err(CaError::Make)?;
    Ok(SanType::URI(text))
}

pub(super) fn cluster_of(der: &[u8]) -> Option<ClusterId> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => {
                let cluster = uri.strip_prefix("twinscale://")?.strip_suffix("/ca")?;
                ClusterId::new(cluster).ok()
            }
            _ => None,
        })
}
