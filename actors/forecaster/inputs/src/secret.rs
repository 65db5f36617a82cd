//! The secret under which identifiers and words are hashed.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// 32 random bytes that the caller keeps: the same on every node and over restarts, or hashes do not meet.
///
/// It is overwritten when dropped and shows nothing of itself. Every use has a key of its own, derived by
/// HMAC-SHA256 (RFC 2104) from the secret, the name of the use and, for activity, the window of time.
#[derive(Clone)]
pub struct InputSecret(Zeroizing<[u8; 32]>);

/// A derived key; overwritten when dropped.
pub(crate) type DerivedKey = Zeroizing<[u8; 32]>;

impl InputSecret {
    /// Takes the bytes and overwrites the caller's copy.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let secret = Self(Zeroizing::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Derives the key of a use: `purpose` names it, `number` tells its periods apart.
    pub(crate) fn derive(&self, purpose: &str, number: i64) -> DerivedKey {
        // The length divides the two parts, so that no two pairs are the same bytes.
        let length = u64::try_from(purpose.len()).unwrap_or(u64::MAX);
        let parts: [&[u8]; 3] = [
            &length.to_le_bytes(),
            purpose.as_bytes(),
            &number.to_le_bytes(),
        ];
        Zeroizing::new(hmac_of(&self.0, &parts))
    }
}

impl fmt::Debug for InputSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InputSecret(redacted)")
    }
}

/// HMAC-SHA256 of some parts.
pub(crate) fn hmac_of(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 ready for data, with the work of its key done.
pub(crate) fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The first eight bytes as a number.
pub(crate) fn first_u64(bytes: &[u8; 32]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1, with its key of 20 bytes filled up with zeros, as HMAC itself fills it.
    #[test]
    fn hmac_is_that_of_the_standard() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = hmac_of(&key, &[b"Hi ", b"There"]);
        assert_eq!(mac[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }

    #[test]
    fn a_secret_shows_nothing_and_its_keys_differ() {
        let mut bytes = [7; 32];
        let secret = InputSecret::take(&mut bytes);
        assert_eq!(bytes, [0; 32]);
        assert_eq!(format!("{secret:?}"), "InputSecret(redacted)");
        assert_ne!(*secret.derive("day", 1), *secret.derive("day", 2));
        assert_ne!(*secret.derive("day", 1), *secret.derive("week", 1));
    }
}
