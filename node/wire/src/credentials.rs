//! The certificate, key and trusted authorities of this end, read from files and read again when they
//! change.
//!
//! Invariants: what is in force was whole and verified when it was read; files that are not, as in the
//! middle of a rotation, leave the former in force; who this end is never changes while it runs.

mod error;
mod files;

use crate::identity::{CertifiedIdentity, Identity};
use crate::refusal::{OwnValidity, date, length, seconds};
use crate::task::Task;
pub use error::CredentialError;
pub(crate) use files::validity_of;
use files::{Contents, Stamps};
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use twinscale_protocol::ClusterId;

/// Where the certificate, key and trusted authorities of this end are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The certificate, with its intermediates behind it; PEM.
    pub certificate: PathBuf,
    /// Its private key; PEM.
    pub key: PathBuf,
    /// The authorities that are trusted, one or, during a rotation, two; PEM.
    pub trusted: PathBuf,
}

/// What is in force; clones share it.
#[derive(Clone)]
pub struct Credentials {
    files: Arc<CredentialFiles>,
    time: Arc<dyn TimeProvider>,
    identity: Arc<CertifiedIdentity>,
    in_force: watch::Sender<Arc<Loaded>>,
}

/// How long a certificate is valid still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first end of a validity, of the own certificate and the trusted authorities; seconds since 1970.
    pub not_after: i64,
    /// Seconds until then; negative behind it.
    pub remaining_s: i64,
    /// How urgent it is.
    pub level: ExpiryLevel,
}

/// How urgent a new certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryLevel {
    /// More than a fifth of the validity is left.
    Fine,
    /// A fifth or less is left.
    Soon,
    /// A twentieth or less is left.
    Urgent,
    /// Nothing is left.
    Expired,
}

/// Credentials ready to use.
pub(crate) struct Loaded {
    pub(crate) contents: Contents,
    pub(crate) identity: CertifiedIdentity,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) callers: Arc<dyn ClientCertVerifier>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) first_end: FirstEnd,
}

/// The validity that ends first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstEnd {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl CredentialFiles {
    /// The files as [`crate::ca`] writes them into a folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
            trusted: dir.join("ca.pem"),
        }
    }
}

impl Credentials {
    /// Reads and verifies the files.
    ///
    /// # Errors
    /// [`CredentialError`] with the file and the remedy.
    pub fn load(
        files: CredentialFiles,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, CredentialError> {
        let contents = Contents::read(&files)?;
        let loaded = files::verified(contents, &files, &time)?;
        Ok(Self {
            identity: Arc::new(loaded.identity.clone()),
            files: Arc::new(files),
            time,
            in_force: watch::Sender::new(Arc::new(loaded)),
        })
    }

    /// Reads the files again; connections made from now on use what they hold. Returns whether that is
    /// something new.
    ///
    /// # Errors
    /// [`CredentialError`]; then the former credentials stay in force.
    pub fn reload(&self) -> Result<bool, CredentialError> {
        let contents = Contents::read(&self.files)?;
        if contents == self.current().contents {
            return Ok(false);
        }
        let loaded = files::verified(contents, &self.files, &self.time)?;
        if loaded.identity != *self.identity {
            return Err(CredentialError::OtherIdentity {
                file: self.files.certificate.clone(),
                found: loaded.identity.to_string(),
                wanted: self.identity.to_string(),
            });
        }
        self.in_force.send_replace(Arc::new(loaded));
        Ok(true)
    }

    /// Looks every `interval` whether a file has changed, reads them again if so, and warns before a
    /// certificate ends. What cannot be read is logged once and tried again when a file changes.
    pub fn watch(&self, interval: Duration) -> Task {
        let credentials = self.clone();
        Task::start(async move { credentials.poll(interval).await })
    }

    #[expect(
        clippy::infinite_loop,
        reason = "the task is ended by the drop of its handle"
    )]
    async fn poll(self, interval: Duration) {
        let mut seen = Stamps::default();
        let mut warned = ExpiryLevel::Fine;
        let mut failed: Option<String> = None;
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            let look = self.clone();
            let last = seen.clone();
            // Files may be on a slow disk, and reading a key verifies it.
            let looked = tokio::task::spawn_blocking(move || look.look(&last)).await;
            if let Ok((stamps, result)) = looked {
                // Files that do not fit each other yet are read again, also when they stay as they are.
                seen = if result.is_ok() {
                    stamps
                } else {
                    Stamps::default()
                };
                failed = report(&self.files.certificate, result, failed);
            }
            warned = self.warn(warned);
        }
    }

    fn look(&self, last: &Stamps) -> (Stamps, Result<bool, CredentialError>) {
        let stamps = Stamps::of(&self.files);
        let result = if stamps == *last {
            Ok(false)
        } else {
            self.reload()
        };
        (stamps, result)
    }

    fn warn(&self, warned: ExpiryLevel) -> ExpiryLevel {
        let expiry = self.expiry();
        if expiry.level > warned {
            tracing::warn!(
                file = %self.files.certificate.display(),
                until = %date(expiry.not_after),
                left = %length(expiry.remaining_s),
                "a certificate of this node, or an authority that it trusts, ends soon: issue a new one"
            );
        }
        expiry.level
    }

    /// Who this end is.
    pub fn identity(&self) -> &Identity {
        &self.identity.identity
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> &ClusterId {
        &self.identity.cluster
    }

    /// How long what is in force is valid still.
    pub fn expiry(&self) -> Expiry {
        let FirstEnd {
            not_before,
            not_after,
        } = self.current().first_end;
        let remaining_s = not_after.saturating_sub(self.now());
        let whole = not_after.saturating_sub(not_before);
        let level = match remaining_s {
            ..=0 => ExpiryLevel::Expired,
            _ if remaining_s <= whole / 20 => ExpiryLevel::Urgent,
            _ if remaining_s <= whole / 5 => ExpiryLevel::Soon,
            _ => ExpiryLevel::Fine,
        };
        Expiry {
            not_after,
            remaining_s,
            level,
        }
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.in_force.borrow())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Loaded>> {
        self.in_force.subscribe()
    }

    pub(crate) fn time(&self) -> &Arc<dyn TimeProvider> {
        &self.time
    }

    pub(crate) fn now(&self) -> i64 {
        self.time.current_time().map_or(0, seconds)
    }

    pub(crate) fn own_validity(&self) -> OwnValidity {
        let loaded = self.current();
        OwnValidity {
            file: self.files.certificate.display().to_string(),
            not_before: loaded.not_before,
            not_after: loaded.not_after,
            now: self.now(),
        }
    }
}

/// Logs what became of a look at the files; the same failure is logged once.
fn report(
    file: &Path,
    result: Result<bool, CredentialError>,
    failed: Option<String>,
) -> Option<String> {
    match result {
        Ok(true) => {
            tracing::info!(file = %file.display(), "certificates read again and in force");
            None
        }
        Ok(false) => None,
        Err(error) => {
            let text = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            if failed.as_deref() != Some(&text) {
                tracing::warn!(error = %text, "certificates not read again; the former stay in force");
            }
            Some(text)
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("identity", &self.identity)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CertifiedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cluster {}", self.identity, self.cluster)
    }
}
