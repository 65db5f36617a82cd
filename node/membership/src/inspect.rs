//! What a gossip message says, checked before chitchat reads it.
//!
//! chitchat checks the form of a message, but asserts some of its meaning, and unpacks without a limit. A
//! message passes here only when its size unpacked, its ids and its versions are ones that chitchat writes,
//! so that no bytes make its server panic.

use chitchat::{ChitchatId, ChitchatMessage, Deserializable};

use crate::ids::member_from_canonical;
use crate::limits::{
    DECODED_BYTES_MAX, INCARNATIONS_MAX, KEY_BYTES_MAX, KEYS_PER_MEMBER_MAX, VALUE_BYTES_MAX,
    VERSION_MAX,
};
use crate::refusal::RefusalReason;

/// First bytes of every chitchat message.
const MAGIC: u16 = 45_139;
const PROTOCOL: u8 = 0;

/// Largest block that chitchat unpacks.
const BLOCK_BYTES_MAX: usize = 65_535;

/// Largest code of how a key is to be deleted.
const DELETION_CODE_MAX: u8 = 2;

/// A message that chitchat may have.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) message: ChitchatMessage,
    /// What the sender knows: the newest version of each incarnation.
    pub(crate) digest: Vec<(ChitchatId, u64)>,
}

type Checked<T> = Result<T, RefusalReason>;

/// Reads and checks a message.
pub(crate) fn inspect(bytes: &[u8]) -> Checked<Inspected> {
    let mut rest = bytes;
    let (magic, protocol) = (read::<u16>(&mut rest)?, read::<u8>(&mut rest)?);
    ensure(magic == MAGIC && protocol == PROTOCOL)?;
    let mut digest = Vec::new();
    match read::<u8>(&mut rest)? {
        0 => {
            digest = read_digest(&mut rest)?;
            read::<String>(&mut rest)?;
        }
        1 => {
            digest = read_digest(&mut rest)?;
            check_delta(&mut rest)?;
        }
        2 => check_delta(&mut rest)?,
        3 => {}
        _ => return Err(RefusalReason::Malformed),
    }
    ensure(rest.is_empty())?;
    Ok(Inspected {
        message: read(&mut &*bytes)?,
        digest,
    })
}

fn read<T: Deserializable>(rest: &mut &[u8]) -> Checked<T> {
    // The cause is for a developer of chitchat; whoever sent the bytes held the key and is counted.
    T::deserialize(rest).or(Err(RefusalReason::Malformed))
}

fn ensure(holds: bool) -> Checked<()> {
    if holds {
        Ok(())
    } else {
        Err(RefusalReason::Malformed)
    }
}

fn read_version(rest: &mut &[u8]) -> Checked<u64> {
    let version = read(rest)?;
    ensure(version <= VERSION_MAX)?;
    Ok(version)
}

fn read_id(rest: &mut &[u8]) -> Checked<ChitchatId> {
    let id: ChitchatId = read(rest)?;
    ensure(member_from_canonical(&id.node_id).is_some())?;
    Ok(id)
}

fn read_digest(rest: &mut &[u8]) -> Checked<Vec<(ChitchatId, u64)>> {
    let count = usize::from(read::<u16>(rest)?);
    if count > INCARNATIONS_MAX {
        return Err(RefusalReason::TooManyIncarnations);
    }
    let mut digest = Vec::with_capacity(count);
    for _ in 0..count {
        let id = read_id(rest)?;
        let _heartbeat = read_version(rest)?;
        let _last_collected = read_version(rest)?;
        digest.push((id, read_version(rest)?));
    }
    Ok(digest)
}

fn check_delta(rest: &mut &[u8]) -> Checked<()> {
    let unpacked = unpack(rest)?;
    let mut operations = unpacked.as_slice();
    let mut current: Option<Current> = None;
    while !operations.is_empty() {
        match read::<u8>(&mut operations)? {
            0 => current = Some(read_member(&mut operations)?),
            1 => current
                .as_mut()
                .ok_or(RefusalReason::Malformed)?
                .key_value(&mut operations)?,
            2 => current
                .as_mut()
                .ok_or(RefusalReason::Malformed)?
                .newest(&mut operations)?,
            _ => return Err(RefusalReason::Malformed),
        }
    }
    Ok(())
}

/// Unpacks the blocks of a delta, within the limit.
fn unpack(rest: &mut &[u8]) -> Checked<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut block = Vec::new();
    loop {
        let tag = read::<u8>(rest)?;
        if tag == 0 {
            return Ok(unpacked);
        }
        let length = usize::from(read::<u16>(rest)?);
        let (packed, left) = rest
            .split_at_checked(length)
            .ok_or(RefusalReason::Malformed)?;
        *rest = left;
        match tag {
            1 => {
                block.resize(BLOCK_BYTES_MAX, 0);
                let length = zstd::bulk::decompress_to_buffer(packed, &mut block)
                    .or(Err(RefusalReason::Malformed))?;
                unpacked.extend(block.iter().take(length));
            }
            2 => unpacked.extend_from_slice(packed),
            _ => return Err(RefusalReason::Malformed),
        }
        if unpacked.len() > DECODED_BYTES_MAX {
            return Err(RefusalReason::TooLarge);
        }
    }
}

/// The incarnation that the operations of a delta are about.
struct Current {
    keys: usize,
    newest: u64,
}

fn read_member(operations: &mut &[u8]) -> Checked<Current> {
    read_id(operations)?;
    let _last_collected = read_version(operations)?;
    let _from = read_version(operations)?;
    Ok(Current { keys: 0, newest: 0 })
}

impl Current {
    fn key_value(&mut self, operations: &mut &[u8]) -> Checked<()> {
        let key: String = read(operations)?;
        let value: String = read(operations)?;
        if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(RefusalReason::TooLarge);
        }
        let version = read_version(operations)?;
        ensure(read::<u8>(operations)? <= DELETION_CODE_MAX)?;
        self.keys += 1;
        ensure(version > self.newest && self.keys <= KEYS_PER_MEMBER_MAX)?;
        self.newest = version;
        Ok(())
    }

    /// chitchat sends the newest version alone, and only when there is no key to send; one below that of a
    /// key before it would break an assertion of its.
    fn newest(&mut self, operations: &mut &[u8]) -> Checked<()> {
        let version = read_version(operations)?;
        ensure(self.keys == 0 && self.newest == 0)?;
        self.newest = version.max(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
