//! The key space: versioned, prefixed, ordered.
//!
//! `/v1/customer/<hash>/<customer>/<kind>/<part>...` for one customer's state and
//! `/v1/node/<kind>/<part>...` for the node's own. The hash spreads customers and bounds what an id
//! can do to a path; the id itself is in the key as well, so that two ids never share one. Numbers
//! are written as 16 hexadecimal digits, so that keys sort as they do.

use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// The longest customer id, in bytes.
pub const CUSTOMER_ID_BYTES_MAX: usize = 63;

const CUSTOMER_ROOT: &str = "/v1/customer/";
const NODE_ROOT: &str = "/v1/node/";

/// How many bytes of the id's SHA-256 go into its keys.
const HASH_BYTES: usize = 8;

/// A key in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBuilder {
    key: Vec<u8>,
}

impl KeyBuilder {
    /// Adds a part of text; `/` and bytes outside printable ASCII are written as `%` and two
    /// digits, so that no text can reach into a neighbouring part.
    #[must_use]
    pub fn text(mut self, part: &str) -> Self {
        self.key.push(b'/');
        for byte in part.bytes() {
            if byte.is_ascii_graphic() && byte != b'/' && byte != b'%' {
                self.key.push(byte);
            } else {
                self.key
                    .extend_from_slice(format!("%{byte:02x}").as_bytes());
            }
        }
        self
    }

    /// Adds a number; keys sort by it.
    #[must_use]
    pub fn number(mut self, part: u64) -> Self {
        self.key
            .extend_from_slice(format!("/{part:016x}").as_bytes());
        self
    }

    /// Adds a number that may be negative; keys sort by it.
    #[must_use]
    pub fn signed(self, part: i64) -> Self {
        // Turning the sign bit over makes the order of the bits that of the numbers.
        self.number(part.cast_unsigned() ^ (1 << 63))
    }

    /// Returns the key.
    pub fn build(self) -> Vec<u8> {
        self.key
    }

    /// Returns the prefix of all keys that have more parts than this one.
    pub fn prefix(mut self) -> Vec<u8> {
        self.key.push(b'/');
        self.key
    }
}

/// Begins a key of one customer's state of a kind.
///
/// # Errors
/// [`StoreError::InvalidCustomer`] unless the id is 1 to 63 characters of a-z, 0-9 and `-`.
pub fn customer_key(customer: &str, kind: &str) -> Result<KeyBuilder, StoreError> {
    let mut key = customer_prefix(customer)?;
    key.pop();
    Ok(KeyBuilder { key }.text(kind))
}

/// Returns the prefix of everything that the store holds of a customer.
///
/// # Errors
/// Those of [`customer_key`].
pub fn customer_prefix(customer: &str) -> Result<Vec<u8>, StoreError> {
    let is_valid = (1..=CUSTOMER_ID_BYTES_MAX).contains(&customer.len())
        && customer
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !is_valid {
        return Err(StoreError::InvalidCustomer {
            id: customer.chars().take(CUSTOMER_ID_BYTES_MAX + 1).collect(),
        });
    }
    let mut prefix = CUSTOMER_ROOT.as_bytes().to_vec();
    for byte in Sha256::digest(customer.as_bytes()).iter().take(HASH_BYTES) {
        prefix.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    prefix.push(b'/');
    prefix.extend_from_slice(customer.as_bytes());
    prefix.push(b'/');
    Ok(prefix)
}

/// Begins a key of the node's own state of a kind.
pub fn node_key(kind: &str) -> KeyBuilder {
    let mut key = NODE_ROOT.as_bytes().to_vec();
    key.pop();
    KeyBuilder { key }.text(kind)
}
