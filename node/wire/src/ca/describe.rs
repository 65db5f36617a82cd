//! What stands in a certificate, for people. Nothing is verified here.

use super::certificates::cluster_of;
use super::folder::read_file;
use super::{CaError, CertificateAuthority};
use crate::credentials::validity_of;
use crate::identity::{Identity, certified_identity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use twinscale_protocol::ClusterId;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Whom it speaks for.
    pub subject: CertificateSubject,
    /// The common name; the authorities of a rotation differ in it.
    pub common_name: Option<String>,
    /// Who issued it, by common name.
    pub issuer: Option<String>,
    /// The begin of its validity, in seconds since 1970.
    pub not_before: i64,
    /// The end of its validity, in seconds since 1970.
    pub not_after: i64,
}

/// Whom a certificate speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSubject {
    /// The authority of a cluster.
    Authority(ClusterId),
    /// A node or an account of a cluster.
    Identity(ClusterId, Identity),
    /// Nobody that this program knows; why.
    Unknown(String),
}

/// Reads all certificates of a PEM file, in their order.
///
/// # Errors
/// [`CaError`] for a file that cannot be read or holds no certificate.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateSummary>, CaError> {
    let pem = read_file(file)?;
    let broken = || CaError::NoCertificate {
        file: file.to_owned(),
    };
    let mut summaries = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let Ok(der) = der else { return Err(broken()) };
        summaries.push(summary(&der).ok_or_else(broken)?);
    }
    if summaries.is_empty() {
        return Err(broken());
    }
    Ok(summaries)
}

impl CertificateAuthority {
    /// Says whether a folder has an authority.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(super::SIGNING).exists()
    }

    /// Reads the certificate that signs.
    ///
    /// # Errors
    /// [`CaError`] for a file that cannot be read.
    pub fn signing(&self) -> Result<CertificateSummary, CaError> {
        let file = self.signing_file();
        let first = read_certificates(&file)?.into_iter().next();
        first.ok_or(CaError::NoCertificate { file })
    }

    /// Reads the certificates that nodes are to trust: one or, during a rotation, two.
    ///
    /// # Errors
    /// [`CaError`] for a file that cannot be read.
    pub fn trusted(&self) -> Result<Vec<CertificateSummary>, CaError> {
        read_certificates(&self.trusted_file())
    }
}

fn summary(der: &[u8]) -> Option<CertificateSummary> {
    let (not_before, not_after) = validity_of(der)?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = match cluster_of(der) {
        Some(cluster) if certificate.is_ca() => CertificateSubject::Authority(cluster),
        _ => match certified_identity(der) {
            Ok(found) => CertificateSubject::Identity(found.cluster, found.identity),
            Err(error) => CertificateSubject::Unknown(error.to_string()),
        },
    };
    Some(CertificateSummary {
        subject,
        common_name: common_name(certificate.subject()),
        issuer: common_name(certificate.issuer()),
        not_before,
        not_after,
    })
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> Option<String> {
    let first = name.iter_common_name().next()?;
    first.as_str().ok().map(str::to_owned)
}
