//! Why files are no credentials.

use crate::identity::IdentityError;
use crate::refusal::Refusal;
use std::io;
use std::path::PathBuf;

/// Why files are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("{} cannot be read: check the path and its permissions", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anybody on the machine can read the key.
    #[error("{} can be read by everyone (mode {mode:04o}): chmod 600 it, and issue a new one if others use this machine", file.display())]
    KeyIsPublic {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file has not what it should have.
    #[error("{} holds no {wanted} in PEM: issue it again", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What it should have.
        wanted: &'static str,
    },
    /// Certificate and key do not fit, or TLS does not take them.
    #[error("{} and {} do not make a pair: issue both again, or wait until both are written", certificate.display(), key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A trusted authority is none.
    #[error("{} holds an authority that cannot be used: take the file from the certificate authority again", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate names no identity.
    #[error("{}", file.display())]
    Identity {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// Peers would refuse this certificate.
    #[error("{}: {refusal}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The certificate is that of somebody else than before.
    #[error("{} is of {found} and this process runs as {wanted}: put the right certificate there, or restart", file.display())]
    OtherIdentity {
        /// The file.
        file: PathBuf,
        /// Who it is of now.
        found: String,
        /// Who it was of.
        wanted: String,
    },
}
