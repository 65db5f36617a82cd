//! The bytes around each value, the record of how far the log is applied, and the digest.
//!
//! Value: version 1 (1 byte), crc32 over key length, key and value (4), value. The record under
//! [`META_KEY`] is such a value of three numbers: applied index, number of keys, digest.

use twinscale_log::LogIndex;

use crate::error::StoreError;

/// The version of the value envelope that this build reads and writes.
const VALUE_VERSION: u8 = 1;

/// The bytes before a value.
const ENVELOPE_BYTES: usize = 5;

/// The key of the record; it lies before all other keys, which begin with `/`.
pub(crate) const META_KEY: &[u8] = b"!meta";

/// How far the log is applied, and what the state should hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) applied_index: LogIndex,
    pub(crate) entries: u64,
    /// The sum of [`digest_of`] over all keys, modulo 2^64.
    pub(crate) digest: u64,
}

impl Meta {
    pub(crate) fn add(&mut self, sealed: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.digest = self.digest.wrapping_add(digest_of(sealed));
    }

    pub(crate) fn remove(&mut self, sealed: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(digest_of(sealed));
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(24);
        value.extend_from_slice(&self.applied_index.get().to_le_bytes());
        value.extend_from_slice(&self.entries.to_le_bytes());
        value.extend_from_slice(&self.digest.to_le_bytes());
        seal(META_KEY, &value)
    }

    pub(crate) fn decode(sealed: &[u8]) -> Result<Self, StoreError> {
        let value = unseal(META_KEY, sealed)?;
        let mut numbers = value
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes));
        match (value.len(), numbers.next(), numbers.next(), numbers.next()) {
            (24, Some(applied_index), Some(entries), Some(digest)) => Ok(Self {
                applied_index: LogIndex::new(applied_index),
                entries,
                digest,
            }),
            _ => Err(StoreError::broken(
                META_KEY,
                format!("record of {} bytes, 24 expected", value.len()),
            )),
        }
    }
}

/// Wraps a value with version and checksum.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(ENVELOPE_BYTES + value.len());
    sealed.push(VALUE_VERSION);
    sealed.extend_from_slice(&checksum(key, value).to_le_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// Checks the envelope of a value and returns what it holds.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((version, rest)) = sealed.split_first() else {
        return Err(StoreError::broken(key, "value is empty"));
    };
    if *version != VALUE_VERSION {
        let reason = format!("value has version {version}, {VALUE_VERSION} expected");
        return Err(StoreError::broken(key, reason));
    }
    let Some((crc, value)) = rest.split_first_chunk::<4>() else {
        return Err(StoreError::broken(key, "value is cut"));
    };
    if u32::from_le_bytes(*crc) != checksum(key, value) {
        return Err(StoreError::broken(key, "value does not match its checksum"));
    }
    Ok(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // The length keeps key and value apart.
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// Spreads a sealed value's checksum, which covers its key, over 64 bits.
fn digest_of(sealed: &[u8]) -> u64 {
    let head = sealed
        .get(1..ENVELOPE_BYTES)
        .and_then(<[u8]>::first_chunk::<4>)
        .copied()
        .unwrap_or_default();
    // The finisher of splitmix64: sums of raw checksums would cancel too easily.
    let mut mixed = u64::from(u32::from_le_bytes(head)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
