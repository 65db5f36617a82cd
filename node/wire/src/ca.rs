//! A certificate authority in a folder, for development and tests; production brings its own.
//!
//! The folder holds `signing.pem` (certificate and key of the authority that signs, one file so that
//! both change at once), `ca.pem` (the authorities that nodes are to trust) and, between the first two
//! steps of a rotation, `next.pem`. Invariants: what is issued was verifiable by `ca.pem` when it was
//! written; a file is replaced whole or not at all; keys are readable by their owner only.

mod certificates;
mod folder;

use crate::identity::{Identity, IdentityError};
use crate::refusal::seconds;
use certificates::{Authority, LeafRequest};
use folder::{read_file, write_private, write_public};
use rustls::time_provider::TimeProvider;
use std::io;
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

/// Why the authority cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or folder cannot be read or written.
    #[error("{} cannot be {what}: check the path and its permissions", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is an authority already.
    #[error("{} exists: this folder has an authority; rotate it, or choose another folder", file.display())]
    Exists {
        /// Its file.
        file: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is not {wanted}: restore it from a copy, or make a new authority", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// The step does not follow the last one.
    #[error("rotation in {} is at `{at}` and the step asked for is `{asked}`: the next is `{next}`", dir.display())]
    Step {
        /// The folder.
        dir: PathBuf,
        /// Where it is.
        at: Rotation,
        /// What was asked for.
        asked: RotationStep,
        /// What follows.
        next: RotationStep,
    },
    /// The authority ends before what it should sign.
    #[error("the authority in {} is valid until {until} only: rotate it, or ask for a shorter validity", dir.display())]
    Ends {
        /// The folder.
        dir: PathBuf,
        /// When it ends.
        until: String,
    },
    /// The validity is not one.
    #[error("a validity of {} s cannot be written: ask for 1 s to 100 years", .validity.as_secs())]
    Validity {
        /// What was asked for.
        validity: Duration,
    },
    /// The name does not fit a certificate.
    #[error("no certificate for this name")]
    Name(#[source] IdentityError),
    /// Keys or certificates could not be made.
    #[error("no certificate could be made")]
    Make(#[source] rcgen::Error),
}

/// Where a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// One authority, which signs.
    Steady,
    /// The new authority is trusted, the old one signs.
    Trusting,
    /// The new authority signs, the old one is trusted still.
    Signing,
}

/// A step of a rotation. Each is to reach every node before the next is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Make a new authority and trust it beside the old: bring `ca.pem` to every node.
    Trust,
    /// Sign with the new authority: issue every certificate again.
    Sign,
    /// Trust the old authority no longer: bring `ca.pem` to every node.
    Drop,
}

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

impl Rotation {
    /// The step that follows.
    pub const fn next(self) -> RotationStep {
        match self {
            Self::Steady => RotationStep::Trust,
            Self::Trusting => RotationStep::Sign,
            Self::Signing => RotationStep::Drop,
        }
    }
}

impl std::fmt::Display for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Trusting => "trusting",
            Self::Signing => "signing",
        })
    }
}

impl std::fmt::Display for RotationStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Trust => "trust",
            Self::Sign => "sign",
            Self::Drop => "drop",
        })
    }
}
