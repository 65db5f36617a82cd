//! What an authority refuses, and where a rotation is.

use crate::identity::IdentityError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// A file holds no certificate.
    #[error("{} holds no certificate in PEM: name a certificate, or a folder with one", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
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

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Trusting => "trusting",
            Self::Signing => "signing",
        })
    }
}

impl fmt::Display for RotationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trust => "trust",
            Self::Sign => "sign",
            Self::Drop => "drop",
        })
    }
}
