//! One secret of the cluster, and its name.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

use crate::error::EntropyError;

/// Bytes of a cluster key.
const KEY_BYTES: usize = 32;

/// Sets the id's hash apart from any other use of the key.
const KEY_ID_CONTEXT: &[u8] = b"twinscale gossip key id 1";

/// Name of a key, sent in clear: the first bytes of a hash of it, so that no two nodes can mean different
/// keys by one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A secret that every node of the cluster holds; never printed, wiped when dropped.
pub struct ClusterKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// Why a text or bytes are no cluster key; the key itself is never in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hexadecimal digits.
    #[error(
        "a cluster key is 64 hexadecimal digits, but {chars} characters with {bad} other than 0-9 and a-f were given; make one with `openssl rand -hex 32`"
    )]
    NotHex {
        /// Characters given.
        chars: usize,
        /// Characters among them that are no hexadecimal digits.
        bad: usize,
    },
    /// One byte repeated: a placeholder, not a secret.
    #[error("the cluster key is one byte repeated; make a random one with `openssl rand -hex 32`")]
    Placeholder,
}

impl ClusterKey {
    /// Takes 32 random bytes as a key.
    ///
    /// # Errors
    /// [`KeyError::Placeholder`] when all bytes are equal.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(KeyError::Placeholder);
        }
        let hash = Sha256::new()
            .chain_update(KEY_ID_CONTEXT)
            .chain_update(*bytes)
            .finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        let cipher = XChaCha20Poly1305::new((&*bytes).into());
        Ok(Self {
            id: KeyId(id),
            cipher,
        })
    }

    /// Reads a key from 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// [`KeyError`] that says what is wrong without showing the key.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let digits: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.chars().filter_map(hex_value).collect());
        let chars = text.chars().count();
        let bad = chars - digits.len();
        if chars != 2 * KEY_BYTES || bad > 0 {
            return Err(KeyError::NotHex { chars, bad });
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |high, low| high << 4 | low);
        }
        Self::from_bytes(*bytes)
    }

    /// Draws the digits of a new key from the system, for a file.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives no random bytes.
    pub fn draw_hex() -> Result<Zeroizing<String>, EntropyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        OsRng
            .try_fill_bytes(&mut *bytes)
            .map_err(|error| EntropyError(error.to_string()))?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Zeroizing::new(digits.collect()))
    }

    /// Reads the key's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

fn hex_value(digit: char) -> Option<u8> {
    digit
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) fn key_for_test(number: u8) -> ClusterKey {
    let mut bytes = [number; KEY_BYTES];
    bytes[0] = number.wrapping_add(1);
    ClusterKey::from_bytes(bytes).expect("not a placeholder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_never_shown() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let key = ClusterKey::from_hex(&format!(" {hex}\n")).expect("a key");
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index % 16 * 0x11).expect("a byte");
        }
        assert_eq!(key.id(), ClusterKey::from_bytes(bytes).expect("a key").id());
        let shown = format!("{key:?}");
        assert!(!shown.contains("2233"), "{shown}");
        let cut = ClusterKey::from_hex(hex.get(..63).expect("ascii")).expect_err("too short");
        assert_eq!(cut, KeyError::NotHex { chars: 63, bad: 0 });
        let odd = ClusterKey::from_hex(&hex.replace('0', "g")).expect_err("no digits");
        assert!(!odd.to_string().contains("gg"), "{odd}");
        let flat = ClusterKey::from_hex(&"7".repeat(64)).expect_err("a placeholder");
        assert_eq!(flat, KeyError::Placeholder);
    }
}
