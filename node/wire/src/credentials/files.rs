//! Files in, TLS configurations out.

use super::{CredentialError, CredentialFiles, FirstEnd, Loaded};
use crate::identity::{CertificateName, certified_identity};
use crate::refusal::Refusal;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates and keys are a few kilobytes; what is larger is not one of them.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// HTTP/2, as gRPC has it.
const ALPN: &[u8] = b"h2";

/// What the three files hold.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    trusted: Vec<u8>,
}

/// What shows that a file has changed, without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<(i64, i64, u64, u64)>>);

impl Stamps {
    pub(super) fn of(files: &CredentialFiles) -> Self {
        let stamp = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
        };
        let paths = [&files.certificate, &files.key, &files.trusted];
        Self(paths.into_iter().map(|path| stamp(path)).collect())
    }
}

impl Contents {
    pub(super) fn read(files: &CredentialFiles) -> Result<Self, CredentialError> {
        let (key, found) = read(&files.key)?;
        let mode = found.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(CredentialError::KeyIsPublic {
                file: files.key.clone(),
                mode,
            });
        }
        Ok(Self {
            certificate: read(&files.certificate)?.0,
            key,
            trusted: read(&files.trusted)?.0,
        })
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Metadata), CredentialError> {
    let read = || -> io::Result<(Vec<u8>, Metadata)> {
        let file = fs::File::open(path)?;
        let found = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok((bytes, found))
    };
    read().map_err(|source| CredentialError::Read {
        file: path.to_owned(),
        source,
    })
}

/// Makes configurations of what files hold, if peers would take them.
pub(super) fn verified(
    contents: Contents,
    files: &CredentialFiles,
    time: &Arc<dyn TimeProvider>,
) -> Result<Loaded, CredentialError> {
    let chain = certificates(&contents.certificate, &files.certificate)?;
    let trusted = certificates(&contents.trusted, &files.trusted)?;
    let Ok(key) = PrivateKeyDer::from_pem_slice(&contents.key) else {
        return Err(CredentialError::Empty {
            file: files.key.clone(),
            wanted: "private key",
        });
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifiers = Verifiers::new(&trusted, &provider, files)?;
    let identity = verifiers.check_own(&chain, files, time)?;
    let (not_before, not_after) = validity(&chain, files)?;
    let pair = |source| CredentialError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    Ok(Loaded {
        server: server_config(&chain, &key, &verifiers, &provider, time).map_err(pair)?,
        client: client_config(&chain, &key, &verifiers, &provider, time).map_err(pair)?,
        callers: verifiers.callers,
        first_end: first_end((not_before, not_after), &trusted),
        contents,
        identity,
        not_before,
        not_after,
    })
}

fn server_config(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    verifiers: &Verifiers,
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifiers.callers))
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the verification of the caller's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn client_config(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    verifiers: &Verifiers,
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(Arc::clone(&verifiers.peers))
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

struct Verifiers {
    callers: Arc<dyn ClientCertVerifier>,
    peers: Arc<WebPkiServerVerifier>,
}

impl Verifiers {
    fn new(
        trusted: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
        files: &CredentialFiles,
    ) -> Result<Self, CredentialError> {
        let authority = |source| CredentialError::Authority {
            file: files.trusted.clone(),
            source,
        };
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots
                .add(certificate.clone())
                .map_err(|error| authority(error.into()))?;
        }
        let roots = Arc::new(roots);
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
                .build()
                .map_err(|error| authority(error.into()))?;
        let peers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| authority(error.into()))?;
        Ok(Self { callers, peers })
    }

    /// Holds the own certificate to what peers will hold it to.
    fn check_own(
        &self,
        chain: &[CertificateDer<'static>],
        files: &CredentialFiles,
        time: &Arc<dyn TimeProvider>,
    ) -> Result<crate::identity::CertifiedIdentity, CredentialError> {
        let file = || files.certificate.clone();
        let identity_error = |source| CredentialError::Identity {
            file: file(),
            source,
        };
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(CredentialError::Empty {
                file: file(),
                wanted: "certificate",
            });
        };
        let identity = certified_identity(leaf).map_err(identity_error)?;
        let name = identity
            .identity
            .certificate_name(&identity.cluster)
            .map_err(identity_error)?;
        let now = time
            .current_time()
            .unwrap_or_else(|| UnixTime::since_unix_epoch(std::time::Duration::ZERO));
        self.callers
            .verify_client_cert(leaf, intermediates, now)
            .map(drop)
            .and_then(|()| match name {
                CertificateName::Dns(name) => {
                    let name = ServerName::DnsName(name);
                    self.peers
                        .verify_server_cert(leaf, intermediates, &name, &[], now)
                        .map(drop)
                }
                CertificateName::Uri(_) => Ok(()),
            })
            .map_err(|error| CredentialError::Refused {
                file: file(),
                refusal: Refusal::of_own(&error),
            })?;
        Ok(identity)
    }
}

fn certificates(
    bytes: &[u8],
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(CredentialError::Empty {
            file: file.to_owned(),
            wanted: "certificate",
        }),
    }
}

fn validity(
    chain: &[CertificateDer<'static>],
    files: &CredentialFiles,
) -> Result<(i64, i64), CredentialError> {
    chain
        .first()
        .and_then(|leaf| validity_of(leaf))
        .ok_or_else(|| CredentialError::Empty {
            file: files.certificate.clone(),
            wanted: "certificate",
        })
}

pub(crate) fn validity_of(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

fn first_end(own: (i64, i64), trusted: &[CertificateDer<'static>]) -> FirstEnd {
    let authorities = trusted.iter().filter_map(|der| validity_of(der));
    let (not_before, not_after) = authorities
        .chain([own])
        .min_by_key(|(_, not_after)| *not_after)
        .unwrap_or(own);
    FirstEnd {
        not_before,
        not_after,
    }
}
