//! A certificate authority in a folder, for development and tests; production brings its own.
//!
//! The folder holds `signing.pem` (certificate and key of the authority that signs, one file so that
//! both change at once), `ca.pem` (the authorities that nodes are to trust) and, between the first two
//! steps of a rotation, `next.pem`. Invariants: what is issued was verifiable by `ca.pem` when it was
//! written; a file is replaced whole or not at all; keys are readable by their owner only.

mod certificates;
mod describe;
mod error;
mod folder;

use crate::identity::Identity;
use crate::refusal::seconds;
use certificates::{Authority, LeafRequest};
pub use describe::{CertificateSubject, CertificateSummary, read_certificates};
pub use error::{CaError, Rotation, RotationStep};
use folder::{read_file, write_private, write_public};
use rustls::time_provider::TimeProvider;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use twinscale_protocol::ClusterId;

/// How long an authority is valid unless told otherwise: five years.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_hours(5 * 365 * 24);

/// How long a certificate is valid unless told otherwise: 90 days.
pub const CERTIFICATE_VALIDITY: Duration = Duration::from_hours(90 * 24);

/// A certificate is valid from a little before it was issued, since clocks differ.
pub const BACKDATED: Duration = Duration::from_mins(5);

/// A certificate authority in a folder.
#[derive(Clone, Debug)]
pub struct CertificateAuthority {
    dir: PathBuf,
    cluster: ClusterId,
    time: Arc<dyn TimeProvider>,
}

impl CertificateAuthority {
    /// Makes an authority for a cluster in a folder that has none.
    ///
    /// # Errors
    /// [`CaError`] with the file and the remedy.
    pub fn init(
        dir: &Path,
        cluster: &ClusterId,
        validity: Duration,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, CaError> {
        let ca = Self {
            dir: dir.to_owned(),
            cluster: cluster.clone(),
            time,
        };
        let file = ca.signing_file();
        if file.exists() {
            return Err(CaError::Exists { file });
        }
        folder::create(dir)?;
        let authority = Authority::new(cluster, ca.now(), validity)?;
        // The key last: a folder without it is not yet an authority, and can be begun again.
        write_public(&ca.trusted_file(), &authority.certificate_pem())?;
        write_private(&file, &authority.pem())?;
        Ok(ca)
    }

    /// Opens the authority of a folder.
    ///
    /// # Errors
    /// [`CaError`] with the file and the remedy.
    pub fn open(dir: &Path, time: Arc<dyn TimeProvider>) -> Result<Self, CaError> {
        let signing = Authority::read(&dir.join(SIGNING))?;
        Ok(Self {
            dir: dir.to_owned(),
            cluster: signing.cluster().clone(),
            time,
        })
    }

    /// The cluster that it is the authority of.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Issues a certificate into a folder: `certificate.pem`, `key.pem` and `ca.pem`, over what is there.
    ///
    /// # Errors
    /// [`CaError`] with the file and the remedy.
    pub fn issue(
        &self,
        identity: &Identity,
        validity: Duration,
        destination: &Path,
    ) -> Result<crate::CredentialFiles, CaError> {
        let signing = Authority::read(&self.signing_file())?;
        let name = identity
            .certificate_name(&self.cluster)
            .map_err(CaError::Name)?;
        let now = self.now();
        signing.check_outlives(now, validity, &self.dir)?;
        let leaf = signing.issue(&LeafRequest {
            identity,
            name: &name,
            now,
            validity,
        })?;
        folder::create(destination)?;
        let files = crate::CredentialFiles::in_dir(destination);
        let trusted = read_file(&self.trusted_file())?;
        // A reader that comes between takes none of them, since they do not make a pair.
        write_public(&files.trusted, &trusted)?;
        write_private(&files.key, &leaf.key_pem)?;
        write_public(&files.certificate, &leaf.certificate_pem)?;
        Ok(files)
    }

    /// Where the rotation is.
    ///
    /// # Errors
    /// [`CaError`] for a file that cannot be read.
    pub fn rotation(&self) -> Result<Rotation, CaError> {
        if self.next_file().exists() {
            return Ok(Rotation::Trusting);
        }
        let trusted = certificates::split(&read_file(&self.trusted_file())?);
        Ok(if trusted.len() > 1 {
            Rotation::Signing
        } else {
            Rotation::Steady
        })
    }

    /// Makes the next step of a rotation. A step that was broken off can be made again.
    ///
    /// # Errors
    /// [`CaError::Step`] for a step out of order, and others with the file and the remedy.
    pub fn rotate(&self, step: RotationStep, validity: Duration) -> Result<(), CaError> {
        let at = self.rotation()?;
        match (at, step) {
            (Rotation::Steady, RotationStep::Trust) => {
                let next = Authority::new(&self.cluster, self.now(), validity)?;
                write_private(&self.next_file(), &next.pem())?;
                self.trust_next()
            }
            // Broken off between the two files of the step.
            (Rotation::Trusting, RotationStep::Trust) => self.trust_next(),
            (Rotation::Trusting, RotationStep::Sign) => {
                self.trust_next()?;
                folder::rename(&self.next_file(), &self.signing_file())
            }
            (Rotation::Signing, RotationStep::Drop) => {
                let signing = Authority::read(&self.signing_file())?;
                write_public(&self.trusted_file(), &signing.certificate_pem())
            }
            (at, asked) => Err(CaError::Step {
                dir: self.dir.clone(),
                at,
                asked,
                next: at.next(),
            }),
        }
    }

    fn trust_next(&self) -> Result<(), CaError> {
        let signing = Authority::read(&self.signing_file())?;
        let next = Authority::read(&self.next_file())?;
        let both = signing.certificate_pem() + &next.certificate_pem();
        write_public(&self.trusted_file(), &both)
    }

    fn now(&self) -> i64 {
        self.time.current_time().map_or(0, seconds)
    }

    fn signing_file(&self) -> PathBuf {
        self.dir.join(SIGNING)
    }

    fn next_file(&self) -> PathBuf {
        self.dir.join("next.pem")
    }

    fn trusted_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }
}

const SIGNING: &str = "signing.pem";
