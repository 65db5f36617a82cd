//! The secret and the state of a source, as files.

use crate::console;
use crate::error::ExpectedError;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use twinscale_inputs::InputSecret;
use zeroize::Zeroizing;

/// Length of a secret.
const SECRET_BYTES: usize = 32;
/// Length of its file: two hex digits a byte, and an end of line.
const SECRET_TEXT_MAX: u64 = 2 * SECRET_BYTES as u64 + 2;
/// Largest state that is read.
const STATE_BYTES_MAX: u64 = 64 << 20;
/// Only the owner may read secret and state.
const OWNER_ONLY: u32 = 0o600;

/// Makes a secret of the system's randomness.
pub(super) fn make_secret(path: &Path, quiet: bool) -> anyhow::Result<()> {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    OsRng
        .try_fill_bytes(&mut *bytes)
        .map_err(|error| ExpectedError::Environment {
            context: format!("the system gives no random bytes: {error}"),
            hint: "look at /dev/urandom".to_owned(),
            source: None,
        })?;
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    let text = Zeroizing::new(digits.collect::<String>());
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
    written.map_err(|source| ExpectedError::file("write", path, source))?;
    if !quiet {
        console::say(&format!(
            "secret in {}: keep it; counts under another one do not meet",
            path.display()
        ));
    }
    Ok(())
}

/// Reads the secret.
pub(super) fn secret(path: &Path) -> anyhow::Result<InputSecret> {
    let unusable = |what: String| {
        ExpectedError::input_hint(
            format!("{}: {what}", path.display()),
            "make a secret with: twinscale send secret FILE",
        )
    };
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => unusable("there is no such file".to_owned()),
        _ => ExpectedError::file("read", path, source),
    })?;
    let mut text = Zeroizing::new(String::new());
    file.take(SECRET_TEXT_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|source| ExpectedError::file("read", path, source))?;
    let digits = text.trim_end();
    let mut bytes = [0_u8; SECRET_BYTES];
    if digits.len() != 2 * SECRET_BYTES || !digits.is_ascii() {
        let found = digits.len();
        return Err(unusable(format!("{found} characters are no secret of 64 hex digits")).into());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16)
            .map_err(|_error| unusable("it holds more than hex digits".to_owned()))?;
    }
    Ok(InputSecret::take(&mut bytes))
}

/// Reads a state; none when there is no file, or none is kept.
pub(super) fn load(path: Option<&Path>) -> Result<Option<Vec<u8>>, ExpectedError> {
    let Some(path) = path else { return Ok(None) };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ExpectedError::file("read", path, source)),
    };
    let mut bytes = Vec::new();
    file.take(STATE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|source| ExpectedError::file("read", path, source))?;
    Ok(Some(bytes))
}

/// Writes a state beside the old one and puts it in its place.
pub(super) fn store(path: &Path, bytes: &[u8]) -> Result<(), ExpectedError> {
    let fresh = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(OWNER_ONLY)
        .open(&fresh)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|source| ExpectedError::file("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        make_secret(&path, true).expect("made");
        assert!(make_secret(&path, true).is_err(), "it would be lost");
        assert_eq!(
            format!("{:?}", secret(&path).expect("read")),
            "InputSecret(redacted)"
        );
        std::fs::write(&path, "0123").expect("written");
        let error = secret(&path).expect_err("too short").to_string();
        assert!(error.contains("4 characters"), "{error}");
        std::fs::write(&path, "zz".repeat(32)).expect("written");
        assert!(secret(&path).is_err());
        assert!(secret(&directory.path().join("none")).is_err());
    }

    #[test]
    fn a_state_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        assert_eq!(load(Some(&path)).expect("none yet"), None);
        store(&path, b"one").expect("stored");
        store(&path, b"two").expect("stored");
        assert_eq!(load(Some(&path)).expect("read"), Some(b"two".to_vec()));
    }
}
